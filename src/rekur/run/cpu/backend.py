"""The compiled backend: any cell as native code for the processor at hand."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cache

import torch
from torch import Tensor

from rekur.errors import BackendError
from rekur.graph import Graph, to_text, walk
from rekur.run.call import Call, Head, Scan, Weights
from rekur.run.cpu import registered
from rekur.run.cpu.columns import SYMBOLS, of_symbols, with_symbols
from rekur.run.cpu.job import Job
from rekur.run.cpu.kernel import Compiled, compiled
from rekur.run.cpu.operands import Operands
from rekur.run.cpu.operator import run
from rekur.run.cpu.parts import SERIES
from rekur.run.cpu.ragged import ragged, with_masks
from rekur.run.cpu.stepper import Stage, Stepper
from rekur.run.evaluate import Context, evaluate
from rekur.run.state import State
from rekur.run.traced import traced


class Cpu:
    """LLVM code made from the cell's graph: a native loop over time, forward and backward."""

    name = "cpu"
    why = "compiled for this processor"

    def __init__(self, graph: Graph) -> None:
        self.graph, self.text = graph, to_text(graph)
        self._operands = Operands.of(graph, ())
        self._masked = cache(lambda axes: Cpu(ragged(graph, axes)))
        self._symbolic = cache(lambda inputs: Cpu(with_symbols(graph, inputs)))
        features = frozenset(a.name for a in graph.of("input") if not a.name.startswith(SYMBOLS))
        compiled(self.text, (), features, True)

    def refuses_call(self, call: Call) -> str | None:
        """It does float32 on the CPU."""
        if self.takes(call.like):
            return None
        return f"it computes in float32 on the CPU, not in {call.like.dtype} on {call.like.device}"

    @staticmethod
    def takes(like: Tensor) -> bool:
        """Whether it computes with tensors like this one."""
        return like.device.type == "cpu" and like.dtype == torch.float32

    def stepper(
        self, layers: Sequence[Weights], rows: int, symbols: Collection[str] = (), head: Head | None = None
    ) -> Stepper | None:
        """Native code for a step of all layers, entered once."""
        weights = [w for params, _ in layers for w in params.values()] + [w for w in head or () if w is not None]
        if not rows or not all(map(self.takes, weights)):
            return None
        cells = [self._symbolic(tuple(symbols)) if symbols else self, *[self] * (len(layers) - 1)]
        try:
            return Stepper([Stage(c.graph, c.text, *w) for c, w in zip(cells, layers, strict=True)], rows, head)
        except BackendError:
            return None

    def run(self, call: Call) -> Scan:
        """One call of the forward code; gradients by one call of the backward code."""
        if call.memory:
            masked = self._masked(tuple(call.memory))
            return masked.run(with_masks(call, masked.graph))
        if call.symbols and not call.symbols[0].startswith(SYMBOLS):
            symbolic = self._symbolic(call.symbols)
            return symbolic.run(of_symbols(call, symbolic.graph))
        own = self._operands.tensors(call)
        training = torch.is_grad_enabled() and any(t.requires_grad for t in own)
        states = [a.name for a in call.graph.of("state")]
        asked = {k: f"{SERIES}{k}" if k in states else k for k in (*call.outputs, *call.record) if k != states[0]}
        extra = tuple(asked.values())
        needs = frozenset(k for k, v in call.inputs.items() if v.requires_grad) if training else frozenset()
        code = compiled(self.text, extra, needs, training)
        outside = _outside(code, call) if code.parts.outside else {}
        tensors = [*own, *outside.values()]
        if traced(own[0], own[-1]):
            y, *rest = registered.run(code, call, self.text, extra, tensors)
        else:
            y, *rest = run(Job.of(code, call), tensors)
        found = dict(zip((*states, *code.wiring.extra), rest, strict=True))
        series = {states[0]: y} | {k: found[name] for k, name in asked.items()}
        return Scan(
            y,
            State({k: found[k] for k in states}),
            {k: series[k] for k in call.outputs},
            {k: series[k].detach() for k in call.record},
        )


def _outside(code: Compiled, call: Call) -> dict[str, Tensor]:
    """What depends on weights and constants alone, by torch, which knows its gradient."""
    wanted = code.parts.outside
    flat = {k: v.flatten(0, len(call.lead) - 1) for k, v in call.constants.items()}
    given = {
        n: (call.params if n.op == "parameter" else flat)[n.leaf.name]
        for n in walk(wanted.values())
        if n.op in ("parameter", "constant")
    }
    values = evaluate(wanted.values(), given, Context(call.sizes, call.like))
    out = {}
    for name, n in wanted.items():
        v, shape = values[n], (*call.lead, *(call.sizes[a] for a in n.axes))
        if name.startswith("hoisted."):  # a row each, even where all share it
            v = v.expand(shape) if v.dim() == len(n.axes) else v.reshape(shape)
        out[name] = v
    return out
