"""`save`: what is kept is enough, and as little as can be; the steps with it give the same gradients."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import combinations

import numpy as np
import pytest

from rekur.cells import find
from rekur.graph import (
    Graph,
    Node,
    affine,
    barriers,
    cell,
    derive,
    gate,
    parse,
    regroup,
    save,
    sigmoid,
    simplify,
    softplus,
    split,
    tanh,
    to_text,
    verify,
    walk,
    with_outputs,
    with_saved,
)
from tests.pure.graph_cells import GRAPHS, evaluator, random_values
from tests.pure.random_cells import random_cell

RANDOM = {f"random{seed}": random_cell(seed, lattice=seed % 3 == 0).graph for seed in range(50)}
EVERY = {**GRAPHS, **RANDOM}


def step_and_backward(graph: Graph) -> tuple[Graph, Graph]:
    step = split(regroup(simplify(graph))).step
    return step, simplify(derive(step))


def names_of(graph: Graph, nodes: Iterable[Node]) -> list[str]:
    known = {n: k for k, n in graph.names.items()}
    return sorted(known.get(n, n.op) for n in nodes)


# ---- well-known cells ---------------------------------------------------------------------------------------

GATES = ["candidate", "forget", "input", "output"]


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("elman", []),  # its output is its gate
        ("lstm", GATES),
        ("lstm-projected", GATES),  # the next c is kept anyway, and its tanh computed again
        ("gru", ["candidate", "reset", "update"]),
        ("gru-after", ["add", "candidate", "reset", "update"]),  # what the reset gate scales is a product
        ("highway:5", sorted(f"{g}{d}" for g in ("candidate", "transform") for d in range(5))),
        ("lstm2d", ["candidate", "forget_left", "forget_up", "input", "output"]),
    ],
)
def test_what_a_cell_keeps(name: str, kept: list[str]):
    step, backward = step_and_backward(find(name).graph)
    assert names_of(step, save(step, backward)) == kept


def test_what_is_put_out_is_kept_already():
    step, backward = step_and_backward(with_outputs(GRAPHS["lstm"], ["forget"]))
    assert names_of(step, save(step, backward)) == ["candidate", "input", "output"]


def test_a_hoisted_value_is_kept_like_any_other():
    step, backward = step_and_backward(GRAPHS["mingru"])  # h * hoisted + hoisted: only the factor is read again
    (kept,) = save(step, backward)
    assert kept.op == "input"
    assert kept.leaf.name.startswith("hoisted.")


def test_the_one_that_leaves_least_to_recompute_is_kept():
    @cell
    def soft(x, h):
        return tanh(softplus(affine("a", x, h)))

    step, backward = step_and_backward(soft.graph)
    assert [n.op for n in save(step, backward)] == ["sigmoid"]  # the derivative of softplus, not its argument


def test_the_deviation_is_kept_as_a_scalar_and_not_computed_again():
    step, backward = step_and_backward(GRAPHS["layer-norm-lstm"])
    kept = save(step, backward)
    assert sorted(n.op for n in kept if not n.axes) == ["rdev"] * 5
    assert sum(bool(n.axes) for n in kept) == 9  # what was standardised (4 gates and c), and the gates


# ---- any cell -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EVERY)
def test_the_steps_with_what_is_kept_give_the_same_gradients(name: str):
    step, backward = step_and_backward(EVERY[name])
    kept = save(step, backward)
    first, second = with_saved(step, backward, kept)
    for graph in (first, second):
        assert to_text(parse(to_text(verify(graph)))) == to_text(graph)
    assert list(first.outputs) == [*step.outputs, *(f"saved.{i}" for i in range(len(kept)))]
    assert list(second.outputs) == list(backward.outputs)

    e = evaluator()
    values = random_values(step, e, np.random.default_rng(0))
    out = e(first, values)
    expected = e(step, values)
    assert all(np.array_equal(out[k], v, equal_nan=True) for k, v in expected.items())
    stored = {k if k.startswith("saved.") else f"saved.{k}": v for k, v in out.items()}
    readable = {a.name for a in second.arguments} | set(second.parameters)
    hoisted = {k for k in values if k.startswith("hoisted.") and k in {a.name for a in step.of("input")}}
    assert not readable & hoisted  # what is kept of these is kept under another name
    for k, v in e(second, {k: v for k, v in values.items() if k not in hoisted} | stored).items():
        assert np.array_equal(v, e(backward, values)[k], equal_nan=True), k


@pytest.mark.parametrize("name", EVERY)
def test_no_product_and_no_reduction_is_done_twice(name: str):
    step, backward = step_and_backward(EVERY[name])
    _, second = with_saved(step, backward, save(step, backward))
    nodes = list(walk(second.outputs.values()))
    arrives: set[Node] = set()
    for n in nodes:
        if n.op == "gradient" or any(a in arrives for a in n.args):
            arrives.add(n)
    assert barriers(nodes) <= arrives


def candidates(step: Graph, backward: Graph) -> tuple[list[Node], set[Node], set[Node]]:
    """What could be kept; what is wanted; what is free."""
    forward: dict[Node, None] = {}
    wanted: set[Node] = set()
    for n in walk([*step.outputs.values(), *backward.outputs.values()]):
        if n.op != "gradient" and all(a in forward for a in n.args):
            forward[n] = None
        else:
            wanted |= {a for a in n.args if a in forward}
    free = {n for n in forward if not n.args and not (n.op == "input" and n.leaf.name.startswith("hoisted."))}
    free |= set(step.outputs.values())
    return [n for n in forward if n not in free], wanted, free


def enough(kept: Collection[Node], forward: Iterable[Node], wanted: set[Node], free: set[Node]) -> bool:
    known = free | set(kept)
    stops = barriers(walk(forward))
    for n in forward:
        if n.args and n not in stops and all(a in known for a in n.args):
            known.add(n)
    return wanted <= known


def cost(nodes: Iterable[Node]) -> int:
    return sum(64 ** len(n.axes) for n in nodes)


def test_nothing_cheaper_would_do():
    tried = 0
    graphs = {**EVERY, **{f"more{seed}": random_cell(seed).graph for seed in range(1000, 1100)}}
    for graph in graphs.values():
        step, backward = step_and_backward(graph)
        forward, wanted, free = candidates(step, backward)
        kept = save(step, backward)
        assert enough(kept, forward, wanted, free)
        if not 2 <= len(forward) <= 12:
            continue
        tried += 1
        for size in range(len(forward) + 1):
            for others in combinations(forward, size):
                assert cost(others) >= cost(kept) or not enough(others, forward, wanted, free)
    assert tried >= 10


def test_a_check_that_must_fail_does():
    step, backward = step_and_backward(GRAPHS["gru"])
    forward, wanted, free = candidates(step, backward)
    assert not enough(save(step, backward)[1:], forward, wanted, free)


def test_many_gates_are_no_problem():
    @cell
    def many(x, h):
        for k in range(150):
            h = gate(f"g{k}", sigmoid, h=h) * h
        return h

    step, backward = step_and_backward(many.graph)
    assert len(save(step, backward)) == 150
