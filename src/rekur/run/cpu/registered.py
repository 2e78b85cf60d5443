"""A scan as registered operators of torch, which tracers put down as they are: `rekur::scan` and its way back.

They take everything as tensors and plain values, and do what `operator` does by a call: a `Job`. A call that nobody
traces goes there, since torch takes longer to dispatch a registered operator than a small scan takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rekur.errors import BackendError
from rekur.graph import Graph, parse
from rekur.run.call import Call
from rekur.run.cpu.columns import SYMBOLS
from rekur.run.cpu.job import Job, again
from rekur.run.cpu.kernel import Compiled, compiled
from rekur.run.cpu.shapes import Shapes
from rekur.run.sizes import live_steps
from rekur.run.traced import stand_in

_HOW = "Tensor? lengths, Tensor? live, Tensor? reset, str text, str[] extra, str[] needs, bool training, bool reverse"
_lasting = lru_cache(maxsize=64)(parse)


class How(NamedTuple):
    """What a scan is, besides its operands."""

    lengths: Tensor | None
    live: Tensor | None
    reset: Tensor | None
    text: str
    """Of the graph"""
    extra: Sequence[str]
    """The extra outputs"""
    needs: Sequence[str]
    """The inputs with gradients"""
    training: bool
    reverse: bool

    @property
    def graph(self) -> Graph:
        """The cell."""
        return _lasting(self.text)

    @property
    def code(self) -> Compiled:
        """The code of the cell for this purpose."""
        return compiled(self.text, tuple(self.extra), frozenset(self.needs), self.training)

    def call(self, tensors: Sequence[Tensor]) -> Call:
        """The call on operands; which steps are live is as it was said."""
        call = Call(
            graph=self.graph, params={}, inputs={}, state={}, initial={}, constants={}, mask=self.live,
            lengths=self.lengths, reset=self.reset, reverse=self.reverse, memory={}, outputs=(), record=(),
            sizes=_sizes(self.graph, self.code, tensors),
        )  # fmt: skip
        return self.code.operands.put(call, tensors[: len(self.code.operands.names)])

    def with_values(self, tensors: Sequence[Tensor]) -> Call:
        """The call on operands that hold values: what is live is checked, and left out where it says nothing."""
        sizes = _sizes(self.graph, self.code, tensors)
        series = tuple(sizes[k] for k in ("B", "T", "L") if k in sizes)
        mask, lengths = live_steps(self.lengths, self.live, series, tensors[0].device)
        return replace(self.call(tensors), mask=mask, lengths=lengths)


def _sizes(graph: Graph, code: Compiled, tensors: Sequence[Tensor]) -> dict[str, int]:
    """Axis -> size, of operands that have been checked."""
    features = {a.name: () if a.name.startswith(SYMBOLS) else a.axes for a in graph.arguments}
    axes: dict[str, tuple[str, ...]] = features | {k: leaf.axes for k, leaf in graph.parameters.items()}
    out: dict[str, int] = {}
    for (kind, name), v in zip(code.operands.names, tensors, strict=False):
        lead = {"inputs": ("B", "T", "L"), "params": ()}.get(kind, ("B", "L"))
        out |= zip((*lead[: v.dim() - len(axes[name])], *axes[name]), v.shape, strict=True)
    return out


def run(code: Compiled, call: Call, text: str, extra: Sequence[str], tensors: Sequence[Tensor]) -> list[Tensor]:
    """The outputs of a scan, by the registered operator."""
    how = How(call.lengths, call.mask, call.reset, text, list(extra), sorted(code.needs), code.training, call.reverse)
    found: list[Tensor] = scan([*tensors], *how)
    return found[: 1 + len(call.state) + len(code.wiring.extra)]


def _shapes(one: How, tensors: Sequence[Tensor]) -> list[tuple[int, ...]]:
    """Of the output, the final states and the extra outputs."""
    sizes = _sizes(one.graph, one.code, tensors)
    lattice = [sizes["L"]] if "L" in sizes else []
    series = (sizes["B"], sizes["T"], *lattice)
    states = [s.axes for s in one.graph.of("state")]
    extra = [one.code.code.arrays[f"output {k}"].axes for k in one.code.wiring.extra]
    finals = [(sizes["B"], *lattice, *(sizes[a] for a in axes)) for axes in states]
    values = [(*series, *(sizes[a] for a in axes)) for axes in (states[0], *extra)]
    return [values[0], *finals, *values[1:]]


def _wanted(one: How, needed: Sequence[bool]) -> list[bool]:
    """In which operands a gradient is needed and can be."""
    gradient, resets = one.code.wiring.gradient, one.reset is not None
    return [need and gradient(i, resets) is not None for i, need in enumerate(needed)]


# ---- forth


@torch.library.custom_op("rekur::scan", mutates_args=(), schema=f"(Tensor[] tensors, {_HOW}) -> Tensor[]")
def scan(tensors: Sequence[Tensor], *how: Any) -> list[Tensor]:
    """(output, final states, extra outputs), and in training what the way back needs."""
    one = How(*how)
    outputs, kept = Job.of(one.code, one.with_values(tensors)).forward(tensors)
    return [*outputs, *([kept] if one.training else [])]


@scan.register_fake
def _(tensors: Sequence[Tensor], *how: Any) -> list[Tensor]:
    one = How(*how)
    shapes = _shapes(one, tensors)
    if one.training:
        code, sizes = one.code, _sizes(one.graph, one.code, tensors)
        rows = sizes["B"] * sizes.get("L", 1)
        follows = one.reset is None and not code.code.reads
        shapes.append((Shapes(code.code, code.target, sizes, rows, sizes["T"], 1).layout_kept(follows).total,))
    return [tensors[0].new_empty(shape, dtype=torch.float32) for shape in shapes]  # symbols may be among them


# ---- back


@torch.library.custom_op(
    "rekur::scan_backward",
    mutates_args=(),
    schema=f"(Tensor[] tensors, Tensor kept, Tensor[] grads, bool[] needed, {_HOW}) -> Tensor[]",
)
def scan_backward(
    tensors: Sequence[Tensor], kept: Tensor, grads: Sequence[Tensor], needed: Sequence[bool], *how: Any
) -> list[Tensor]:
    """The gradients in the operands in which one is needed and can be."""
    one = How(*how)
    found = Job.of(one.code, one.with_values(tensors)).backward(tensors, kept, grads, _wanted(one, needed))
    return [g for g in found if g is not None]


@scan_backward.register_fake
def _(
    tensors: Sequence[Tensor], kept: Tensor, grads: Sequence[Tensor], needed: Sequence[bool], *how: Any
) -> list[Tensor]:
    wanted = _wanted(How(*how), needed)
    return [v.new_empty(v.shape) for v, want in zip(tensors, wanted, strict=True) if want]


def _keep(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    tensors, *how = inputs
    one = How(*how)
    if not one.training:
        raise BackendError("rekur::scan was asked for no gradients, and is given tensors that require one")
    ctx.plain = how[3:]
    ctx.save_for_backward(*tensors, output[-1], one.lengths, one.live, one.reset)
    ctx.mark_non_differentiable(output[-1])
    ctx.set_materialize_grads(False)


def _back(ctx: Any, grads: list[Tensor | None]) -> tuple[Any, ...]:
    *tensors, kept, lengths, live, reset = ctx.saved_tensors
    one = How(lengths, live, reset, *ctx.plain)
    shapes = _shapes(one, tensors)
    arriving = [kept.new_zeros(s) if g is None else g for g, s in zip(grads[:-1], shapes, strict=True)]
    if torch.is_grad_enabled():
        if stand_in(*tensors):
            raise BackendError("gradients of gradients are not traced: take them outside of torch.compile")
        back = again(one.code, one.with_values(tensors), tensors, arriving)
    else:
        needed = ctx.needs_input_grad[0]
        found = iter(scan_backward(tensors, kept, arriving, needed, *one))
        back = [next(found) if want else None for want in _wanted(one, needed)]
    return (back, *([] if v == [] else None for v in one))  # torch wants an empty list where there was one


scan.register_autograd(_back, setup_context=_keep)
for _op in (scan, scan_backward):
    _op.register_autocast("cpu", torch.float32)
