"""One call of a compiled cell: tensors in and out, forth and back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from rekur.run.call import Call
from rekur.run.cpu.frame import Frame
from rekur.run.cpu.kernel import Compiled, Run, put
from rekur.run.cpu.lattice import Lattice
from rekur.run.cpu.order import Order, order_of
from rekur.run.cpu.parts import SERIES
from rekur.run.reference import Reference

_SMALL = 2e6
"""Multiply-adds below which one thread is done before another wakes"""


@dataclass(frozen=True, eq=False)
class Job:
    """What to run, on tensors that are handed in: the operands of the code, in order."""

    code: Compiled
    call: Call
    frame: Frame

    @classmethod
    def of(cls, code: Compiled, call: Call) -> Job:
        """The job of a call."""
        lead = call.lead
        work = math.prod(lead) * call.steps * sum(p.numel() for p in call.params.values())
        threads = 1 if work < _SMALL else torch.get_num_threads()
        by_row, offsets = code.constants_in_time, sorted({r.offset for r in code.code.reads})
        order: Order
        if offsets:
            order = Lattice(lead, call.steps, call.live, call.reverse, call.reset, by_row, offsets, threads)
        else:
            order = order_of(lead, call.steps, call.lengths, call.live, call.reverse, call.reset, by_row)
        return cls(code, call, code.frame(call.sizes, order, threads))

    @property
    def states(self) -> list[str]:
        """The names of the states; the first is the output."""
        return [a.name for a in self.call.graph.of("state")]

    # ---- forth

    def forward(self, tensors: Sequence[Tensor]) -> tuple[tuple[Tensor, ...], Tensor]:
        """(output, final states, extra outputs), and the memory that the way back needs; none is part of another."""
        wiring, order, run = self.code.wiring, self.frame.order, Run.forth(self.frame)
        for array, i in wiring.series:
            put(run.spread(array), order.inward(tensors[i]))
        for array, i in wiring.rows:
            put(run.view(array), order.batch_in(tensors[i]))
        for array, i in wiring.states:
            put(run.view(array)[: order.batch], order.batch_in(tensors[i]))
        if self.call.reset is not None:
            for array, i in wiring.initial:
                put(run.view(array), order.batch_in(tensors[i]))
        for array in wiring.pools:
            run.view(array)[-1] = 0.0
        self._point_at_symbols(run, tensors)
        run.weights(tensors, wiring.forward)
        run.call(self.code.forward)
        output = order.outward(run.after(f"state {self.states[0]}"))
        finals = [order.last(run.over_time(f"state {name}")) for name in self.states]
        series = [order.outward(run.over_time(f"output {k}")) for k in wiring.extra]
        return (output, *finals, *series), run.arenas[0].memory

    def _point_at_symbols(self, run: Run, tensors: Sequence[Tensor]) -> None:
        for field, i in self.code.wiring.symbols:
            run.point(field, self.frame.order.inward(tensors[i]).contiguous())

    # ---- back

    def backward(
        self, tensors: Sequence[Tensor], kept: Tensor, grads: Sequence[Tensor], needed: Sequence[bool]
    ) -> list[Tensor | None]:
        """The gradient in each tensor in which one is needed; none is part of another."""
        wiring, order, run = self.code.wiring, self.frame.order, Run.back(self.frame, kept)
        arriving = zip(("d y", *(f"d output {k}" for k in wiring.extra)), (grads[0], *grads[1 + len(self.states) :]),
                       strict=True)  # fmt: skip
        for array, g in arriving:
            if array in self.code.code.arrays:
                put(run.spread(array), order.inward(g))
        for name, g in zip(self.states, grads[1:], strict=False):
            put(run.view(f"d state {name}"), order.batch_in(g), order.finals)
        self._point_at_symbols(run, tensors)
        run.weights(tensors, wiring.backward)
        run.call(self.code.backward)
        return [self._gradient(run, i) if need else None for i, need in enumerate(needed)]

    def _gradient(self, run: Run, i: int) -> Tensor | None:
        array, order = self.code.wiring.gradient(i, self.call.reset is not None), self.frame.order
        if array is None:
            return None
        if array.startswith("d weight "):
            return run.arenas[-1].view(array, *self.frame.views[array]).data  # with a version of its own
        if array.startswith("d input "):
            return order.outward(run.over_time(array))
        v = run.view(array)
        return order.batch_out(v if self.code.code.arrays[array].axes else v[:, 0])


def again(code: Compiled, call: Call, tensors: Sequence[Tensor], grads: Sequence[Tensor]) -> list[Tensor | None]:
    """Gradients that can be differentiated again: through the reference."""
    operands = code.operands
    own = list(tensors[: len(operands.names)])
    call = operands.put(call, own)
    with torch.enable_grad():
        names = tuple(k.removeprefix(SERIES) for k in code.wiring.extra)
        scan = Reference(call.graph).run(replace(call, outputs=names, record=()))
    outs = [scan.output, *scan.state.values(), *scan.outputs.values()]
    pairs = [(o, g) for o, g in zip(outs, grads, strict=True) if o.requires_grad]
    wanted = [t for t in own if t.requires_grad]
    found = iter(
        torch.autograd.grad(
            [o for o, _ in pairs], wanted, [g for _, g in pairs], create_graph=True, allow_unused=True
        )
    )
    return [*(next(found) if t.requires_grad else None for t in own), *[None] * len(operands.outside)]
