"""`schedule`: the stages of well-known cells, and on any cell that running stage by stage gives the outputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import reduce

import numpy as np
import pytest

from rekur.cells import find
from rekur.errors import GraphError
from rekur.graph import (
    Argument,
    Graph,
    Leaf,
    Node,
    Schedule,
    Stage,
    affine,
    cell,
    derive,
    gate,
    make,
    regroup,
    save,
    schedule,
    sigmoid,
    simplify,
    split,
    tanh,
    verify,
    walk,
    weight,
    with_saved,
)
from tests.pure.graph_cells import GRAPHS, evaluator, random_values
from tests.pure.numpy_eval import FUNCTIONS, Array, Numpy, aligned, key
from tests.pure.random_cells import random_cell

RANDOM = {f"random{seed}": random_cell(seed, lattice=seed % 3 == 0).graph for seed in range(60)}


def steps(graph: Graph) -> tuple[Graph, Graph]:
    """The forward and the backward step, as a compiled loop would have them."""
    step = split(regroup(simplify(graph))).step
    backward = simplify(derive(step))
    return with_saved(step, backward, save(step, backward))


# ---- the stages of well-known cells -------------------------------------------------------------------------


@cell(x="H")
def mogrifier_of_equal_sizes(x, h, c):
    """Two rounds; x and h have one size, so that the last modulation of h and the gates are one product."""
    for k in range(2):
        x = 2 * sigmoid(affine(f"q{k}", h=h)) * x
        h = 2 * sigmoid(affine(f"r{k}", x=x)) * h
    f, i, o = (gate(name, sigmoid, x=x, h=h) for name in ("forget", "input", "output"))
    c = f * c + i * gate("candidate", tanh, x=x, h=h)
    return o * tanh(c), c


FIGURES = {
    "elman": ("P1", "- P1"),
    "lstm": ("P4", "- P4"),
    "peephole": ("P4", "- P4"),
    "lstm-projected": ("P4 P1", "P1 P4"),
    "gru": ("P2 P1", "- P1 P2"),
    "gru-after": ("P3", "- P3"),
    "highway:5": ("P2 P2 P2 P2 P2", "- P2 P2 P2 P2 P2"),
    "mingru": ("-", "-"),
    "lstm2d": ("P10", "- P10"),
    "row-lstm": ("P12", "- P12"),
}


@pytest.mark.parametrize("name", FIGURES)
def test_the_stages_of_a_cell(name: str):
    forward, backward = steps(find(name).graph)
    assert (str(schedule(forward)), str(schedule(backward, late=True))) == FIGURES[name]


def test_the_stages_of_a_mogrifier():
    forward, backward = steps(mogrifier_of_equal_sizes.graph)
    assert str(schedule(forward)) == "P1 P1 P1 P5 P4"
    assert str(schedule(backward, late=True)) == "- P4 P5 P1 P1 P1"


def test_the_stages_of_a_layer_norm_lstm():
    step = split(regroup(simplify(GRAPHS["layer-norm-lstm"]))).step
    assert str(schedule(step)) == "P4 R4 R1"
    forward, backward = steps(GRAPHS["layer-norm-lstm"])
    assert str(schedule(forward)) == "P4 R8 R2"  # 1 / deviation is kept beside what was standardised
    assert str(schedule(backward, late=True)) == "- R2 R8 P4"


def test_a_backward_step_scheduled_early_packs_less():
    _, backward = steps(GRAPHS["gru"])
    assert str(schedule(backward)) == "- P1+P1 P1"


# ---- packs --------------------------------------------------------------------------------------------------


def test_the_gates_of_an_lstm_are_accumulators_over_one_operand():
    forward, backward = steps(GRAPHS["lstm"])
    (pack,) = schedule(forward).stages[0].packs
    assert [n.leaf.name for n in pack.operands] == ["h"]
    assert {p.args[0].leaf.name for p in pack.products} == {
        f"{g}.h" for g in ("forget", "input", "candidate", "output")
    }
    for s in pack.sums:
        assert [n.op for n in s.rest] == ["input"]  # what was hoisted
    (pack,) = schedule(backward, late=True).stages[1].packs
    (total,) = pack.sums
    assert total.result is backward.outputs["d.h"]
    assert len(pack.operands) == len(total.products) == 4
    assert total.rest == ()


def test_results_of_other_sizes_are_another_pack():
    @cell(c="P")
    def two_sizes(x, h, c):
        return gate("a", tanh, x, h), gate("b", tanh, h, size="P") + c

    (stage,) = schedule(two_sizes.graph).stages
    assert [p.axes for p in stage.packs] == [("H",), ("P",)]
    assert str(stage) == "P2+P1"


def test_a_sum_that_something_else_reads_is_an_accumulator_of_its_own():
    @cell
    def shared(x, h):
        a = affine("a", h, bias=False) + affine("b", h, bias=False)
        return (a + affine("c", h, bias=False)) * a

    (stage,) = schedule(shared.graph).stages
    (pack,) = stage.packs
    assert sorted(len(s.products) for s in pack.sums) == [1, 2]
    assert {s.result.op for s in pack.sums} == {"add"}


# ---- any graph: running stage by stage ----------------------------------------------------------------------


class Run:
    """Runs a schedule as a compiled loop would: a stage's products and reductions see earlier stages only."""

    def __init__(self, e: Numpy, s: Schedule, values: Mapping[str, Array]) -> None:
        self.e, self.values = e, values
        self.done: dict[Node, Array] = {}
        self.seen: list[Node] = []
        for stage in s.stages:
            self.stage = {n: self.compute(n, self.done) for n in stage.reductions}
            sums = {x.result: x for p in stage.packs for x in p.sums}
            parts = {n: [self.compute(p, self.done) for p in x.products] for n, x in sums.items()}
            for p in stage.packs:
                self.seen += p.products
            self.done |= self.stage | {n: parts[n][0] for n, x in sums.items() if x.products == (n,)}
            for n in stage.pointwise:
                if n in sums:
                    rest = [aligned(self.value(r, self.done), r.axes, n.axes) for r in sums[n].rest]
                    self.done[n] = reduce(np.add, [*parts[n], *rest])
                else:
                    self.done[n] = self.compute(n, self.done)
            self.seen += [*stage.reductions, *stage.pointwise]

    def value(self, n: Node, done: Mapping[Node, Array]) -> Array:
        if n.op == "number":
            return np.array(n.attr)
        if n.op == "transpose":
            return self.value(n.args[0], done).T
        return done[n] if n.args else self.e.full(self.values[key(n)], n.type)

    def compute(self, n: Node, done: Mapping[Node, Array]) -> Array:
        with np.errstate(all="ignore"):
            return self.e.full(FUNCTIONS[n.op](self.e, n, [self.value(a, done) for a in n.args]), n.type)


