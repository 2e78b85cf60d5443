"""The command line, in this process: what each command does, says and returns."""

import errno
import json
import math
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from rekur.cli import COMMANDS, demo, main, sample
from rekur.errors import RekurError
from rekur.tasks import load_model
from rekur.train import RunFolder, display, load
from tests.torch.charlm_tiny import OWN_CELL, arguments, one_thread, plain_loss, text
from tests.torch.test_train_checkpoint import forge
from tests.torch.train_disk import Disk
from tests.torch.train_tiny import Crash, CrashAt, record

pytestmark = pytest.mark.usefixtures("one_thread")
__all__ = ["one_thread"]

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("cli")
    (root / "words.txt").write_text(text(), encoding="utf-8")
    assert main(arguments(root / "words.txt", root)) == 0
    return root


@pytest.fixture
def source(root: Path) -> Path:
    return root / "words.txt"


@pytest.fixture
def run(root: Path) -> RunFolder:
    return RunFolder.open(root / "runs" / "charlm")


@pytest.fixture
def mine(run: RunFolder, tmp_path: Path) -> RunFolder:
    """A copy of the run, to be damaged."""
    return RunFolder.open(shutil.copytree(run.path, tmp_path / "mine"))


def said(capsys: Capture, *command: str | Path) -> str:
    """What a command that goes well prints."""
    capsys.readouterr()
    code = main([str(part) for part in command])
    out, err = capsys.readouterr()
    assert (code, err) == (0, "")
    assert "\x1b" not in out
    return out


def refused(capsys: Capture, *command: str | Path, code: int = 1) -> str:
    """The one line that a command that fails prints."""
    capsys.readouterr()
    assert main([str(part) for part in command]) == code
    err = capsys.readouterr().err
    assert err.startswith("rekur: error: ")
    assert "Traceback" not in err
    return err


# ---- help --------------------------------------------------------------------------------------------------


def test_help_lists_the_commands(capsys: Capture):
    out = said(capsys, "--help")
    assert all(re.search(rf"^  {name} +{what}$", out, re.MULTILINE) for name, what in COMMANDS.items())
    assert main([]) == 2
    assert re.fullmatch(r"rekur \d+\.\d+\.\d+\n", said(capsys, "--version"))


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("train charlm", ["--hidden INT", "(default: 256)", "network options", "training options", "--seed INT"]),
        ("train", ["--resume RUN", "rekur train charlm"]),
        ("sample", ["--temperature FLOAT", "--count INT", "{unknown,error,skip}"]),
        ("eval", ["FILE …", "--streams INT"]),
        ("runs", ["ROOT", "(default: runs)"]),
        ("report", ["RUN"]),
        ("cells", ["NAME", "--latex"]),
        ("draw", ["NAME=VALUE", "--kind", "--layers INT", "-o FILE"]),
        ("step", ["NAME=VALUE", "--text TEXT", "[states, inputs]"]),
        ("demo", ["some minutes", "rekur train charlm --name demo"]),
    ],
)
def test_every_command_has_help(command: str, shown: list[str], capsys: Capture):
    out = said(capsys, *command.split(), "--help")
    assert f"usage: rekur {command}" in out
    assert [part for part in shown if part not in out] == []


# ---- the commands ------------------------------------------------------------------------------------------


def test_training_says_what_it_reads_and_leaves_a_report(tmp_path: Path, source: Path, capsys: Capture):
    (tmp_path / "folder").mkdir()
    shutil.copy(source, tmp_path / "folder" / "a.txt")
    (tmp_path / "folder" / "b.bin").write_bytes(b"\0\1")
    out = said(capsys, *arguments(tmp_path / "folder", tmp_path, steps=2))
    assert "folder: 6,000 characters of 21 kinds" in out
    assert re.search("note: passed over '.*b.bin' is binary", out)
    page = tmp_path / "runs" / "charlm" / "report.html"
    assert out.endswith(f"report: {page}\n")
    assert "words.txt" not in page.read_text(encoding="utf-8")


