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
from rekur.run.cpu.kernel import Run, compiled
from rekur.run.cpu.order import order_of
from rekur.run.cpu.team import callable_at
from rekur.run.state import State

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
        self._inputs = [a.name for a in graph.of("input")]
        self._states = [a.name for a in graph.of("state")]
        code = compiled(text, (), frozenset(), False)
        if code.code.reads:
            raise BackendError("it reads its neighbours on a lattice")
        if code.parts.outside:
            raise BackendError("it computes with its weights alone")
        order = order_of((rows,), 1, None, None, False, None, code.constants_in_time)
        threads = torch.get_num_threads() if sum(p.numel() for p in params.values()) >= _WORTH else 1
        self._run = run = Run.forth(code.frame(sizes, order, threads))
        for arena in run.arenas:
            arena.memory.zero_()
        run.weights(
            {i: params[k] for (kind, k), i in code.operands.places.items() if kind == "params"}, code.wiring.forward
        )
        self._ticket = torch.zeros(1, dtype=torch.int64, device="cpu")
        fields = code.code.record.fields
        run.record[fields["array ticket"]] = self._ticket.data_ptr()
        self._address, self._forward = run.address, callable_at(code.forward)
        arrays = [(k, f"input {k}") for k in self._inputs]
        self._x = [run.over_time(a)[0] if a in code.code.arrays else None for _, a in arrays]
        self._before, self._after = ({k: run.over_time(f"state {k}")[i] for k in self._states} for i in (0, 1))
        self._pool = ThreadPoolExecutor(threads - 1, thread_name_prefix="rekur-step") if threads > 1 else None
        self._others: list[Future[None]] = []
        self._process, self._alone = os.getpid(), threading.Lock()
        if self._pool is not None:
            self._others = [self._pool.submit(callable_at(code.serve), self._address, i) for i in range(1, threads)]
        self._step()  # lays out the weights
        run.record[fields["laid"]] = 1

    def _step(self) -> None:
        self._ticket += 1
        self._forward(self._address, 0)

    def __call__(self, x: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> tuple[Tensor, State]:
        """The output `(B, H)` of one step on `(B, I)`, and the state after it."""
        if self._others and os.getpid() != self._process:
            raise BackendError("a fork has left its threads in the other process: prepare the layer in this one")
        with self._alone:
            for name, view in zip(self._inputs, self._x, strict=True):
                if view is not None:
                    _put(view, name, x[name])
            for name, view in self._before.items():
                _put(view, name, state[name])
            self._step()
            after = {name: view.clone() for name, view in self._after.items()}
        return after[self._states[0]].clone(), State(after)

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
