"""The text of graphs: printing and parsing are inverse; two hashes; what a hostile text can do (nothing)."""

from __future__ import annotations

import copy
import math
import pickle
import random
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rekur.cells import find
from rekur.errors import GraphError
from rekur.graph import (
    Argument,
    Cell,
    Graph,
    Leaf,
    Node,
    affine,
    cell,
    derive,
    equations,
    make,
    neighbour,
    parse,
    same_structure,
    split,
    structure_hash,
    tanh,
    text_hash,
    to_text,
    verify,
    walk,
)
from rekur.graph.rewrite import rebuild, same
from tests.pure.graph_cells import GRAPHS, evaluator, random_values
from tests.pure.random_cells import cells, random_cell

RANDOM = {f"random{seed}": random_cell(seed, lattice=seed % 3 == 0).graph for seed in range(60)}
EVERY = {**GRAPHS, **RANDOM}


# ---- printing and parsing -----------------------------------------------------------------------------------


def check_round_trip(graph: Graph) -> None:
    read = parse(to_text(graph))
    assert to_text(read) == to_text(graph)
    assert (read.name, read.arguments) == (graph.name, graph.arguments)
    for table in ("outputs", "names"):
        old, new = getattr(graph, table), getattr(read, table)
        assert list(old) == list(new)
        assert all(old[k] is new[k] for k in old)
    assert set(read.nodes) == set(graph.nodes)
    assert text_hash(read) == text_hash(graph)


@pytest.mark.parametrize("name", EVERY)
def test_parsing_is_the_inverse_of_printing(name: str):
    check_round_trip(EVERY[name])
    check_round_trip(derive(EVERY[name]))


@given(cells(lattice=True))
@settings(max_examples=30)
def test_parsing_is_the_inverse_of_printing_for_any_cell(c: Cell):
    check_round_trip(c.graph)


def test_the_text_is_what_it_is():
    @cell(h="P")
    def small(x, h=0.5):
        return tanh(affine("hidden", x, h, size="P", bias=-1.0) + neighbour(h, -2) * 1e-300)

    assert to_text(small.graph) == (
        "rekur 1 small\n"
        "input x [I]\n"
        "state h [P] = 0.5\n"
        "parameter hidden.x [P I] matrix uniform\n"
        "%0 = matvec(hidden.x, x) [P]\n"
        "parameter hidden.h [P P] matrix uniform\n"
        "%1 = matvec(hidden.h, h) [P]\n"
        "parameter hidden.bias [P] vector constant=-1.0\n"
        "%2 = add(%0, %1) [P]\n"
        "%3 = add(%2, hidden.bias) [P]\n"
        "%4 = mul(h@-2, 1e-300) [P]\n"
        "%5 = add(%3, %4) [P]\n"
        "%6 = tanh(%5) [P]\n"
        "output h = %6\n"
    )
    check_round_trip(small.graph)


@pytest.mark.parametrize("value", [0.0, -0.0, 1e-320, 1.7976931348623157e308, math.inf, -math.inf, 0.1, -1e22])
def test_every_number_comes_back(value: float):
    h = make("state", attr=Leaf("h", ("H",)))
    graph = Graph("g", (Argument("state", "h", ("H",)),), {"h": h * value})
    check_round_trip(graph)
    number = parse(to_text(graph)).outputs["h"].args[1].attr
    assert repr(number) == repr(value)


def test_cells_and_graphs_copy_and_pickle_through_their_text():
    lstm = find("lstm")
    assert Cell.from_text(lstm.text).graph.outputs["h"] is lstm.graph.outputs["h"]
    for again in (pickle.loads(pickle.dumps(lstm.graph)), copy.deepcopy(lstm.graph)):
        assert again.outputs["c"] is lstm.graph.outputs["c"]
        assert to_text(again) == lstm.text


def test_a_graph_that_is_not_a_cell_is_not_read_as_one():
    for graph in (derive(GRAPHS["lstm"]), split(GRAPHS["lstm"]).time):
        assert graph is not None
        with pytest.raises(GraphError, match="but not a cell"):
            Cell.from_text(to_text(graph))
    with pytest.raises(GraphError, match="but not a cell"):
        Cell.from_text("rekur 1 nothing\n")


# ---- the structure ------------------------------------------------------------------------------------------


