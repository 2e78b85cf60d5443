"""`rekur bench` in this process, in its shortest form, and what it does where something is wrong."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rekur import bench
from rekur.bench import Failure, Floor, Point, Result, choose
from rekur.cli import main
from tests.torch.charlm_tiny import one_thread

__all__ = ["one_thread"]
pytestmark = pytest.mark.usefixtures("one_thread")

TINY = "lstm-inference-h64-b1-t50"
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _known_floor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "measure_floor", lambda: Floor(1e11, {1 << 20: 1e10}))
    monkeypatch.setattr("rekur.cli.bench._SHORT", 0.0)


def test_one_point_is_measured_shown_kept_and_drawn(tmp_path: Path, capsys: Capture):
    kept, plot = tmp_path / "bench.json", tmp_path / "bench.svg"
    assert main(["bench", "--only", TINY, "--threads", "1", "--json", str(kept), "--plot", str(plot)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "\x1b" not in out
    assert "1 thread; torch" in out
    assert "LSTM inference" in out
    assert "H64 B1 T50" in out
    assert out.count("not measured") == 14
    result = Result.read(kept)
    peers = [k for k in ("torch", "bf16") if k in choose(())]
    assert [(row.point.name, row.peer) for row in result.rows] == [(TINY, k) for k in peers]
    assert result.machine["threads"] == 1
    assert json.loads(kept.read_text())["machine"]["product FLOP/s"] == 1e11
    assert plot.read_text().startswith("<?xml")

    assert main(["bench", "--show", str(kept)]) == 0
    assert capsys.readouterr().out == out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--only", "lstn"], "no point has the label 'lstn'; did you mean 'lstm'"),
        (["--only", "gru-h512"], "add --full"),
        (["--peers", "jox"], "no peer 'jox'; did you mean 'jax'"),
        (["--threads", "0"], "threads is 0; it must be 1 or more"),
        (["--plot", "bench.gif"], "a plot's file ends in .png, .svg, .pdf"),
        (["--plot", "nowhere/bench.png"], "there is no folder 'nowhere' to put the plot in"),
        (["--show", "bench.json", "--full"], "--show measures nothing: beside it there can only be --plot"),
    ],
)
def test_what_makes_no_sense_is_said_before_anything_is_measured(options: list[str], said: str, capsys: Capture):
    assert main(["bench", *options]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err


def test_a_file_that_is_no_result_is_an_error(tmp_path: Path, capsys: Capture):
    assert main(["bench", "--show", str(tmp_path / "nowhere.json")]) == 1
    assert "nowhere.json holds no results of rekur bench" in capsys.readouterr().err


def test_a_place_that_cannot_be_written_to_is_said_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Capture
):
    monkeypatch.setattr(bench, "measure", None)
    assert main(["bench", "--json", str(tmp_path / "nowhere" / "bench.json")]) == 1
    assert "nowhere/bench.json: No such file or directory" in capsys.readouterr().err


def test_a_mismatch_makes_the_command_fail(monkeypatch: pytest.MonkeyPatch, capsys: Capture):
    def wrong(points: Any, peers: Any, result: Result, *_: Any) -> Iterator[Point]:
        result.failures.append(Failure(points[0], "torch", "Mismatch: the output"))
        yield points[0]

    monkeypatch.setattr(bench, "measure", wrong)
    assert main(["bench", "--only", TINY]) == 1
    assert f"FAILED {TINY} against torch: Mismatch: the output" in capsys.readouterr().out


def test_ctrl_c_shows_and_keeps_what_was_measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Capture):
    real = bench.measure

    def interrupted(points: Any, *rest: Any) -> Iterator[Point]:
        yield from real(points[:1], *rest)
        raise KeyboardInterrupt

    monkeypatch.setattr(bench, "measure", interrupted)
    kept = tmp_path / "bench.json"
    assert main(["bench", "--only", "gru", "--json", str(kept)]) == 130
    (row,) = Result.read(kept).rows
    assert row.point.name == "gru-training-h64-b1-t50"
    out = capsys.readouterr().out
    assert "GRU training" in out
    assert "GRU inference" not in out
