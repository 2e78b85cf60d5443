"""`schedule`: the stages of a step, and which of its products are one larger product."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from rekur.errors import GraphError
from rekur.graph.ir import Graph, Node, walk
from rekur.graph.rewrite import barriers


@dataclass(frozen=True, slots=True)
class Sum:
    """One accumulator: ``result = products[0] + products[1] + … + rest[0] + …``.

    A product that is not added to anything at once is its own result. Any other result stands among the
    pointwise operations of the stage, where all of `rest` is ready; the sums inside of it are read by nothing
    else and are in no list.
    """

    result: Node
    products: tuple[Node, ...]
    rest: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Pack:
    """Products of one stage that are one larger product: they share an operand, or an accumulator, or are linked
    by others that do; all results have the same axes.

    The four gates of an LSTM are four accumulators over one operand; in its backward step the four transposed
    products end in one accumulator. A grouping, never a second version of the cell.
    """

    sums: tuple[Sum, ...]

    @property
    def products(self) -> tuple[Node, ...]:
        """Every product, accumulator by accumulator."""
        return tuple(p for s in self.sums for p in s.products)

    @property
    def axes(self) -> tuple[str, ...]:
        """The axes of each result."""
        return self.products[0].axes

    @property
    def operands(self) -> tuple[Node, ...]:
        """The vectors that the products read, each once."""
        return tuple(dict.fromkeys(p.args[1] for p in self.products))


@dataclass(frozen=True, slots=True)
class Stage:
    """What can run without waiting for a whole vector of its own: first the products and reductions, which
    read values of earlier stages only, then the pointwise operations, arguments first. Spreads are among
    these, and counts: sums over a spread number.
    """

    packs: tuple[Pack, ...]
    reductions: tuple[Node, ...]
    pointwise: tuple[Node, ...]

    def __str__(self) -> str:
        parts = [f"P{len(p.products)}" for p in self.packs]
        if self.reductions:
            parts.append(f"R{len(self.reductions)}")
        return "+".join(parts) or "-"


@dataclass(frozen=True, slots=True)
class Schedule:
    """The stages of a step in order, and what leaves the loop.

    `after` begins with `outer` and `collect`, whose operands the loop hands over for every time; their sum over
    time comes first, then the rest of `after`, once. Transposes are in no list: a product reads through them.
    """

    stages: tuple[Stage, ...]
    after: tuple[Node, ...]

    def __str__(self) -> str:
        return " ".join(map(str, self.stages))


def schedule(graph: Graph, late: bool = False) -> Schedule:
    """The stages of a step. A stage ends at each product or reduction that something later in it depends on.

    Only what an output needs is scheduled. Products and reductions stand in the earliest stage that they can,
    or with `late` in the last: a backward step is scheduled late, for then its transposed products meet and
    pack. A pointwise value stands with the products it comes from, and with its first reader where it comes
    from none. `str` of the result is short: "P2 P1" for two products as one and then one more, R for
    reductions, - for a stage of neither.

    Raises GraphError where `outer` or `collect` would have to stay in the loop.
    """
    after, roots = _leaving(graph)
    nodes = [n for n in walk(roots) if n.args and n.op != "transpose"]
    stops = barriers(walk(roots))
    readers = _readers(nodes)
    at = _stages(nodes, stops, readers, late)
    sums, inner = _sums(nodes, readers, at, set(roots))
    stages: dict[int, tuple[list[Sum], list[Node], list[Node]]] = {k: ([], [], []) for k in sorted(set(at.values()))}
    for s in sums:
        stages[at[s.result]][0].append(s)
    for n in nodes:
        if n not in inner and n.op != "matvec":
            _, reductions, pointwise = stages[at[n]]
            (reductions if n in stops else pointwise).append(n)
    return Schedule(tuple(Stage(_packs(s), tuple(r), tuple(p)) for s, r, p in stages.values()), after)


def _leaving(graph: Graph) -> tuple[tuple[Node, ...], list[Node]]:
    """What runs after the loop, and what the loop is there for: outputs, and what it hands to `after`."""
    order = list(walk(graph.outputs.values()))
    over_time = {n for n in order if n.op in ("outer", "collect")}
    behind = set(over_time)
    for n in order:
        if any(a in behind for a in n.args):
            behind.add(n)
            if n.type.rows:
                raise GraphError(f"{graph.name}: {n!r} reads a sum over rows and time inside of the loop")
    needed = {n for n in graph.outputs.values() if n in behind}
    for n in reversed(order):
        if n in needed and n not in over_time:
            needed.update(n.args)
    first = [n for n in graph.outputs.values() if n not in behind]
    handed = [a for n in order if n in over_time for a in n.args]
    return tuple(n for n in order if n in needed and n.args), [*first, *handed]


def _readers(nodes: Sequence[Node]) -> dict[Node, list[Node]]:
    """The readers of each node; one that reads it twice stands twice."""
    readers: dict[Node, list[Node]] = {n: [] for n in nodes}
    for n in nodes:
        for a in n.args:
            if a in readers:
                readers[a].append(n)
    return readers


def _stages(
    nodes: Sequence[Node], stops: Collection[Node], readers: Mapping[Node, Sequence[Node]], late: bool
) -> dict[Node, int]:
    """The number of each node's stage; 0 is what comes before the first product or reduction."""

    def ready(n: Node, at: Mapping[Node, int]) -> int | None:
        return max((at[a] for a in n.args if a in at), default=None)

    early: dict[Node, int] = {}
    for n in nodes:
        early[n] = (ready(n, early) or 0) + (n in stops)
    fixed = early
    if late:
        last = max(early.values(), default=0)
        fixed = {}
        for n in reversed(nodes):
            fixed[n] = min((fixed[r] - (r in stops) for r in readers[n]), default=last)

    at: dict[Node, int] = {}
    for n in nodes:  # what comes from a product or a reduction stands with it
        stage = fixed[n] if n in stops else ready(n, at)
        if stage is not None:
            at[n] = stage
    for n in reversed(nodes):  # what comes from arguments alone waits for its first reader
        due = [at[r] - (r in stops) for r in readers[n] if r in at]
        if n not in at and due:
            at[n] = min(due)
    start = min(at.values(), default=0)
    for n in nodes:  # what is left is put out and read by nothing
        if n not in at:
            at[n] = ready(n, at) or start
    return at