def retold(graph: Graph, rd: random.Random) -> tuple[Graph, dict[str, str]]:
    """The same computation: weights renamed and started otherwise, sums and products turned around, in another
    order; and the new name of each weight.
    """
    names: dict[str, str] = {}

    def rule(n: Node, new: dict[Node, Node]) -> Node:
        if n.op == "parameter":
            names[n.leaf.name] = f"w{rd.randrange(10**12)}"
            return make("parameter", attr=replace(n.leaf, name=names[n.leaf.name], init="zeros"))
        if n.op in ("add", "mul", "maximum") and rd.random() < 0.5:
            turned = make(n.op, *[new[a] for a in reversed(n.args)])
            if turned.axes == n.axes:
                return turned
        return same(n, new)

    new = rebuild(graph.nodes, rule)  # type: ignore[arg-type]
    order = [new[n] for n in graph.nodes]
    rd.shuffle(order)
    outputs = {k: new[n] for k, n in graph.outputs.items()}
    roles = {f"role{i}": new[n] for i, n in enumerate(graph.names.values())}
    return verify(Graph("retold", graph.arguments, outputs, roles, tuple(walk(order)))), names


@pytest.mark.parametrize("name", EVERY)
def test_names_and_order_do_not_change_the_structure(name: str):
    graph = EVERY[name]
    other, _ = retold(graph, random.Random(name))
    assert structure_hash(other) == structure_hash(graph)
    assert text_hash(other) != text_hash(graph)
    weights = same_structure(graph, other)
    assert weights is not None
    assert set(weights) == {n.leaf.name for n in walk(graph.outputs.values()) if n.op == "parameter"}
    e = evaluator()
    values = random_values(graph, e, np.random.default_rng(0))
    got = e(other, values | {weights[k]: values[k] for k in weights})
    for k, v in e(graph, values).items():
        np.testing.assert_allclose(got[k], v, rtol=1e-9, atol=1e-11, equal_nan=True)


def changed(graph: Graph, change: Callable[[Node, dict[Node, Node]], Node | None]) -> Graph:
    def rule(n: Node, new: dict[Node, Node]) -> Node:
        other = change(n, new)
        return same(n, new) if other is None else other

    new = rebuild(graph.nodes, rule)  # type: ignore[arg-type]
    return Graph(graph.name, graph.arguments, {k: new[n] for k, n in graph.outputs.items()})


CHANGES: dict[str, Callable[[Node, dict[Node, Node]], Node | None]] = {
    "another activation": lambda n, new: make("sigmoid", new[n.args[0]]) if n.op == "tanh" else None,
    "a difference turned around": lambda n, new: new[n.args[1]] - new[n.args[0]] if n.op == "sub" else None,
    "another constant": lambda n, new: make("number", attr=2.0) if n.op == "number" and n.attr == 1.0 else None,
    "a transposed matrix": lambda n, new: (
        make("matvec", make("transpose", new[n.args[0]]), new[n.args[1]])
        if n.op == "matvec" and n.args[0].leaf.name == "update.h"
        else None
    ),
    "a tied weight": lambda n, new: (
        make("parameter", attr=replace(n.leaf, name="reset.h"))
        if n.op == "parameter" and n.leaf.name == "update.h"
        else None
    ),
    "a swapped gate": lambda n, new: (
        new[n.args[0]].args[1] * new[n.args[1]]
        if n.op == "mul" and n.args[0].op == "sub"
        else (1.0 - new[n.args[0]]) * new[n.args[1]]
        if n.op == "mul" and n.args[0].op == "sigmoid" and n.args[1].op == "state" and n.args[1].leaf.name == "h"
        else None
    ),
}


@pytest.mark.parametrize("what", CHANGES)
def test_another_computation_is_another_structure(what: str):
    graph = GRAPHS["gru"]
    other = changed(graph, CHANGES[what])
    assert any(other.outputs[k] is not n for k, n in graph.outputs.items())
    assert structure_hash(other) != structure_hash(graph)
    assert same_structure(graph, other) is None


def test_symmetric_parts_are_told_apart_by_what_reads_them():
    def twins(turn: bool) -> Graph:
        @cell
        def twin(x, h):
            a, b = affine("a", h, bias=False), affine("b", h, bias=False)
            return (b + a if turn else a + b) * tanh(a)

        return twin.graph

    assert structure_hash(twins(True)) == structure_hash(twins(False))
    assert same_structure(twins(True), twins(False)) == {"a.h": "a.h", "b.h": "b.h"}


def test_arguments_and_axes_belong_to_the_structure():
    @cell
    def one(x, h, c):
        return h * 2.0, c * 3.0

    @cell
    def other(x, h, c):
        return h * 3.0, c * 2.0

    assert structure_hash(one.graph) != structure_hash(other.graph)


# ---- hostile texts ------------------------------------------------------------------------------------------

