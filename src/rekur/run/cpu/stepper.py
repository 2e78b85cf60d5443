"""Single steps through a stack of layers: weights laid out once, states kept in the order that the code has them."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import groupby
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rekur.errors import BackendError, ShapeError
from rekur.graph import Graph
from rekur.run.call import Head
from rekur.run.cpu.columns import SYMBOLS
from rekur.run.cpu.kernel import Compiled, Run, compiled
from rekur.run.cpu.linear import Linear
from rekur.run.cpu.order import order_of
from rekur.run.cpu.target import Library, host
from rekur.run.cpu.team import entry, team
from rekur.run.state import State
from rekur.run.symbols import DTYPES, check_range

_WORTH = 250_000
"""Weights from which on more threads make a step faster"""
_CHAIN = """
define void @chain(ptr %table, i64 %tid) {
entry:
  %count = load i64, ptr %table
  br label %stage
stage:
  %i = phi i64 [ 0, %entry ], [ %next, %stage ]
  %twice = shl i64 %i, 1
  %function.at = add i64 %twice, 1
  %record.at = add i64 %twice, 2
  %function.ptr = getelementptr i64, ptr %table, i64 %function.at
  %record.ptr = getelementptr i64, ptr %table, i64 %record.at
  %function = load ptr, ptr %function.ptr
  %record = load ptr, ptr %record.ptr
  call void %function(ptr %record, i64 %tid)
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %count
  br i1 %more, label %stage, label %end
end:
  ret void
}
"""
"""All stages one after the other; each but the last ends with all threads waiting for each other"""


class Stage(NamedTuple):
    """A layer of the stack: the cell's graph, its text, and the layer's weights."""

    graph: Graph
    text: str
    params: Mapping[str, Tensor]
    sizes: Mapping[str, int]

    @property
    def code(self) -> Compiled:
        """BackendError where single steps of the cell need more than its inputs and states."""
        if self.graph.of("constant"):
            raise BackendError("it reads constants of the sequence")
        code = compiled(self.text, (), frozenset(), False)
        if code.code.reads:
            raise BackendError("it reads its neighbours on a lattice")
        if code.parts.outside:
            raise BackendError("it computes with its weights alone")
        return code


class _Place(NamedTuple):
    """Where a state lies: in which group, as which of its arrays, in which shape."""

    group: int
    i: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    def view(self, groups: Sequence[Tensor]) -> Tensor:
        """`(B, …)`, from `(arrays, floats)` for each group."""
        array = groups[self.group][self.i]
        return array.as_strided(self.size, self.stride, array.storage_offset())


class _Held(NamedTuple):
    """The states after a step, as they lay."""

    places: Mapping[str, _Place]
    groups: list[Tensor]

    def unpack(self) -> dict[str, Tensor]:
        """As tensors of their own."""
        return {k: p.view(self.groups).clone(memory_format=torch.contiguous_format) for k, p in self.places.items()}


class Stepper:
    """Layers that take one step at a call, with the weights they were given. States are called ``0.h``, ``1.h`` …

    :param head: weight and bias of a linear map of what comes out.
    """

    def __init__(self, stages: Sequence[Stage], rows: int, head: Head | None) -> None:
        codes = [stage.code for stage in stages]
        count = sum(p.numel() for stage in stages for p in stage.params.values())
        count += 0 if head is None else head[0].numel()
        threads = torch.get_num_threads() if count >= _WORTH and team() is not None else 1
        self._runs = [_laid_run(code, stage, rows, threads) for code, stage in zip(codes, stages, strict=True)]
        self._alone = threading.Lock()
        self._y: Tensor
        self._place_states(stages, rows)
        self._wire(codes, stages, rows)
        pairs = [(code.loop, run.address) for code, run in zip(codes, self._runs, strict=True)]
        if head is not None:
            self._head = Linear(*head, self._y, threads)
            self._y = self._head.y
            pairs.append((self._head.function, self._head.address))
        self._table = np.array([len(pairs), *(n for pair in pairs for n in pair)], dtype=np.int64)
        self._enter = entry(threads, _chain().address("chain"), self._table.ctypes.data)
        self._enter()  # lays out the weights
        for code, run in zip(codes, self._runs, strict=True):
            run.record[code.code.record.fields["laid"]] = 1

    def _place_states(self, stages: Sequence[Stage], rows: int) -> None:
        """The states of all stages; those of one size side by side, so that one copy takes them all."""
        found = []
        for number, (stage, run) in enumerate(zip(stages, self._runs, strict=True)):
            for a in stage.graph.of("state"):
                sizes, strides = run.frame.strided(a.axes)
                row = run.frame.stride(a.axes)
                found.append((rows * row, number, a, (rows, *sizes), (row, *strides)))
        found.sort(key=lambda one: one[:2])
        self._places: dict[str, _Place] = {}
        self._whole: dict[str, Tensor] = {}
        self._before: list[Tensor] = []
        self._after: list[Tensor] = []
        for group, (room, members) in enumerate(groupby(found, key=lambda one: one[0])):
            arrays = list(members)
            memory = torch.zeros(len(arrays), 2, room, dtype=torch.float32, device="cpu")
            self._before.append(memory[:, 0])
            self._after.append(memory[:, 1])
            for i, (_, number, a, size, stride) in enumerate(arrays):
                whole = _Place(group, i, size, stride)
                self._whole[f"{number}.{a.name}"] = whole.view(self._before)
                # of a scalar, which has a place in every lane of a vector, the first
                self._places[f"{number}.{a.name}"] = whole if a.axes else _Place(group, i, size[:1], stride[:1])
                run = self._runs[number]
                for array in (f"state {a.name}", f"before {a.name}"):
                    run.begin(array, memory[i])
        self._inner = {k: p.view(self._before) for k, p in self._places.items()}

    def _wire(self, codes: Sequence[Compiled], stages: Sequence[Stage], rows: int) -> None:
        """The first stage reads what comes, the others the state below as it lies; the last one's comes out."""
        first, run = stages[0], self._runs[0]
        argument = first.graph.of("input")[0]
        self._cell, self._name = first.graph.name, argument.name.removeprefix(SYMBOLS)
        self._symbols = first.sizes[argument.axes[0]] if argument.name != self._name else 0
        """How many symbols there are, where the input is symbols"""
        self._x: Tensor | None = None
        if self._symbols:
            self._x = torch.zeros(rows, dtype=torch.int64, device="cpu")
            for move in codes[0].wiring.symbols:
                run.begin(move.array, self._x)
        elif f"input {self._name}" in run.frame.code.arrays:
            self._x = run.over_time(f"input {self._name}")[0].zero_()
        for number, stage in enumerate(stages):
            below = self._places[f"{number}.{stage.graph.of('state')[0].name}"]
            self._y = below.view(self._after)
            if number + 1 < len(stages):
                array = f"input {stages[number + 1].graph.of('input')[0].name}"
                self._runs[number + 1].begin(array, self._after[below.group][below.i])

    def gave(self, state: Mapping[str, Tensor]) -> bool:
        """Whether a state is one that it gave, of which nobody has asked for a tensor."""
        held = state.packed if isinstance(state, State) else None
        return isinstance(held, _Held) and held.places is self._places

    def __call__(self, x: Tensor, state: Mapping[str, Tensor]) -> tuple[Tensor, State]:
        """What comes out of a step on `(B, I)`, or on symbols `(B,)`, and the state after it."""
        held = state.packed if isinstance(state, State) else None
        with self._alone:
            if self._symbols:
                self._put_symbols(x)
            elif self._x is not None:
                _fit(self._x, self._name, x)
                self._x.copy_(x)
            if isinstance(held, _Held) and held.places is self._places:
                for before, values in zip(self._before, held.groups, strict=True):
                    before.copy_(values)
            else:
                for name, view in self._inner.items():
                    _fit(view, name.partition(".")[2], state[name])
                    whole, values = self._whole[name], state[name]
                    whole.copy_(values if values.dim() == whole.dim() else values[..., None])  # to every lane
            self._enter()
            groups = [after.clone(memory_format=torch.contiguous_format) for after in self._after]
            y = self._y.clone(memory_format=torch.contiguous_format)
        return y, State.later(_Held(self._places, groups))

    def _put_symbols(self, v: Tensor) -> None:
        view = self._x
        assert view is not None
        if v.shape != view.shape or v.dtype not in DTYPES:
            got = f"{tuple(v.shape)} of {v.dtype}"
            raise ShapeError(f"the step wants symbols {self._name} {tuple(view.shape)} of int64 or int32, got {got}")
        seen = v.tolist()
        check_range(self._cell, self._name, min(seen), max(seen), self._symbols)
        view.copy_(v)


def _laid_run(code: Compiled, stage: Stage, rows: int, threads: int) -> Run:
    """The memory of a stage, pointing at its weights."""
    order = order_of((rows,), 1, None, None, False, None, code.constants_in_time)
    run = Run.forth(code.frame(stage.sizes, order.form, threads), order)
    weights = {i: stage.params[k] for (kind, k), i in code.operands.places.items() if kind == "params"}
    run.weights(weights, code.wiring.forward)
    return run


@cache
def _chain() -> Library:
    return Library(_CHAIN, host())


def _fit(view: Tensor, name: str, v: Tensor) -> None:
    if v.shape == view.shape and v.dtype == view.dtype:
        return
    cast = v.is_floating_point() and torch.is_autocast_enabled("cpu")
    if v.shape != view.shape or not cast:
        wanted, got = (f"{tuple(t.shape)} of {t.dtype}" for t in (view, v))
        raise ShapeError(f"the step wants {name} {wanted}, got {got}")
