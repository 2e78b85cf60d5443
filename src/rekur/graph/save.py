"""`save`: what a forward step keeps so that the backward step recomputes pointwise operations only."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection

from rekur.graph.ir import Graph, Node, make, walk
from rekur.graph.ops import Leaf
from rekur.graph.rewrite import argument, barriers, rebuild, replacing, signature
from rekur.graph.split import HOISTED
from rekur.graph.verify import verify

SAVED = "saved."
"""How the names of values that the forward step keeps for the backward step begin."""

_UNITS = 64  # what an axis is taken to hold where a scalar, a vector and a matrix are weighed against each other


def save(step: Graph, backward: Graph) -> tuple[Node, ...]:
    """The values that a forward step keeps beside its outputs: as little as makes the rest recomputable.

    `backward` is derived from `step`, so the two share nodes (simplify both or neither). What the backward
    step reads and no gradient enters is kept, or recomputed from what is kept by pointwise operations; a
    product or a reduction is never done twice. Arguments and outputs of the step cost nothing, since they are
    there anyway; values hoisted for every time do. The choice is a minimum vertex cut, and of several the one
    that leaves the least to recompute: in effect each gate. Give the result to `with_saved`.
    """
    order = list(walk([*step.outputs.values(), *backward.outputs.values()]))
    forward = _without_gradient(order)
    free = {n for n in forward if not n.args and not _is_hoisted(n)} | set(step.outputs.values())
    paid = [n for n in order if n in forward and n not in free]
    stops = barriers(order)
    place = {n: i for i, n in enumerate(paid)}
    flow = _Flow()
    for n, i in place.items():
        flow.edge(2 * i, 2 * i + 1, _UNITS ** len(n.axes))
        if n in stops or _is_hoisted(n):
            flow.edge(flow.SOURCE, 2 * i, flow.WITHOUT_END)
        else:
            for a in n.args:
                if a in place:
                    flow.edge(2 * place[a] + 1, 2 * i, flow.WITHOUT_END)
    for n in order:
        for a in n.args:
            if n not in forward and a in place:
                flow.edge(2 * place[a] + 1, flow.SINK, flow.WITHOUT_END)
    late = flow.behind_the_cut()
    return tuple(n for n, i in place.items() if 2 * i not in late and 2 * i + 1 in late)


def _is_hoisted(n: Node) -> bool:
    return n.op == "input" and n.leaf.name.startswith(HOISTED)


def _without_gradient(order: Collection[Node]) -> set[Node]:
    forward: set[Node] = set()
    for n in order:
        if n.op != "gradient" and all(a in forward for a in n.args):
            forward.add(n)
    return forward


def with_saved(step: Graph, backward: Graph, saved: Collection[Node]) -> tuple[Graph, Graph]:
    """The two steps with what `save` chose between them.

    The forward step puts out ``saved.0``, ``saved.1``, … after its own outputs; the backward step reads these
    as inputs of the step, and its outputs k, where it needs them, as ``saved.k``.
    """
    kept = {f"{SAVED}{i}": n for i, n in enumerate(saved)}
    order = tuple(walk([*step.nodes, *saved]))
    first = verify(Graph(step.name, step.arguments, {**step.outputs, **kept}, step.names, order))

    computed = [(f"{SAVED}{k}", n) for k, n in step.outputs.items() if n.args]
    leaves = {n: make("input", attr=Leaf(k, n.axes)) for k, n in (*reversed(computed), *kept.items())}
    new = rebuild(backward.nodes, replacing(leaves))
    outputs = {k: new[n] for k, n in backward.outputs.items()}
    nodes = tuple(walk(outputs.values()))
    live = set(nodes)
    names = {k: new[n] for k, n in backward.names.items() if new[n] in live}
    arguments = signature((*map(argument, leaves.values()), *backward.arguments), nodes)
    return first, verify(Graph(backward.name, arguments, outputs, names, nodes))


class _Flow:
    """The greatest flow from a source to a sink, by shortest augmenting paths."""

    SOURCE, SINK = -1, -2
    WITHOUT_END = 1 << 60

    def __init__(self) -> None:
        self.room: dict[int, dict[int, int]] = {self.SOURCE: {}, self.SINK: {}}

    def edge(self, a: int, b: int, room: int) -> None:
        self.room.setdefault(a, {})[b] = room
        self.room.setdefault(b, {}).setdefault(a, 0)

    def _path(self) -> list[tuple[int, int]]:
        came: dict[int, int] = {self.SOURCE: self.SOURCE}
        queue = deque([self.SOURCE])
        while queue and self.SINK not in came:
            a = queue.popleft()
            for b, room in self.room[a].items():
                if room and b not in came:
                    came[b] = a
                    queue.append(b)
        path, b = [], self.SINK
        while b in came and b != self.SOURCE:
            path.append((came[b], b))
            b = came[b]
        return path

    def behind_the_cut(self) -> set[int]:
        """The vertices on the sink's side of the last minimum cut."""
        while path := self._path():
            room = min(self.room[a][b] for a, b in path)
            for a, b in path:
                self.room[a][b] -= room
                self.room[b][a] += room
        late, todo = {self.SINK}, [self.SINK]
        while todo:
            b = todo.pop()
            for a in self.room[b]:
                if self.room[a][b] and a not in late:
                    late.add(a)
                    todo.append(a)
        return late
