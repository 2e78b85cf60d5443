"""`derive` against finite differences, and what it promises of its graph."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import numpy as np
import pytest

from rekur.errors import GraphError
from rekur.graph import (
    OPS,
    Argument,
    Graph,
    Leaf,
    Node,
    Type,
    cell,
    gate,
    make,
    max_over,
    maximum,
    neighbour,
    parse,
    relu,
    softmax,
    stop,
    sum_over,
    tanh,
    to_text,
    verify,
    walk,
    weight,
    where,
)
from rekur.graph.derive import derive, gradient_name
from rekur.graph.rewrite import with_outputs
from tests.pure.graph_cells import GRAPHS, evaluator, random_values
from tests.pure.numpy_eval import Array, Numpy, choices, key
from tests.pure.random_cells import RAGGED, SIZES, random_cell

STEPS = (1e-3, 1e-4, 1e-5)


def slopes(graph: Graph, e: Numpy, values: Mapping[str, Array], along: Mapping[str, Array]) -> list[float]:
    """The derivative of Σ d·output along a direction by differences of fourth order, for each of STEPS; without those
    whose points have a kink between them.
    """
    e = Numpy(e.sizes, e.rows, e.masks, e.live, frozen={})
    roots = list(graph.outputs.values())
    ways = choices(e.all(roots, values))

    def loss(step: float) -> float | None:
        done = e.all(roots, {**values, **{k: values[k] + step * v for k, v in along.items()}})
        here = choices(done)
        if any(not np.array_equal(here[n], ways[n]) for n in ways):
            return None
        parts = [e.kept(done[n] * values[f"d.{k}"], Type(n.axes, True)) for k, n in graph.outputs.items()]
        return float(sum(np.sum(p) for p in parts))

    found = []
    for h in STEPS:
        a, b, c, d = (loss(s * h) for s in (-2, -1, 1, 2))
        if a is not None and b is not None and c is not None and d is not None:
            found.append((8 * (c - b) - (d - a)) / (12 * h))
    return found


def leaves_of(graph: Graph) -> dict[str, Node]:
    return {key(n): n for n in walk(graph.outputs.values()) if not n.args and n.op != "number"}


def differs(
    graph: Graph, e: Numpy, rng: np.random.Generator, only: Iterable[str] | None = None, poison: bool = False
) -> float | None:
    """How far the derived gradients in the leaves are from the slope along a random direction; None at a kink.

    With `poison`, whatever is dead holds NaN.
    """
    values = random_values(graph, e, rng)
    leaves = leaves_of(graph)
    kinds = {k: n.type for k, n in leaves.items()} | {f"d.{k}": Type(n.axes, True) for k, n in graph.outputs.items()}
    along = {k: e.kept(rng.standard_normal(values[k].shape), kinds[k]) for k in (leaves if only is None else only)}
    if poison:
        values = {k: np.where(e.kept(np.ones(v.shape), kinds[k]) > 0, v, np.nan) for k, v in values.items()}
    expected = slopes(graph, e, values, along)
    if not expected:
        return None
    got = e(derive(graph), values)
    slope = 0.0
    for k, direction in along.items():
        if (name := gradient_name(leaves[k].leaf)) in got:
            slope += float(np.sum(e.kept(got[name], kinds[k]) * direction))
    return min(abs(slope - s) for s in expected) / (1 + abs(slope))


# ---- against finite differences -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", GRAPHS)
def test_each_gradient_is_the_slope(name: str):
    e, rng = evaluator(), np.random.default_rng(0)
    for leaf in leaves_of(GRAPHS[name]):
        error = differs(GRAPHS[name], e, rng, [leaf])
        assert error is not None
        assert error < 1e-8, leaf


def test_the_gradients_of_random_cells_are_the_slopes():
    e, rng = evaluator(), np.random.default_rng(1)
    errors = {seed: differs(random_cell(seed, lattice=seed % 3 == 0).graph, e, rng) for seed in range(240)}
    assert {seed: error for seed, error in errors.items() if error is not None and not error < 1e-7} == {}
    assert sum(error is None for error in errors.values()) < 10  # two equal values: a kink however short the step


@cell(memory="S D")
def places(x, h, *, memory):
    """Weights along a memory: what they sum up to differs from row to row, though they do not."""
    bias = weight("bias", "S", init="normal=1")
    total = sum_over(tanh(bias) * softmax(weight("slope", "S", init="normal=1")), "S")
    return gate("hidden", tanh, x, h) * total + sum_over(sum_over(memory, "D") * bias, "S")


def test_dead_rows_and_positions_are_never_read():
    e, rng = evaluator(rows=4), np.random.default_rng(2)
    e.live = np.array([True, False, True, True])
    e.masks = {RAGGED: np.arange(SIZES[RAGGED]) < np.array([[3], [2], [1], [4]])}
    graphs = {name: GRAPHS[name] for name in ("attend", "caption", "layer-norm-lstm", "sampler")}
    graphs |= {str(seed): random_cell(seed).graph for seed in range(1000, 1050)}
    graphs["places"] = places.graph
    errors = {name: differs(graph, e, rng, poison=True) for name, graph in graphs.items()}
    assert {name: error for name, error in errors.items() if error is not None and not error < 1e-7} == {}
    assert sum(error is None for error in errors.values()) < 5


def not_transposed(n: Node, d: Node) -> Node:
    square = n.args[0].axes[0] == n.args[0].axes[1]
    return n.like("matvec", n.args[0] if square else n.like("transpose", n.args[0]), d)


WRONG: Mapping[str, Callable[[Node, Node], tuple[Node | None, ...]]] = {
    "tanh": lambda n, d: (d * (1.0 - n),),
    "mul": lambda n, d: (d * n.args[1], None),
    "sub": lambda n, d: (d, d),
    "matvec": lambda n, d: (n.like("outer", d, n.args[1], attr=n.args[0].axes), not_transposed(n, d)),
    "sum": lambda n, d: (n.like("spread", d * 0.5, attr=n.args[0].axes),),
}


@pytest.mark.parametrize("op", WRONG)
def test_a_wrong_derivative_is_found(op: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(OPS, op, replace(OPS[op], derivative=WRONG[op]))
    error = differs(GRAPHS["attend"], evaluator(), np.random.default_rng(3))
    assert error is not None
    assert error > 1e-3


# ---- what is asked for --------------------------------------------------------------------------------------


@cell
def two_states(x, h, c):
    """c takes no gradient from h, and nothing from x but through a comparison."""
    return gate("hidden", tanh, x, h), c * ((max_over(x) > 0.5) + 1.0)


def test_only_what_is_wanted_is_derived():
    graph = GRAPHS["lstm"]
    everything = derive(graph)
    assert set(everything.outputs) == {f"d.{k}" for k in ("x", "h", "c", *graph.parameters)}
    some = derive(graph, wrt=["c", "forget.h"])
    assert list(some.outputs) == ["d.c", "d.forget.h"]
    assert all(some.outputs[k] is everything.outputs[k] for k in some.outputs)
    assert not any(n.op == "transpose" for n in some.nodes)
    assert derive(graph, wrt=[]).outputs == {}


def test_a_gradient_that_is_always_zero_is_absent():
    backward = derive(two_states.graph)
    assert set(backward.outputs) == {"d.x", "d.h", "d.c", "d.hidden.x", "d.hidden.h", "d.hidden.bias"}
    only_c = derive(two_states.graph, wrt=["c"])
    assert [a.name for a in only_c.arguments] == ["x", "d.c"]  # the gradient of h is not read
    assert derive(with_outputs_only(two_states.graph, "c"), wrt=["x"]).outputs == {}


def with_outputs_only(graph: Graph, *names: str) -> Graph:
    return Graph(graph.name, graph.arguments, {k: graph.outputs[k] for k in names})


def test_a_lattice_read_has_a_gradient_of_its_own():
    outputs = derive(GRAPHS["lstm2d"], wrt=["h"]).outputs
    assert list(outputs) == ["d.h", "d.h.minus1"]
    assert [k for k in derive(GRAPHS["slots"]).outputs if k.startswith("d.h")] == ["d.h", "d.h.plus7", "d.h.minus1"]


def test_an_unknown_name_is_refused():
    with pytest.raises(GraphError, match=r"no argument or weight 'forget\.hh'; did you mean 'forget\.h'\?"):
        derive(GRAPHS["lstm"], wrt=["forget.hh"])


def test_a_gradient_comes_in_through_extra_outputs():
    graph, e, rng = with_outputs(GRAPHS["attend"], ["attention", "update"]), evaluator(), np.random.default_rng(4)
    assert list(graph.outputs) == ["h", "context", "attention", "update"]
    error = differs(graph, e, rng)
    assert error is not None
    assert error < 1e-8
    values = random_values(graph, e, rng)
    alone = {k: np.zeros_like(v) if k in ("d.h", "d.context", "d.update") else v for k, v in values.items()}
    got = e(derive(graph), alone)
    assert np.any(got["d.score"] != 0)
    assert not np.any(got["d.update.x"])


def test_the_longest_names_can_be_derived():
    @cell
    def long(x, h):
        return gate("g" * 59, tanh, x, h) + neighbour(h, -999_999) * weight("w" * 64)

    parse(to_text(derive(long.graph)))


# ---- single rules -------------------------------------------------------------------------------------------


def gradient(graph: Graph, name: str, **values: float) -> float:
    e = Numpy({}, 1)
    arrays = {k: np.full(1, v) for k, v in values.items()}
    return float(e(derive(graph), arrays | {"d.h": np.ones(1)})[name][0])


@cell(x="", h="")
def scalar_maximum(x, h):
    return maximum(x, h)


def test_ties_share_a_gradient_evenly():
    assert gradient(scalar_maximum.graph, "d.x", x=1.0, h=1.0) == 0.5
    assert gradient(scalar_maximum.graph, "d.h", x=1.0, h=2.0) == 1.0

    @cell(x="V", h="")
    def largest(x, h):
        return max_over(x) + h

    e = Numpy({"V": 4}, 1)
    got = e(derive(largest.graph), {"x": np.array([[1.0, 3.0, 3.0, 2.0]]), "h": np.zeros(1), "d.h": np.ones(1)})
    assert got["d.x"].tolist() == [[0.0, 0.5, 0.5, 0.0]]


def test_no_gradient_flows_through_stop_and_through_a_test():
    @cell(x="", h="")
    def stopped(x, h):
        return stop(x) * where(x > 0.0, h, 2.0 * h)

    assert list(derive(stopped.graph).outputs) == ["d.h"]
    assert gradient(stopped.graph, "d.h", x=3.0, h=1.0) == 3.0


def test_relu_has_no_slope_at_zero():
    @cell(x="", h="")
    def rectified(x, h):
        return relu(x) + h

    assert gradient(rectified.graph, "d.x", x=0.0, h=0.0) == 0.0


# ---- the table ----------------------------------------------------------------------------------------------


def test_every_operation_has_a_derivative_or_is_refused_by_name():
    for op, row in OPS.items():
        assert (row.derivative is None) == (row.kind in ("leaf", "derived")), op
    w = make("parameter", attr=Leaf("w", ("H", "H"), init="uniform", matrix=True))
    h = make("state", attr=Leaf("h", ("H",)))
    derived = {
        "outer": make("outer", h, h, attr=("H", "H")),
        "collect": make("collect", h),
        "rdev": make("rdev", h, attr="H"),
    }
    assert set(derived) == {op for op, row in OPS.items() if row.kind == "derived"}
    for op, node in derived.items():
        graph = verify(Graph("g", (Argument("state", "h", ("H",)),), {"out": node, "ok": make("matvec", w, h)}))
        with pytest.raises(GraphError, match=f"{op} is of a derived graph"):
            derive(graph)
        assert list(derive(graph, wrt=["w"]).outputs) == ["d.w"]


def test_a_derived_graph_without_sums_can_be_derived_again():
    twice = derive(derive(GRAPHS["mingru"], wrt=["h"]), wrt=["d.h"])
    assert list(twice.outputs) == ["d.d.h"]


@pytest.mark.parametrize("name", GRAPHS)
def test_derived_graphs_verify_and_go_through_text(name: str):
    backward = derive(GRAPHS[name])
    read = parse(to_text(verify(backward)))
    assert to_text(read) == to_text(backward)
    assert all(a is b for a, b in zip(read.outputs.values(), backward.outputs.values(), strict=True))
    assert {a.name for a in backward.of("gradient")} <= {f"d.{k}" for k in GRAPHS[name].outputs}
    assert set(backward.names) <= set(GRAPHS[name].names)
    assert all(node is GRAPHS[name].names[k] for k, node in backward.names.items())
