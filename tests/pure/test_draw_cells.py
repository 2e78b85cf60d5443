"""The picture of the inside of a cell says what the graph says, for every cell of the zoo and for random cells."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from rekur.cells import ZOO, cell, find, gate, lstm, sigmoid, tanh
from rekur.draw import Scene, draw_cell, overlaps, to_svg
from rekur.draw.parts import SYMBOLS, parts
from rekur.graph import OPS, Graph, derive
from tests.pure.drawings import differences, ends_meet, shared_pieces
from tests.pure.graph_cells import GRAPHS
from tests.pure.random_cells import random_cell

SEEDS = (2, 4, 11, 22)
_DRAWN: dict[str, Scene] = {}


def drawn(name: str) -> tuple[Scene, Graph]:
    """The picture, made once."""
    graph = random_cell(int(name.removeprefix("random "))).graph if name.startswith("random ") else GRAPHS[name]
    if name not in _DRAWN:
        _DRAWN[name] = draw_cell(graph)
    return _DRAWN[name], graph


@pytest.mark.parametrize("name", [*GRAPHS, *(f"random {seed}" for seed in SEEDS)])
def test_a_picture_says_what_the_graph_says_and_nothing_overlaps(name: str):
    assert set(ZOO) <= set(GRAPHS)
    scene, graph = drawn(name)
    assert differences(scene, graph) == []
    assert overlaps(scene) == []
    assert ends_meet(scene) == []
    assert shared_pieces(scene) == []
    ET.fromstring(scene.svg())


def test_a_backward_step_is_drawn_too():
    graph = derive(find("elman").graph)
    scene = draw_cell(graph)
    assert overlaps(scene) == []
    assert {b.label for b in scene.boxes if b.kind == "next"} == set(graph.outputs)


def test_an_lstm_looks_like_one():
    scene, _ = drawn("lstm")
    boxes = {b.name: b for b in scene.boxes}
    gates = [b for b in scene.boxes if b.kind == "gate"]
    assert [(b.label, b.caption) for b in sorted(gates, key=lambda b: b.x)] == [
        ("σ", "forget"), ("σ", "input"), ("tanh", "candidate"), ("σ", "output"),
    ]  # fmt: skip
    assert len({b.y for b in gates}) == 1  # in one row
    rail = [e for e in scene.edges if e.kind == "state"]
    assert {p[1] for e in rail for p in e.points} == {boxes["c"].y}  # straight through
    assert min(b.y for b in scene.boxes if b.kind != "frame") == boxes["c"].y  # at the top
    assert [boxes[e.target].label for e in sorted(rail, key=lambda e: e.points[0])] == ["×", "+", "c_{t}"]
    assert boxes["x"].y == max(b.y for b in scene.boxes if b.kind != "frame")  # the input comes from below
    assert crossings(scene) == 0


def test_a_gru_looks_like_one():
    scene, _ = drawn("gru")
    boxes = {b.name: b for b in scene.boxes}
    rail = sorted((e for e in scene.edges if e.kind == "state"), key=lambda e: e.points[0])
    assert [boxes[e.target].label for e in rail] == ["×", "+", "h_{t}"]
    assert {p[1] for e in rail for p in e.points} == {boxes["h"].y}
    assert crossings(scene) <= 2


def crossings(scene: Scene) -> int:
    """How often an edge crosses another: points, not pairs of edges, since edges share their way."""
    level, upright = set(), set()
    for e in scene.edges:
        for (ax, ay), (bx, by) in zip(e.points, e.points[1:], strict=False):
            if ay == by:
                level.add((e.source, ay, min(ax, bx), max(ax, bx)))
            else:
                upright.add((e.source, ax, min(ay, by), max(ay, by)))
    return len(
        {
            (x, y)
            for a, y, left, right in level
            for b, x, top, bottom in upright
            if a != b and left < x < right and top < y < bottom
        }
    )


def test_gates_that_read_the_same_read_it_joined():
    scene, _ = drawn("lstm")
    (join,) = (b for b in scene.boxes if b.kind == "join")
    assert join.label == "[h_{t−1}, x_{t}]"
    assert {e.target for e in scene.edges if e.source == join.name} == {"forget", "input", "candidate", "output"}


def test_operands_are_told_apart_where_their_order_matters():
    @cell
    def ordered(x, h):
        a, b = gate("a", tanh, x), gate("b", sigmoid, h)
        return a - b

    scene = draw_cell(ordered)
    assert [(e.source, e.label) for e in scene.edges if e.label] == [("b", "−")]
    assert [t.text for t in scene.texts] == ["−"]


def test_a_long_cell_is_abbreviated():
    graph = find("highway:12").graph
    whole, short = draw_cell(graph, most=200), draw_cell(graph, most=20)
    assert len(short.boxes) < 25 < len(whole.boxes)
    (rest,) = (b for b in short.boxes if b.kind == "rest")
    assert re.fullmatch(r"\d+ more", rest.caption)
    for scene in (whole, short):
        assert differences(scene, graph) == []
        assert overlaps(scene) == []


def test_a_picture_is_the_same_every_time():
    assert draw_cell(lstm).svg() == draw_cell(lstm).svg() == to_svg(draw_cell(find("lstm")))


def test_every_operation_has_a_sign():
    assert set(SYMBOLS) == set(OPS)


def test_parts_name_the_weights_they_read_by():
    (forget,) = (p for p in parts(find("peephole").graph).parts if p.name == "forget")
    assert [(r.source, r.weight) for r in forget.reads] == [
        ("x", "forget.x"), ("h", "forget.h"), ("c", "forget.peephole"),
    ]  # fmt: skip


# ---- the checks find what they look for ------------------------------------------------------------------------


def test_the_checks_find_a_lost_edge_a_lost_node_and_a_stranger():
    scene, graph = drawn("gru")
    some = next(e for e in scene.edges if e.kind == "flow" and not e.target.startswith(("join", "next")))
    assert differences(replace(scene, edges=tuple(e for e in scene.edges if e is not some)), graph)
    reset = scene.box("reset")
    without = tuple(replace(b, of=b.of[1:]) if b is reset else b for b in scene.boxes)
    assert differences(replace(scene, boxes=without), graph)
    unsaid = tuple(replace(b, caption="", name="other") if b is reset else b for b in scene.boxes)
    assert any("reset" in line for line in differences(replace(scene, boxes=unsaid), graph))
    stranger = replace(some, source="x", target="add 31")
    assert differences(replace(scene, edges=(*scene.edges, stranger)), graph) == [
        "edge x → add 31 is not in the graph"
    ]


def test_the_checks_find_edges_that_end_nowhere_or_hide_each_other():
    scene, _ = drawn("gru")
    first = scene.edges[0]
    off = replace(first, points=(*first.points[:-1], (first.points[-1][0] + 30, first.points[-1][1])))
    assert ends_meet(replace(scene, edges=(off, *scene.edges[1:])))
    assert shared_pieces(replace(scene, edges=(*scene.edges, replace(first, source="x"))))
