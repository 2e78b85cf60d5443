"""`Recurrent`: any cell as a layer, stacked, in one or both directions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from rekur.cells import load
from rekur.errors import OptionError, ShapeError, suggest
from rekur.graph import Cell
from rekur.nn.layer import Layer, checked, positive
from rekur.nn.stream import Stream, open_stream, streaming
from rekur.run import Scan, State


class Recurrent(nn.Module):
    """A stack of layers of one cell; input and output are `(batch, time, feature)`.

    The first layer of a cell that does nothing with its input but multiply it by weights also reads symbols, integers
    `(batch, time)` from 0 to `input_size` - 1: as if they were one-hot, but looked up.

    :param cell: a cell, or the name of one of the zoo.
    :param input_size: features of the input.
    :param hidden_size: H, the units of a layer.
    :param num_layers: how many layers; each reads what the one below puts out.
    :param bidirectional: a second chain from the last step to the first; both outputs side by side.
    :param dropout: the share of values dropped between layers while training.
    :param sizes: further axes of the cell, as ``{"P": 64}``.
    :param backend: see `rekur.run.compile`.
    :param generator: draws the weights; torch's default where none is given.

    The state has one entry a layer and state of the cell: ``0.h``, ``0.c``, ``1.h`` …, and ``0.reverse.h`` in
    the other direction.

    >>> import torch
    >>> layer = Recurrent("lstm", 8, 16, num_layers=2)
    >>> y, state = layer(torch.randn(3, 5, 8))
    >>> y, state = layer(torch.randn(3, 5, 8), state)
    >>> y.shape, list(state)
    (torch.Size([3, 5, 16]), ['0.h', '0.c', '1.h', '1.c'])
    >>> y, state = layer(torch.randint(8, (3, 5)))  # symbols
    """

    def __init__(
        self,
        cell: Cell | str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        bidirectional: bool = False,
        dropout: float = 0.0,
        sizes: Mapping[str, int] | None = None,
        backend: str = "auto",
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        self.cell = checked(load(cell) if isinstance(cell, str) else cell)
        positive(input_size=input_size, hidden_size=hidden_size, num_layers=num_layers)
        if not isinstance(dropout, int | float) or not 0.0 <= dropout < 1.0:
            raise OptionError(f"dropout must lie in 0 ≤ p < 1, got {dropout!r}")
        self.dropout = dropout
        axis = _vector_in_and_out(self.cell)
        own = {axis: "input_size", "H": "hidden_size"}
        for name in sizes or {}:
            if name in own:
                raise OptionError(f"the size of the axis {name!r} is {own[name]}: leave it out of sizes")
            if name not in self.cell.graph.axes:
                raise OptionError(f"{self.cell.name} has no axis {name!r}{suggest(name, self.cell.graph.axes)}")
        self.layers, self.reverse_layers = nn.ModuleList(), nn.ModuleList()
        size = input_size
        for depth in range(num_layers):
            if axis == "H" and size != hidden_size:
                raise OptionError(
                    f"{self.cell.name} has one axis, H, for input and units: layer {depth} reads {size} features and "
                    f"has {hidden_size} units; make them equal"
                )
            all_sizes = {"H": hidden_size, **(sizes or {}), axis: size}
            for stack in (self.layers, self.reverse_layers)[: 2 if bidirectional else 1]:
                stack.append(
                    Layer(
                        self.cell, all_sizes, reverse=stack is self.reverse_layers, backend=backend,
                        generator=generator, dtype=dtype, device=device,
                    )
                )  # fmt: skip
            size = self._layer(-1).output_size * (2 if bidirectional else 1)
        self._stream: Stream | None = None
        self.input_size, self.output_size = input_size, size

    @property
    def bidirectional(self) -> bool:
        """Whether there is a second chain, from the last step to the first."""
        return len(self.reverse_layers) > 0

    def forward(
        self,
        x: Tensor,
        state: Mapping[str, Tensor] | None = None,
        *,
        lengths: Tensor | Sequence[int] | None = None,
        reset: Tensor | None = None,
        constants: Mapping[str, Tensor] | None = None,
        memory_lengths: Mapping[str, Tensor | Sequence[int]] | None = None,
    ) -> tuple[Tensor, State]:
        """The output of the last layer at every step, and the state after each row's last real step.

        See `rekur.run.scan` for lengths, resets and constants. Raises ShapeError for what does not fit, and
        where a state is carried into a bidirectional stack.
        """
        y, final, *_ = self.scan(
            x, state, lengths=lengths, reset=reset, constants=constants, memory_lengths=memory_lengths
        )
        return y, final

    def scan(
        self,
        x: Tensor,
        state: Mapping[str, Tensor] | None = None,
        *,
        outputs: Sequence[str] = (),
        record: Sequence[str] = (),
        **options: Any,
    ) -> Scan:
        """`forward`, with inner values: a name as ``forget`` asks every layer, ``1.forget`` the second.

        `outputs` are differentiable, `record` is detached; both come back as ``layer.name``.
        """
        x = _series(x, self.input_size)
        if self.bidirectional and state is not None:
            raise ShapeError("a bidirectional stack cannot be handed a state: its second chain starts at the end")
        self._check(state, (*outputs, *record))
        final: dict[str, Tensor] = {}
        kept: tuple[dict[str, Tensor], dict[str, Tensor]] = ({}, {})
        for depth, layers in enumerate(self._depths()):
            if depth and self.dropout:
                x = nn.functional.dropout(x, self.dropout, self.training)
            ys = []
            for prefix, layer in layers:
                given = None if state is None else State(state).under(prefix)
                wanted = [_asked(names, prefix) for names in (outputs, record)]
                one = layer(x, given, outputs=wanted[0], record=wanted[1], **options)
                ys.append(one.output)
                final.update({f"{prefix}.{k}": v for k, v in one.state.items()})
                for into, found in zip(kept, (one.outputs, one.record), strict=True):
                    into.update({f"{prefix}.{k}": v for k, v in found.items()})
            x = torch.cat(ys, -1) if len(ys) > 1 else ys[0]
        return Scan(x, State(final), *kept)

    def step(self, x: Tensor, state: Mapping[str, Tensor] | None = None) -> tuple[Tensor, State]:
        """One step of a stream: `(B, feature)` or symbols `(B,)` in, `(B, feature)` and the state after it out."""
        if state is not None and (stream := open_stream(self, state)) is not None:
            return stream(x, state)
        y, after = self(x[:, None], state)
        return y[:, 0], after

    @contextmanager
    def prepared(self) -> Iterator[None]:
        """Within it, `step` without gradients uses the weights as they are at its first call, laid out once.

        Change no weights in there.

        >>> layer = Recurrent("lstm", 2, 3)
        >>> with torch.no_grad(), layer.prepared():
        ...     y, state = layer.step(torch.zeros(1, 2))
        ...     y, state = layer.step(torch.zeros(1, 2), state)
        """
        with streaming(self, self.stream()):
            yield

    def stream(self, head: nn.Module | None = None) -> Stream:
        """Steps through the stack, and through a head, with the weights as they are at the first."""
        if self.bidirectional:
            raise ShapeError("a bidirectional stack cannot take single steps: its second chain starts at the end")
        return Stream([self._layer(i) for i in range(len(self.layers))], lambda state: self._check(state, ()), head)

    def explain(self) -> str:
        """In a line, how the stack runs and why."""
        chains = f"{len(self.layers)} × " + ("2 directions of " if self.bidirectional else "")
        return chains + self._layer(0).kernel.explain()

    def _layer(self, depth: int, reverse: bool = False) -> Layer:
        return cast(Layer, (self.reverse_layers if reverse else self.layers)[depth])

    def _depths(self) -> Iterator[list[tuple[str, Layer]]]:
        for i in range(len(self.layers)):
            both = [(f"{i}", self._layer(i))]
            yield [*both, (f"{i}.reverse", self._layer(i, reverse=True))] if self.bidirectional else both

    def _check(self, state: Mapping[str, Tensor] | None, names: Sequence[str]) -> None:
        graph = self.cell.graph
        prefixes = [prefix for layers in self._depths() for prefix, _ in layers]
        known = [f"{p}.{a.name}" for p in prefixes for a in graph.of("state")]
        if not isinstance(state, Mapping | None):
            raise ShapeError(f"the state must be what the layer gave: {', '.join(known)}; got {type(state).__name__}")
        for name in state or {}:
            if name not in known:
                raise ShapeError(f"this stack has no state {name!r}{suggest(name, known)}")
        missing = [] if state is None else [name for name in known if name not in state]
        if missing:
            raise ShapeError(f"the state lacks {', '.join(missing)}; hand in all of it, or no state")
        values = [*graph.names, *graph.outputs]
        for name in names:
            full = [f"{p}.{v}" for p in prefixes for v in values]
            if name not in values and name not in full:
                raise ShapeError(f"{self.cell.name} has no value named {name!r}{suggest(name, [*values, *full])}")


def _series(x: object, size: int) -> Tensor:
    if isinstance(x, Tensor):
        if x.dim() == 3 and x.shape[2] == size:
            return x
        if x.dim() == 2 and not x.is_floating_point():  # symbols, if `scan` agrees
            return x
    got = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
    hint = "; pad it, and say lengths=…" if isinstance(x, PackedSequence) else ""
    raise ShapeError(f"the input must be a tensor (B, T, {size}), got {got}{hint}")


def _vector_in_and_out(cell: Cell) -> str:
    """The axis of the one input; OptionError for a cell whose layers do not fit on each other."""
    inputs, states = cell.graph.of("input"), cell.graph.of("state")
    if len(inputs) != 1 or len(inputs[0].axes) != 1 or len(states[0].axes) != 1:
        read = ", ".join(f"{a.name}[{' '.join(a.axes)}]" for a in inputs)
        raise OptionError(
            f"{cell.name} reads {read} and puts out [{' '.join(states[0].axes)}]; a stack is for cells that read "
            "one vector and put one out: use Layer"
        )
    return inputs[0].axes[0]


def _asked(names: Sequence[str], prefix: str) -> list[str]:
    """The names meant for one layer: bare ones, and those under its prefix."""
    out = []
    for name in names:
        head, _, tail = name.partition(".")
        if not head.isdigit():
            out.append(name)
        elif name.startswith(f"{prefix}.") and not (tail.startswith("reverse.") and not prefix.endswith("reverse")):
            out.append(name[len(prefix) + 1 :])
    return out
