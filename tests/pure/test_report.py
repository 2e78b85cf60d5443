import json
import math
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekur.errors import CheckpointError, RekurError, TrainingError
from rekur.report import write_report
from rekur.report.figures import losses
from rekur.report.history import number, thin
from rekur.report.wording import decimal, duration
from rekur.train import RunFolder

VOID = {"meta", "col", "br"}
EQUATIONS = "lstm(x[I]; h[H], c[H])\n  forget = sigmoid(forget.x @ x)\n  h' = output * tanh(c')"
START = {
    "task": "charlm",
    "unit": "characters",
    "machine": "Linux x86_64, 2 cores",
    "processor": "A Processor",
    "threads": 2,
    "torch": "2.13.0",
    "rekur": "0.1.0",
    "parameters": 251303,
    "backend": "torch's own LSTM",
    "config": {"clip": 1.0},
    "data": {"source": "fox.txt", "sha256": "abc123"},
    "equations": {"lstm": EQUATIONS},
    "resume": None,
}


class Page(HTMLParser):
    """A page's elements and text, with a check that what is opened is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.html = text
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.strings: list[tuple[tuple[str, ...], str]] = []  # (open elements, text)
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.strings.append((tuple(self.open), data))

    def tags(self) -> set[str]:
        return {tag for tag, _ in self.elements}

    def text(self, inside: str = "body") -> str:
        return " ".join(" ".join(data for tags, data in self.strings if inside in tags).split())


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """A run folder with no events, as the specification has it."""
    path = tmp_path / "fox"
    for part in ("checkpoints", "samples"):
        (path / part).mkdir(parents=True)
    (path / "config.json").write_text(json.dumps({"cell": "lstm", "fit": {"lr": 0.002, "betas": [0.9, 0.999]}}))
    return RunFolder.open(path)


def event(kind: str, step: int, **fields: Any) -> dict[str, Any]:
    return {"kind": kind, "step": step, "time": 1_700_000_000.5, **fields}


def write(folder: RunFolder, *events: dict[str, Any]) -> None:
    with (folder.path / "events.jsonl").open("a") as file:
        file.writelines(json.dumps(e) + "\n" for e in events)


def train(step: int, bits: float, **fields: Any) -> dict[str, Any]:
    same = {"lr": 0.002, "grad_norm": 0.3, "items_per_second": 50_000 + step, "seconds": step / 10}
    return event("train", step, epoch=1, loss=bits * math.log(2), bits=bits, **{**same, **fields})


def evaluated(step: int, bits: float, **fields: Any) -> dict[str, Any]:
    scores = {"epoch": 1, "split": "validation", "loss": bits * math.log(2), "bits": bits, "perplexity": 2**bits}
    return event("eval", step, **{**scores, **fields})


def sampled(step: int, texts: dict[str, str]) -> list[dict[str, Any]]:
    return [event("sample", step, epoch=1, title=title, text=text) for title, text in texts.items()]


def whole_run() -> list[dict[str, Any]]:
    return [
        event("start", 0, **START),
        *sampled(0, {"temperature 0.5": "zxq%", "temperature 1.0": "@@#!"}),
        train(20, 5.0),
        train(40, 3.0),
        evaluated(40, 3.5),
        *sampled(40, {"temperature 0.5": "the\n    fox", "temperature 1.0": "teh fxo"}),
        train(60, 2.0),
        evaluated(60, 2.25),
        *sampled(60, {"temperature 0.5": "the quick", "temperature 1.0": "the quack"}),
        event("checkpoint", 60, path="checkpoints/step-00000060", best=True),
        event(
            "end",
            60,
            reason="finished",
            seconds=184.2,
            best_loss=1.56,
            best_step=60,
            test={"loss": 1.6, "bits": 2.31},
        ),
    ]


def report(folder: RunFolder) -> Page:
    path = write_report(folder)
    assert path == folder.report
    return Page(path.read_text(encoding="utf-8"))


def rows(page: Page) -> list[list[str]]:
    """The table of samples, cell by cell."""
    table = re.search(r'<table class="samples[^"]*">.*?</table>', page.html, re.DOTALL)
    assert table
    tree = ElementTree.fromstring(table[0].replace("<col>", ""))
    return [["\n".join(cell.itertext()) for cell in row] for row in tree.iter("tr")]


def drawings(page: Page) -> list[ElementTree.Element]:
    return [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", page.html, re.DOTALL)]


def labels(drawing: str) -> dict[str, float]:
    """Where (from the top) each text of a drawing stands."""
    tree = ElementTree.fromstring(drawing)
    texts = [e for e in tree.iter() if e.tag.endswith("text")]
    return {e.text or "": float(e.get("y") or re.findall(r"[\d.]+", e.get("transform") or "")[1]) for e in texts}


def test_a_run_on_a_page(folder):
    write(folder, *whole_run())
    text = report(folder).text()
    for part in (
        "charlm · 14 November 2023, 22:13 UTC",
        "A network of 251,303 parameters, trained on fox.txt for 60 steps.",
        "bits per character, best validation (step 60) 2.25",
        "perplexity at that step 4.76",
        "bits per character, test 2.31",
        "of training 3 min 04 s",
        "characters per second 50,040",
        "sha256 abc123",
        "backend torch's own LSTM",
        "processor A Processor",
        "cell lstm fit lr 0.002 betas 0.9, 0.999",
    ):
        assert part in text
    assert "times; all of them" not in text
    for absent in ("interrupted", "stopped", "not ended"):
        assert absent not in text


def test_samples_have_steps_as_rows_and_temperatures_as_columns(folder):
    write(folder, *whole_run())
    assert rows(report(folder)) == [
        ["", "temperature 0.5", "temperature 1.0"],
        ["step 0\nbefore training", "zxq%", "@@#!"],
        ["step 40\nepoch 1\n3.50 bits", "the\n    fox", "teh fxo"],
        ["step 60\nepoch 1\n2.25 bits", "the quick", "the quack"],
    ]


def test_of_many_samples_some_are_shown_with_the_first_and_the_last(folder):
    for step in range(0, 1000, 10):
        write(folder, *sampled(step, {"t": f"at {step}"}))
    page = report(folder)
    steps = [row[1] for row in rows(page)[1:]]
    assert len(steps) == 6
    assert (steps[0], steps[-1]) == ("at 0", "at 990")
    assert "6 of 100 times" in page.text()


def test_a_title_that_was_not_sampled_at_a_step_leaves_its_place_empty(folder):
    write(folder, *sampled(1, {"a": "one"}), *sampled(2, {"b": "two"}))
    assert [row[1:] for row in rows(report(folder))] == [["a", "b"], ["one", ""], ["", "two"]]


def test_equations_are_set_by_their_equals_signs(folder):
    write(folder, *whole_run())
    html = report(folder).html
    assert "<caption>lstm(x[I]; h[H], c[H])</caption>" in html
    assert "<td>forget</td><td>= sigmoid(forget.x @ x)</td>" in html
    assert "<td>h&#x27;</td><td>= output * tanh(c&#x27;)</td>" in html


def test_the_page_needs_nothing_else(folder):
    write(folder, *whole_run())
    page = report(folder)
    assert not page.tags() & {"script", "link", "img", "iframe", "object", "base", "form"}
    for _, attributes in page.elements:
        for name, found in attributes.items():
            assert not name.startswith("on")
            if name in ("href", "src", "xlink:href"):
                assert (found or "").startswith("#")
    html = page.html
    assert "url(#" in html
    assert not re.search(r"url\((?!#)|@import", html)


def test_every_id_is_one_of_its_kind_and_every_reference_has_one(folder):
    write(folder, *whole_run())
    page = report(folder)
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    references = set(re.findall(r'(?:href="#|url\(#)([^")]*)', page.html))
    assert len(ids) == len(set(ids))
    assert references
    assert references <= set(ids)


def test_colours_and_typeface_are_the_pages(folder):
    write(folder, *whole_run())
    html = report(folder).html
    style, svg = html[: html.index("</style>")], "".join(re.findall(r"<svg.*?</svg>", html, re.DOTALL))
    assert not re.search(r"#[0-9a-f]{6}\b", svg)
    assert "font-family" not in svg
    used = set(re.findall(r"var\(--(\w+)\)", svg))
    assert used >= {"ink", "soft", "hair", "accent"}
    dark = style[style.index("prefers-color-scheme: dark") :]
    assert used <= set(re.findall(r"--(\w+):", style)) & set(re.findall(r"--(\w+):", dark))


EVIL = "</pre></td><script>alert(1)</script>\"'><b>&amp;"


def test_whatever_comes_from_a_run_is_text(folder):
    fields = dict.fromkeys(("task", "machine", "processor", "backend", "torch", "unit"), EVIL)
    (folder.path / "config.json").write_text(json.dumps({EVIL: EVIL, "deep": {EVIL: {EVIL: [EVIL]}}}))
    write(
        folder,
        event(
            "start",
            0,
            **fields,
            parameters=EVIL,
            data={EVIL: EVIL, "source": EVIL},
            equations={EVIL: EVIL},
            config=EVIL,
        ),
        *sampled(0, {EVIL: EVIL}),
        train(20, 2.0, lr=EVIL, seconds=EVIL),
        evaluated(20, 2.0, epoch=EVIL, perplexity=EVIL),
        event("end", 20, reason="failed", message=EVIL, test=EVIL, seconds=EVIL),
    )
    page = report(folder)
    assert not page.tags() & {"script"}
    bold = [data for tags, data in page.strings if tags[-1:] == ("b",)]
    assert bold
    assert set(bold) <= {"Loss", "Learning rate", "Norm of the gradient"}
    assert page.text("pre") == EVIL
    assert page.text().count("alert(1)") > 15


def test_control_characters_and_halves_of_pairs_can_be_written(folder):
    write(folder, *sampled(0, {"t": "a\x00b\x1b[31mc\rd\x7f\te\ud800"}))
    assert rows(report(folder))[1][1] == "a␀b␛[31mc␍d␡  e\\ud800"


def test_long_lines_hang_under_their_beginning(folder):
    write(folder, *sampled(0, {"t": "a\n    b\n\tc\n" + " " * 40 + "d"}))
    html = report(folder).html
    assert re.findall(r"<span(.*?)>", html) == ["", ' style="--in:4"', ' style="--in:4"', ' style="--in:16"']


def test_a_run_that_has_logged_nothing_yet(folder):
    page = report(folder)
    assert "No step of training has been logged yet." in page.text()
    assert "It had not ended when this page was written." in page.text()
    assert "svg" not in page.tags()
    write(folder, event("start", 0, **START))
    assert "A network of 251,303 parameters, trained on fox.txt for 0 steps." in report(folder).text()


@pytest.mark.parametrize("only", [train(20, 2.0), evaluated(20, 2.0)])
def test_a_single_point_can_be_seen(folder, only):
    write(folder, only)
    drawing, *_ = drawings(report(folder))
    marks = [e.get("style") or "" for e in drawing.iter() if e.tag.endswith("use")]
    assert any("fill: var(--soft)" in style or "fill: var(--accent)" in style for style in marks)


def test_steps_beyond_all_reason_are_left_out(folder):
    write(folder, train(20, 2.0), event("train", 10**400, bits=1.0), event("train", -5, bits=1.0))
    assert "trained for 20 steps" in report(folder).text()


@pytest.mark.parametrize("value", [None, "2.0", True, [1], math.nan, math.inf, pytest.param(10**400, id="big")])
def test_what_is_no_finite_number_is_no_point(folder, value):
    assert number(value) is None
    write(folder, train(20, 2.0, grad_norm=value), train(40, 1.5), {**evaluated(40, 2.0), "bits": value})
    html = report(folder).html
    assert "training 1.50" in html
    assert "validation 2.00" not in html


@pytest.mark.parametrize(
    ("end", "said"),
    [
        ({"reason": "early stop"}, "It stopped early, since the validation loss no longer fell."),
        ({"reason": "interrupted"}, "There it was interrupted; “rekur train --resume” goes on."),
        ({"reason": "failed", "message": "the loss became nan"}, "the loss became nan"),
        ({"reason": "of another version"}, "It had not ended when this page was written."),
    ],
)
def test_how_it_ended(folder, end, said):
    write(folder, *whole_run()[:-1], event("end", 60, **end))
    assert said in report(folder).text()


def test_a_run_that_went_on_has_not_ended_before(folder):
    write(
        folder,
        *whole_run()[:-1],
        event("end", 60, reason="interrupted", seconds=5.0),
        event("start", 60, **{**START, "resume": 60, "threads": 7}),
        train(80, 1.9),
    )
    text = report(folder).text()
    assert "interrupted" not in text
    assert "threads 7" in text
    assert "resumed at step 60" in text
    assert "14 November 2023, 22:13 UTC" in text  # when it began, not when it went on


def test_the_same_run_gives_the_same_page_and_a_later_one_takes_its_place(folder):
    write(folder, *whole_run()[:-1])
    first = write_report(folder).read_bytes()
    assert write_report(folder).read_bytes() == first
    write(folder, whole_run()[-1])
    assert write_report(folder).read_bytes() != first
    assert sorted(p.name for p in folder.path.iterdir()) == [
        "checkpoints",
        "config.json",
        "events.jsonl",
        "report.html",
        "samples",
    ]


def test_without_matplotlib_the_way_out_is_named(folder, monkeypatch):
    write(folder, *whole_run())
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(RekurError, match=re.escape("pip install 'rekur[report]'")):
        write_report(folder)
    assert not folder.report.exists()


def test_a_damaged_folder_and_one_that_cannot_be_written(folder, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("rekur.train.disk.replace", full)
        with pytest.raises(TrainingError, match="No space left on device"):
            write_report(folder)
    (folder.path / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"config\.json"):
        write_report(folder)


def test_curves_are_labelled_where_they_end():
    found = labels(losses([(1, 5.0), (100, 1.5)], [(50, 4.0), (100, 3.0)], 1000, 380))
    two, three = found["2"], found["3"]  # the labels of the axis
    assert found["validation 3.00"] == pytest.approx(three, abs=2)
    assert found["training 1.50"] == pytest.approx(two + (two - three) / 2, abs=2)


def test_a_ring_marks_the_best_validation():
    drawing = losses([(1, 5.0), (100, 1.5)], [(50, 4.0), (75, 2.0), (100, 3.0)], 1000, 380)
    ring = re.findall(r'<use [^>]*y="([\d.]+)" style="fill-opacity: 0; stroke: var\(--accent\)', drawing)
    assert [float(y) for y in ring] == [pytest.approx(labels(drawing)["2"] - 4, abs=2)]  # text stands on its line


@pytest.mark.parametrize("clip", [0.01, 0.3, 1.0, 100.0])
@pytest.mark.parametrize("norms", [[0.2, 0.4], [0.02, 50.0], [0.0, 0.0]])
def test_a_level_is_drawn_if_it_is_reached(folder, clip, norms):
    write(
        folder,
        event("start", 0, config={"clip": clip}),
        *(train(20 * i, 2.0, grad_norm=n) for i, n in enumerate(norms)),
    )
    page = report(folder)
    assert f"before it is clipped at {clip:g}" in page.text()
    assert ("clipped above" in page.text("svg")) == (clip <= max(norms))


def test_no_text_leaves_its_drawing(folder):
    write(folder, *whole_run())
    found = re.findall(r"<svg.*?</svg>", report(folder).html, re.DOTALL)
    assert len(found) == 6
    for drawing in found:
        height = float(re.findall(r'viewBox="0 0 [\d.]+ ([\d.]+)"', drawing)[0])
        heights = labels(drawing).values()
        assert len(heights) > 4
        assert all(0 < y <= height for y in heights)


@given(st.floats(0.1, 8), st.floats(-0.05, 0.05))
def test_labels_never_cover_each_other(end, apart):
    found = labels(losses([(1, 9.0), (100, end)], [(50, 4.0), (100, end + apart)], 360, 280))
    heights = [y for text, y in found.items() if text.startswith(("training", "validation"))]
    assert len(heights) == 2
    assert abs(heights[0] - heights[1]) > 15


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=1000), st.integers(2, 50))
def test_thinning_keeps_the_ends_and_the_level(values, most):
    curve = list(enumerate(values))
    thinned = thin(curve, most)
    steps = [step for step, _ in thinned]
    assert len(thinned) <= most
    assert steps == sorted(set(steps))
    assert (steps[0], steps[-1]) == (0, len(values) - 1)
    assert all(min(values) - 1e-9 <= value <= max(values) + 1e-9 for _, value in thinned)
    if len(values) <= most:
        assert thinned == curve
    if len(values) % math.ceil(len(values) / most) == 0:
        assert math.fsum(v for _, v in thinned) / len(thinned) == pytest.approx(
            math.fsum(values) / len(values), abs=1e-9
        )


@given(st.floats(-1e12, 1e12))
def test_decimals_are_close_to_what_they_say(value):
    said = float(decimal(value).replace(",", ""))
    assert abs(said - value) <= max(abs(value) * 0.006, 0)


@given(st.floats(0, 1e9))
def test_durations_are_close_to_what_they_say(seconds):
    size = {"s": 1, "min": 60, "h": 3600, "d": 86400}
    words = duration(seconds).split()
    said = sum(float(n) * size[unit] for n, unit in zip(words[::2], words[1::2], strict=True))
    smallest = size[words[-1]]
    assert abs(said - seconds) <= smallest