def test_without_matplotlib_the_run_is_whole(
    tmp_path: Path, source: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    out = said(capsys, *arguments(source, tmp_path, steps=2))
    (note,) = (line for line in out.splitlines() if line.startswith("note: "))
    assert "pip install 'rekur[report]'" in note
    assert f"`rekur report {tmp_path / 'runs' / 'charlm'}` writes it" in note
    assert "pip install" in refused(capsys, "report", tmp_path / "runs" / "charlm")


def test_a_killed_run_goes_on_to_the_same_losses(
    run: RunFolder, tmp_path: Path, source: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as patch:
        patch.setattr(display, "open_display", lambda folder: CrashAt(29))
        with pytest.raises(Crash):
            main(arguments(source, tmp_path))
    folder = RunFolder.open(tmp_path / "runs" / "charlm")
    assert record(folder) != record(run)
    out = said(capsys, "train", "--resume", folder.path, "--cache", tmp_path / "cache")
    assert "going on from step 24" in out
    assert record(folder) == record(run)
    assert folder.report.exists()


def test_a_cell_of_ones_own_outlives_its_file(
    tmp_path: Path, source: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "my_cells.py"
    path.write_text(OWN_CELL, encoding="utf-8")
    assert "n = tanh" in said(capsys, "cells", f"{path}:mine").replace("candidate", "n")
    said(capsys, *arguments(source, tmp_path, cell=f"{path}:mine", name="whole"))
    monkeypatch.setattr(display, "open_display", lambda folder: CrashAt(29))
    with pytest.raises(Crash):
        main(arguments(source, tmp_path, cell=f"{path}:mine"))
    path.unlink()
    folder = RunFolder.open(tmp_path / "runs" / "charlm")
    said(capsys, "train", "--resume", folder.path, "--cache", tmp_path / "cache")
    assert record(folder) == record(RunFolder.open(tmp_path / "runs" / "whole"))
    assert said(capsys, "sample", folder.path, "--prompt", "def ", "--length", "9").startswith("def ")
    assert "bits a character" in said(capsys, "eval", folder.path, source)


def test_samples_are_streamed_and_reproducible(run: RunFolder, capsys: Capture):
    def written(*more: str) -> str:
        return said(capsys, "sample", run.path, "--length", "60", "--prompt", "for ", *more)

    assert written("--seed", "1") == written("--seed", "1") != written("--seed", "2")
    assert written() != written()
    out = written("--seed", "1")
    assert out.startswith("for ")
    assert len(out) == 4 + 60 + 1
    assert written("--temperature", "0") == written("--top-k", "1")
    three = re.fullmatch(
        r"== 1 of 3 ==\nfor (.+)\n\n== 2 of 3 ==\nfor (.+)\n\n== 3 of 3 ==\nfor (.+)\n",
        written("--seed", "4", "--count", "3"),
        re.DOTALL,
    )
    assert three is not None
    assert [len(part) for part in three.groups()] == [60] * 3
    assert len(set(three.groups())) == 3


def test_a_terminal_gets_no_control_codes(monkeypatch: pytest.MonkeyPatch, capsys: Capture):
    sample._write("a\x1b[31mb")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    sample._write("a\x1b[31mb")
    assert capsys.readouterr().out == "a\x1b[31mb" + "a␛[31mb"


def test_a_checkpoint_can_be_named_instead_of_a_run(run: RunFolder, capsys: Capture, source: Path):
    first = said(capsys, "eval", run.path, source)
    assert first == said(capsys, "eval", run.checkpoint("best"), source)
    other = next(
        run.checkpoints / f"step-{s:08}" for s in run.checkpoint_steps() if s != load(run.checkpoint("best")).step
    )
    assert first != said(capsys, "eval", other, source)


def test_the_measured_loss_is_that_of_a_plain_torch_loop(run: RunFolder, capsys: Capture, tmp_path: Path):
    written = text(500)
    (tmp_path / "t.txt").write_text(written, encoding="utf-8")
    out = said(capsys, "eval", run.path, tmp_path / "t.txt")
    loss = plain_loss(load_model(run.path), written)
    nats, bits, perplexity = (
        float(line.split()[-4 if "nats" in line or "bits" in line else -1]) for line in out.splitlines()[1:]
    )
    assert nats == pytest.approx(loss, abs=6e-5)
    assert bits == pytest.approx(loss / math.log(2), abs=6e-5)
    assert perplexity == pytest.approx(math.exp(loss), rel=1e-3)
    assert "t.txt: 499 characters" in out


def test_unseen_characters_are_refused_or_left_out(run: RunFolder, capsys: Capture, tmp_path: Path):
    (tmp_path / "t.txt").write_text("déf in value\n" * 9, encoding="utf-8")
    assert "'é' (U+00E9)" in refused(capsys, "eval", run.path, tmp_path / "t.txt")
    out = said(capsys, "eval", run.path, tmp_path / "t.txt", "--unseen", "skip")
    assert "note: 9 characters that the model never saw are left out" in out


def test_runs_are_listed_with_their_results(run: RunFolder, capsys: Capture, tmp_path: Path):
    out = said(capsys, "runs", run.path.parent)
    best = min(e["bits"] for e in run.events() if e["kind"] == "eval")
    assert re.search(rf"{re.escape(str(run.path))} +finished +{best:.4f} +60 +0:0\d +\d+\.\d\n", out)
    assert "no runs in" in said(capsys, "runs", tmp_path)
    assert "did you mean 'runs'" in refused(capsys, "runs", run.path.parents[1] / "rnus")


def test_a_report_is_written_again(mine: RunFolder, capsys: Capture):
    mine.report.unlink()
    assert said(capsys, "report", mine.path) == f"{mine.report}\n"
    assert mine.report.exists()


def test_cells_are_listed_and_shown(capsys: Capture):
    listed = said(capsys, "cells")
    assert re.search(r"^lstm +Long short-term memory", listed, re.MULTILINE)
    shown = said(capsys, "cells", "gru")
    assert "Cho et al." in shown
    assert "h' = " in shown


def test_the_demo_is_a_training_run_that_ends_with_a_sample(
    tmp_path: Path, source: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    small = "--cache cache --min-count 1 --batch 4 --time 16 --hidden 8 --steps 4 --eval-every 2 --threads 1".split()  # noqa: SIM905
    out = said(capsys, "demo", source, *small)
    assert out.startswith(f"$ rekur train charlm {demo.OPTIONS[0]} demo ")
    assert out.index("test ") < out.index("$ rekur sample runs/demo") < out.index("report: runs/demo/report.html")


# ---- what goes wrong ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("trian", "there is no command 'trian'; did you mean 'train'?"),
        ("train", "say what to train: rekur train charlm"),
        ("train charml", "there is no task 'charml'; did you mean 'charlm'?"),
        ("train charlm {words} --cell lsmt", "there is no cell 'lsmt'; did you mean 'lstm'?"),
        ("train charlm {words} --cell {root}/none.py:mine", "there is no file"),
        ("train charlm {words} --hidden 0", "hidden is 0; it must be 1 or more"),
        ("train charlm {words} --hidden -3", "hidden is -3; it must be 1 or more"),
        ("train charlm {words} --batch -1", "batch is -1; it must be 1 or more"),
        ("train charlm {words} --lr 0", "lr is 0.0; it must be above 0"),
        ("train charlm {words} --eval-every -1", "eval_every is -1; it must be 0 or more"),
        ("train charlm {words} --split 0.5 0.1 0.1", "split is (0.5, 0.1, 0.1); it must be three shares"),
        ("train charlm {words} --batch 2 --time 8 --name ../x", "'../x' cannot be a run's name"),
        ("sample {run} --length 0", "length is 0; it must be 1 or more"),
        ("sample {run} --count 0", "count is 0; it must be 1 or more"),
        ("sample {run} --top-k -1", "top-k must be above zero, got -1"),
        ("sample {run} --temperature -1", "temperature must not be below zero"),
        ("eval {run} {words} --streams 0", "streams is 0; it must be 1 or more"),
        ("cells gruu", "there is no cell 'gruu'; did you mean 'gru'?"),
    ],
)
def test_an_option_that_makes_no_sense(command: str, message: str, root: Path, capsys: Capture):
    words, run = root / "words.txt", root / "runs" / "charlm"
    err = refused(capsys, *(part.format(words=words, run=run, root=root) for part in command.split()), code=2)
    assert message in err


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("train charlm --hiden 3", ["Unrecognized options: --hiden", "Perhaps you meant", "--hidden INT"]),
        ("train --resum x", ["Perhaps you meant", "--resume RUN"]),
        ("sample x --temprature 1", ["Perhaps you meant", "--temperature FLOAT"]),
        ("train charlm --hidden many", ["Error parsing --hidden", "'many'"]),
        ("train charlm --unit chars", ["invalid choice 'chars'", "'characters'"]),
        ("sample", ["Required options", "RUN"]),
    ],
)
def test_an_option_that_is_not_understood(command: str, shown: list[str], capsys: Capture):
    assert main(command.split()) == 2
    err = capsys.readouterr().err
    assert "\x1b" not in err
    assert [part for part in shown if part not in err] == []


