"""One call of a compiled cell: tensors in and out, forth and back."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from rekur.run.call import Call
from rekur.run.cpu.kernel import Compiled, Run
from rekur.run.cpu.lattice import Lattice
from rekur.run.cpu.order import Order, order_of
from rekur.run.cpu.parts import SERIES
from rekur.run.reference import Reference

_SMALL = 2e6
"""Multiply-adds below which one thread is done before another wakes"""


@dataclass(frozen=True)
class Operands:
    """The tensors of a call as one list, which is what autograd sees."""

    groups: tuple[tuple[str, tuple[str, ...]], ...]

    @classmethod
    def of(cls, call: Call) -> Operands:
        """The names of a call's tensors."""
        kinds = ("inputs", "state", "initial", "constants", "params")
        return cls(tuple((k, tuple(getattr(call, k))) for k in kinds))

    def tensors(self, call: Call) -> list[Tensor]:
        """The tensors in the order of the list."""
        return [getattr(call, k)[name] for k, names in self.groups for name in names]

    def put(self, call: Call, tensors: Sequence[Tensor]) -> Call:
        """The call on the tensors of a list."""
        left = iter(tensors)
        groups: dict[str, Any] = {k: {name: next(left) for name in names} for k, names in self.groups}
        return replace(call, **groups)

    def gradients(self, found: Mapping[tuple[str, str], Tensor]) -> list[Tensor | None]:
        """Gradients in the order of the list."""
        return [found.get((k, name)) for k, names in self.groups for name in names]