HEAD = "rekur 1 g\ninput x [H]\nstate h [H] = 0.0\nparameter w [H H] matrix uniform\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "does not begin with 'rekur VERSION NAME'"),
        ("\x00\x01", "does not begin"),
        ("rekur one g\n", "does not begin"),
        ("rekur 2 g\n", "text version 2, this rekur reads up to 1: upgrade rekur"),
        ("rekur 999999 g\n", "text version 999999"),
        (f"rekur {'9' * 5000} g\n", "does not begin"),
        ("rekur 1 ../../etc/passwd\n", "is not a name"),
        ("rekur 1 g\nstate ../h [H] = 0.0\noutput ../h = ../h\n", "not understood"),
        ("rekur 1 g\nstate h/h [H] = 0.0\n", "is not a name"),
        ("rekur 1 g\nstate h [H] = 0.0\nparameter ../w [H] vector zeros\noutput h = h\n", None),
        (HEAD + "%0 = mul(h, h) [H]\nname a/b = %0\noutput h = %0\n", "is not a name"),
        (HEAD + "output h = %0\n%0 = neg(h) [H]\n", "'%0' is used before it is defined"),
        (HEAD + "%0 = neg(%0) [H]\noutput h = %0\n", "'%0' is used before it is defined"),
        (HEAD + "%0 = neg(%1) [H]\n%1 = neg(%0) [H]\noutput h = %0\n", "'%1' is used before it is defined"),
        (HEAD + "%0 = neg(h) [H]\n%0 = tanh(h) [H]\noutput h = %0\n", "'%0' stands twice"),
        (HEAD + "state h [H] = 0.0\noutput h = h\n", "'h' stands twice"),
        (HEAD + "%0 = neg(h) [I]\noutput h = %0\n", r"said to have \[I\], it has \[H\]"),
        (HEAD + "%0 = add(h, h) <H> [H]\noutput h = %0\n", "has no attribute"),
        (HEAD + "%0 = sum(h) [H]\noutput h = %0\n", "has no axis None"),
        (HEAD + "%0 = sum(h) <I> []\noutput h = %0\n", "has no axis 'I'"),
        (HEAD + "%0 = spread(h) <H H> [H H]\noutput h = %0\n", "cannot spread"),
        (HEAD + "%0 = spread(h) <H A B C D> [H A B C D]\noutput h = %0\n", "more than 4 axes"),
        (HEAD + "%0 = eval(h) [H]\noutput h = %0\n", "there is no operation 'eval'"),
        (HEAD + "%0 = __import__(h) [H]\noutput h = %0\n", "there is no operation"),
        (HEAD + "%0 = state(h) [H]\noutput h = %0\n", "there is no operation 'state'"),
        (HEAD + "%0 = add(h) [H]\noutput h = %0\n", "add takes 2 arguments, got 1"),
        (HEAD + "%0 = mul(w, h) [H]\noutput h = %0\n", "read by a product only"),
        (HEAD + "%0 = add(w, w) [H H]\n%1 = matvec(%0, h) [H]\noutput h = %1\n", "a product reads a weight"),
        (HEAD + "%0 = mul(h, nan) [H]\noutput h = %0\n", "'nan' is used before it is defined"),
        (HEAD + "%0 = mul(h, 1.2.3) [H]\noutput h = %0\n", "could not convert"),
        (HEAD + "%0 = mul(h, h@-1000000) [H]\noutput h = %0\n", "not understood"),
        (HEAD + f"%0 = mul(h, h@+{'9' * 4000}) [H]\noutput h = %0\n", "not understood"),
        (HEAD + "%0 = mul(h, x@-1) [H]\noutput h = %0\n", "only a state has neighbours"),
        (HEAD + "%0 = matvec(w@+1, h) [H]\noutput h = %0\n", "an axis stands twice"),
        (
            HEAD + "parameter v [H] vector zeros\n%0 = mul(h, v@+1) [H]\noutput h = %0\n",
            "only a state has neighbours",
        ),
        (HEAD + "%0 = neg(h) [H]\n%1 = neg(%0@+1) [H]\noutput h = %1\n", "takes 1 arguments, got 0"),
        ("rekur 1 g\nstate h [H] = nan\noutput h = h\n", "cannot start from nan"),
        ("rekur 1 g\nstate h [H] = 1e999\noutput h = h\n", "cannot start from inf"),
        ("rekur 1 g\nstate h [H] = zero\noutput h = h\n", "could not convert"),
        ("rekur 1 g\ninput x [I] = 1.0\n", "only a state has an initial value"),
        ("rekur 1 g\nstate h [H H] = 0.0\noutput h = h\n", "an axis stands twice"),
        ("rekur 1 g\nstate h [a-b] = 0.0\noutput h = h\n", "is not an axis"),
        ("rekur 1 g\nstate h [A B C D E] = 0.0\noutput h = h\n", "more than 4 axes"),
        (HEAD, "puts nothing out"),
        (HEAD + "output h = x@\n", "not understood"),
        (HEAD + "output h = x\noutput h = h\n", "'h' is put out twice"),
        (HEAD + "name a = x\nname a = h\noutput h = h\n", "'a' is named twice"),
        (HEAD + "%0 = sum(h) <H> []\noutput h = %0\n", r"the next 'h' has \[\], the state is \[H\]"),
        (HEAD + "output h = w\n", "the next 'h' has"),
        (HEAD + "parameter v [H H H] matrix uniform\n%0 = matvec(v, h) [H]\noutput h = %0\n", "needs two axes"),
        (HEAD + "parameter v [H] vector open('x')\n%0 = mul(v, h) [H]\noutput h = %0\n", "cannot be initialised"),
        (HEAD + "parameter v [H] vector orthogonal\n%0 = mul(v, h) [H]\noutput h = %0\n", "is a vector"),
        (HEAD + "parameter x [H] vector zeros\noutput h = x\n", "'x' stands twice"),
        (HEAD + "import os\noutput h = h\n", "'import os' is not understood"),
        (HEAD + "output h = h\r\n", "not understood"),
    ],
)
def test_a_broken_text_is_refused(text: str, says: str | None):
    if says is None:  # a weight that nothing reads is not part of the graph
        assert parse(text).parameters == {}
        return
    with pytest.raises(GraphError, match=says):
        parse(text)


