"""Both displays, told of the same run, and a sample that would like to take over the terminal."""

import io
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from rekur.train import Display, Quiet, RunFolder, open_display
from rekur.train.display import Plain, duration, printable
from rekur.train.live import Live, sparkline

FOLDER = RunFolder(Path("runs/charlm"))
NASTY = "[bold red]markup[/] \x1b[31mred\x1b]0;title\x07 back\b\rover \x9b2J \u202erev \ud800 \x00 ü漢\ta\xa0b\u200d"
SAFE = "[bold red]markup[/] ␛[31mred␛]0;title␇ back␈␍over �2J �rev � ␀ ü漢    a b\u200d"


def run(display: Display, *, reason: str = "finished") -> None:
    with display:
        for kind, step, more in events(reason):
            if kind == "train":
                display.step(step, 1.5)
            if kind == "eval":
                display.doing("validating")
            display.event({"kind": kind, "step": step, "time": 0.0, **more})
        display.note("threads was 2")


def events(reason: str) -> list[tuple[str, int, dict[str, Any]]]:
    scores = {"loss": 1.5, "bits": 2.164, "perplexity": 4.48}
    return [
        (
            "start", 0,
            {"task": "charlm", "parameters": 212480, "threads": 2, "backend": "torch's LSTM", "total": 1000,
             "chunks": 250, "unit": "characters", "measure": "nats", "resume": None},
        ),
        ("sample", 0, {"epoch": 0, "title": "temperature 0.5", "text": NASTY}),
        ("sample", 0, {"epoch": 0, "title": "temperature [b]1[/b]", "text": "one\n\n\ntwo"}),
        ("checkpoint", 0, {"path": "checkpoints/step-00000000", "best": False}),
        (
            "train", 20,
            {"epoch": 1, **scores, "lr": 0.002, "grad_norm": 0.75, "items_per_second": 31204.2, "seconds": 1.0},
        ),
        ("eval", 250, {"epoch": 1, "split": "validation", **scores, "best": True, "accuracy": 0.5}),
        ("eval", 500, {"epoch": 2, "split": "validation", **scores, "perplexity": None, "best": False}),
        (
            "end", 500,
            {"reason": reason, "seconds": 3725.0, "best_loss": 1.5, "best_step": 250, "test": scores},
        ),
    ]  # fmt: skip


def plain(reason: str = "finished") -> str:
    stream = io.StringIO()
    run(Plain(FOLDER, stream), reason=reason)
    return stream.getvalue()


def live(width: int = 110, reason: str = "finished") -> str:
    stream = io.StringIO()
    run(Live(FOLDER, Console(file=stream, force_terminal=True, width=width, highlight=False)), reason=reason)
    return stream.getvalue()


def without_styles(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", text)


def test_plain_lines():
    text = re.sub(r"  \d+:\d\d left", "  0:00 left", plain())
    assert (
        text
        == f"""\
charlm: 212,480 parameters, torch's LSTM, 2 threads
1,000 steps (250 an epoch), from the start, kept in runs/charlm
step    0/1000  sample, temperature 0.5
    | {SAFE}
step    0/1000  sample, temperature [b]1[/b]
    | one
    |\x20
    |\x20
    | two
step   20/1000  epoch 1  loss 1.5000 nats, 2.1640 bits  lr 0.002  gradient 0.75  31,204 characters/s  0:00 left
step  250/1000  validation 1.5000 nats, 2.1640 bits  perplexity 4.48  accuracy 0.5  best so far
step  500/1000  validation 1.5000 nats, 2.1640 bits  perplexity -
finished at step 500 after 1:02:05, kept in runs/charlm
best validation 1.5000 nats, 2.1640 bits, at step 250
test 1.5000 nats, 2.1640 bits
note: threads was 2
"""
    )


def test_lines_about_training_keep_a_pace(monkeypatch: pytest.MonkeyPatch):
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    stream = io.StringIO()
    display = Plain(FOLDER, stream)
    start, train = events("finished")[0], events("finished")[4]
    display.event({"kind": start[0], "step": 0, "time": 0.0, **start[2]})
    for step in range(20, 1020, 20):
        now[0] += 1.0
        display.event({"kind": "train", "time": 0.0, **train[2], "step": step})
    lines = [line for line in stream.getvalue().splitlines() if " loss " in line]
    assert len(lines) == 10
    assert lines[-1].endswith("0:04 left")


@pytest.mark.parametrize("width", [110, 60])
def test_the_live_display_shows_the_same_and_lets_no_text_through_to_the_terminal(width: int):
    raw = live(width)
    text = without_styles(raw)
    for part in (
        "charlm: 212,480 parameters", "temperature 0.5", "temperature [b]1[/b]", "[bold red]markup[/] ␛[31mred␛]",
        "step  250/1000  validation 1.5000 nats", "best so far", "finished at step 500 after 1:02:05",
        "note: threads was 2",
    ):  # fmt: skip
        assert part in text
    assert set(re.findall(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e\ud800]", text)) == set()
    assert "\x1b[31mred" not in raw
    assert "\x1b]0;" not in raw


def test_samples_stand_side_by_side_where_there_is_room():
    def both(width: int) -> bool:
        lines = without_styles(live(width)).split("\n")
        return any("temperature 0.5" in line and "[b]1[/b]" in line for line in lines)

    assert (both(110), both(60)) == (True, False)
    assert max(len(line) for line in without_styles(live(60)).split("\n") if "─" in line) <= 60


@pytest.mark.parametrize("show", [plain, live])
def test_an_interrupted_run_says_how_to_go_on(show: Any):
    assert "interrupted at step 500, all saved; go on with: rekur train --resume runs/charlm" in show(
        reason="interrupted"
    )


@pytest.mark.parametrize("show", [plain, live])
def test_a_failed_run_leaves_the_reason_to_the_error(show: Any):
    assert "stopped at step 500" in show(reason="failed")


def test_a_terminal_gets_the_live_display_and_all_else_plain_lines():
    class Terminal(io.StringIO):
        encoding = "utf-8"

        def isatty(self) -> bool:
            return True

    class OldTerminal(Terminal):
        encoding = "ascii"

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TERM", "xterm")
        assert isinstance(open_display(FOLDER, Terminal()), Live)
        assert isinstance(open_display(FOLDER, OldTerminal()), Plain)
        assert isinstance(open_display(FOLDER, io.StringIO()), Plain)
        patch.setenv("TERM", "dumb")
        assert isinstance(open_display(FOLDER, Terminal()), Plain)


def test_a_stream_that_cannot_write_a_character_gets_its_number():
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    run(Plain(FOLDER, stream))
    assert rb"[bold red]markup[/] \u241b[31mred" in raw.getvalue()


def test_quiet_is_quiet(capsys: pytest.CaptureFixture[str]):
    run(Quiet())
    assert capsys.readouterr() == ("", "")


def test_text_is_made_safe():
    assert printable(NASTY) == SAFE
    assert printable("plain ünïcode\nlines 👍🏽") == "plain ünïcode\nlines 👍🏽"
    every = printable("".join(map(chr, range(0x11000))))
    assert "\n" in every
    assert all(c.isprintable() or c in "\n\u200c\u200d" for c in every)


def test_small_forms():
    assert [duration(s) for s in (0, 41.4, 725, 3723)] == ["0:00", "0:41", "12:05", "1:02:03"]
    assert sparkline([2.0]) == "▁"
    assert len(sparkline([float(n) for n in range(100)])) == 40