def test_files_that_are_no_text(root: Path, tmp_path: Path, capsys: Capture):
    (tmp_path / "empty.txt").touch()
    (tmp_path / "binary.txt").write_bytes(b"ab\0cd")
    (tmp_path / "latin.txt").write_bytes("naïve".encode("latin-1"))
    (tmp_path / "short.txt").write_text("too short", encoding="utf-8")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "picture.png").write_bytes(b"\x89PNG\0")
    run = root / "runs" / "charlm"
    for name, message in {
        "missing.txt": "does not exist",
        "shrt.txt": "did you mean 'short.txt'?",
        "empty.txt": "is empty; there is nothing to read",
        "binary.txt": "is binary, not text: it has a NUL byte at byte 2",
        "latin.txt": "is not UTF-8 at byte 2",
        "folder": "picture.png' is binary",
    }.items():
        assert message in refused(capsys, *arguments(tmp_path / name, tmp_path))
        assert message in refused(capsys, "eval", run, tmp_path / name)
    short = refused(capsys, *arguments(tmp_path / "short.txt", tmp_path))
    assert "the text is too short: batch 4 and time 16 need at least 65 symbols, and it has 7" in short
    assert not (tmp_path / "runs").exists()


def test_a_prompt_with_unseen_characters(run: RunFolder, capsys: Capture):
    assert "'é' (U+00E9), '日' (U+65E5) not among" in refused(capsys, "sample", run.path, "--prompt", "é日")
    assert said(capsys, "sample", run.path, "--prompt", "dé", "--unseen", "skip", "--length", "3").startswith("d")
    out = refused(capsys, *arguments(run.path.parents[1] / "words.txt", run.path, prompt="é"))
    assert "'é' (U+00E9) not among" in out


