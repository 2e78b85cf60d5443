"""Numbers in pictures: values as numpy computes them, steps as a person works them, and the errors."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from rekur.cells import elman, find, gru, lstm
from rekur.draw import (
    Scene,
    completed,
    draw_flow,
    expression,
    flow,
    one_hot,
    overlaps,
    run_through,
    unstacked,
    worked_step,
)
from rekur.draw.flow import number, vector
from rekur.draw.given import assignments, value
from rekur.draw.numbers import _FUNCTIONS, evaluate, leaves_of, nested
from rekur.errors import OptionError, RekurError, ShapeError
from rekur.graph import OPS, Graph, derive
from tests.pure.drawings import ends_meet
from tests.pure.graph_cells import GRAPHS, random_values
from tests.pure.numpy_eval import Numpy
from tests.pure.random_cells import SIZES, random_cell

LEAVES = {"input", "state", "constant", "parameter", "gradient"}
WEIGHTS = [[1.5, -2], [0, 1], [-1, 0.5], [2, 0]]


def lists(array: object) -> object:
    return np.asarray(array).tolist()


@pytest.mark.parametrize("name", [*(n for n in GRAPHS if n not in ("slots", "lstm2d", "row-lstm")), *range(8)])
def test_values_and_gradients_are_those_of_numpy(name: str | int):
    """Against another interpreter of the same graphs, forward and of the derived graph."""
    graph = GRAPHS[name] if isinstance(name, str) else random_cell(name).graph
    e = Numpy({**SIZES, "R": 2}, rows=1)
    values = random_values(graph, e, np.random.default_rng(3))
    leaves = {n.leaf.name: n for n in graph.nodes if not n.args and n.op != "number"}
    given = {k: lists(values[k][0] if leaves[k].type.rows else values[k]) for k in leaves}
    seeds = {k: lists(values[f"d.{k}"][0]) for k in graph.outputs}
    done = flow(graph, given, seeds, sizes=e.sizes)  # type: ignore[arg-type]
    for k, want in e(graph, values).items():
        got = nested(done.values[graph.outputs[k]], graph.outputs[k].axes)
        one = want[0] if graph.outputs[k].type.rows else want
        np.testing.assert_allclose(np.array(got), one, rtol=1e-12, atol=1e-12)
    for k, want in e(derive(graph), values).items():
        got = done.gradient(k.removeprefix("d."))
        want = want if leaves[k.removeprefix("d.")].op == "parameter" else want[0]
        np.testing.assert_allclose(np.array(got), want, rtol=1e-9, atol=1e-10)


def test_every_operation_can_be_evaluated():
    assert set(_FUNCTIONS) | LEAVES == set(OPS)


def test_the_gradients_of_the_example():
    """f c + i g at f = 1, c = 0.5, i = 1, g = -1: a plus copies what comes, a times switches."""
    done = flow(expression("f*c + i*g"), {"f": 1, "c": 0.5, "i": 1, "g": -1})
    assert {k: done.gradient(k) for k in "fcig"} == {"f": 0.5, "c": 1.0, "i": -1.0, "g": 1.0}
    scene = draw_flow(done)
    assert sorted(t.text for t in scene.texts if t.kind == "gradient") == sorted(
        ["0.5 · 1 = 0.5", "1 · 1 = 1", "−1 · 1 = −1", "1 · 1 = 1", "1 · 1 = 1", "1 · 1 = 1", "1"]
    )
    assert sorted(t.text for t in scene.texts if t.kind == "value") == ["0.5", "0.5", "1", "1", "−0.5", "−1", "−1"]
    assert (overlaps(scene), ends_meet(scene)) == ([], [])


def test_a_value_that_is_read_twice_gets_the_sum():
    done = flow(expression("x*x + 3*x"), {"x": 5})
    assert done.gradient("x") == 13.0
    seen = [t.text for t in draw_flow(done).texts if t.kind == "gradient"]
    assert seen.count("5 · 1 = 5") == 2


@pytest.mark.parametrize("seed", range(6))
def test_a_random_expression_is_drawn_without_overlaps(seed: int):
    rd = random.Random(seed)

    def made(depth: int) -> str:
        if depth == 0:
            return rd.choice("abcd")
        if rd.random() < 0.3:
            return f"{rd.choice(['tanh', 'sigmoid', 'exp'])}({made(depth - 1)})"
        return f"({made(depth - 1)} {rd.choice('+-*')} {made(depth - 1)})"

    graph = expression(made(4))
    values = {a.name: round(rd.uniform(-1, 1), 2) for a in graph.arguments}
    scene = draw_flow(flow(graph, values))
    assert (overlaps(scene), ends_meet(scene)) == ([], [])
    assert set(expression("a").outputs) == {"y"}


@pytest.mark.parametrize("name", sorted(GRAPHS))
def test_a_cell_is_drawn_with_its_values(name: str):
    graph = GRAPHS[name]
    scene = draw_flow(flow(graph, completed(graph, {}, seed=0), sizes=dict.fromkeys(graph.axes, 2)))
    assert (overlaps(scene), ends_meet(scene)) == ([], [])
    values = [t for t in scene.texts if t.kind == "value"]
    assert len(values) == len(scene.edges)


# ---- the worked step ----------------------------------------------------------------------------------------


def example() -> Graph:
    return elman.graph


def test_the_worked_step_shows_the_numbers_of_the_book():
    """h = (0, 1) and x = (1, 0) on the row vector [h, x]: (-1, 1.5), and its tanh (-0.76, 0.91)."""
    values = completed(elman.graph, {"x": [1, 0], "h": [0, 1], "W": WEIGHTS}, seed=0)
    done = worked_step(elman.graph, values)
    assert done.text() == (
        """\
