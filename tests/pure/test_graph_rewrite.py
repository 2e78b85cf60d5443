"""Rewrites keep values, names and outputs; each rule by itself, and all of them on random cells."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings

from rekur.errors import GraphError
from rekur.graph import (
    OPS,
    Argument,
    Cell,
    Graph,
    Leaf,
    Node,
    Rate,
    affine,
    barriers,
    cell,
    derive,
    gate,
    make,
    mean_over,
    named,
    parse,
    rates,
    regroup,
    sigmoid,
    simplify,
    softmax,
    stop,
    sum_over,
    tanh,
    to_text,
    verify,
    walk,
    weight,
    where,
    with_outputs,
)  # fmt: skip
from rekur.graph.rewrite import LEAF_RATE
from tests.pure.graph_cells import GRAPHS, evaluator, random_values
from tests.pure.numpy_eval import Array
from tests.pure.random_cells import cells, random_cell

EVERY = {**GRAPHS, **{f"random{seed}": random_cell(seed, lattice=seed % 3 == 0).graph for seed in range(60)}}

H = make("state", attr=Leaf("h", ("H",)))
G = make("state", attr=Leaf("g", ("H",)))
S = make("state", attr=Leaf("s", ()))
W = make("parameter", attr=Leaf("w", ("H", "H"), init="uniform", matrix=True))
B = make("parameter", attr=Leaf("b", ("H",), init="zeros"))


def graph_of(node: Node) -> Graph:
    states = tuple(Argument("state", n.leaf.name, n.axes) for n in (H, G, S))
    return verify(Graph("g", states, {"out": node}))


def simplified(node: Node) -> Node:
    return simplify(graph_of(node)).outputs["out"]


def compare(before: Graph, after: Graph, check: Callable[[Array, Array], object]) -> None:
    e, rng = evaluator(), np.random.default_rng(0)
    values = random_values(before, e, rng)
    assert list(after.outputs) == list(before.outputs)
    assert list(after.names) == list(before.names)
    for how in (e, e.named):
        old, new = how(before, values), how(after, values)
        for k in old:
            check(new[k], old[k])


def exactly(new: Array, old: Array) -> None:
    assert np.array_equal(new, old, equal_nan=True)


def closely(new: Array, old: Array) -> None:
    np.testing.assert_allclose(new, old, rtol=1e-12, atol=1e-13)


# ---- on whole graphs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EVERY)
def test_simplify_keeps_values_and_names(name: str):
    for graph in (EVERY[name], derive(EVERY[name])):
        after = verify(simplify(graph))
        compare(graph, after, exactly)
        assert len(list(walk(after.outputs.values()))) <= len(list(walk(graph.outputs.values())))
        again = simplify(after)
        assert all(again.outputs[k] is n for k, n in after.outputs.items())


@pytest.mark.parametrize("name", EVERY)
def test_regroup_keeps_values_and_names(name: str):
    after = verify(regroup(EVERY[name]))
    compare(EVERY[name], after, closely)
    again = regroup(after)
    assert all(again.outputs[k] is n for k, n in after.outputs.items())
    assert to_text(parse(to_text(after))) == to_text(after)


@given(cells(lattice=True))
@settings(max_examples=40)
def test_rewrites_of_any_cell(c: Cell):
    compare(c.graph, simplify(c.graph), exactly)
    compare(c.graph, regroup(simplify(c.graph)), closely)


@pytest.mark.parametrize("name", EVERY)
def test_a_simplified_backward_step_shares_the_nodes_of_the_simplified_step(name: str):
    step = simplify(EVERY[name])
    arrives: set[Node] = set()
    for n in walk(simplify(derive(step)).outputs.values()):
        if n.op == "gradient" or any(a in arrives for a in n.args):
            arrives.add(n)
        assert n in arrives or n.op != "matvec" or n in step.nodes


def test_a_comparison_that_must_fail_does():
    @cell
    def swapped(x, h):
        f = gate("f", sigmoid, x, h)
        i = gate("i", tanh, x, h)
        return f * h + i

    g = swapped.graph
    other_value = Graph(g.name, g.arguments, {"h": g.outputs["h"] * 1.0000001}, g.names)
    other_names = Graph(g.name, g.arguments, g.outputs, {"f": g.names["i"], "i": g.names["f"]})
    for graph in (other_value, other_names):
        with pytest.raises(AssertionError):
            compare(g, graph, closely)


# ---- the rules of simplify ----------------------------------------------------------------------------------


def spread(node: Node, *axes: str) -> Node:
    return make("spread", node, attr=axes)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (H + 0.0, H),
        (0.0 + H, H),
        (H - 0.0, H),
        (H * 1.0, H),
        (1.0 * H, H),
        (H / 1.0, H),
        (make("neg", -H), H),
        (H + (-G), H - G),
        (-H + G, G - H),
        (H - (-G), H + G),
        ((H * 1.0 + 0.0) / 1.0, H),
        (stop(stop(H)), stop(H)),
        (spread(H, "H"), H),
        (spread(spread(S, "H"), "H", "K"), spread(S, "H", "K")),
        (spread(S, "H") * H, S * H),
        (where(spread(S, "H"), H, G), where(S, H, G)),
        (make("matvec", make("transpose", make("transpose", W)), H), make("matvec", W, H)),
        (H * (make("number", attr=2.0) * 3.0 + 1.0), H * 7.0),
        (H * make("exp", 0.0), H),
        (H * make("where", 1.0, 2.0, 3.0), H * 2.0),
        (-H * 1.0 + G * (make("number", attr=0.5) + 0.5), G - H),
    ],
)
def test_a_rule(before: Node, after: Node):
    assert simplified(before) is after


@pytest.mark.parametrize(
    "node",
    [
        H * 0.0,
        0.0 * H,
        H - H,
        H / H,
        0.0 / H,
        H + B * 0.0,
        0.0 - H,
        H * make("log", -1.0),
        H * make("exp", 1000.0),
        H / (make("number", attr=1.0) / 0.0),
        H + spread(make("number", attr=0.0), "H", "K"),  # has another shape than h
        spread(S, "H"),
    ],
)
def test_what_could_hide_a_nan_or_change_a_shape_stays(node: Node):
    assert simplified(node) is node


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 0.0, -0.0])
def test_extreme_values_come_through(value: float):
    @cell(x="", h="")
    def extreme(x, h):
        z = (x * 1.0 + 0.0) - (-(h * 0.0))
        return z + (x - x) * where(x > 0.0, 1.0, 0.0 * x)

    e = evaluator(1)
    values = {"x": np.array([value]), "h": np.array([value])}
    old, new = e(extreme.graph, values), e(simplify(extreme.graph), values)
    assert np.array_equal(old["h"], new["h"], equal_nan=True)


def test_every_operation_on_numbers_is_folded():
    e = evaluator(1)
    for op, row in OPS.items():
        if row.kind == "pointwise":
            node = make(op, *[0.5, 0.25, 2.0][: row.arity])
            folded = simplified(where(H, node, 7.0)).args[1].attr
            assert isinstance(folded, float), op
            np.testing.assert_allclose(folded, e(graph_of(node), {})["out"], rtol=1e-15)


def test_zero_keeps_its_sign_in_the_text():
    assert make("number", attr=0.0) is not make("number", attr=-0.0)
    assert simplified(H + make("number", attr=-0.0)) is H


# ---- common subexpressions ----------------------------------------------------------------------------------


def test_an_expression_written_twice_is_one_node():
    @cell
    def twice(x, h):
        a = tanh(x * 2.0) + sum_over(tanh(x * 2.0))
        b = tanh(x * 2.0) + sum_over(tanh(x * 2.0))
        return h * sum_over(a * b)

    assert sum(n.op == "tanh" for n in twice.graph.nodes) == 1
    (product,) = [n for n in twice.graph.nodes if n.op == "mul" and n.args[0] is n.args[1]]
    assert product.args[0].op == "add"


# ---- regroup ------------------------------------------------------------------------------------------------


def chain(node: Node) -> list[Node]:
    """The terms of a left-leaning sum."""
    terms = []
    while node.op == "add":
        terms.append(node.args[1])
        node = node.args[0]
    return [node, *reversed(terms)]


def described(node: Node) -> str:
    return node.args[0].leaf.name if node.op == "matvec" else node.leaf.name


def test_what_does_not_depend_on_the_state_is_one_prefix():
    gate = regroup(GRAPHS["lstm"]).names["forget"]
    assert [described(t) for t in chain(gate.args[0])] == ["forget.bias", "forget.x", "forget.h"]


def test_a_term_that_is_smaller_is_not_widened_by_a_larger_one():
    @cell(memory="S D")
    def ask(x, h, *, memory):
        key = affine("key", memory, size="A")
        seen = affine("seen", x, size="A", bias=False)
        asked = affine("asked", h, size="A", bias=False)
        score = named("score", tanh(key + seen + asked))
        return h * sum_over(softmax(sum_over(score, "A"), "S"))

    total = regroup(ask.graph).names["score"].args[0]
    wide, narrow = total.args
    assert {described(t) for t in chain(wide)} == {"key.memory"}
    assert [described(t) for t in chain(narrow)] == ["key.bias", "seen.x", "asked.h"]


def test_a_sum_that_is_named_or_read_twice_stays():
    @cell
    def held(x, h):
        a = named("a", affine("p", h, bias=False) + affine("q", x, bias=False))
        b = affine("r", h, bias=False) + affine("s", x, bias=False)
        return a + affine("t", x, bias=False) + (b + weight("w")) * tanh(b)

    before, after = held.graph, regroup(held.graph)
    assert [described(t) for t in chain(after.names["a"])] == ["q.x", "p.h"]
    compare(before, after, closely)
    sums = [n for n in after.nodes if n.op == "add"]
    assert any([described(t) for t in chain(n)] == ["s.x", "r.h"] for n in sums if chain(n)[0].op == "matvec")


def test_a_sum_of_one_rate_is_left_as_it_is():
    @cell
    def right_leaning(x, h):
        return h + (tanh(h) + (sigmoid(h) + h * h))

    assert regroup(right_leaning.graph).outputs["h"] is right_leaning.graph.outputs["h"]


# ---- rates, barriers, outputs -------------------------------------------------------------------------------


def test_every_leaf_has_a_rate():
    assert set(LEAF_RATE) == {op for op, row in OPS.items() if row.kind == "leaf"}


def test_a_value_changes_as_often_as_the_fastest_thing_it_reads():
    graph = GRAPHS["attend"]
    rate = rates(graph.nodes)
    assert rate[graph.names["attention"]] == Rate.STEP
    assert {rate[n] for n in graph.nodes if n.op == "matvec" and n.args[0].leaf.name == "key.memory"} == {
        Rate.SEQUENCE
    }
    assert {rate[n] for n in graph.nodes if n.op == "matvec" and n.args[0].leaf.name == "update.x"} == {Rate.TIME}


def test_a_count_is_no_barrier():
    @cell
    def mean(x, h):
        return h + mean_over(x)

    assert [n.op for n in mean.graph.nodes if n in barriers(mean.graph.nodes)] == ["sum"]
    assert [n.op for n in mean.graph.nodes].count("sum") == 2


def test_named_values_can_be_put_out():
    graph = GRAPHS["lstm"]
    assert list(with_outputs(graph, ["forget", "h"]).outputs) == ["h", "c", "forget"]
    with pytest.raises(GraphError, match="no value named 'forgot'; did you mean 'forget'"):
        with_outputs(graph, ["forgot"])


def test_a_deep_chain_is_no_problem():
    node = H
    for _ in range(9_000):
        node = tanh(node + 0.0) + G
    with pytest.raises(GraphError, match="the limit is 20000"):
        graph_of(node)
    node = H
    for _ in range(6_000):
        node = tanh(node + 0.0) + G
    graph = graph_of(node)
    assert len(simplify(graph).nodes) == 12_002
    assert regroup(graph).outputs["out"] is node
