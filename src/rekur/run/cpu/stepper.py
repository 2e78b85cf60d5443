"""Single steps of a stream: weights laid out once, nothing allocated but what is handed out."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from rekur.errors import BackendError, ShapeError
from rekur.graph import Graph
from rekur.run.cpu.columns import SYMBOLS
from rekur.run.cpu.kernel import Run, compiled
from rekur.run.cpu.order import order_of
from rekur.run.cpu.team import callable_at
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
        self._run = run = Run.forth(code.frame(sizes, order.form, threads), order)
        for arena in run.arenas:
            arena.memory.zero_()
        run.weights(
            {i: params[k] for (kind, k), i in code.operands.places.items() if kind == "params"}, code.wiring.forward
        )
        self._ticket = torch.zeros(1, dtype=torch.int64, device="cpu")
        fields = code.code.record.fields
        run.record[fields["array ticket"]] = self._ticket.data_ptr()
        self._address, self._lead = run.address, callable_at(code.lead)
        inputs = {a.name: f"input {a.name}" for a in graph.of("input")}
        self._x = {k: run.over_time(a)[0] for k, a in inputs.items() if a in code.code.arrays}
        axes = {a.name: a.axes for a in graph.of("input")}
        self._symbols: dict[str, tuple[Tensor, int]] = {}
        for move in code.wiring.symbols:
            field, (_, name) = fields[f"array {move.array}"], code.operands.names[move.tensor]
            view = torch.zeros(rows, dtype=torch.int64, device="cpu")
            run.point([field], [view])
            self._symbols[name.removeprefix(SYMBOLS)] = view, sizes[axes[name][0]]
        self._before, self._after = ({k: run.over_time(f"state {k}")[i] for k in self._states} for i in (0, 1))
        self._process, self._alone = os.getpid(), threading.Lock()
        self._others = [
            threading.Thread(
                target=callable_at(code.serve), args=(self._address, i), name=f"rekur-step-{i}", daemon=True
            )
            for i in range(1, threads)
        ]
        for other in self._others:
            other.start()
        # also where it is forgotten, and at the end of the process: nobody spins forever, or on freed memory
        self._end = weakref.finalize(self, _let_go, self._ticket, run, self._others, self._alone, self._process)
        self._lead(self._address, 0)  # lays out the weights
        run.record[fields["laid"]] = 1

    def __call__(self, x: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> tuple[Tensor, State]:
        """The output `(B, H)` of one step on `(B, I)`, or on symbols `(B,)`, and the state after it."""
        if self._others and os.getpid() != self._process:
            raise BackendError("a fork has left its threads in the other process: prepare the layer in this one")
        with self._alone:
            if not self._end.alive:
                raise BackendError("it has been closed: prepare the layer again")
            for name, view in self._x.items():
                _put(view, name, x[name])
            for name, (view, size) in self._symbols.items():
                self._put_symbols(view, name, x[name], size)
            for name, view in self._before.items():
                _put(view, name, state[name])
            self._lead(self._address, 0)
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
        self._end()


def _let_go(
    ticket: Tensor, run: Run, others: Sequence[threading.Thread], alone: threading.Lock, process: int
) -> None:
    """Have the other threads end; until then `run` keeps what they work on."""
    if os.getpid() != process:
        return
    with alone:
        ticket.fill_(-1)
        for other in others:
            other.join()


def _put(view: Tensor, name: str, v: Tensor) -> None:
    cast = v.is_floating_point() and torch.is_autocast_enabled("cpu")
    if v.shape != view.shape or (v.dtype != view.dtype and not cast):
        wanted, got = (f"{tuple(t.shape)} of {t.dtype}" for t in (view, v))
        raise ShapeError(f"the step wants {name} {wanted}, got {got}")
    view.copy_(v)
