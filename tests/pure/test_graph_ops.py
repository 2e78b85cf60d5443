"""The table of operations: shapes, and that the interpreter of these tests covers it and is right by itself."""

from __future__ import annotations

import numpy as np
import pytest

from rekur.errors import GraphError
from rekur.graph import OPS, Graph, Leaf, Node, Type, make, to_text
from tests.pure.graph_cells import evaluator
from tests.pure.numpy_eval import FUNCTIONS, Array, Numpy
from tests.pure.random_cells import SIZES, random_cell


def state(name: str, *axes: str) -> Node:
    return make("state", attr=Leaf(name, axes))


def matrix(name: str, out: str, inner: str) -> Node:
    return make("parameter", attr=Leaf(name, (out, inner), init="uniform", matrix=True))


def value(node: Node, **values: Array) -> Array:
    rows = {len(v) for k, v in values.items() if k != "w"}
    e = Numpy(SIZES, max(rows))
    return e(Graph("g", (), {"out": node}), values)["out"]


# ---- the interpreter ----------------------------------------------------------------------------------------


def test_the_interpreter_knows_every_operation():
    assert set(FUNCTIONS) == {op for op, row in OPS.items() if row.kind != "leaf"}


RNG = np.random.default_rng(0)
SDH = RNG.standard_normal((2, SIZES["S"], SIZES["D"], SIZES["H"]))
SAH = RNG.standard_normal((2, SIZES["S"], SIZES["A"], SIZES["H"]))
AD = RNG.standard_normal((SIZES["A"], SIZES["D"]))
HS = RNG.standard_normal((2, SIZES["H"], SIZES["S"]))


def test_a_product_goes_over_the_axis_that_its_weight_names():
    got = value(make("matvec", matrix("w", "A", "D"), state("v", "S", "D", "H")), w=AD, v=SDH)
    np.testing.assert_allclose(got, np.einsum("ad,nsdh->nsah", AD, SDH), rtol=1e-13)
    turned = make("transpose", matrix("w", "A", "D"))
    got = value(make("matvec", turned, state("v", "S", "A", "H")), w=AD, v=SAH)
    np.testing.assert_allclose(got, np.einsum("ad,nsah->nsdh", AD, SAH), rtol=1e-13)


def test_an_outer_product_sums_over_rows_and_all_other_axes():
    d, v = state("d", "S", "A", "H"), state("v", "S", "D", "H")
    got = value(make("outer", d, v, attr=("A", "D")), d=SAH, v=SDH)
    np.testing.assert_allclose(got, np.einsum("nsah,nsdh->ad", SAH, SDH), rtol=1e-13)
    other_order = state("v", "H", "D", "S")
    got = value(make("outer", d, other_order, attr=("A", "D")), d=SAH, v=SDH.transpose(0, 3, 2, 1))
    np.testing.assert_allclose(got, np.einsum("nsah,nsdh->ad", SAH, SDH), rtol=1e-13)


def test_values_meet_by_the_names_of_their_axes():
    got = value(state("a", "S", "D", "H") * state("b", "H", "S"), a=SDH, b=HS)
    np.testing.assert_allclose(got, SDH * HS.transpose(0, 2, 1)[:, :, None, :], rtol=0)
    got = value(make("spread", state("b", "H", "S"), attr=("S", "D", "H")), b=HS)
    assert np.array_equal(got, np.broadcast_to(HS.transpose(0, 2, 1)[:, :, None, :], SDH.shape))