def test_a_run_that_is_not_there(run: RunFolder, capsys: Capture):
    for command in (["sample"], ["report"], ["train", "--resume"]):
        assert "did you mean 'charlm'?" in refused(capsys, *command, run.path.parent / "charm")
    assert "is not a run folder" in refused(capsys, "sample", run.path.parent)


def test_a_damaged_checkpoint(mine: RunFolder, capsys: Capture, source: Path):
    path = mine.checkpoint()
    (mine.checkpoints / "best").unlink()
    weights, whole = path / "weights.safetensors", (path / "weights.safetensors").read_bytes()

    def everywhere(*messages: str) -> None:
        for command in (("sample", mine.path), ("eval", mine.path, source), ("train", "--resume", mine.path)):
            err = refused(capsys, *command)
            assert [message for message in messages if message not in err] == []

    weights.write_bytes(whole[:-100])
    everywhere(str(weights), "it is not whole", "checkpoints beside it: step-00000056")
    weights.write_bytes(whole[:500] + bytes([whole[500] ^ 1]) + whole[501:])
    everywhere(str(weights), "has been altered")
    weights.write_bytes(whole)
    forge(path, lambda meta: meta.update(format=99, rekur="9.9"))
    everywhere("made by rekur '9.9'", "install a newer rekur")
    forge(path, lambda meta: meta.update(format=1))
    cells = load(path).cells
    forge(path, lambda meta: None, "cells.json", json.dumps({"../../lstm": cells["lstm"]}).encode())
    everywhere("cells.json has the name '../../lstm'")
    for hostile in (
        "".join(f"%{i} = tanh(h) [H]\n" for i in range(10**6)),
        "".join(f"%{i + 100} = tanh({f'%{i + 99}' if i else 'h'}) [H]\n" for i in range(50_000))
        + "name z = %50099\n",
        "name ../../x = h\n",
    ):
        forge(path, lambda meta: None, "cells.json", json.dumps({"lstm": cells["lstm"] + hostile}).encode())
        everywhere("the checkpoint's model cannot be made: ")


