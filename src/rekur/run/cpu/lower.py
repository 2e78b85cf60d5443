"""From a step graph to an ordered list of passes over rows: products, reductions, and loops of pointwise work.

A pass reads and writes values in memory; inside of a loop values stay in registers. What the passes have in common
is the *place* of each value, which says which array it is in and which of its rows belongs to the row at work.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Literal

from rekur.graph import EPSILON, Graph, Node, make
from rekur.graph.rewrite import Rate, rates, rebuild, same
from rekur.graph.schedule import Sum, schedule

RowKind = Literal["time", "pool", "chunk", "batch", "site", "column", "local", "shared"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value lies.

    `time`: an array (T, B, …), the row of this step, or of the next with `shift`; `pool`: the same, with more rows
    behind; `chunk`: the same, for some steps only; `batch`: (B, …); `site`: (B, …), whose row a table says; `column`:
    a row for each symbol, which the symbols `by` say; `local`: rows of this thread at work; `shared`: the same for
    all rows.
    """

    array: str
    rows: RowKind
    axes: tuple[str, ...]
    shift: int = 0
    by: str = ""

    @property
    def table(self) -> str:
        """The array of integers that says which row is read; empty where it is the row at work."""
        return "sites" if self.rows == "site" else self.by


@dataclass(frozen=True, slots=True)
class Product:
    """``result = initial + Σ weight · operand``; no initial is zero."""

    result: Node
    initial: Node | None
    products: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Reduction:
    """A sum or maximum over an axis."""

    result: Node


@dataclass(frozen=True, slots=True)
class Item:
    """One operation of a loop. It is usually the node's own; a sum may be regrouped."""

    result: Node
    op: str
    args: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Loop:
    """Pointwise operations of one shape, done together at every place."""

    axes: tuple[str, ...]
    items: tuple[Item, ...]


Pass = Product | Reduction | Loop


def primitive(graph: Graph) -> Graph:
    """The graph with softmax, standardise and rdev written out in sums, maxima and arithmetic."""

    def mean(v: Node, axis: str) -> Node:
        return make("sum", v, attr=axis) / make("sum", make("spread", 1.0, attr=(axis,)), attr=axis)

    def rule(n: Node, new: Mapping[Node, Node]) -> Node:
        if n.op not in ("softmax", "standardise", "rdev"):
            return same(n, new)
        v, axis = new[n.args[0]], str(n.attr)
        if n.op == "softmax":
            e = make("exp", v - make("max", v, attr=axis))
            return e / make("sum", e, attr=axis)
        centred = v - mean(v, axis)
        scale = 1.0 / make("sqrt", mean(centred * centred, axis) + EPSILON)
        return centred * scale if n.op == "standardise" else scale

    new = rebuild(graph.nodes, rule)
    outputs = {k: new[n] for k, n in graph.outputs.items()}
    return Graph(graph.name, graph.arguments, outputs)


def lower(graph: Graph, late: bool) -> tuple[list[Pass], tuple[Node, ...]]:
    """The passes of one step in order, and what is left for after the loop (`outer`, `collect` and sums)."""
    plan = schedule(graph, late)
    passes: list[Pass] = []
    done: set[Node] = set()

    def emit(one: Pass, *results: Node) -> None:
        passes.append(one)
        done.update(results)

    number = {n for n, rate in rates(graph.nodes).items() if rate == Rate.NUMBER}
    for stage in plan.stages:
        items: list[Item] = []
        for pack in stage.packs:
            for total in pack.sums:
                items += _product(total, done, emit)
        for n in stage.reductions:
            emit(Reduction(n), n)
        sums = {total.result for pack in stage.packs for total in pack.sums}
        items += [Item(n, n.op, n.args) for n in stage.pointwise if n not in number and n not in sums]
        _loops(items, done, emit)
    return passes, plan.after


def _product(total: Sum, done: Collection[Node], emit: object) -> list[Item]:
    """Emit the product; what has to be added to it in a loop afterwards comes back."""
    ready = [r for r in total.rest if (not r.args or r in done) and r.axes == total.result.axes]
    late = [r for r in total.rest if r not in ready]
    first = ready[0] if ready and ready[0].op != "number" else None
    late += ready[1:] if first is not None else ready
    products = total.products
    if not late:
        emit(Product(total.result, first, products), total.result)  # type: ignore[operator]
        return []
    partial = reduce(lambda a, b: a + b, products if first is None else (first, *products))
    if partial is total.result:
        partial = make("stop", partial)  # a name of its own
    emit(Product(partial, first, products), partial)  # type: ignore[operator]
    items = []
    for i, term in enumerate(late):
        last = i == len(late) - 1
        result = total.result if last else partial + term
        items.append(Item(result, "add", (partial, term)))
        partial = result
    return items


def _loops(items: Iterable[Item], done: set[Node], emit: object) -> None:
    """Group items of one shape into loops, arguments before their readers."""
    todo = list(items)
    while todo:
        waiting = {i.result for i in todo}
        axes = next(i for i in todo if not waiting.intersection(i.args)).result.axes
        taken: list[Item] = []
        grown = True
        while grown:
            ready = [i for i in todo if i.result.axes == axes and not waiting.intersection(i.args)]
            grown = bool(ready)
            taken += ready
            waiting.difference_update(i.result for i in ready)
            todo = [i for i in todo if i.result in waiting]
        emit(Loop(axes, tuple(taken)), *(i.result for i in taken))  # type: ignore[operator]


def in_memory(passes: Iterable[Pass], kept: Collection[Node]) -> set[Node]:
    """The values that must be stored: read by a product or a reduction, by another loop, or wanted outside."""
    out = set(kept)
    maker: dict[Node, int] = {}
    passes = list(passes)
    for k, one in enumerate(passes):
        if isinstance(one, Loop):
            for item in one.items:
                maker[item.result] = k
        else:
            out.add(one.result)
    for k, one in enumerate(passes):
        if isinstance(one, Product):
            out.update(p.args[1] for p in one.products)
            if one.initial is not None:
                out.add(one.initial)
        elif isinstance(one, Reduction):
            out.update(one.result.args)
        else:
            out.update(a for item in one.items for a in item.args if maker.get(a, k) != k)
    return out