def test_the_line_is_named():
    with pytest.raises(GraphError, match=r"^line 5 of graph 'g': 'nonsense' is not understood$"):
        parse(HEAD + "nonsense\n")


def test_a_message_does_not_repeat_a_long_line():
    with pytest.raises(GraphError) as e:
        parse(HEAD + "x" * 100_000)
    assert len(str(e.value)) < 200


def chain_text(nodes: int) -> str:
    lines = [f"%{i} = {'tanh' if i % 2 else 'neg'}({f'%{i - 1}' if i else 'h'}) [H]" for i in range(nodes)]
    return "rekur 1 g\nstate h [H] = 0.0\n" + "\n".join(lines) + f"\noutput h = %{nodes - 1}\n"


@pytest.mark.parametrize("nodes", [10**6, 10**5, 30_000])
def test_a_giant_graph_is_refused_at_once(nodes: int):
    with pytest.raises(GraphError, match="the limit is"):
        parse(chain_text(nodes))


def test_a_deep_chain_is_no_problem():
    graph = parse(chain_text(15_000))
    assert to_text(graph) == chain_text(15_000)
    assert len(structure_hash(graph)) == len(text_hash(graph))
    assert equations(graph).count("tanh") == 7_500
    with pytest.raises(GraphError, match="the limit is"):
        derive(graph)  # which would be larger than any graph may be


def test_doubling_does_not_explode():
    lines = [f"%{i} = add(%{i - 1}, %{i - 1}) [H]" if i else "%0 = add(h, h) [H]" for i in range(5_000)]
    graph = parse("rekur 1 g\nstate h [H] = 0.0\n" + "\n".join(lines) + "\noutput h = %4999\n")
    assert len(equations(graph)) < 200_000
    check_round_trip(graph)


TEXTS = [to_text(g) for g in (GRAPHS["gru"], GRAPHS["attend"], GRAPHS["lstm2d"], derive(GRAPHS["elman"]))]
WORDS = """
    %0 %1 %7 h x h@-1 h@+2 nan inf -inf 1e999 0.0 -0.0 [H] [] <H> <> = ( ) , output name parameter state gradient
    matvec
    outer collect rdev transpose spread where matrix vector uniform ٣ @
"""
PIECES = [*WORDS.split(), "[H H]", "\n", "\x00", "name a = ", ", "]


@given(st.data())
@settings(max_examples=300)
def test_only_our_error_ever_comes_out(data: st.DataObject):
    text = data.draw(st.sampled_from(TEXTS))
    for _ in range(data.draw(st.integers(1, 6))):
        start = data.draw(st.integers(0, len(text)))
        end = min(len(text), start + data.draw(st.integers(0, 12)))
        piece = data.draw(st.sampled_from(PIECES) | st.text(max_size=4))
        text = text[:start] + piece + text[end:]
    try:
        graph = parse(text)
    except GraphError:
        return
    check_round_trip(graph)
    equations(graph)
    structure_hash(graph)
