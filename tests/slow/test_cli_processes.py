"""The `rekur` command as a process: Ctrl-C, kill -9, and a reader that goes away."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rekur.cli import main
from rekur.train import RunFolder
from tests.torch.charlm_tiny import arguments, one_thread, text
from tests.torch.train_tiny import record

pytestmark = pytest.mark.usefixtures("one_thread")
__all__ = ["one_thread"]

REKUR = [sys.executable, "-c", "import sys; from rekur.cli import main; sys.exit(main())"]
LONG = {"steps": 800, "eval_every": 400, "checkpoint_every": 50}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run that nothing stopped."""
    root = tmp_path_factory.mktemp("whole")
    (root / "words.txt").write_text(text(), encoding="utf-8")
    assert main(arguments(root / "words.txt", root, **LONG)) == 0
    return RunFolder.open(root / "runs" / "charlm")


def stopped(root: Path, words: Path, number: signal.Signals) -> tuple[int, str, str]:
    """Begin the same run in a process and send it a signal once it is under way: exit code and output."""
    process = subprocess.Popen(
        [*REKUR, *arguments(words, root, **LONG)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        while process.poll() is None and not (root / "runs/charlm/checkpoints/step-00000100").exists():
            time.sleep(0.01)
    finally:
        process.send_signal(number)
    out, err = process.communicate()
    return process.returncode, out, err


def test_ctrl_c_saves_says_how_to_go_on_and_loses_nothing(whole: RunFolder, tmp_path: Path):
    code, out, err = stopped(tmp_path, whole.path.parents[1] / "words.txt", signal.SIGINT)
    folder = RunFolder.open(tmp_path / "runs" / "charlm")
    assert (code, err) == (130, "")
    last = out.splitlines()[-1]
    assert last.startswith("interrupted at step ")
    assert last.endswith(f"go on with: rekur train --resume {folder.path}")
    assert "\x1b" not in out
    assert not folder.report.exists()
    assert folder.checkpoint_steps()[-1] < 800
    assert main(["train", "--resume", str(folder.path), "--cache", str(tmp_path / "cache")]) == 0
    assert record(folder) == record(whole)


def test_kill_9_loses_no_more_than_since_the_last_checkpoint(whole: RunFolder, tmp_path: Path):
    code, _, _ = stopped(tmp_path, whole.path.parents[1] / "words.txt", signal.SIGKILL)
    folder = RunFolder.open(tmp_path / "runs" / "charlm")
    assert code == -signal.SIGKILL
    assert 100 <= folder.checkpoint_steps()[-1] < 800
    assert main(["train", "--resume", str(folder.path), "--cache", str(tmp_path / "cache")]) == 0
    assert record(folder) == record(whole)


def test_a_reader_that_has_read_enough_is_no_error(whole: RunFolder):
    process = subprocess.Popen(
        [*REKUR, "sample", str(whole.path), "--length", "100000"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert len(os.read(process.stdout.fileno(), 10)) > 0
    process.stdout.close()
    assert (process.wait(), process.stderr.read()) == (141, b"")
    process.stderr.close()