@dataclass(frozen=True, eq=False)
class Job:
    """What to run, on tensors that are handed in: those of the call, then those computed outside of the code."""

    code: Compiled
    call: Call
    operands: Operands
    outside: tuple[str, ...]
    order: Order
    threads: int

    @classmethod
    def of(cls, code: Compiled, call: Call, outside: tuple[str, ...]) -> Job:
        """The job of a call."""
        work = math.prod(call.lead) * call.steps * sum(p.numel() for p in call.params.values())
        threads = 1 if work < _SMALL else torch.get_num_threads()
        by_row, offsets = code.constants_in_time, sorted({r.offset for r in code.code.reads})
        order: Order
        if offsets:
            order = Lattice(call.lead, call.steps, call.live, call.reverse, call.reset, by_row, offsets, threads)
        else:
            order = order_of(call.lead, call.steps, call.lengths, call.live, call.reverse, call.reset, by_row)
        return cls(code, call, Operands.of(call), outside, order, threads)

    @property
    def count(self) -> int:
        """How many tensors it is handed."""
        return sum(len(names) for _, names in self.operands.groups) + len(self.outside)

    @property
    def states(self) -> list[str]:
        """The names of the states; the first is the output."""
        return [a.name for a in self.call.graph.of("state")]

    @property
    def series(self) -> list[str]:
        """The extra outputs."""
        return [a.removeprefix("output ") for a in self.code.code.arrays if a.startswith("output ")]

    def _split(self, tensors: Sequence[Tensor]) -> tuple[Call, dict[str, Tensor]]:
        own = len(tensors) - len(self.outside)
        call = self.operands.put(self.call, tensors[:own])
        return call, dict(zip(self.outside, tensors[own:], strict=True))

    # ---- forth

    def forward(self, tensors: Sequence[Tensor]) -> tuple[tuple[Tensor, ...], list[Tensor]]:
        """(output, final states, extra outputs), and what the way back needs."""
        call, more = self._split(tensors)
        run, order, code = Run(self.code.frame(call.sizes, self.order, self.threads)), self.order, self.code.code
        for array in code.arrays:
            kind, _, name = array.partition(" ")
            if kind == "input" and name in call.inputs:
                run.fill(array, order.inward(call.inputs[name]).flatten(0, 1))
            elif kind == "state":
                run.put(run.make(array)[: order.batch], order.batch_in(call.state[name]))
            elif kind == "before" and order.follows:
                run.arrays[array] = run.arrays[f"state {name}"]
            elif kind == "initial":
                run.fill(array, order.batch_in(call.initial[name]))
            elif kind == "constant":
                run.fill(array, order.batch_in((more if name in more else call.constants)[name]))
            elif kind in ("input", "output", "before"):
                run.make(array)
        self._symbols(run, call)
        run.weights({**call.params, **more}, code.forward)
        run.call(self.code.forward)
        output = order.outward(run.over_time(f"state {self.states[0]}")[1 : order.steps + 1])
        finals = (order.last(run.over_time(f"state {s}")) for s in self.states)
        series = (order.outward(run.over_time(f"output {k}")) for k in self.series)
        return (output, *finals, *series), [run.arrays[a] for a in sorted(code.kept)]

    def _symbols(self, run: Run, call: Call) -> None:
        for column in self.code.code.columns.values():
            run.arrays[column.indices] = self.order.inward(call.inputs[column.symbols]).contiguous()

    # ---- back

    def backward(
        self, tensors: Sequence[Tensor], kept: Sequence[Tensor], grads: Sequence[Tensor]
    ) -> list[Tensor | None]:
        """The gradient in each tensor."""
        call, more = self._split(tensors)
        run, order, code = Run(self.code.frame(call.sizes, self.order, self.threads)), self.order, self.code.code
        run.arrays = dict(zip(sorted(code.kept), kept, strict=True))
        states, series = self.states, self.series
        arriving = {"d y": order.inward(grads[0]).flatten(0, 1)}
        arriving |= {f"d state {s}": order.batch_in(g) for s, g in zip(states, grads[1:], strict=False)}
        for k, g in zip(series, grads[1 + len(states) :], strict=True):
            arriving[f"d output {k}"] = order.inward(g).flatten(0, 1)
        for array in code.arrays:
            if array in arriving:
                at = order.finals if array.startswith("d state ") else slice(None)
                run.put(run.make(array, clear=array in code.cleared), arriving[array], at)
            elif array.startswith(("d ", "handed ")):
                run.make(array, clear=array in code.cleared)
        for share in code.shares:
            run.gradient(share)
        self._symbols(run, call)
        run.weights({**call.params, **more}, code.backward)
        run.call(self.code.backward)
        return self._collect(run, call)

    def _collect(self, run: Run, call: Call) -> list[Tensor | None]:
        order = self.order

        def batch(array: str) -> Tensor:
            v = run.view(array)
            return order.batch_out(v if self.code.code.arrays[array].axes else v[:, 0])

        weights = run.weight_gradients(self.code.code.shares)
        found = {("params", k): weights[k] for k in call.params if k in weights}
        for name in call.inputs:
            if f"d input {name}" in run.arrays:
                found["inputs", name] = order.outward(run.over_time(f"d input {name}"))
        for name in self.states:
            found["state", name] = batch(f"d state {name}")
            found["initial", name] = batch(f"d initial {name}")
        for name in call.constants:
            if f"d constant {name}" in run.arrays:
                found["constants", name] = batch(f"d constant {name}")
        outside = [
            weights[k] if k in weights else batch(f"d constant {k}") if f"d constant {k}" in run.arrays else None
            for k in self.outside
        ]
        return [*self.operands.gradients(found), *outside]

    def again(self, tensors: Sequence[Tensor], grads: Sequence[Tensor]) -> list[Tensor | None]:
        """Gradients that can be differentiated again: through the reference."""
        own = list(tensors[: len(tensors) - len(self.outside)])
        call, _ = self._split(tensors)
        with torch.enable_grad():
            names = tuple(k.removeprefix(SERIES) for k in self.series)
            scan = Reference(call.graph).run(replace(call, outputs=names, record=()))
        outs = [scan.output, *scan.state.values(), *scan.outputs.values()]
        pairs = [(o, g) for o, g in zip(outs, grads, strict=True) if o.requires_grad]
        wanted = [t for t in own if t.requires_grad]
        found = iter(
            torch.autograd.grad(
                [o for o, _ in pairs], wanted, [g for _, g in pairs], create_graph=True, allow_unused=True
            )
        )
        return [*(next(found) if t.requires_grad else None for t in own), *[None] * len(self.outside)]
