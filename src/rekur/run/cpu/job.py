"""One call of a compiled cell: tensors in and out, forth and back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from rekur.run.call import Call
from rekur.run.cpu.arena import handed_out
from rekur.run.cpu.frame import Frame
from rekur.run.cpu.kernel import Compiled, Run
from rekur.run.cpu.lattice import lattice
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
    order: Order
    frame: Frame

    @classmethod
    def of(cls, code: Compiled, call: Call) -> Job:
        """The job of a call."""
        lead = call.lead
        work = math.prod(lead) * call.steps * sum(p.numel() for p in call.params.values())
        threads = 1 if work < _SMALL else torch.get_num_threads()
        by_row = code.constants_in_time
        if code.code.reads:
            offsets = sorted({r.offset for r in code.code.reads})
            order = lattice(lead, call.steps, call.live, call.reverse, call.reset, by_row, offsets, threads)
        else:
            order = order_of(lead, call.steps, call.lengths, call.mask, call.reverse, call.reset, by_row)
        return cls(code, call, order, code.frame(call.sizes, order.form, threads))

    def forward(self, tensors: Sequence[Tensor]) -> tuple[tuple[Tensor, ...], Tensor]:
        """(output, final states, extra outputs), and the memory that the way back needs; none is part of another."""
        wiring, run = self.code.wiring, Run.forth(self.frame, self.order)
        results = tuple([handed_out(self.call.like, shape) for shape in self.frame.results])
        for array in wiring.pools:
            run.view(array)[-1] = 0.0
        run.move("forward arriving", tensors)
        run.move("forward leaving", results)
        run.weights(tensors, wiring.forward)
        run.call(self.code.forward)
        return results, run.arenas[0].memory

    def backward(
        self, tensors: Sequence[Tensor], kept: Tensor, grads: Sequence[Tensor | None], needed: Sequence[bool]
    ) -> list[Tensor | None]:
        """The gradient in each tensor in which one is needed; none is part of another.

        :param grads: those in the results, None where nothing comes back to one.
        """
        wiring, run = self.code.wiring, Run.back(self.frame, self.order, kept)
        resets, like = self.call.reset is not None, self.call.like
        weights = {array: handed_out(like, shape) for array, (_, shape) in self.frame.weights.items()}
        found: list[Tensor | None] = []
        for i, need in enumerate(needed):
            array = wiring.gradient(i, resets) if need else None
            shape = tensors[i].shape
            found.append(None if array is None else weights[array] if array in weights else handed_out(like, shape))
        run.point([field for field, _ in self.frame.weights.values()], [*weights.values()])
        run.move("backward arriving", (*grads, *tensors))
        run.move("backward leaving", found)
        run.weights(tensors, wiring.backward)
        run.call(self.code.backward)
        return found


def again(
    code: Compiled, call: Call, tensors: Sequence[Tensor], grads: Sequence[Tensor | None]
) -> list[Tensor | None]:
    """Gradients that can be differentiated again: through the reference."""
    operands = code.operands
    own = list(tensors[: len(operands.names)])
    call = operands.put(call, own)
    with torch.enable_grad():
        names = tuple(k.removeprefix(SERIES) for k in code.wiring.extra)
        scan = Reference(call.graph).run(replace(call, outputs=names, record=()))
    outs = [scan.output, *scan.state.values(), *scan.outputs.values()]
    pairs = [(o, g) for o, g in zip(outs, grads, strict=True) if o.requires_grad and g is not None]
    wanted = [t for t in own if t.requires_grad]
    found = iter(
        torch.autograd.grad(
            [o for o, _ in pairs], wanted, [g for _, g in pairs], create_graph=True, allow_unused=True
        )
    )
    return [*(next(found) if t.requires_grad else None for t in own), *[None] * len(operands.outside)]
