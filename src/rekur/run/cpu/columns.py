"""Inputs that are symbols: a product with one is a column of the weight, which code reads from a table."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from rekur.graph import Graph, Leaf, Node, make, verify
from rekur.graph.rewrite import argument, rebuild, replacing, simplify
from rekur.run.call import Call

SYMBOLS = "d.symbols."
"""How the names of inputs begin that are symbols, and no author's"""
_COLUMN = "d.column."


@dataclass(frozen=True)
class Column:
    """The value of a product with symbols."""

    weight: Leaf
    symbols: str
    """The input"""

    @property
    def indices(self) -> str:
        """The array of integers that says which column a row reads."""
        return f"symbols {self.symbols}"


def with_symbols(graph: Graph, inputs: Collection[str]) -> Graph:
    """The graph with the names of some inputs saying that they are symbols."""
    leaves = {
        n: make("input", attr=replace(n.leaf, name=SYMBOLS + n.leaf.name))
        for n in graph.nodes
        if n.op == "input" and n.leaf.name in inputs
    }
    new = rebuild(graph.nodes, replacing(leaves))
    arguments = [replace(a, name=SYMBOLS + a.name) if a.name in inputs else a for a in graph.arguments]
    outputs, names = ({k: new[n] for k, n in of.items()} for of in (graph.outputs, graph.names))
    return verify(Graph(graph.name, tuple(arguments), outputs, names))


def of_symbols(call: Call, graph: Graph) -> Call:
    """The call of that graph."""
    renamed = {SYMBOLS + k if k in call.symbols else k: v for k, v in call.inputs.items()}
    return replace(call, graph=graph, inputs=renamed)


def columns(graph: Graph) -> tuple[Graph, dict[str, Column]]:
    """The graph with an input in the place of each product with symbols, and what these inputs are.

    The names are left out: one may stand for the symbols themselves, which then nobody has asked for.
    """
    if not any(a.name.startswith(SYMBOLS) for a in graph.arguments):
        return graph, {}
    graph = simplify(Graph(graph.name, graph.arguments, graph.outputs))
    leaves: dict[Node, Node] = {}
    found: dict[str, Column] = {}
    for n in graph.nodes:
        if n.op == "matvec" and n.args[1].op == "input" and n.args[1].leaf.name.startswith(SYMBOLS):
            name = f"{_COLUMN}{len(found)}"
            leaves[n] = make("input", attr=Leaf(name, n.axes))
            found[name] = Column(n.args[0].leaf, n.args[1].leaf.name)
    new = rebuild(graph.nodes, replacing(leaves))
    arguments = [a for a in graph.arguments if not a.name.startswith(SYMBOLS)]
    arguments += [argument(n) for n in leaves.values()]
    return verify(Graph(graph.name, tuple(arguments), {k: new[n] for k, n in graph.outputs.items()})), found
