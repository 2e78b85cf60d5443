"""Single steps of a stream: weights laid out once, nothing allocated but what is handed out."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

from rekur.errors import BackendError, ShapeError
from rekur.graph import Graph
from rekur.run.cpu.columns import SYMBOLS
from rekur.run.cpu.kernel import Run, compiled
from rekur.run.cpu.order import order_of
from rekur.run.state import State
from rekur.run.symbols import DTYPES, check_range

_WORTH = 250_000
"""Weights from which on a second thread makes a step faster"""


class Stepper:
    """A cell that takes one step at a call, with the weights it was given; `close` lets its threads go.

    Between the calls the other threads spin: waking them would take longer than a step.
    """

    def __init__(
        self, graph: Graph, text: str, params: Mapping[str, Tensor], sizes: Mapping[str, int], rows: int
    ) -> None:
        if graph.of("constant"):
            raise BackendError("it reads constants of the sequence")
        self._cell = graph.name
        self._states = [a.name for a in graph.of("state")]
        code = compiled(text, (), frozenset(), False)
        if code.code.reads:
            raise BackendError("it reads its neighbours on a lattice")
        if code.parts.outside:
            raise BackendError("it computes with its weights alone")
        order = order_of((rows,), 1, None, None, False, None, code.constants_in_time)
        threads = torch.get_num_threads() if sum(p.numel() for p in params.values()) >= _WORTH else 1
        self._run = run = Run(code.frame(sizes, order, threads))
        self._symbols = {
            a.name.removeprefix(SYMBOLS): (torch.zeros(rows, dtype=torch.int64), sizes[a.axes[0]])
            for a in graph.of("input")
            if a.name.startswith(SYMBOLS)
        }
        for column in code.code.columns.values():
            run.arrays[column.indices], _ = self._symbols[column.symbols.removeprefix(SYMBOLS)]
        for array in code.code.arrays:
            kind, _, name = array.partition(" ")
            run.make(array, clear=True)
            if kind == "before":
                run.arrays[array] = run.arrays[f"state {name}"]
        run.weights(params, code.code.forward)
        self._ticket = run.arrays["ticket"] = torch.zeros(1, dtype=torch.int64)
        record = run.record()
        self._address, self._forward = record.ctypes.data, code.forward
        read = [a.name for a in graph.of("input") if f"input {a.name}" in run.arrays]
        self._features = {k: run.view(f"input {k}") for k in read}
        self._before = {k: run.over_time(f"state {k}")[0] for k in self._states}
        self._after = {k: run.over_time(f"state {k}")[1] for k in self._states}
        self._pool = ThreadPoolExecutor(threads - 1, thread_name_prefix="rekur-step") if threads > 1 else None
        self._others: list[Future[None]] = []
        self._process, self._alone = os.getpid(), threading.Lock()
        if self._pool is not None:
            self._others = [self._pool.submit(code.serve, self._address, i) for i in range(1, threads)]
        self._step()  # lays out the weights
        record[code.code.record.fields["laid"]] = 1

    def _step(self) -> None:
        self._ticket += 1
        self._forward(self._address, 0)

    def __call__(self, x: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> tuple[Tensor, State]:
        """The output `(B, H)` of one step on `(B, I)`, or on symbols `(B,)`, and the state after it."""
        if self._others and os.getpid() != self._process:
            raise BackendError("a fork has left its threads in the other process: prepare the layer in this one")
        with self._alone:
            for name, view in self._features.items():
                _put(view, name, x[name])
            for name, (view, size) in self._symbols.items():
                self._put_symbols(view, name, x[name], size)
            for name, view in self._before.items():
                _put(view, name, state[name])
            self._step()
            after = {name: view.clone() for name, view in self._after.items()}
        return after[self._states[0]].clone(), State(after)

    def _put_symbols(self, view: Tensor, name: str, v: Tensor, size: int) -> None:
        if v.shape != view.shape or v.dtype not in DTYPES:
            got = f"{tuple(v.shape)} of {v.dtype}"
            raise ShapeError(f"the step wants symbols {name} {tuple(view.shape)} of int64 or int32, got {got}")
        seen = v.tolist()
        check_range(self._cell, name, min(seen), max(seen), size)
        view.copy_(v)

    def close(self) -> None:
        """Let the other threads go; a fork has none."""
        if os.getpid() != self._process:
            return
        self._ticket.fill_(-1)
        for other in self._others:
            other.result()
        if self._pool is not None:
            self._pool.shutdown()


def _put(view: Tensor, name: str, v: Tensor) -> None:
    cast = v.is_floating_point() and torch.is_autocast_enabled("cpu")
    if v.shape != view.shape or (v.dtype != view.dtype and not cast):
        wanted, got = (f"{tuple(t.shape)} of {t.dtype}" for t in (view, v))
        raise ShapeError(f"the step wants {name} {wanted}, got {got}")
    view.copy_(v)
