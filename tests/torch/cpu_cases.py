"""What the tests of the compiled backend share: a random problem of any cell, run by a backend and held to another.

Values are drawn in float32, so that every backend and dtype is given the same numbers. NaN stands wherever nothing
may be read: in padding, in the incoming gradient of padding, in the dead positions of memories.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import llvmlite.binding as llvm
import pytest
import torch
from torch import Tensor

from rekur.graph import Graph, parse
from rekur.run import Backend, Kernel, Scan, scan
from rekur.run.cpu import backend, job, kernel, target
from rekur.run.cpu.backend import Cpu
from rekur.run.cpu.kernel import Compiled
from rekur.run.cpu.library import shared
from rekur.run.reference import Reference
from tests.compare import Named, leaves, with_gradients, worse
from tests.torch.one_by_one import poisoned

EPSILON = 2e-5
"""What a float32 kernel may err beyond four times the reference: absolute, and relative to the element."""
NUDGES = 8
"""How many times a problem is moved by its rounding, to see what of an error is noise"""

PADDING = -(2**31)
"""A symbol that is read nowhere"""

Make = Callable[[Graph], Backend]


@dataclass(frozen=True)
class Case:
    """A scan: what is asked for, and the values that go in."""

    graph: Graph
    sizes: Mapping[str, int]
    batch: int
    steps: int
    lengths: Sequence[int] | None = None
    resets: bool = False
    reverse: bool = False
    outputs: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()
    """Kinds of values of which no gradient is wanted"""
    seed: int = 0
    sites: int = 0
    """Of a lattice; 0 where there is none"""
    gaps: bool = False
    """Whether any step of a row may be dead; some rows have no live one"""
    memory: Mapping[str, Sequence[int]] = field(default_factory=dict)
    """Ragged axis -> the live positions of each row"""
    symbols: Mapping[str, torch.dtype] = field(default_factory=dict)
    """The inputs that are symbols"""
    values: Mapping[str, dict[str, Tensor]] = field(init=False)
    """weight, input, state, initial, constant -> name -> value"""
    live: Tensor = field(init=False)
    reset: Tensor | None = field(init=False)

    def __post_init__(self) -> None:
        draw = torch.Generator().manual_seed(self.seed)

        def random(*lead: int, axes: Sequence[str], gain: float = 1.0) -> Tensor:
            return gain * torch.randn((*lead, *(self.sizes[a] for a in axes)), generator=draw)

        def gain(axes: Sequence[str]) -> float:
            return 0.5 if len(axes) < 2 else max(1, self.sizes[axes[1]]) ** -0.5

        lattice = (self.sites,) if self.sites else ()
        of, series, rows = self.graph.of, (self.batch, self.steps, *lattice), (self.batch, *lattice)
        values = {
            "weight": {k: random(axes=p.axes, gain=gain(p.axes)) for k, p in self.graph.parameters.items()},
            "input": {a.name: random(*series, axes=a.axes) for a in of("input")},
            "state": {a.name: random(*rows, axes=a.axes) for a in of("state")},
            "initial": {a.name: random(axes=a.axes) for a in of("state")},
            "constant": {a.name: random(*rows, axes=a.axes) for a in of("constant")},
        }
        drawn = torch.Generator().manual_seed(self.seed)
        for k, axes in [(a.name, a.axes) for a in of("input") if a.name in self.symbols]:
            symbols = torch.randint(self.sizes[axes[0]], series, generator=drawn)
            values["input"][k] = symbols.to(self.symbols[k])
        lengths = torch.tensor([self.steps] * self.batch if self.lengths is None else [*self.lengths])
        object.__setattr__(self, "values", values)
        live = (torch.arange(self.steps) < lengths[:, None]).reshape(*series[:2], *[1] * len(lattice)).expand(series)
        if self.gaps:
            row = torch.rand((self.batch, 1, *lattice), generator=draw) < 0.8
            live = row & (torch.rand(series, generator=draw) < 0.7)
        object.__setattr__(self, "live", live)
        object.__setattr__(self, "reset", torch.rand(series, generator=draw) < 0.4 if self.resets else None)

    def __str__(self) -> str:
        asked = [f"lengths {[*self.lengths]}"] if self.lengths is not None else []
        asked += [f"L{self.sites}"] * bool(self.sites) + [f"{k} {[*v]}" for k, v in self.memory.items()]
        asked += [k for k in ("gaps", "resets", "reverse") if getattr(self, k)]
        asked += [f"outputs {' '.join(self.outputs)}"] * bool(self.outputs)
        asked += [f"no gradient of {' '.join(self.fixed)}"] * bool(self.fixed)
        asked += [f"symbols {k} of {v}" for k, v in self.symbols.items()]
        sizes = " ".join(f"{k}{v}" for k, v in self.sizes.items() if k in self.graph.axes)
        return ", ".join([f"{self.graph.name} B{self.batch} T{self.steps} {sizes}", *asked])


def one_hot(case: Case) -> Case:
    """The same with features in the place of symbols."""
    hot = replace(case, symbols={})
    for a in case.graph.of("input"):
        v = case.values["input"][a.name]
        hot.values["input"][a.name] = v
        if a.name in case.symbols:
            hot.values["input"][a.name] = torch.nn.functional.one_hot(v.long(), case.sizes[a.axes[0]]).float()
    return hot


def run(case: Case, of: Mapping[str, Named], make: Make = Cpu) -> Scan:
    """The scan of a case on other values."""
    return scan(
        Kernel(case.graph, (make(case.graph),), {}, "this one"), of["weight"], of["input"], of["state"],
        constants=of["constant"], initial=of["initial"], lengths=case.lengths, live=case.live if case.gaps else None,
        reset=case.reset, reverse=case.reverse, sizes=case.sizes, outputs=case.outputs,
        memory_lengths=case.memory,
    )  # fmt: skip


def results(case: Case, make: Make = Cpu, dtype: torch.dtype = torch.float32, nudge: int = 0) -> Named:
    """What a backend gives, with all gradients that are wanted.

    :param nudge: other than 0, values are moved by half a unit in the last place of float32, up or down.
    """
    draw = torch.Generator().manual_seed(nudge)

    def given(v: Tensor) -> Tensor:
        if not v.is_floating_point():
            return v
        if not nudge:
            return v.to(dtype)
        return v.to(dtype) * (1 + 2.0**-24 * torch.randint(-1, 2, v.shape, generator=draw)).to(dtype)

    of: dict[str, Named] = {}
    for kind, named in case.values.items():
        of[kind] = {k: given(v) for k, v in named.items()}
        if kind == "input":
            of[kind] = {k: torch.where(case.live, v, PADDING) if k in case.symbols else poisoned(v, case.live)
                        for k, v in of[kind].items()}  # fmt: skip
        if kind in ("constant", "state"):
            axes = {a.name: a.axes for a in case.graph.arguments}
            of[kind] = {k: _poisoned_memory(v, axes[k], case.memory) for k, v in of[kind].items()}
        if kind not in case.fixed:
            of[kind] = leaves(of[kind])
    found = run(case, of, make)
    series = {"output": found.output, **{f"series {k}": v for k, v in found.outputs.items()}}
    ends = {f"final {k}": v for k, v in found.state.items()}
    arriving = {k: poisoned(wave(v), case.live) for k, v in series.items()} | {k: wave(v) for k, v in ends.items()}
    wanted = {k: {n: t for n, t in v.items() if t.requires_grad} for k, v in of.items()}
    return with_gradients(series | ends, arriving, wanted)


def _poisoned_memory(v: Tensor, axes: Sequence[str], memory: Mapping[str, Sequence[int]]) -> Tensor:
    v = v.clone()
    for i, axis in enumerate(axes, v.dim() - 1 - len(axes)):
        for row, count in zip(v, memory.get(axis, ()), strict=False):
            row.narrow(i, count, row.shape[i] - count).fill_(torch.nan)
    return v


def with_memory(graph: Graph) -> bool:
    """Whether a random cell has a constant with the axis S, that may be ragged."""
    return any("S" in a.axes for a in graph.of("constant"))


def wave(v: Tensor) -> Tensor:
    """A gradient for a result, other at every place."""
    return torch.sin(1.3 * torch.arange(v.numel(), dtype=torch.float64) + 0.7).reshape(v.shape).to(v.dtype)


def held(case: Case, make: Make = Cpu) -> dict[str, str]:
    """Where a backend errs too much: more than four times as much as the reference in float32, and epsilon."""
    exact, got = results(case, Reference, torch.float64), results(case, make)
    wrong = worse(got, {k: v.float() for k, v in exact.items()}, exact, EPSILON)
    if wrong:  # by more than epsilon alone
        wrong = worse(got, results(case, Reference), exact, EPSILON)
    return wrong


def same(a: Named, b: Named) -> set[str]:
    """The names of tensors that are not the same bits; NaN is the same as NaN."""
    assert a.keys() == b.keys()
    return {k for k in a if not torch.equal(bits(a[k]), bits(b[k]))}


def bits(v: Tensor) -> Tensor:
    """The bits of floats, so that 0 is not -0; every NaN is one."""
    return torch.where(v.isnan(), torch.nan, v).contiguous().view(torch.int32)


# ---- other code than that for the processor at hand ---------------------------------------------------------------


def compile_for(monkeypatch: pytest.MonkeyPatch, to: target.Target) -> None:
    """Have cells compiled for another processor."""

    @cache
    def compiled(text: str, extra: tuple[str, ...], needs: frozenset[str], training: bool) -> Compiled:
        return Compiled(parse(text), extra, needs, training, to)

    monkeypatch.setattr(backend, "compiled", compiled)


def compile_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """The code of cells little better than it was written, faster to make; and only where it is run."""
    shared(target.host())

    class Later:
        def __init__(self, text: str, extra: tuple[str, ...], needs: frozenset[str], training: bool) -> None:
            self._make = cache(lambda: Compiled(parse(text), extra, needs, training, target.host()))

        def __getattr__(self, name: str) -> Any:
            return getattr(self._make(), name)

    monkeypatch.setattr(backend, "compiled", cache(Later))
    monkeypatch.setattr(kernel, "library", target.Library)  # no other test is to get this code
    machine = llvm.Target.create_target_machine
    monkeypatch.setattr(llvm.Target, "create_target_machine", lambda self, **k: machine(self, **{**k, "opt": 0}))


def use_threads(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """So many threads, however little there is to do."""
    monkeypatch.setattr(job, "_SMALL", 0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: count)