elman, one step

  x = (1, 0)
  h = (0, 1)

  hidden = tanh(hidden.x @ x + hidden.h @ h + hidden.bias)
         = tanh((-1, 0.5) + (0, 1) + (0, 0))
         = tanh((-1, 1.5))
         = (-0.76, 0.91)
  h' = hidden
     = (-0.76, 0.91)"""
    )
    assert r"\tanh\left(\begin{pmatrix} -1 \\ 1.5 \end{pmatrix}\right) \\" in done.latex()
    assert done.latex().endswith("\\begin{pmatrix} -0.76 \\\\ 0.91 \\end{pmatrix}\n\\end{align*}")
    assert done.value("h") == [math.tanh(-1), math.tanh(1.5)]
    assert "= tanh((−1, 1.5))" in drawn_lines(done.scene())
    assert overlaps(done.scene()) == []


def drawn_lines(scene: Scene) -> list[str]:
    """The words of a picture, line by line."""
    rows: dict[float, list[tuple[float, str]]] = {}
    for t in scene.texts:
        rows.setdefault(t.y, []).append((t.x, t.text))
    return [" ".join(text for _, text in sorted(row)) for _, row in sorted(rows.items())]


def test_one_matrix_for_all_gates_is_that_of_each():
    """The columns of gate after gate; compared with the products done by hand."""
    rng = np.random.default_rng(0)
    matrix, x, h = rng.standard_normal((5, 12)), rng.standard_normal(2), rng.standard_normal(3)
    split = unstacked(lstm.graph, matrix.tolist(), {"I": 2, "H": 3})
    product = np.concatenate([h, x]) @ matrix
    for k, gate in enumerate(("forget", "input", "candidate", "output")):
        own = np.array(split[f"{gate}.x"]) @ x + np.array(split[f"{gate}.h"]) @ h
        np.testing.assert_allclose(own, product[3 * k : 3 * k + 3])
        assert split[f"{gate}.bias"] == [0.0] * 3


@pytest.mark.parametrize("name", sorted(GRAPHS))
def test_every_step_ends_in_its_values(name: str):
    graph = GRAPHS[name]
    done = worked_step(graph, completed(graph, {}, seed=1), digits=4, sizes=dict.fromkeys(graph.axes, 2))
    text = done.text()
    for k, node in graph.outputs.items():
        assert f"= {done.shown(node)}" in text
        assert f"\n  {k}' = " in text
    assert done.latex().count("{align*}") == 2
    assert overlaps(done.scene()) == []


def test_a_run_through_a_text_is_step_after_step():
    weights = completed(lstm.graph, {"x": [0.0, 0.0, 0.0]}, seed=0)
    weights.pop("x")
    done = run_through(lstm.graph, weights, one_hot("aab c"[:3] + "c"), "aab ")
    h: object = [0.0, 0.0]
    c: object = [0.0, 0.0]
    for k, x in enumerate(one_hot("aab c"[:3] + "c")):
        step = worked_step(lstm.graph, {**weights, "x": x, "h": h, "c": c})  # type: ignore[dict-item]
        h, c = step.value("h"), step.value("c")
        assert done.steps[k].value("forget") == step.value("forget")
        assert done.steps[k].value("h") == h
    lines = done.text().splitlines()
    assert lines[0].split() == ["step", "reads", "forget", "input", "candidate", "output", "h′", "c′"]
    assert [line.split()[1] for line in lines[1:]] == ["a", "a", "b", "␣"]
    assert done.latex().count(r"\\") == 4
    assert overlaps(done.scene()) == []


# ---- words ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("v", "said"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (1e-9, "1e−09"),
        (-0.12345, "−0.123"),
        (12.0, "12"),
        (math.inf, "∞"),
        (math.nan, "nan"),
    ],
)
def test_numbers_are_short(v: float, said: str):
    assert number(v) == said


def test_long_vectors_and_matrices_are_abbreviated():
    assert vector({(i,): float(i) for i in range(9)}, ("H",)) == "(0, 1, 2, …)"
    assert vector({(i, j): 0.0 for i in range(3) for j in range(2)}, ("H", "K")) == "3×2 numbers"


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: expression("f*c +"), "is not an expression"),
        (lambda: expression("f.c"), "cannot be drawn"),
        (lambda: expression("__import__('os').system('true')"), "there is no|cannot be drawn"),
        (lambda: expression("f if c else i"), "cannot be drawn"),
        (lambda: expression("sigmid(x)"), "did you mean 'sigmoid'"),
        (lambda: expression("x**9"), "cannot be drawn"),
        (lambda: expression("1 + 2"), "nothing to draw"),
        (lambda: expression("(" * 90 + "x" + ")" * 90 + "+" * 3), "is not an expression"),
        (lambda: flow(expression("a*b"), {"a": 1}), "no value was given for 'b'"),
        (lambda: flow(expression("a*bc"), {"a": 1, "bcd": 2}), "did you mean 'bc'"),
        (lambda: flow(expression("a*b"), {"a": [1.0], "b": 2}), "nested too deep"),
        (lambda: flow(expression("a*b"), {"a": 1, "b": 1}, {"z": 1.0}), "puts out no 'z'"),
        (lambda: value("one"), "is not a value"),
        (lambda: value("True"), "is not a value"),
        (lambda: assignments(["x1"]), "is not NAME=VALUE"),
        (lambda: assignments(["x=1", "x=2"]), "given twice"),
        (lambda: completed(elman.graph, {"hiden.x": [[1.0]]}, seed=0), "did you mean 'hidden.x'"),
        (lambda: completed(elman.graph, {"hidden.x": [1.0]}, seed=0), "has the axes"),
        (lambda: completed(elman.graph, {"h": [1, 2], "hidden.bias": [0, 0, 0]}, seed=0), "3 numbers along H"),
        (
            lambda: completed(elman.graph, {"x": [1.0], "h": [1.0], "W": [[1.0, 2.0]]}, seed=0),
            r"W is 1 × 2: it needs 2",
        ),
        (lambda: completed(gru.graph, {"W": [[1.0], [1.0, 2.0]]}, seed=0), "W is"),
        (lambda: completed(find("indrnn").graph, {"W": [[1.0]]}, seed=0), "'hidden.h'"),
        (lambda: completed(find("highway").graph, {"W": [[1.0]]}, seed=0), "do not all read the same"),
        (lambda: worked_step(elman.graph, {"x": [1.0]}), "no value was given for 'hidden.x'"),
        (lambda: run_through(find("row-lstm").graph, {}, one_hot("ab")), "read one vector"),
    ],
)
def test_what_makes_no_sense_is_refused(made, message: str):
    with pytest.raises((OptionError, ShapeError), match=message) as caught:
        made()
    assert isinstance(caught.value, RekurError)


def test_a_ragged_list_is_refused():
    with pytest.raises(ShapeError, match="numbers along"):
        leaves_of(elman.graph, {"x": [1.0], "h": [1.0, 2.0], "hidden.x": [[1.0], [1.0, 2.0]]})


def test_dividing_by_zero_is_a_number():
    graph = expression("1/x + log(x)")
    leaves, sizes = leaves_of(graph, {"x": 0.0})
    (y,) = graph.outputs.values()
    assert math.isnan(evaluate([y], leaves, sizes)[y][()])  # inf - inf
