"""The gradients on the edges of a picture are autograd's."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from rekur.cells import ZOO, find
from rekur.draw import completed, expression, flow
from rekur.draw.numbers import nested
from rekur.graph import Graph, Node, walk
from rekur.run.evaluate import FUNCTIONS, Context
from tests.pure.random_cells import random_cell

LATTICES = ("lstm2d", "row-lstm")
CELLS = [*sorted(set(ZOO) - set(LATTICES)), *range(10)]


def graph_of(name: str | int) -> Graph:
    return random_cell(name).graph if isinstance(name, int) else find(name).graph


def autograd(graph: Graph, given: dict[str, object], sizes: dict[str, int]) -> dict[Node, Tensor]:
    """Values that keep their gradients, each edge with a copy of its own: (node, place) -> what was read there."""
    context = Context(sizes, torch.zeros((), dtype=torch.float64))
    done: dict[Node, Tensor] = {}
    reads: dict[tuple[Node, int], Tensor] = {}
    for n in walk(graph.outputs.values()):
        if not n.args and n.op != "number":
            v = torch.tensor(given[n.leaf.name], dtype=torch.float64)
            done[n] = (v[None] if n.type.rows else v).requires_grad_()
            continue
        args = []
        for i, a in enumerate(n.args):
            reads[n, i] = done[a] * 1.0 if done[a].requires_grad else done[a]
            if reads[n, i].requires_grad:
                reads[n, i].retain_grad()
            args.append(reads[n, i])
        done[n] = FUNCTIONS[n.op](n, args, context)
        if done[n].requires_grad:
            done[n].retain_grad()
    first = next(iter(graph.outputs.values()))
    done[first].sum().backward()
    return {**done, **reads}  # type: ignore[dict-item]


@pytest.mark.parametrize("name", CELLS)
def test_gradients_along_every_edge_are_autograd_s(name: str | int):
    graph = graph_of(name)
    given = completed(graph, {}, seed=5)
    sizes = dict.fromkeys(graph.axes, 2)
    done = flow(graph, given, sizes=sizes)
    want = autograd(graph, given, sizes)  # type: ignore[arg-type]
    live = set(walk(graph.outputs.values()))
    compared = 0
    for edge, part in done.along.items():
        node, place = edge
        read = want[edge]  # type: ignore[index]
        if not read.requires_grad:  # nothing but numbers leads there
            continue
        gradient = read.grad if read.grad is not None else torch.zeros_like(read)
        got = torch.tensor(nested(part, node.args[place].axes), dtype=torch.float64)
        torch.testing.assert_close(got, gradient.reshape(got.shape), rtol=1e-9, atol=1e-11)
        compared += 1
    for node, total in done.total.items():
        if node in live and node.op != "number" and want[node].grad is not None:
            got = torch.tensor(nested(total, node.axes), dtype=torch.float64)
            torch.testing.assert_close(got, want[node].grad.reshape(got.shape), rtol=1e-9, atol=1e-11)  # type: ignore[union-attr]
    assert compared > 3


def test_a_dropped_gradient_would_be_found():
    graph = expression("a*b + a")
    done = flow(graph, {"a": 2, "b": 3})
    want = autograd(graph, {"a": 2.0, "b": 3.0}, {})
    (a,) = (n for n in graph.nodes if not n.args and n.leaf.name == "a")
    gradient = want[a].grad
    assert gradient is not None
    assert done.gradient("a") == gradient.item() == 4.0
    product = next(n for n in graph.nodes if n.op == "mul")
    assert done.along[product, 0][()] == 3.0 != gradient.item()  # one edge of two
