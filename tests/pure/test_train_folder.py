"""The run folder: nothing overwritten, nothing lost but a torn end, one writer at a time."""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rekur.errors import CheckpointError, OptionError, TrainingError
from rekur.train import RunFolder, list_runs


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "runs", "charlm", {"task": "charlm", "lr": 0.1})


def test_a_taken_name_gets_the_next_free_number(tmp_path: Path):
    (tmp_path / "charlm").mkdir()
    (tmp_path / "charlm-3").write_text("a file", encoding="utf-8")
    names = [RunFolder.create(tmp_path, "charlm", {"n": n}).path.name for n in range(3)]
    assert names == ["charlm-2", "charlm-4", "charlm-5"]
    assert [RunFolder.open(tmp_path / name).config()["n"] for name in names] == [0, 1, 2]
    assert list((tmp_path / "charlm").iterdir()) == []


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", "/x", "-x", "a\\b", "a\nb", "a\x00", "x" * 101, ".hidden", "a:b"]
)
def test_a_name_that_is_no_folders_is_refused(name: str, tmp_path: Path):
    with pytest.raises(OptionError, match="cannot be a run's name"):
        RunFolder.create(tmp_path / "runs", name, {})
    assert list(tmp_path.iterdir()) == []


def test_what_was_written_is_read(run: RunFolder):
    first = run.log("start", 0, text="ü\ud800\n", nothing=None)
    run.log("train", 20, loss=0.1 + 0.2)
    assert run.events()[0] == first
    assert run.events()[1]["loss"] == 0.1 + 0.2
    assert [set(event) >= {"kind", "step", "time"} for event in run.events()] == [True, True]
    assert run.config() == {"task": "charlm", "lr": 0.1}
    run.keep_sample(20, "ü\ud800")
    assert (run.samples / "step-00000020.txt").read_text(encoding="utf-8") == "ü\\ud800"


def test_opening_what_is_no_run(run: RunFolder, tmp_path: Path):
    assert RunFolder.open(run.path) == run
    with pytest.raises(CheckpointError, match=r"no run folder .*charml; did you mean 'charlm'"):
        RunFolder.open(run.path.with_name("charml"))
    with pytest.raises(CheckpointError, match="no run folder"):
        RunFolder.open(tmp_path / "no" / "where")
    (run.path / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"is not a run folder: it lacks config.json"):
        RunFolder.open(run.path)


def test_a_torn_last_line_is_left_out_and_cut_before_more_is_written(run: RunFolder):
    for step in (10, 20, 30):
        run.log("train", step, loss=float(step))
    file = run.path / "events.jsonl"
    raw = file.read_bytes()
    lines = raw.split(b"\n")
    for size in range(len(raw) - len(lines[2]), len(raw)):
        file.write_bytes(raw[:size])
        kept = [10, 20] if size < len(raw) else [10, 20, 30]
        assert [event["step"] for event in run.events()] == kept
    run.truncate_after(20)
    run.log("train", 30, loss=30.0)
    assert [event["step"] for event in run.events()] == [10, 20, 30]


def test_events_after_a_step_are_cut(run: RunFolder):
    run.truncate_after(5)
    assert run.events() == []
    for step in (0, 10, 10, 20, 30):
        run.log("train", step)
    run.truncate_after(10)
    assert [event["step"] for event in run.events()] == [0, 10, 10]


@pytest.mark.parametrize(
    "line",
    [b"", b"{", b"null", b"[]", b'{"kind": 1, "step": 1, "time": 1}', b'{"kind": "x", "step": "1", "time": 1}',
     b'{"kind": "x", "step": 1}', b"\xff", b"[" * 100_000],
    ids=lambda line: line[:20].decode("latin-1"),
)  # fmt: skip
def test_other_damage_is_named_by_its_line(line: bytes, run: RunFolder):
    run.log("train", 10)
    raw = (run.path / "events.jsonl").read_bytes()
    (run.path / "events.jsonl").write_bytes(raw + line + b"\n" + raw)
    with pytest.raises(CheckpointError, match=r"events\.jsonl, line 2, is not an event"):
        run.events()


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"\xff", b"[" * 100_000])
def test_a_damaged_configuration_is_said(raw: bytes, run: RunFolder):
    (run.path / "config.json").write_bytes(raw)
    with pytest.raises(CheckpointError, match=r"config\.json"):
        run.config()


def test_a_number_json_does_not_know_is_our_own_bug(run: RunFolder):
    with pytest.raises(ValueError, match="not JSON compliant"):
        run.log("train", 1, loss=float("nan"))
    assert run.events() == []


FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(
    "write", [lambda run: run.log("train", 1), lambda run: run.truncate_after(0), lambda run: run.keep_sample(1, "x")]
)
def test_a_full_disk_names_the_folder(
    write: Callable[[RunFolder], object], run: RunFolder, monkeypatch: pytest.MonkeyPatch
):
    run.log("train", 0)

    def refuse(descriptor: int, data: bytes) -> int:
        raise FULL

    monkeypatch.setattr(os, "write", refuse)
    with pytest.raises(TrainingError, match=r"cannot write to .*charlm: No space left.*no checkpoint had been saved"):
        write(run)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_device_that_is_really_full_says_the_same(run: RunFolder):
    (run.path / "events.jsonl").symlink_to("/dev/full")
    with pytest.raises(TrainingError, match=r"cannot write to .*charlm: No space left"):
        run.log("train", 1)


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path):
    (tmp_path / "runs").write_text("a file", encoding="utf-8")
    with pytest.raises(TrainingError, match=r"cannot make a run folder in .*runs"):
        RunFolder.create(tmp_path / "runs", "x", {})


HOLD = """
import sys
from pathlib import Path
from rekur.train import RunFolder
with RunFolder(Path(sys.argv[1])).lock():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_refused_until_the_first_ends_even_by_kill(run: RunFolder):
    assert not run.locked()
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, run.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        assert run.locked()
        assert list_runs(run.path.parent)[0].status == "running"
        with (
            pytest.raises(TrainingError, match=rf"another process \({first.pid}\) is training in .*charlm"),
            run.lock(),
        ):
            pytest.fail("two writers in one folder")
        first.kill()
    assert not run.locked()
    with run.lock():
        assert run.locked()
        assert int((run.path / "lock").read_text(encoding="utf-8")) == os.getpid()
    assert not run.locked()


def test_what_lists_runs_or_shows_help_imports_no_torch():
    modules = "folder, config, display, live, runs, task, interrupt, progress, disk"
    code = f"import sys, rekur.train\nfrom rekur.train import {modules}\nassert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def ended(run: RunFolder, reason: str, **more: object) -> None:
    run.log("start", 0, task="charlm")
    for step, loss in ((10, 2.0), (20, 1.5), (30, 1.75)):
        run.log("train", step, loss=loss, seconds=step / 10)
        run.log("eval", step, loss=loss, best=True)
    run.log("end", 30, reason=reason, seconds=3.5, best_loss=1.5, **more)


def test_runs_are_listed_with_their_results(tmp_path: Path):
    ended(RunFolder.create(tmp_path, "a", {"task": "charlm"}), "finished")
    ended(RunFolder.create(tmp_path, "b", {}), "failed", message="the loss became nan")
    killed = RunFolder.create(tmp_path, "c", {"task": "tag"})
    killed.log("train", 5, loss=1.0, seconds=1.0)
    RunFolder.create(tmp_path, "d", {"task": "tag"})
    (tmp_path / "no run").mkdir()
    (tmp_path / "a file").write_text("", encoding="utf-8")
    (killed.checkpoints / "big").write_bytes(bytes(100_000))
    a, b, c, d = list_runs(tmp_path)
    assert (a.name, a.status, a.task, a.best_loss, a.steps, a.seconds) == ("a", "finished", "charlm", 1.5, 30, 3.5)
    assert a.bits == pytest.approx(1.5 / 0.693147180559945)
    assert (b.status, b.note) == ("failed", "the loss became nan")
    assert (c.status, c.task, c.best_loss, c.bits, c.steps, c.seconds) == ("stopped", "tag", None, None, 5, 1.0)
    assert 100_000 < c.size < 110_000
    assert (d.status, d.steps, d.seconds) == ("stopped", 0, None)
    assert list_runs(tmp_path / "nowhere") == []


def test_damaged_folders_are_listed_with_a_note(tmp_path: Path):
    def damage(name: str, file: str, text: str) -> None:
        run = RunFolder.create(tmp_path, name, {})
        ended(run, "finished")
        (run.path / file).write_text(text, encoding="utf-8")

    damage("a", "config.json", "{")
    damage("b", "events.jsonl", "nonsense\n")
    damage("c", "events.jsonl", json.dumps({"kind": "eval", "step": 1, "time": 1, "loss": "no"}) + "\n")
    damage("d", "events.jsonl", json.dumps({"kind": "end", "step": 1, "time": 1, "reason": []}) + "\n")
    e = RunFolder.create(tmp_path, "e", {})
    e.checkpoints.rmdir()
    (e.path / "events.jsonl").mkdir()
    rows = {row.name: row for row in list_runs(tmp_path)}
    assert [rows[name].status for name in "abe"] == ["damaged"] * 3
    assert "config.json" in rows["a"].note
    assert "line 1" in rows["b"].note
    assert "checkpoints" in rows["e"].note
    assert (rows["c"].best_loss, rows["c"].status) == (None, "stopped")
    assert rows["d"].status == "[]"