def test_a_dead_position_is_not_read():
    e = Numpy(SIZES, 2, masks={"S": np.array([[True, True, False, False], [True, False, False, False]])})
    v = np.array([[1.0, 3.0, np.nan, np.nan], [2.0, np.inf, np.nan, 5.0]])
    node = state("v", "S")

    def over(op: str) -> Array:
        return e(Graph("g", (), {"out": make(op, node, attr="S")}), {"v": v})["out"]

    assert over("sum").tolist() == [4.0, 2.0]
    assert over("max").tolist() == [3.0, 2.0]
    np.testing.assert_allclose(over("softmax")[1], [1.0, 0.0, 0.0, 0.0])
    np.testing.assert_allclose(over("standardise")[0], [-1.0, 1.0, 0.0, 0.0], rtol=1e-5)
    np.testing.assert_allclose(over("rdev")[0], 1.0, rtol=1e-5)
    count = make("sum", make("spread", 1.0, attr=("S",)), attr="S")
    assert e(Graph("g", (), {"out": count}), {})["out"].tolist() == [2.0, 1.0]


# ---- shapes -------------------------------------------------------------------------------------------------

W = matrix("w", "H", "D")
V = state("v", "S", "D")
H = state("h", "H")
B = make("parameter", attr=Leaf("b", ("H",), init="zeros"))


@pytest.mark.parametrize(
    ("node", "kind"),
    [
        (make("matvec", W, V), Type(("S", "H"), True)),
        (make("matvec", W, make("parameter", attr=Leaf("p", ("D",), init="zeros"))), Type(("H",), False)),
        (make("transpose", W), Type(("D", "H"), False, True)),
        (H + B, Type(("H",), True)),
        (B + 1.0, Type(("H",), False)),
        (1.0 - V, Type(("S", "D"), True)),
        (make("sum", V, attr="S"), Type(("D",), True)),
        (make("softmax", V, attr="S"), Type(("S", "D"), True)),
        (make("spread", B, attr=("S", "H")), Type(("S", "H"), False)),
        (make("outer", H, state("d", "D"), attr=("H", "D")), W.type),
        (make("collect", V), Type(("S", "D"), False)),
        (make("add", W, W), Type(("H", "D"), False, True)),
    ],
)
def test_the_shape_of_a_result(node: Node, kind: Type):
    assert node.type == kind


@pytest.mark.parametrize(
    ("op", "args", "attr"),
    [
        ("add", (W, H), None),
        ("add", (W, make("transpose", W)), None),
        ("mul", (W, W), None),
        ("neg", (W,), None),
        ("neg", (H,), "H"),
        ("matvec", (H, H), None),
        ("matvec", (W, W), None),
        ("matvec", (W, H), None),
        ("matvec", (W, state("x", "H", "D")), None),
        ("transpose", (H,), None),
        ("sum", (W,), "H"),
        ("sum", (H,), ("H",)),
        ("spread", (V,), ("S",)),
        ("spread", (H,), ("H", "H")),
        ("spread", (W,), ("H", "D", "S")),
        ("outer", (H, V), ("H", "D")),
        ("outer", (H, H), ("H",)),
        ("number", (), float("nan")),
        ("number", (), 1),
        ("state", (), "h"),
        ("parameter", (), Leaf("w", ("H",), matrix=True)),
        ("input", (), Leaf("x", ("H", "H"))),
        ("add", (H,), None),
        ("power", (H, H), None),
    ],
)
def test_what_does_not_fit_is_refused(op: str, args: tuple[Node, ...], attr: object):
    with pytest.raises(GraphError):
        make(op, *args, attr=attr)  # type: ignore[arg-type]


# ---- the random cells ---------------------------------------------------------------------------------------


def test_random_cells_reach_the_whole_language():
    reached = {n.op for seed in range(200) for n in random_cell(seed).graph.nodes}
    assert reached == {op for op, row in OPS.items() if row.kind != "derived"} - {"gradient", "transpose"}
    states = {len(random_cell(seed).graph.of("state")) for seed in range(50)}
    assert states == {1, 2, 3}


def test_a_random_cell_is_always_the_same():
    for seed in (0, 17, 2**32 - 1):
        assert random_cell(seed).text == random_cell(seed).text
    assert random_cell(1).text != random_cell(2).text
    graph = random_cell(3, lattice=True).graph
    assert to_text(graph).count("@") > 0
    assert evaluator().sizes.keys() >= set(graph.axes)
