"""The pictures of the gradient's flow: where lines and bars are says what the numbers are."""

import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from rekur.report.falling import Line, falling
from rekur.report.travel import STYLE, Traveller, travel

SVG = "{http://www.w3.org/2000/svg}"


def points(svg: str) -> list[list[tuple[float, float]]]:
    lines = ElementTree.fromstring(svg).findall(f"{SVG}polyline")
    pairs = [line.attrib["points"].split() for line in lines]
    return [[(float(a), float(b)) for a, b in (pair.split(",") for pair in line)] for line in pairs]


def test_a_power_of_ten_is_as_high_as_any_other():
    (line,) = points(falling([Line("x", [1.0, 0.1, 0.01, 0.001])], 400, 200))
    steps = [(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(line)]
    assert all(step == pytest.approx(steps[0], abs=0.2) for step in steps)
    assert steps[0][1] > 0


def test_what_falls_out_of_the_picture_ends_at_its_edge():
    out, through = points(falling([Line("out", [1.0, 1e-6, 1e-10, 1e-14]), Line("all", [1.0] * 4)], 400, 200))
    assert len(out) == 3
    assert out[-1][0] == pytest.approx((out[1][0] + 2 * out[1][0] - out[0][0]) / 2, abs=0.2)  # half-way to the next
    assert len(through) == 4
    (zero,) = points(falling([Line("zero", [1.0, 0.0])], 400, 200))
    assert zero[-1][1] > zero[0][1]


def test_what_explodes_goes_up():
    (line,) = points(falling([Line("up", [1.0, 10.0, 1e12])], 400, 200))
    assert line[0][1] > line[1][1] > line[2][1]


def test_what_rises_a_little_before_it_falls_is_drawn_to_its_end():
    (line,) = points(falling([Line("bump", [1.0, 1.1, 1.0, 0.1, 0.01])], 400, 200))
    assert len(line) == 5
    assert line[1][1] < line[0][1] == line[2][1]


def test_names_do_not_lie_on_each_other():
    svg = ElementTree.fromstring(falling([Line(f"step {n}", [1.0, 0.5]) for n in range(5)], 400, 200))
    heights = [float(t.attrib["y"]) for t in svg.findall(f"{SVG}text") if (t.text or "").startswith("step ")]
    assert len(heights) == 5
    assert min(abs(a - b) for i, a in enumerate(heights) for b in heights[:i]) >= 15


def bars(svg: str) -> list[tuple[float, float, float]]:
    """(when the wave is there, height, x) of each bar."""
    found = []
    for group in ElementTree.fromstring(svg).iter(f"{SVG}g"):
        if group.attrib.get("class") == "lit":
            at = re.search(r"--at: ([\d.]+)", group.attrib["style"])
            assert at is not None
            first = group.findall(f"{SVG}rect")[0]
            found.append((float(at[1]), float(first.attrib["height"]), float(first.attrib["x"])))
    return found


@pytest.mark.parametrize("width", [1000, 360])
def test_the_wave_goes_to_the_left_and_leaves_what_is_left(width: int):
    found = bars(travel([Traveller("elman", "before", [1.0, 0.1, 0.01, 1e-9])], width, 100))
    when, heights, places = zip(*found, strict=True)
    assert list(when) == sorted(when)
    assert list(places) == sorted(places, reverse=True)
    assert heights[0] - heights[1] == pytest.approx(heights[1] - heights[2], abs=0.15)


def test_a_row_says_where_a_hundredth_is_left():
    svg = travel([Traveller("a<b", "before", [1.0, 0.1, 0.009, 0.0]), Traveller("c", "after", [1.0, 1e3])], 1000, 100)
    texts = ["".join(t.itertext()) for t in ElementTree.fromstring(svg).iter(f"{SVG}text")]
    assert texts.count("1 % after 2") == 1
    assert "a<b" in texts
    titles = ["".join(t.itertext()) for t in ElementTree.fromstring(svg).iter(f"{SVG}title")]
    assert "3 back: nothing" in titles
    assert "1 back: 1,000 times" in titles


def test_it_stands_still_on_paper_and_where_that_is_wished():
    for medium in ("print", "(prefers-reduced-motion: reduce)"):
        assert f"@media {medium} {{ .travel .moving {{ animation: none; }} }}" in STYLE
