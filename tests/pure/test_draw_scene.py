"""Scenes: the check that nothing overlaps finds what does, and what is written is what is there."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from rekur.draw import Box, Edge, Scene, Text, overlaps, to_png, to_svg
from rekur.draw.style import DARK, KINDS, LIGHT, STROKES, TEXTS
from rekur.draw.words import plain, runs, width
from rekur.errors import OptionError

A = Box("a", "gate", 0, 0, 60, 40, "σ", "forget")
B = Box("b", "valve", 100, 0, 30, 30, "×")
EDGE = Edge("a", "b", ((30, 0), (85, 0)))
GOOD = Scene("two boxes", (A, B), (EDGE,), (Text(57, -10, "W_{h}"),))


def test_a_good_scene_has_no_overlaps():
    assert overlaps(GOOD) == []


@pytest.mark.parametrize(
    ("bad", "found"),
    [
        (replace(GOOD, boxes=(A, replace(B, x=40))), "box b and box a overlap"),
        (replace(GOOD, texts=(Text(20, 0, "W"),)), "text 'W' and box a overlap"),
        (replace(GOOD, texts=(Text(57, -10, "W"), Text(60, -14, "V"))), "text 'V' and text 'W' overlap"),
        (replace(GOOD, texts=(Text(57, 0, "W"),)), "edge a → b runs through text 'W'"),
        (replace(GOOD, boxes=(A, B, Box("c", "valve", 57, 8, 20, 20, "+"))), "edge a → b runs through box c"),
        (replace(GOOD, boxes=(replace(A, width=30), B)), "'forget' does not fit into box a"),
        (replace(GOOD, edges=(replace(EDGE, points=((30, 0), (57, -40), (57, 40), (85, 0))),)), "runs through text"),
    ],
)
def test_an_overlap_is_found(bad: Scene, found: str):
    assert any(found in line for line in overlaps(bad)), overlaps(bad)


def test_a_frame_may_hold_boxes_and_edges_may_touch_their_own():
    frame = Box("cell", "frame", 50, 0, 200, 100)
    assert overlaps(replace(GOOD, boxes=(frame, A, B))) == []


def test_labels_have_levels_and_widths():
    assert [tuple(r) for r in runs("W^{T}_{xh}+b")] == [("W", 0), ("T", 1), ("xh", -1), ("+b", 0)]
    assert plain("h_{t-1}^{2}") == "h_t-12"
    assert width("h_{t}", 10) < width("ht", 10)
    assert width("", 10) == 0


def elements(svg: str) -> list[ET.Element]:
    return list(ET.fromstring(svg).iter())


@pytest.mark.parametrize("dark", [False, True])
def test_svg_holds_every_box_edge_and_word(dark: bool):
    scene = replace(GOOD, boxes=(A, replace(B, label="<&>")), dots=((50.0, 0.0),))
    svg = to_svg(scene, dark=dark)
    found = elements(svg)
    tags = [e.tag.rpartition("}")[2] for e in found]
    assert tags.count("path") == tags.count("polygon") == 1
    assert tags.count("ellipse") == 1
    assert tags.count("circle") == 1
    texts = ["".join(e.itertext()) for e in found if e.tag.endswith("}text")]
    assert texts == ["σ", "forget", "<&>", "Wh"]
    root = found[0]
    assert root.attrib["viewBox"] == f"0 0 {root.attrib['width']} {root.attrib['height']}"
    assert "currentColor" not in svg
    assert "href" not in svg
    assert "url(" not in svg
    assert (DARK if dark else LIGHT)["paper"] in svg


def test_the_picture_lies_in_its_view():
    svg = to_svg(replace(GOOD, texts=(Text(-200, -90, "far off"),)))
    _, _, wide, high = map(float, ET.fromstring(svg).attrib["viewBox"].split())
    assert wide > 300
    assert high > 100


@pytest.mark.parametrize(
    "together",
    [
        ("input", "constant", "weight", "state", "gate", "valve", "map", "join", "rest"),
        ("input", "constant", "state", "layer", "head", "output", "target", "loss", "delay", "join"),
        ("input", "value", "head"),
    ],
)
def test_print_may_drop_colour(together: tuple[str, ...]):
    """Boxes that stand in one picture differ by shape, stroke or letters."""
    looks = {(k.shape, k.dash, k.stroke, k.text) for k in map(KINDS.__getitem__, together)}
    assert len(looks) == len(together)
    assert len(set(STROKES.values())) == len(STROKES)
    assert set(LIGHT) == set(DARK)
    assert {k.fill for k in KINDS.values()} | {t.colour for t in TEXTS.values()} == set(LIGHT)


def _brightness(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(w * v for w, v in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_every_word_can_be_read(colours):
    """A contrast of 4.5 and more, as WCAG 2 asks of text."""
    grounds = {k.fill for k in KINDS.values()} - {"ink"}
    for letters in {t.colour for t in TEXTS.values()}:
        for ground in grounds:
            one, two = sorted((_brightness(colours[letters]), _brightness(colours[ground])))
            assert (two + 0.05) / (one + 0.05) > 4.5, (letters, ground)


def test_a_png_without_its_library_is_an_error_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    with pytest.raises(OptionError, match=r"pip install 'rekur\[png\]'"):
        to_png(GOOD)


def test_a_png_is_one():
    assert to_png(GOOD)[:8] == b"\x89PNG\r\n\x1a\n"
