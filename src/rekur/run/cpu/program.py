"""A cell as a program: where the values of its graphs lie, and the code that drives them over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rekur.graph import Argument, Graph, Leaf, Node, make, walk
from rekur.graph.rewrite import rebuild, replacing
from rekur.graph.save import SAVED
from rekur.run.cpu.drivers import backward_driver, forward_driver
from rekur.run.cpu.emit import Block
from rekur.run.cpu.gradients import Share, shares
from rekur.run.cpu.lower import Pass, Place, RowKind, lower, primitive
from rekur.run.cpu.memory import Code, Wanted, late_stores, place
from rekur.run.cpu.parts import Parts
from rekur.run.cpu.ragged import MASK
from rekur.run.cpu.sites import Read


def _forward_places(code: Code, graph: Graph, part: str, states: Sequence[Argument] = ()) -> dict[Node, Place]:
    """Where a graph reads its arguments."""
    out = {}
    following = {a.name for a in states}
    for n in walk(graph.outputs.values()):
        if n.op == "input":
            name = n.leaf.name
            if name in code.columns:
                column = code.columns[name]
                out[n] = Place(code.record.columns(column.weight), "column", n.axes, by=column.indices)
                continue
            if name.startswith(SAVED):
                kept = name.removeprefix(SAVED)
                if kept in following:
                    out[n] = place(code, f"state {kept}", "time", n.axes, 1)
                    continue
                if kept.isdigit():
                    name = f"{part} {name}"
                elif part == "time":
                    name = kept
                else:
                    out[n] = place(code, f"output {kept}", "time", n.axes)
                    continue
            out[n] = place(code, f"input {name}", "time", n.axes)
        elif n.op == "state":
            out[n] = place(code, f"before {Read.of(n).name}", "time", n.axes)
        elif n.op == "constant":
            out[n] = place(code, f"constant {n.leaf.name}", code.fixed, n.axes)
    return out


def forward(
    code: Code, step: Graph, time: Graph | None, kept: frozenset[str], ragged: Sequence[str], columns: int
) -> None:
    """Emit `forward`: for each chunk of steps the hoisted part, then the loop.

    `step` and `time` may put out what is saved; the hoisted values that are `kept` stay for the way back.
    """
    read = dict.fromkeys(Read.of(n) for n in walk(step.outputs.values()) if n.op == "state")
    code.reads = tuple(read) if any(r.offset for r in read) else ()
    for a in ragged:
        place(code, f"constant {MASK}{a}", code.fixed, (a,))  # the way back may read it alone
    if time is not None:
        graph = primitive(time)
        wanted: Wanted = {}
        for k, n in graph.outputs.items():
            name = f"time {k}" if k.startswith("saved.") else k
            rows: RowKind = "time" if k in kept or k.startswith(SAVED) else "chunk"
            wanted.setdefault(n, []).append(place(code, f"input {name}", rows, n.axes))
        passes, _ = lower(graph, late=False)
        Block(code.forth, code.record, "time", passes, _forward_places(code, graph, "time"), wanted, columns)
    graph = primitive(step)
    states = [a.name for a in step.of("state")]
    results: Wanted = {}
    for k, n in graph.outputs.items():
        if k in states:
            at = place(code, f"state {k}", "pool" if code.reads else "time", n.axes, 1)
        elif k.startswith("saved."):
            at = place(code, f"input step {k}", "time", n.axes)
        else:
            at = place(code, f"output {k}", "time", n.axes)
        results.setdefault(n, []).append(at)
    passes, _ = lower(graph, late=False)
    for name in states:
        axes = next(a.axes for a in step.arguments if a.name == name)
        if code.reads:
            code.inside[f"initial {name}"] = f"state {name}"
        else:
            place(code, f"before {name}", "time", axes)
        place(code, f"initial {name}", "batch", axes)
    places = _forward_places(code, graph, "step", step.of("state"))
    Block(code.forth, code.record, "step", passes, places, results, columns)
    code.forward = code.record.take_laid()
    driver = code.driver(code.forth, "forward", columns, code.reads)
    forward_driver(driver, step.of("state"), time is not None, code.forward)


def backward(
    code: Code, parts: Parts, step_back: Graph, time_back: Graph | None, needs: frozenset[str], columns: int
) -> None:
    """Emit `backward`: the loop from the end in chunks; after each, the hoisted part and the gradients in weights."""
    places = {}
    step = parts.step
    states = step.of("state")
    before = set(code.arrays)
    graph = primitive(_arriving(step_back, states[0]))
    for n in walk(graph.outputs.values()):
        if n.op == "gradient":
            of = n.leaf.name.removeprefix("d.")
            if of == ARRIVES:
                places[n] = place(code, "d y", "time", n.axes)
            elif any(a.name == of for a in states):
                places[n] = _arrives(code, of, n.axes)
            else:
                places[n] = place(code, f"d output {of}", "time", n.axes)
    places |= _forward_places(code, graph, "step", step.of("state"))
    wanted: Wanted = {}
    weights: dict[str, Node] = {}
    for k, n in graph.outputs.items():
        of = k.removeprefix("d.")
        if any(r.name == of for r in code.reads):
            wanted.setdefault(n, []).append(place(code, f"d before {of}", "site", n.axes))
        elif any(a.name == of for a in states):
            continue
        elif of in {a.name for a in step.of("input")} - code.columns.keys():
            kind: RowKind = "chunk" if of.startswith("hoisted.") else "time"
            wanted.setdefault(n, []).append(place(code, f"d input {of}", kind, n.axes))
        elif of in {a.name for a in step.of("constant")}:
            wanted_sum(code, places, wanted, of, n)
        else:
            weights[of] = n
    for a in states:
        if not code.reads:
            n = graph.outputs.get(f"d.{a.name}", make("number", attr=0.0))
            wanted.setdefault(n, []).append(_arrives(code, a.name, a.axes))
    passes = _passes(graph, weights, wanted)
    late_stores(code, passes, places, wanted, "step_back")
    added = {f"d input {k}" for k in needs if time_back is not None and f"d.{k}" in time_back.outputs}
    found = shares(weights, places, wanted, lambda axes: _chunk(code, axes), code.columns, added)
    Block(code.back, code.record, "step_back", passes, places, wanted, columns)
    more: dict[Node, Place] = {}
    if time_back is not None:
        fixed = frozenset(a.name for a in parts.time.of("constant")) if parts.time is not None else frozenset()
        found += _time_back(code, time_back, fixed, needs, columns, more)
    code.shares = tuple(found)
    for a in states:
        if code.reads:
            pool = _arrives(code, a.name, a.axes).array
            code.cleared.add(pool)
            code.inside[f"d initial {a.name}"] = pool
        place(code, f"d initial {a.name}", "batch", a.axes)
        code.cleared.add(f"d initial {a.name}")
    read = {p.array for p in (*places.values(), *more.values(), *(x for s in found for x in (s.d, s.v) if x))}
    code.kept = frozenset(read & before)
    code.backward = code.record.take_laid()
    hoisted = time_back is not None
    read_back = [r for r in code.reads if f"d before {r.name}" in code.arrays]
    driver = code.driver(code.back, "backward", columns, read_back)
    backward_driver(driver, states, hoisted, code.backward, code.shares)


def _arrives(code: Code, state: str, axes: tuple[str, ...]) -> Place:
    """Where the gradient in a state after the step is; it is also that before the step, but for a lattice."""
    if code.reads:
        return place(code, f"d state {state}", "pool", axes, 1)
    return place(code, f"d state {state}", "batch", axes)


ARRIVES = "d.arriving"
"""The gradient in the output of this step, which is added to that which comes back through the state."""


def _arriving(step_back: Graph, first: Argument) -> Graph:
    leaf = make("gradient", attr=Leaf(f"d.{first.name}", first.axes))
    whole = leaf + make("gradient", attr=Leaf(f"d.{ARRIVES}", first.axes))
    new = rebuild(step_back.nodes, replacing({leaf: whole}))
    return Graph(step_back.name, step_back.arguments, {k: new[n] for k, n in step_back.outputs.items()})


def wanted_sum(code: Code, places: dict[Node, Place], wanted: Wanted, constant: str, gradient: Node) -> None:
    """The gradient in a constant of the sequence adds up over time, row by row."""
    total = place(code, f"d constant {constant}", code.fixed, gradient.axes)
    code.cleared.add(total.array)
    before = make("state", attr=Leaf(f"before.{constant}", gradient.axes))
    places[before] = total
    wanted.setdefault(before + gradient, []).append(total)


def _chunk(code: Code, axes: tuple[str, ...]) -> Place:
    count = sum(1 for a in code.arrays if a.startswith("handed "))
    return place(code, f"handed {count}", "chunk", axes)


def _time_back(
    code: Code,
    time_back: Graph,
    fixed: frozenset[str],
    needs: frozenset[str],
    columns: int,
    places: dict[Node, Place],
) -> list[Share]:
    graph = primitive(time_back)
    places |= _forward_places(code, graph, "time")
    for n in walk(graph.outputs.values()):
        if n.op == "gradient":
            array = f"d input {n.leaf.name.removeprefix('d.')}"
            if array not in code.arrays:
                code.cleared.add(array)  # the loop has no gradient for it
            places[n] = place(code, array, "chunk", n.axes)
    wanted: Wanted = {}
    weights: dict[str, Node] = {}
    for k, n in graph.outputs.items():
        of = k.removeprefix("d.")
        if of in fixed:  # rows that add to one place: a product would do several of them at once
            wanted_sum(code, places, wanted, of, make("stop", n))
        elif of in needs:
            array = f"d input {of}"
            if array in code.arrays:  # the loop has left its part there
                before = make("input", attr=Leaf(f"before.{of}", n.axes))
                places[before] = place(code, array, "time", n.axes)
                n = before + n
            wanted.setdefault(n, []).append(place(code, array, "time", n.axes))
        else:
            weights[of] = n
    passes = _passes(graph, weights, wanted)
    found = shares(weights, places, wanted, lambda axes: _chunk(code, axes), code.columns)
    Block(code.back, code.record, "time_back", passes, places, wanted, columns)
    return found


def _passes(graph: Graph, weights: Mapping[str, Node], wanted: Wanted) -> list[Pass]:
    """The passes that make what is wanted of a step, and what the gradients in weights are made of."""
    outputs = {f"w.{k}": n for k, n in weights.items()} | {f"out.{i}": n for i, n in enumerate(wanted)}
    passes, _ = lower(Graph(graph.name, graph.arguments, outputs), late=True)
    return passes
