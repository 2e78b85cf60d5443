"""`evaluate`: each operation against numpy, forwards and in derived graphs; derived graphs against autograd."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import Tensor

from rekur.errors import GraphError
from rekur.graph import OPS, Graph, Leaf, Node, Type, derive, gradient_name, make, walk
from rekur.run import Context, evaluate
from rekur.run.evaluate import FUNCTIONS
from tests.compare import differ, leaves, with_gradients
from tests.pure.graph_cells import GRAPHS, evaluator, random_values
from tests.pure.numpy_eval import Array, key
from tests.pure.random_cells import RAGGED, SIZES, random_cell

CELLS = {**GRAPHS, **{f"random{seed}": random_cell(seed, lattice=seed % 4 == 0).graph for seed in range(80)}}
ROWS = 4
COUNTS = torch.tensor([3, 1, 4, 2])
MASK = torch.arange(SIZES[RAGGED]) < COUNTS[:, None]


def test_the_table_is_total():
    assert FUNCTIONS.keys() == OPS.keys()


class Step:
    """The outputs of one graph by numpy and by torch, at full size, zero where a position of a memory is dead."""

    def __init__(self, graph: Graph, ragged: bool) -> None:
        self.graph = graph
        self.by_numpy = evaluator(ROWS)
        if ragged:
            self.by_numpy.masks = {RAGGED: MASK.numpy()}
        self.values = random_values(graph, self.by_numpy, np.random.default_rng(len(graph.nodes)))

    def kept(self, v: Array, kind: Type) -> Tensor:
        return torch.from_numpy(np.array(self.by_numpy.kept(v, kind)))

    def numpy(self, graph: Graph) -> dict[str, Tensor]:
        return {k: self.kept(v, graph.outputs[k].type) for k, v in self.by_numpy(graph, self.values).items()}

    def torch(self, graph: Graph, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        given = {n: values[key(n)] for n in walk(graph.outputs.values()) if isinstance(n.attr, Leaf)}
        masks = {k: torch.from_numpy(v) for k, v in self.by_numpy.masks.items()}
        context = Context(self.by_numpy.sizes, torch.empty(0, dtype=torch.float64), masks)
        done = evaluate(graph.outputs.values(), given, context)
        return {k: self.full(done[n], n.type) for k, n in graph.outputs.items()}

    def full(self, v: Tensor, kind: Type) -> Tensor:
        """Differentiable, as `kept`."""
        shape = self.by_numpy.full(np.empty(v.shape), kind).shape
        there = torch.from_numpy(np.array(self.by_numpy.kept(np.ones(shape), kind) != 0))
        return torch.where(there, v, 0.0)

    @property
    def tensors(self) -> dict[str, Tensor]:
        return {k: torch.from_numpy(v) for k, v in self.values.items()}


RAGGEDNESS = pytest.mark.parametrize("ragged", [False, True], ids=["whole", "ragged"])


@RAGGEDNESS
@pytest.mark.parametrize("name", CELLS)
def test_operations_are_those_of_numpy(name: str, ragged: bool):
    step = Step(CELLS[name], ragged)
    for graph in (step.graph, derive(step.graph)):
        assert differ(step.torch(graph, step.tensors), step.numpy(graph)) == {}


@RAGGEDNESS
@pytest.mark.parametrize("name", CELLS)
def test_the_derived_graph_is_what_autograd_gives(name: str, ragged: bool):
    step = Step(CELLS[name], ragged)
    read = {key(n): n for n in walk(step.graph.outputs.values()) if isinstance(n.attr, Leaf)}
    given = leaves({k: step.tensors[k] for k in read})
    cotangents = {k: step.tensors[f"d.{k}"] for k in step.graph.outputs}
    results = step.torch(step.graph, step.tensors | given)
    want = with_gradients(results, cotangents, {"leaf": given})
    derived = derive(step.graph)
    got = step.torch(derived, step.tensors)
    for k, n in read.items():
        gradient = got.pop(gradient_name(n.leaf), None)
        shape = want[f"gradient of leaf {k}"]
        full = torch.zeros_like(shape) if gradient is None else gradient.broadcast_to(shape.shape)
        there = step.kept(np.ones(tuple(shape.shape)), n.type) != 0
        assert differ({k: torch.where(there, full, 0.0)}, {k: shape}, within=1e-10) == {}
    assert got == {}


def test_a_count_is_of_live_positions():
    """A value without rows gets them from a ragged mask; a product then still goes over the right axis."""
    positions = make("parameter", attr=Leaf("positions", ("S",)))
    matrix = make("parameter", attr=Leaf("matrix", ("H", "S"), matrix=True))
    one = make("spread", 1.0, attr=("S",))
    count, product = make("sum", one, attr="S"), make("matvec", matrix, positions)
    p, w = torch.randn(4, dtype=torch.float64), torch.randn(5, 4, dtype=torch.float64)
    done = evaluate([count, product], {positions: p, matrix: w}, Context(SIZES, p, {"S": MASK}))
    assert torch.equal(done[count], COUNTS.double())
    assert differ({"v": done[product]}, {"v": torch.where(MASK, p, 0.0) @ w.T}) == {}


def test_the_largest_of_nothing():
    memory = make("constant", attr=Leaf("memory", ("S",)))
    largest = make("max", memory, attr="S")
    empty = torch.zeros(3, 0, dtype=torch.float64)
    assert evaluate([largest], {memory: empty}, Context({"S": 0}, empty))[largest].tolist() == [-torch.inf] * 3


def test_the_shares_of_nothing():
    scores = make("constant", attr=Leaf("scores", ("S",)))
    share = make("softmax", scores, attr="S")
    v = torch.randn(2, 4, dtype=torch.float64)
    mask = torch.tensor([[False] * 4, [True, True, False, False]])
    got = evaluate([share], {scores: v}, Context(SIZES, v, {"S": mask}))[share]
    assert not got[0].any()
    assert differ({"v": got[1, :2]}, {"v": v[1, :2].softmax(0)}) == {}
    assert not got[1, 2:].any()


def test_a_leaf_without_a_value():
    x = make("input", attr=Leaf("x", ("I",)))
    with pytest.raises(GraphError, match="no value was given for <input x"):
        evaluate([make("tanh", x)], {}, Context({}, torch.zeros(())))


def broken(n: Node, args: list[Tensor], c: Context) -> Tensor:
    return 1.01 * torch.tanh(args[0])


def test_a_wrong_operation_is_found(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(FUNCTIONS, "tanh", broken)
    step = Step(GRAPHS["gru"], False)
    assert differ(step.torch(step.graph, step.tensors), step.numpy(step.graph)).keys() == {"h"}