def test_a_loss_that_is_not_a_number(tmp_path: Path, source: Path, capsys: Capture):
    err = refused(capsys, *arguments(source, tmp_path, lr=1e30, clip=0, warmup=0, checkpoint_every=1))
    assert re.search(r"training stopped at step \d+ of 60: .*(nan|inf|finite).*learning rate", err)
    folder = RunFolder.open(tmp_path / "runs" / "charlm")
    assert str(folder.checkpoint()) in err
    assert said(capsys, "sample", folder.path, "--length", "5")
    assert "failed" in said(capsys, "runs", tmp_path / "runs")


@pytest.mark.parametrize("operation", [5, 60, 120])
def test_a_full_disk(operation: int, tmp_path: Path, source: Path, capsys: Capture):
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.MonkeyPatch.context() as patch:
        Disk(patch, full, operation)
        err = refused(capsys, *arguments(source, tmp_path))
    assert "No space left on device" in err
    assert str(tmp_path) in err


BAD_CELLS = {
    "return h, c, c": ("", "returns 3 values for 2 states"),
    'h = h + affine("wide", x, size="W")': ("    return h, c", "axes"),
    "if h > 0:": ("        h = -h\n    return h, c", "branching on a value"),
    "return h ** 2, c": ("", "** is not in the cell language; write h * h"),
    "return np.tanh(h), c": ("", "not in the cell language"),
    "return tanh(hh), c": ("", "NameError: name 'hh' is not defined"),
}


@pytest.mark.parametrize("line", BAD_CELLS)
def test_a_bad_cell_is_shown_at_its_author_s_line(line: str, tmp_path: Path, source: Path, capsys: Capture):
    rest, message = BAD_CELLS[line]
    path = tmp_path / "bad.py"
    head = "import numpy as np\nfrom rekur.cells import affine, cell, tanh\n\n\n@cell\ndef bad(x, h, c):\n"
    path.write_text(head + f"    {line}\n{rest}\n", encoding="utf-8")
    err = refused(capsys, *arguments(source, tmp_path, cell=f"{path}:bad"))
    number = [text.strip() for text in path.read_text(encoding="utf-8").splitlines()].index(line) + 1
    assert message in err
    assert f"{path}:{number}:  {line}" in err
    assert message in refused(capsys, "cells", f"{path}:bad")


def test_a_state_that_comes_back_as_another_by_mistake(tmp_path: Path, source: Path, capsys: Capture):
    path = tmp_path / "bad.py"
    path.write_text(
        "from rekur.cells import cell, tanh\n@cell\ndef bad(x, h, c):\n    return tanh(c), h\n", encoding="utf-8"
    )
    err = refused(capsys, *arguments(source, tmp_path, cell=f"{path}:bad"))
    assert "the next 'c' is the state 'h' unmodified; if a delay is meant, say so" in err
    assert f"{path}:" in err


def test_ctrl_c_before_training_is_quiet(capsys: Capture, monkeypatch: pytest.MonkeyPatch, run: RunFolder):
    def interrupt(*arguments: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("rekur.tasks.text_model.load", interrupt)
    assert main(["sample", str(run.path)]) == 130
    assert capsys.readouterr().err == "\nrekur: interrupted\n"


def test_a_bug_of_ours_is_not_dressed_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("rekur.cli.cells.run", lambda arguments: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(["cells"])
    assert not issubclass(ZeroDivisionError, RekurError)
    assert torch.get_num_threads() == 1
