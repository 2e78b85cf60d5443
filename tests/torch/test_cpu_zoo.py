"""Every cell of the zoo on the compiled backend: outputs and all gradients held to the reference in float64."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch

from rekur.cells import Cell, affine, cell, find, named, spread, sum_over, tanh, weight
from rekur.graph import Graph, Node, make
from rekur.graph.rewrite import rebuild
from rekur.graph.rewrite import same as unchanged
from rekur.run import Call, Scan
from rekur.run.cpu.backend import Cpu
from rekur.run.reference import Reference
from tests.compare import silent
from tests.torch.cpu_cases import Case, held, results, run, same
from tests.torch.one_by_one import CHAINS

AXES = {"I": 3, "P": 2, "A": 4, "D": 6, "S": 5}
WIDE = {"I": 40, "P": 20, "A": 19, "D": 18, "S": 11}
SHAPES = (
    (1, 2, 1, 1, None),
    (7, 1, 17, 3, None),
    (17, 7, 2, 40, (0, 2, 1, 2, 0, 1, 2)),
    (33, 2, 17, 3, (17, 9)),
    (129, 7, 2, 3, None),
)
"""H, B, T, I and lengths"""


def cases(graph: Graph) -> list[Case]:
    """Shapes, each with some of what a scan can be asked for."""
    out = []
    for k, (h, batch, steps, i, lengths) in enumerate(SHAPES):
        sizes = {**(WIDE if h > 17 else AXES), "H": h, "I": i}
        out.append(Case(graph, sizes, batch, steps, lengths, resets=k % 2 == 1, reverse=k in (1, 2), seed=k))
    return out


@pytest.mark.parametrize("name", CHAINS)
def test_every_cell_of_the_zoo(name: str):
    for case in cases(find(name).graph):
        assert held(case) == {}, case


@pytest.mark.parametrize("name", ["gru", "attend"])
def test_lengths_resets_and_reverse_in_every_combination(name: str):
    graph = find(name).graph
    for lengths, resets, reverse in itertools.product((None, (3, 0, 5, 1)), (False, True), (False, True)):
        case = Case(graph, {**AXES, "H": 7}, 4, 5, lengths, resets, reverse, seed=8)
        assert held(case) == {}, case


@pytest.mark.parametrize("name", ["lstm", "layer-norm-lstm", "attend"])
def test_inner_values_as_outputs(name: str):
    """A gradient comes in through each of them; a state other than the first is a series like the rest."""
    graph = find(name).graph
    for reverse in (False, True):
        case = Case(graph, {**AXES, "H": 9}, 3, 6, (6, 0, 4), True, reverse, (*graph.names, *graph.outputs), seed=3)
        assert held(case) == {}, case
    assert silent(results(case)) <= {"gradient of initial context"}  # which no step reads


@pytest.mark.parametrize("steps", [0, 3])
def test_where_no_step_is_live(steps: int):
    case = Case(find("lstm").graph, {"I": 2, "H": 3}, 2, steps, (0, 0))
    assert same(results(case), results(case, Reference)) == set()


@pytest.mark.parametrize("empty", ["I", "H"])
def test_where_an_axis_is_empty(empty: str):
    case = Case(find("lstm").graph, {"I": 2, "H": 3, empty: 0}, 2, 3)
    assert held(case) == {}


# ---- cells that are odd in one way ----------------------------------------------------------------------------


@cell
def swapping(x, h, c):
    return named("given", c), tanh(h + affine("a", x))


@cell
def keeping(x, h, c):
    """A state that only passes by."""
    return tanh(affine("a", x) * c), c


@cell
def doubling(x, h, c):
    """Two states of one value."""
    v = tanh(affine("a", x, h) + c)
    return v, named("again", v)


@cell
def repeating(x, h):
    """Nothing of the row, nor of time."""
    return spread(tanh(weight("w", "H")), "H")


@cell(x="H")
def copying(x, h):
    return named("copy", x)


@cell(k="H")
def holding(x, h, *, k):
    """A constant as it is."""
    return named("held", k)


@cell(n="")
def counting(x, h, n):
    """A scalar state, and one that is a number."""
    return tanh(affine("a", x, h) + n), n * 0.5 + 1.5


@cell(x="H I")
def reading_matrices(x, h):
    return tanh(sum_over(x, "I") + h)


@cell(image="I")
def adding(x, h, *, image):
    """A constant of the sequence within a product that leaves the loop."""
    return tanh(affine("a", v=x + image) + affine("b", h))


@cell(memory="S D")
def spreading(x, h, *, memory):
    keys = affine("k", v=tanh(spread(affine("q", x, size="D"), "S", "D") + memory), size="H")
    return tanh(sum_over(keys, "S") + affine("b", h))


@cell
def overflowing(x, h):
    """Numbers that float32 does not have."""
    return tanh(affine("a", x, h) / 1e39 + affine("b", x) * (1e30 * 1e-30))


@cell
def naming(x, h, arriving):
    """As passes call what they make."""
    return tanh(affine("a", x, h) + arriving), tanh(h * arriving)


@cell(x="H")
def passing(x, h):
    """An input added to a product, whose gradient is thereby the sum's, and read by a product before the loop too."""
    return tanh(affine("a", x, h=(x + affine("b", h)) * h))


