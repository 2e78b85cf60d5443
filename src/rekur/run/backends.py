"""Choosing how a cell runs: `compile`, the kernel it gives, and `explain`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rekur.errors import BackendError, OptionError, suggest
from rekur.graph import Cell, Graph
from rekur.run.call import Backend, Call, Head, Scan, Stepper, Weights
from rekur.run.cpu.backend import Cpu
from rekur.run.fused import Fused
from rekur.run.reference import Reference
from rekur.run.traced import traced

BACKENDS: Mapping[str, Callable[[Graph], Backend]] = {"cpu": Cpu, "fused": Fused, "reference": Reference}
"""Name -> backend, the fastest first; `auto` takes the first that can do a call."""


@dataclass(frozen=True, eq=False)
class Kernel:
    """A cell made ready to run. `scan` runs it; `explain` says how and why."""

    graph: Graph
    backends: tuple[Backend, ...]
    refused: Mapping[str, str]
    """Backend -> why it can never run this cell"""
    asked: str
    """`auto`, or the backend asked for by name"""

    def __reduce__(self) -> tuple[Callable[..., Kernel], tuple[Graph, str]]:
        return compile, (self.graph, self.asked)  # made anew where it is copied or loaded

    def choose(self, call: Call) -> Backend:
        """The first backend that can do this call; BackendError names each reason where none can.

        Where a tracer looks on, compiled code comes first.
        """
        first = self._compiled if self.recorded(call.like) else []
        reasons = dict(self.refused)
        transformed = torch._C._are_functorch_transforms_active()
        for backend in (*first, *self.backends):
            reason = backend.refuses_call(call)
            if transformed and not isinstance(backend, Reference):
                reason = "torch.func transforms plain operations only"
            if reason is None:
                return backend
            reasons[backend.name] = reason
        raise BackendError(f"{self.graph.name} cannot run: " + "; ".join(f"{k}: {v}" for k, v in reasons.items()))

    @property
    def _compiled(self) -> list[Cpu]:
        return [backend for backend in self.backends if isinstance(backend, Cpu)]

    def recorded(self, like: Tensor) -> bool:
        """Whether a tracer looks on, and calls with tensors like this one are an operator that it can put down."""
        if not traced(like) or torch._C._are_functorch_transforms_active():
            return False
        return bool(self._compiled) and Cpu.takes(like)

    def text_for(self, like: Tensor | None) -> str | None:
        """The graph that such an operator runs, None where there is no such operator."""
        return self._compiled[0].text if like is not None and self.recorded(like) else None

    def run(self, call: Call) -> Scan:
        """Do a call; torch's compiler calls torch's own layers as they are, it cannot trace them."""
        backend = self.choose(call)
        if torch.compiler.is_dynamo_compiling() and not isinstance(backend, Reference):
            as_it_is: Callable[[Call], Scan] = torch.compiler.disable(backend.run)  # type: ignore[no-untyped-call]
            return as_it_is(call)
        return backend.run(call)

    def stepper(
        self, layers: Sequence[Weights], rows: int, symbols: Collection[str] = (), head: Head | None = None
    ) -> Stepper | None:
        """The first way that a backend has to take single steps on `rows` sequences, or None.

        :param layers: a stack of the cell, each layer reading what the one below puts out.
        :param symbols: the inputs of the first that are symbols, as `rekur.run.symbols.symbolic` says.
        :param head: a linear map of what comes out.
        """
        found = (backend.stepper(layers, rows, symbols, head) for backend in self.backends)
        return next((one for one in found if one is not None), None)

    def explain(self) -> str:
        """In a line, which backend runs the cell and why.

        >>> from rekur.cells import lstm
        >>> compile(lstm).explain()
        'lstm runs on cpu (compiled for this processor), or on fused for a call that cpu refuses'
        """
        first, *others = self.backends
        text = f"{self.graph.name} runs on {first.name} ({first.why})"
        if others:
            text += f", or on {others[0].name} for a call that {first.name} refuses"
        return text + "".join(f"; not {k}: {v}" for k, v in self.refused.items())


def compile(cell: Cell | Graph, backend: str = "auto") -> Kernel:
    """Make a cell ready to run.

    :param backend: `auto` takes, call by call, the fastest that can do it; `fused` is torch's own LSTM, GRU or
        RNN for cells that are one; `reference` unfolds the cell in plain torch. One asked for by name runs or
        raises BackendError, it is never replaced.
    """
    graph = cell.graph if isinstance(cell, Cell) else cell
    if not isinstance(graph, Graph):
        raise OptionError(f"{graph!r} is of type {type(graph).__name__}, not a cell: a step under @cell is one")
    if backend != "auto" and backend not in BACKENDS:
        raise OptionError(f"there is no backend {backend!r}{suggest(backend, [*BACKENDS, 'auto'])}; "
                          f"there are auto, {', '.join(BACKENDS)}")  # fmt: skip
    chosen, refused = [], {}
    for name, make in BACKENDS.items():
        if backend in ("auto", name):
            try:
                chosen.append(make(graph))
            except BackendError as e:
                refused[name] = str(e)
    if not chosen:
        raise BackendError(f"{graph.name} cannot run on {backend}: {refused[backend]}")
    return Kernel(graph, tuple(chosen), refused, backend)