def after(s: Schedule, runs: list[Run]) -> dict[Node, Array]:
    """What leaves the loop: first summed over time, then computed once."""
    done: dict[Node, Array] = {}
    for n in s.after:
        if n.op in ("outer", "collect"):
            done[n] = reduce(np.add, [r.compute(n, r.done) for r in runs])
        else:
            done[n] = runs[0].compute(n, done)
    return done


def check(graph: Graph, late: bool) -> None:
    """That a schedule computes each node that an output needs once, in a possible order, with the right result."""
    e, rng = evaluator(), np.random.default_rng(0)
    s = schedule(graph, late=late)
    first = random_values(graph, e, rng)
    times = [
        first | {k: v for k, v in random_values(graph, e, rng).items() if k not in graph.parameters} for _ in "abc"
    ]
    runs = [Run(e, s, values) for values in times]
    whole = [e(graph, values) for values in times]
    summed = after(s, runs)
    for k, n in graph.outputs.items():
        if n in summed:
            want = reduce(np.add, [w[k] for w in whole])
            np.testing.assert_allclose(summed[n], want, rtol=1e-10, atol=1e-11, err_msg=k)
        else:
            for r, w in zip(runs, whole, strict=True):
                np.testing.assert_allclose(
                    e.full(r.value(n, r.done), n.type), w[k], rtol=1e-10, atol=1e-11, err_msg=k
                )
    assert len(runs[0].seen) == len(set(runs[0].seen))
    inside = {n for st in s.stages for p in st.packs for x in p.sums for n in inner_sums(x.result, x.products)}
    listed = {*runs[0].seen, *s.after, *inside}
    assert {n for n in walk(graph.outputs.values()) if n.args and n.op != "transpose"} <= listed
    for stage in s.stages[1:] if s.stages else ():
        assert stage.packs or stage.reductions


def inner_sums(result: Node, products: Iterable[Node]) -> set[Node]:
    if result in products or result.op != "add":
        return set()
    return set().union(*({a} | inner_sums(a, products) for a in result.args if a.op == "add"))


@pytest.mark.parametrize("name", [*GRAPHS, *RANDOM])
def test_running_stage_by_stage_gives_the_outputs(name: str):
    graph = {**GRAPHS, **RANDOM}[name]
    forward, backward = steps(graph)
    check(forward, late=False)
    check(backward, late=True)
    check(derive(graph), late=True)


@pytest.mark.parametrize("name", GRAPHS)
def test_late_is_late_and_early_is_early(name: str):
    _, backward = steps(GRAPHS[name])
    place: dict[bool, dict[Node, int]] = {}
    for late in (False, True):
        stages = schedule(backward, late=late).stages
        place[late] = {n: i for i, st in enumerate(stages) for n in (*st.reductions, *products(st))}
    assert place[True].keys() == place[False].keys()
    assert all(place[True][n] >= place[False][n] for n in place[True])


def products(stage: Stage) -> list[Node]:
    return [p for pack in stage.packs for p in pack.products]


# ---- what leaves the loop -----------------------------------------------------------------------------------


def test_sums_over_rows_leave_the_loop_with_all_that_follows():
    @cell
    def squashed(x, h):
        return (
            tanh(x * 0.0 + h * sigmoid(weight("w", "H")))
            if False
            else tanh(h * sigmoid(weight("w")) + affine("a", x))
        )

    s = schedule(derive(squashed.graph))
    assert {n.op for n in s.after} == {"outer", "collect", "sigmoid", "sub", "mul"}
    assert all(not n.type.rows for n in s.after)


def test_a_sum_over_rows_inside_of_the_loop_is_refused():
    h = make("state", attr=Leaf("h", ("H",)))
    graph = verify(Graph("g", (Argument("state", "h", ("H",)),), {"out": make("collect", h) + h}))
    with pytest.raises(GraphError, match="reads a sum over rows and time inside of the loop"):
        schedule(graph)


def test_a_deep_chain_is_no_problem():
    h = make("state", attr=Leaf("h", ("H",)))
    w = make("parameter", attr=Leaf("w", ("H", "H"), init="uniform", matrix=True))
    node = h
    for _ in range(5_000):
        node = node + make("matvec", w, tanh(node))
    graph = verify(Graph("g", (Argument("state", "h", ("H",)),), {"out": node}))
    assert len(schedule(graph).stages) == 5_001
    node = h
    for k in range(5_000):
        node = node + make(
            "matvec", make("parameter", attr=Leaf(f"w{k}", ("H", "H"), init="uniform", matrix=True)), h
        )
    graph = verify(Graph("g", (Argument("state", "h", ("H",)),), {"out": node}))
    (stage,) = schedule(graph, late=True).stages
    assert str(stage) == "P5000"