ODD = (
    swapping, keeping, doubling, repeating, copying, holding, counting, reading_matrices, adding, spreading,
    overflowing, naming, passing,
)  # fmt: skip


@pytest.mark.parametrize("one", ODD, ids=lambda one: one.name)
def test_odd_cells(one: Cell):
    sizes = {**AXES, "H": 7}
    for case in (
        Case(one.graph, sizes, 4, 5, seed=3),
        Case(one.graph, sizes, 4, 5, (1, 5, 0, 4), resets=True, reverse=True, seed=3),
    ):
        assert held(case) == {}, case


@pytest.mark.parametrize("kind", ["weight", "input", "state", "initial", "constant"])
@pytest.mark.parametrize("one", [adding, spreading, find("attend")], ids=lambda one: one.name)
def test_where_some_gradients_are_not_wanted(one: Cell, kind: str):
    """The others are the same; a gradient that is not made must not take another's place."""
    case = Case(one.graph, {**AXES, "H": 7}, 4, 5, (1, 5, 0, 4), resets=True, fixed=(kind,), seed=3)
    assert held(case) == {}, case


def test_without_gradients_values_are_the_same_bits():
    for name in ("lstm", "gru", "attend", "layer-norm-lstm"):
        case = Case(find(name).graph, {**AXES, "H": 33}, 3, 9, (9, 0, 4), outputs=("h",), seed=1)
        training = results(case)
        with torch.no_grad():
            found = run(case, case.values)
        assert torch.equal(found.output, training["output"])
        assert all(torch.equal(v, training[f"final {k}"]) for k, v in found.state.items())


@pytest.mark.parametrize("name", ["lstm", "gru", "layer-norm-lstm", "attend"])
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_what_is_not_finite_in_live_input_shows_where_it_does_on_the_reference(name: str, value: float):
    case = Case(find(name).graph, {**AXES, "H": 7}, 3, 4, (4, 2, 3), seed=5)
    case.values["input"]["x"][1, 1, 0] = value
    case.values["input"]["x"][2, 0, 2] = value
    got, want = results(case), results(case, Reference)
    assert any(not v.isfinite().all() for v in want.values())
    for k, v in want.items():
        finite = v.isfinite()
        assert torch.equal(got[k].isnan(), v.isnan()), k
        assert torch.equal(got[k][~finite & ~v.isnan()], v[~finite & ~v.isnan()]), k
        torch.testing.assert_close(got[k][finite], v[finite], rtol=1e-4, atol=1e-4)


# ---- what is wrong is found -------------------------------------------------------------------------------------

Change = Callable[[Node, Mapping[Node, Node]], Node]


def changed(graph: Graph, change: Change) -> Graph:
    new = rebuild(graph.nodes, change)
    assert any(new[n] is not n for n in graph.nodes)
    outputs, names = ({k: new[n] for k, n in group.items()} for group in (graph.outputs, graph.names))
    return replace(graph, outputs=outputs, names=names, nodes=())


def swap_gates(n: Node, new: Mapping[Node, Node]) -> Node:
    if n.op == "parameter" and n.leaf.name in ("forget.h", "input.h"):
        other = {"forget.h": "input.h", "input.h": "forget.h"}[n.leaf.name]
        return make(
            "parameter",
            attr=replace(n.leaf, name=other),
        )
    return unchanged(n, new)


def lose_a_gradient(n: Node, new: Mapping[Node, Node]) -> Node:
    same_one = unchanged(n, new)
    return make("stop", same_one) if n.op == "parameter" and n.leaf.name == "forget.bias" else same_one


def relu_for_tanh(n: Node, new: Mapping[Node, Node]) -> Node:
    return make("relu", new[n.args[0]]) if n.op == "tanh" else unchanged(n, new)


@pytest.mark.parametrize(
    ("change", "found"),
    [(swap_gates, None), (relu_for_tanh, None), (lose_a_gradient, {"gradient of weight forget.bias"})],
)
def test_a_wrong_kernel_is_found(change: Change, found: set[str] | None):
    case = Case(find("lstm").graph, {"I": 3, "H": 7}, 3, 5, (5, 3, 1), resets=True, seed=2)
    assert held(case) == {}
    wrong = held(case, lambda graph: Cpu(changed(graph, change)))
    assert set(wrong) == (found or set(results(case)))


LOST: dict[str, dict[str, Any]] = {
    "lengths": {"lengths": None, "mask": None},
    "resets": {"reset": None},
    "reverse": {"reverse": False},
}


@pytest.mark.parametrize("lost", LOST)
def test_a_lost_option_is_found(lost: str):
    case = Case(find("lstm").graph, {"I": 3, "H": 7}, 3, 6, (6, 3, 1), resets=True, reverse=True, seed=3)

    class Forgetful(Cpu):
        def run(self, call: Call) -> Scan:
            return super().run(replace(call, **LOST[lost]))

    assert held(case) == {}
    assert "output" in held(case, Forgetful)