def _sums(
    nodes: Sequence[Node], readers: Mapping[Node, Sequence[Node]], at: Mapping[Node, int], held: Collection[Node]
) -> tuple[list[Sum], set[Node]]:
    """The accumulators of all stages, and the sums inside of them."""

    def grows(n: Node) -> Node | None:
        """The sum that alone reads `n`, in the same stage and of the same shape."""
        if n in held or len(readers[n]) != 1:
            return None
        (r,) = readers[n]
        return r if r.op == "add" and at[r] == at[n] and r.axes == n.axes else None

    end: dict[Node, Node] = {}
    for n in reversed(nodes):
        larger = grows(n)
        end[n] = n if larger is None else end[larger]
    carries = {n for n in nodes if n.op == "matvec"}  # a product, or a sum that one grew into
    products: dict[Node, list[Node]] = {}
    for n in nodes:
        if n in carries and end[n] is not n:
            carries.update(readers[n])
        if n.op == "matvec":
            products.setdefault(end[n], []).append(n)
    inner = {n for n in carries if n.op == "add" and end[n] is not n}
    return [Sum(r, tuple(ps), _rest(r, ps, inner)) for r, ps in products.items()], inner


def _rest(result: Node, products: Collection[Node], inner: Collection[Node]) -> tuple[Node, ...]:
    rest, todo = [], [result]
    while todo:
        n = todo.pop()
        if n in inner or (n is result and n not in products):
            todo.extend(reversed(n.args))
        elif n not in products:
            rest.append(n)
    return tuple(rest)


def _packs(sums: Iterable[Sum]) -> tuple[Pack, ...]:
    """Sums that share operands, directly or through others, together."""
    packs: list[Pack] = []
    for s in sums:
        alone = Pack((s,))
        linked = [p for p in packs if p.axes == alone.axes and set(p.operands) & set(alone.operands)]
        packs = [p for p in packs if p not in linked]
        packs.append(Pack(tuple(s for p in (*linked, alone) for s in p.sums)))
    return tuple(packs)
