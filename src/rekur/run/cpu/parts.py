"""A cell taken apart: what runs once, for all times before the loop, and in it; and the way back of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from rekur.graph import Graph, Leaf, Node, make, walk
from rekur.graph.derive import derive
from rekur.graph.rewrite import Rate, rates, rebuild, regroup, replacing, simplify, with_outputs
from rekur.graph.save import SAVED, save, with_saved
from rekur.graph.split import HOISTED, split
from rekur.run.cpu.columns import Column, columns
from rekur.run.cpu.ragged import MASK, ragged, ragged_axes

SERIES = "d.series."
"""How an extra output is called that is a state, at every step; an author's name does not begin with ``d.``"""


@dataclass(frozen=True)
class Parts:
    """A cell, taken apart by rate."""

    outside: Mapping[str, Node]
    """Leaf that the kernel reads -> the value of weights and constants alone that torch computes for it"""
    time: Graph | None
    step: Graph
    ragged: tuple[str, ...] = ()
    """The axes with dead positions, whose masks are constants"""
    columns: Mapping[str, Column] = field(default_factory=dict)
    """Input -> the product with symbols that it stands for"""


@lru_cache(16)
def take_apart(graph: Graph, extra: tuple[str, ...]) -> Parts:
    """Split a cell by rate; what changes with the weights or the sequence only is left to torch."""
    g = with_outputs(graph, [k for k in extra if not k.startswith(SERIES)])
    states = {k: graph.outputs[k.removeprefix(SERIES)] for k in extra if k.startswith(SERIES)}
    g, looked_up = columns(replace(g, outputs={**g.outputs, **states}))
    g = simplify(regroup(g))
    rate = rates(g.nodes)
    computed = {n for n in g.nodes if n.args and rate[n] == Rate.WEIGHT and not n.type.matrix}
    read = {a for n in g.nodes if n not in computed for a in n.args} | set(g.outputs.values())
    leaves = {n: make("parameter", attr=Leaf(f"computed.{i}", n.axes, init="zeros"))
              for i, n in enumerate(n for n in g.nodes if n in computed and n in read)}  # fmt: skip
    new = rebuild(g.nodes, replacing(leaves))
    outputs = {k: new[n] for k, n in g.outputs.items()}
    parts = split(Graph(g.name, g.arguments, outputs, {}, tuple(walk(outputs.values()))))
    outside = {leaf.leaf.name: n for n, leaf in leaves.items()}
    if parts.once is not None:
        back = {leaf: n for n, leaf in leaves.items()}
        old = rebuild(parts.once.nodes, replacing(back))
        outside |= {k: old[n] for k, n in parts.once.outputs.items()}
    return Parts(outside, parts.time, parts.step, ragged_axes(graph), looked_up)


def graphs(
    parts: Parts, needs: frozenset[str], training: bool
) -> tuple[Graph, Graph | None, Graph | None, Graph | None]:
    """(step, time, backward of the step, backward of the hoisted part); the first two put out what is saved."""
    if not training:
        return parts.step, parts.time, None, None
    needs |= parts.columns.keys()
    inputs = [a.name for a in parts.step.of("input") if a.name in needs or a.name.startswith("hoisted.")]
    states = [a.name for a in parts.step.of("state")]
    back = _derived(parts.step, [*inputs, *states], parts.ragged)
    step, back = with_saved(parts.step, back, save(parts.step, back))
    time = time_back = None
    if parts.time is not None:
        wrt = [a.name for a in parts.time.of("input") if a.name in needs]
        time_back = _derived(parts.time, wrt, parts.ragged)
        time, time_back = with_saved(parts.time, time_back, save(parts.time, time_back))
    return step, time, back, time_back


def _derived(part: Graph, arguments: Sequence[str], axes: Sequence[str]) -> Graph:
    """The way back of a part: to some of its arguments, to its constants and its weights."""
    constants = [a.name for a in part.of("constant") if not a.name.startswith(MASK)]
    return simplify(ragged(derive(part, [*arguments, *constants, *part.parameters]), axes))


def hoisted_kept(step_back: Graph | None, time_back: Graph | None) -> frozenset[str]:
    """The hoisted values that the way back reads."""
    read = [n.leaf.name for g in (step_back, time_back) if g is not None for n in g.nodes if n.op == "input"]
    return frozenset(k.removeprefix(SAVED) for k in read if k.removeprefix(SAVED).startswith(HOISTED))
