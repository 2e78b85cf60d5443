"""What the report says of tasks that are right or wrong, or off by a number, and its drawing of a sequence."""

import re
from itertools import pairwise
from typing import Any

from rekur.report.tracks import tracks
from rekur.train import RunFolder
from tests.pure.test_report import EVIL, START, event, folder, report, rows, sampled, train, write

__all__ = ["folder"]

SHOWN = {
    "title": "Held-out days",
    "tracks": [
        {"name": "weather", "values": ["sun", "", "rain"]},
        {"name": "stock", "values": [2, 1, 0]},
        {"name": "state h", "values": [[0.5, -1.0], [0.0, 0.25], [1.0, -0.5]]},
    ],
}


def drawn(shown: dict[str, Any]) -> list[str]:
    """The wide and the narrow drawing."""
    return re.findall(r"<svg.*?</svg>", tracks([event("tracks", 9, **shown)]), re.DOTALL)


def boxes(svg: str) -> list[tuple[float, ...]]:
    """(x, y, width, height, opacity), negative where it is coloured as below zero."""
    pattern = (
        r'<rect x="(.*?)" y="(.*?)" width="(.*?)" height="(.*?)" style="fill: var\(--(\w+)\); fill-opacity: (.*?)"/>'
    )
    found = re.findall(pattern, svg)
    return [
        (*map(float, one[:4]), (-1 if one[4] == "accent" else 1) * float(one[5])) for one in found if one[4] != "soft"
    ]


def right(step: int, share: float, **more: Any) -> dict[str, Any]:
    interval = {"accuracy": share, "accuracy_low": share - 0.01, "accuracy_high": share + 0.005}
    return event("eval", step, epoch=1, split="validation", loss=1 - share, bits=1.5 - share, **interval, **more)


def test_how_much_is_right_leads(folder: RunFolder):
    test = {"loss": 0.1, "bits": 0.144, "accuracy": 0.9512, "accuracy_low": 0.94, "accuracy_high": 0.96}
    write(
        folder,
        event("start", 0, **{**START, "unit": "days", "measure": "nats", "samples": "What it predicted"}),
        *sampled(0, {"a": "x"}),
        train(20, 0.9),
        right(20, 0.9, perplexity=1.1),
        *sampled(20, {"a": "y"}),
        event("end", 20, reason="finished", seconds=3.0, best_loss=0.1, best_step=20, test=test),
    )
    page = report(folder)
    text = page.text()
    assert "of days right, best validation (step 20) 90.00 %" in text
    assert "of days right, test (94.00 % to 96.00 %) 95.12 %" in text
    assert "Share of days that is right" in text
    assert "What it predicted" in text
    assert "What it wrote" not in text
    assert "perplexity" not in text
    assert rows(page)[2][0] == "step 20\nepoch 1\n90.00\N{NO-BREAK SPACE}% right"


def test_a_squared_error_is_in_no_bits(folder: RunFolder):
    write(
        folder,
        event("start", 0, **{**START, "measure": "squared error"}),
        event("train", 20, epoch=1, loss=0.2, lr=0.1, grad_norm=1.0, items_per_second=9.0, seconds=1.0),
        event("eval", 20, epoch=1, split="validation", loss=0.1634, best=True),
        *sampled(20, {"a": "y"}),
        event("end", 20, reason="finished", seconds=3.0, best_loss=0.16, best_step=20, test={"loss": 0.0123}),
    )
    page = report(folder)
    text = page.text()
    assert "mean squared error, best validation (step 20) 0.163" in text
    assert "mean squared error, test 0.0123" in text
    assert "Loss as the mean squared error, by training step" in text
    assert not re.search(r"\bbits\b|perplexity", text)
    assert rows(page)[1][0] == "step 20\nepoch 1\n0.163 loss"


def test_tracks_are_on_the_page_once_the_latest_ones(folder: RunFolder):
    write(folder, event("start", 0, **START), event("tracks", 9, **{**SHOWN, "title": "the old ones"}))
    assert "the old ones" in report(folder).text()
    write(folder, event("start", 9, **START), event("tracks", 9, **SHOWN))
    page = report(folder)
    assert "the old ones" not in page.text()
    assert "Held-out days step by step" in page.text()
    assert not page.tags() & {"script", "link", "img"}
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_a_drawing_has_words_bars_and_states():
    wide, narrow = drawn(SHOWN)
    assert wide.count("<title>") == narrow.count("<title>") == 2
    assert all(f">{word}</title>" in wide for word in ("sun", "rain"))
    assert all(f">{name}</text>" in wide for name in ("weather", "stock", "state h"))
    found = boxes(wide)
    bars, states = found[:3], found[3:]
    assert [height for _, _, _, height, _ in bars] == [22, 11, 0]
    assert [opacity for *_, opacity in states] == [0.5, -1.0, 0.0, 0.25, 1.0, -0.5]
    columns = {x for x, *_ in states}
    assert columns == {x for x, *_ in bars}
    assert len(columns) == 3
    assert len({y for _, y, *_ in states}) == 2


def test_a_drawing_keeps_to_its_width():
    long = {"title": "t", "tracks": [{"name": "value", "values": [0.5] * 300}]}
    for svg, width in zip(drawn(long), (1000, 360), strict=True):
        assert f'viewBox="0 0 {width} ' in svg
        found = boxes(svg)
        assert max(x + w for x, _, w, *_ in found) <= width
        assert len(found) > 60
    words = {"title": "t", "tracks": [{"name": "word", "values": ["a"] * 300}]}
    assert [svg.count("<title>") for svg in drawn(words)] == [3 * 64, 3 * 18]  # three lines of them


def test_words_have_room_or_are_cut():
    names = ["NOUN", "investimentos", "ADP", "."]
    shown = {"title": "t", "tracks": [{"name": "tag", "values": names}]}
    wide = drawn(shown)[0]
    at = [float(x) for x in re.findall(r'<g><title>.*?</title><text x="(.*?)"', wide)]
    assert all(b - a >= 7 * len("investimentos") for a, b in pairwise(at))
    assert all(f">{name}</text>" in wide for name in names)
    long = {"title": "t", "tracks": [{"name": "tag", "values": ["W" * 30, "w" * 30]}]}
    cut = re.findall(r"</title><text .*?>(\w+)</text>", drawn(long)[0])
    assert cut == ["W" * 9, "w" * 13]


def test_many_units_share_the_height():
    shown = {"title": "t", "tracks": [{"name": "state", "values": [[0.5] * 66]}]}
    found = boxes(drawn(shown)[0])
    assert len(found) == 66
    assert found[-1][1] - found[0][1] == 65 * 4


def test_what_is_no_track_is_not_drawn():
    for bad in (None, 3, [], [3], [{"name": "x"}], [{"name": "x", "values": "abc"}], [{"name": "x", "values": []}]):
        assert tracks([event("tracks", 1, title="t", tracks=bad)]) == ""
    odd = [{"name": "x", "values": [[None, "a", 1e400, True], 3, None, "w"]}]
    assert drawn({"title": "t", "tracks": odd})


def test_whatever_comes_from_a_run_is_text(folder: RunFolder):
    shown = {"title": EVIL, "tracks": [{"name": EVIL, "values": [EVIL, EVIL]}]}
    write(folder, event("start", 0, **{**START, "samples": EVIL, "measure": EVIL}), event("tracks", 1, **shown))
    page = report(folder)
    assert not page.tags() & {"script"}
    assert page.text().count("alert(1)") >= 4
