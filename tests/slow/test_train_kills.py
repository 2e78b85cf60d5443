"""Real signals and real limits, in processes of their own: kill -9, Ctrl-C at a terminal, a disk that is full."""

import os
import pty
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

from rekur.train import Quiet, RunFolder, fit, load
from tests.torch.train_tiny import LONG, Tiny, go_on, record

ROOT = Path(__file__).parents[2]

# Imports torch once, and trains once to have all loaded; then each life of a run is a fork.
BEFORE = """
import os, random, resource, signal, sys, time
from pathlib import Path
import torch
torch.set_num_threads(1)
from rekur.errors import TrainingError
from rekur.train import RunFolder
from tests.torch.train_tiny import LONG, go_on
root, arguments = Path(sys.argv[1]), [int(argument) for argument in sys.argv[2:]]
go_on(RunFolder.create(root, "warm", {}))
"""

KILLER = (
    BEFORE
    + """
for seed in arguments:
    folder, delays = RunFolder.create(root, f"seed{seed}", {}), random.Random(seed)
    for lives in range(1, 100):
        if not (child := os.fork()):
            go_on(folder, LONG)
            os._exit(0)
        time.sleep(delays.uniform(0.02, 0.1 + 0.02 * lives))
        os.kill(child, signal.SIGKILL)
        if os.waitpid(child, 0)[1] == 0:
            break
    print(lives)
"""
)

FULL = (
    BEFORE
    + """
for limit in arguments:
    folder = RunFolder.create(root, f"limit{limit}", {})
    if not (child := os.fork()):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            go_on(folder, LONG)
        except TrainingError as error:
            os.write(1, f"{error}\\n".encode())
        os._exit(0)
    os.waitpid(child, 0)
"""
)

TERMINAL = """
import sys, time
from pathlib import Path
from rekur.train import FitConfig, RunFolder, fit, open_display
from tests.torch.train_tiny import LONG, Tiny
class Slow(Tiny):
    def loss(self, index, carry):
        time.sleep(0.05)
        return super().loss(index, carry)
folder = RunFolder(Path(sys.argv[1]))
sys.exit(fit(Slow(), LONG, folder, open_display(folder)).exit_code)
"""


def python(code: str, *arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFolder, Tiny]:
    folder, task = RunFolder.create(tmp_path_factory.mktemp("whole"), "run", {}), Tiny()
    fit(task, LONG, folder, Quiet())
    return folder, task


def same(folder: RunFolder, whole: tuple[RunFolder, Tiny]) -> bool:
    """Whether a run came out as the one that nothing stopped: every event, and the weights at its end."""
    here, there = load(folder.checkpoint()).weights, load(whole[0].checkpoint()).weights
    return record(folder) == record(whole[0]) and all(torch.equal(here[name], there[name]) for name in there)


def test_runs_killed_at_random_times_come_out_the_same(tmp_path: Path, whole: tuple[RunFolder, Tiny]):
    lives = [int(line) for line in python(KILLER, tmp_path, 1, 2).split()]
    assert len(lives) == 2
    assert sum(lives) > 4
    for seed in (1, 2):
        assert same(RunFolder(tmp_path / f"seed{seed}"), whole)


def test_files_that_may_not_grow_stop_a_run_and_it_goes_on_later(tmp_path: Path, whole: tuple[RunFolder, Tiny]):
    limits = (2000, 8000)
    said = python(FULL, tmp_path, *limits).splitlines()
    assert len(said) == len(limits)
    for line, limit in zip(said, limits, strict=True):
        folder = RunFolder(tmp_path / f"limit{limit}")
        assert f"cannot write to {folder.path}: File too large" in line
        assert ("no checkpoint had been saved yet" in line) != (folder.checkpoints / "latest").exists()
        go_on(folder, LONG)
        assert same(folder, whole)


def test_ctrl_c_at_a_terminal_leaves_a_checkpoint_and_exit_code_130(tmp_path: Path, whole: tuple[RunFolder, Tiny]):
    folder = RunFolder.create(tmp_path, "run", {})
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        ["setsid", "--ctty", "--wait", sys.executable, "-c", TERMINAL, str(folder.path)],
        stdin=theirs, stdout=theirs, stderr=theirs, cwd=ROOT, env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
    )  # fmt: skip
    os.close(theirs)
    shown = bytearray()
    pressed = threading.Event()

    def read() -> None:
        try:
            while chunk := os.read(ours, 4096):
                shown.extend(chunk)
                if b"perplexity" in shown and not pressed.is_set():  # the first validation
                    pressed.set()
                    os.write(ours, b"\x03")
        except OSError:  # the terminal's other side is closed
            pass

    reader = threading.Thread(target=read)
    reader.start()
    assert child.wait() == 130
    reader.join()
    os.close(ours)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", shown.decode())
    assert "tiny: 921 parameters" in text
    assert "greedy" in text
    assert f"go on with: rekur train --resume {folder.path}" in text.replace("\n", "")
    assert folder.events()[-1]["reason"] == "interrupted"
    go_on(folder, LONG)
    assert same(folder, whole)
