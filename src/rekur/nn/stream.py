"""Single steps through a stack of layers whose weights stay as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor, nn

from rekur.nn.connections import connected
from rekur.nn.layer import Layer
from rekur.run import State
from rekur.run.call import Head, Stepper
from rekur.run.symbols import symbolic
from rekur.run.traced import traced


class Stream:
    """Steps through the layers, made for the rows and the kind of input that come first, and anew where others come.

    :param connections: how the layers read those below.
    :param check: raises where a state is not one of the stack.
    :param head: what the output goes through.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        connections: str,
        check: Callable[[Mapping[str, Tensor]], None],
        head: nn.Module | None = None,
    ) -> None:
        self._layers, self._connections, self._check, self._head = layers, connections, check, head
        self._stepper: Stepper | None = None
        self._made_for: tuple[int, tuple[str, ...]] | None = None
        self._last: tuple[torch.Size, torch.dtype] | None = None
        self._apart = head

    def __call__(self, x: Tensor, state: Mapping[str, Tensor]) -> tuple[Tensor, State]:
        """`(B, feature)`, or symbols `(B,)`, through all of it, and the state after it."""
        if (x.shape, x.dtype) != self._last:
            self._make(x)
        stepper = self._stepper
        if stepper is None or not stepper.gave(state):
            self._check(state)
        y, after = self._scanned(x, State(state)) if stepper is None else stepper(x, state)
        return y if self._apart is None else self._apart(y), after

    def _make(self, x: Tensor) -> None:
        """A stepper for inputs like x, unless there is one."""
        graph = self._layers[0].cell.graph
        symbols = tuple(symbolic(graph, {graph.of("input")[0].name: x[:, None]}, (), ()))
        kind = x.shape[0], symbols
        if self._made_for != kind:
            layers = [(layer.params(), layer.sizes) for layer in self._layers]
            head = _linear(self._head)
            alike = self._connections == "plain" and len({layer.kernel.graph for layer in self._layers}) == 1
            self._stepper = self._layers[0].kernel.stepper(layers, *kind, head) if alike else None
            self._apart = self._head if head is None or self._stepper is None else None
            self._made_for = kind
        self._last = x.shape, x.dtype

    def _scanned(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """As scans over one step."""
        after: dict[str, Tensor] = {}

        def one(depth: int, read: Tensor) -> Tensor:
            series, new, *_ = self._layers[depth].evaluated(read[:, None], state.under(str(depth)))
            after.update({f"{depth}.{k}": v for k, v in new.items()})
            return series[:, 0]

        return connected(self._connections, x, len(self._layers), one), State(after)

    def close(self) -> None:
        """Let go of memory."""
        self._stepper = self._made_for = self._last = None


def _linear(head: nn.Module | None) -> Head | None:
    """The weights of a head that steps can go through as they go through the layers."""
    if type(head) is not nn.Linear or head.weight.dtype != torch.float32 or head.weight.device.type != "cpu":
        return None
    return head.weight, head.bias


class _Streaming(Protocol):
    _stream: Stream | None


@contextmanager
def streaming(owner: _Streaming, stream: Stream) -> Iterator[None]:
    """Have `owner` take its steps by a stream meanwhile."""
    outer, owner._stream = owner._stream, stream
    try:
        yield
    finally:
        stream.close()
        owner._stream = outer


def open_stream(owner: _Streaming) -> Stream | None:
    """The stream of `owner`, if it is prepared and the step needs no gradients."""
    stream = owner._stream
    return None if stream is None or torch.is_grad_enabled() or traced() else stream
