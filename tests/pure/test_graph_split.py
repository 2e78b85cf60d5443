"""`split`: the parts together are the whole, forward and backward, and each holds only what it may."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pytest

from rekur.graph import (
    Graph,
    Rate,
    Split,
    affine,
    barriers,
    cell,
    derive,
    gate,
    named,
    parse,
    rates,
    regroup,
    sigmoid,
    simplify,
    softmax,
    split,
    sum_over,
    tanh,
    to_text,
    verify,
    walk,
    weight,
    with_outputs,
)
from tests.pure.graph_cells import GRAPHS, evaluator, random_values
from tests.pure.numpy_eval import Array, Numpy
from tests.pure.random_cells import random_cell

EVERY = {**GRAPHS, **{f"random{seed}": random_cell(seed, lattice=seed % 3 == 0).graph for seed in range(60)}}


def parts(s: Split) -> Iterator[tuple[Rate, Graph]]:
    for level, graph in ((Rate.SEQUENCE, s.once), (Rate.TIME, s.time), (Rate.STEP, s.step)):
        if graph is not None:
            yield level, graph


def forward(e: Numpy, s: Split, values: Mapping[str, Array]) -> dict[str, Array]:
    """All values once the three parts have run, hoisted ones too; outputs under "output"."""
    done = dict(values)
    for level, graph in parts(s):
        out = e(graph, done)
        done |= {f"output {k}": v for k, v in out.items()} if level == Rate.STEP else out
    return done


def backward(e: Numpy, s: Split, done: Mapping[str, Array]) -> dict[str, Array]:
    """The gradients from the parts, each derived on its own, last to first."""
    total: dict[str, Array] = {}
    known = dict(done)
    for _, graph in reversed(list(parts(s))):
        arriving = {f"d.{k}": total.get(f"d.{k}", np.zeros_like(known[k])) for k in graph.outputs if k in known}
        for k, v in e(derive(graph), known | arriving if graph is not s.step else known).items():
            total[k] = total[k] + v if k in total else v
    return {k: v for k, v in total.items() if not k.startswith("d.hoisted.")}


@pytest.mark.parametrize("name", EVERY)
def test_the_parts_are_the_whole(name: str):
    graph, e = EVERY[name], evaluator()
    values = random_values(graph, e, np.random.default_rng(0))
    s = split(graph)
    done = forward(e, s, values)
    for k, v in e(graph, values).items():
        assert np.array_equal(done[f"output {k}"], v, equal_nan=True), k
    whole = e(derive(graph), values)
    summed = backward(e, s, done)
    for k, v in whole.items():
        np.testing.assert_allclose(summed.get(k, np.zeros_like(v)), v, rtol=1e-10, atol=1e-11, err_msg=k)
    assert set(summed) <= set(whole)


@pytest.mark.parametrize("name", EVERY)
def test_names_go_where_their_values_are(name: str):
    graph, e = EVERY[name], evaluator()
    values = random_values(graph, e, np.random.default_rng(0))
    s = split(graph)
    done = forward(e, s, values)
    found: dict[str, Array] = {}
    for _, part in parts(s):
        for k, v in e.named(part, done).items():
            assert np.array_equal(v, found.setdefault(k, v)), k
    expected = e.named(graph, values)
    assert set(found) == set(expected)
    assert all(np.array_equal(found[k], v) for k, v in expected.items())


@pytest.mark.parametrize("name", EVERY)
def test_each_part_holds_what_it_may(name: str):
    s = split(EVERY[name])
    for level, graph in parts(s):
        assert to_text(parse(to_text(verify(graph)))) == to_text(graph)
        nodes = list(walk(graph.outputs.values()))
        rate = rates(nodes)
        assert max(rate.values()) <= level
        for n in barriers(nodes):
            assert max(rate[n], Rate.SEQUENCE) == level, n
    assert [(a.name, a.axes, a.initial) for a in s.step.of("state")] == [
        (a.name, a.axes, a.initial) for a in EVERY[name].of("state")
    ]
    assert list(s.step.outputs) == list(EVERY[name].outputs)


def part_of(graph: Graph | None) -> Graph:
    assert graph is not None
    return graph


def test_the_input_products_of_an_lstm_are_done_for_all_times():
    s = split(regroup(GRAPHS["lstm"]))
    assert s.once is None
    assert [a.name for a in part_of(s.time).arguments] == ["x"]
    assert set(part_of(s.time).parameters) == {f"{g}.{k}" for g in GATES for k in ("x", "bias")}
    assert [a.name for a in s.step.arguments] == ["h", "c", "hoisted.0", "hoisted.1", "hoisted.2", "hoisted.3"]
    assert set(s.step.parameters) == {f"{g}.h" for g in GATES}
    assert set(s.step.names) == set(GATES)
    assert part_of(s.time).names == {}


GATES = ("forget", "input", "candidate", "output")


def test_without_regroup_the_bias_stays():
    assert set(split(GRAPHS["lstm"]).step.parameters) == {f"{g}.{k}" for g in GATES for k in ("h", "bias")}


def test_whole_gates_that_read_no_state_leave():
    s = split(simplify(GRAPHS["mingru"]))
    assert [n.op for n in walk(s.step.outputs.values()) if n.args] == ["mul", "add"]
    assert {n.op for n in part_of(s.time).outputs.values()} == {"sub", "mul"}
    assert set(part_of(s.time).names) == set(GRAPHS["mingru"].names)


def test_what_only_a_memory_decides_is_done_once():
    s = split(regroup(GRAPHS["attend"]))
    assert [a.name for a in part_of(s.once).arguments] == ["memory"]
    assert [a.name for a in s.step.of("constant")] == ["memory", "hoisted.0"]
    assert s.step.of("constant")[1].axes == ("S", "A")


@cell(memory="S A", factor="H")
def mixed(x, h, *, memory, factor):
    """What may leave and what may not, in one step."""
    pointwise = named("pointwise", tanh(x) * 2.0)  # not worth storing
    fixed = sum_over(affine("fixed", w=weight("w", "I"), bias=False))  # a product, and only weights
    once = factor * affine("once", factor)
    wide = tanh(affine("narrow", x, size="A") + memory)  # a product for each time, but spread over the memory
    look = sum_over(softmax(sum_over(wide, "A") + sum_over(h), "S"))
    later = gate("later", sigmoid, x=pointwise)
    return (h + once) * sum_over(later) * fixed * look * sum_over(pointwise * affine("p", h, size="I"))


def test_pointwise_values_stay_and_what_would_be_widened_is_hoisted_narrow():
    s = split(mixed.graph)
    assert s.step.names["pointwise"].op == "mul"
    hoisted = {a.name: a.axes for a in s.step.arguments if a.name.startswith("hoisted.")}
    assert sorted(hoisted.values()) == [(), (), ("H",), ("S",)]
    (once,) = [k for k, n in part_of(s.once).outputs.items() if n.axes == ("H",)]
    assert part_of(s.once).outputs[once].op == "mul"
    assert {a.kind for a in s.step.arguments if a.name == once} == {"constant"}


def test_a_wide_value_is_computed_in_the_step():
    @cell(memory="S A")
    def ask(x, h, *, memory):
        wide = tanh(affine("narrow", x, size="A") + memory)
        return h * sum_over(sum_over(wide * affine("query", h, size="A"), "A"), "S")

    s = split(ask.graph)
    assert [n.axes for n in part_of(s.time).outputs.values()] == [("A",)]
    assert "memory" in {a.name for a in s.step.arguments}


def test_an_output_may_be_hoisted_itself():
    s = split(with_outputs(GRAPHS["mingru"], ["update"]))
    assert s.step.outputs["update"].op == "input"

    @cell
    def feedforward(x, h):
        return gate("hidden", tanh, x)

    s = split(feedforward.graph)
    assert s.step.outputs["h"].op == "input"
    assert s.step.names["hidden"] is s.step.outputs["h"]
