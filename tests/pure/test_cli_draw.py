"""`rekur draw` and `rekur step`: what they write, where, and what they refuse."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from rekur.cells import elman, find
from rekur.cli import main
from rekur.draw import Wiring, draw_cell, unfolded
from rekur.graph import latex

Capture = pytest.CaptureFixture[str]
W = "W=[[1.5,-2],[0,1],[-1,0.5],[2,0]]"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said(capsys: Capture, *command: str) -> str:
    """What a command that succeeds prints."""
    capsys.readouterr()
    code = main(command)
    out, err = capsys.readouterr()
    assert (code, err) == (0, "")
    return out


def refused(capsys: Capture, *command: str) -> str:
    capsys.readouterr()
    assert main(command) in (1, 2)
    err = capsys.readouterr().err
    assert err.startswith("rekur: error: ")
    return err


def title(path: str) -> str:
    found = ET.fromstring(Path(path).read_text(encoding="utf-8")).find("{http://www.w3.org/2000/svg}title")
    assert found is not None
    assert found.text is not None
    return found.text


def test_a_cell_is_drawn_into_its_file(capsys: Capture):
    assert said(capsys, "draw", "gru") == "gru-cell.svg\n"
    assert Path("gru-cell.svg").read_text(encoding="utf-8") == draw_cell(find("gru")).svg()
    assert said(capsys, "draw", "gru", "--dark", "-o", "dark.svg") == "dark.svg\n"
    assert Path("dark.svg").read_text(encoding="utf-8") == draw_cell(find("gru")).svg(dark=True)


@pytest.mark.parametrize(
    ("command", "want"),
    [
        ("draw lstm --kind unfolded --layers 2 --steps 3", "lstm, 2 layers, many-to-many, unfolded over 3 steps"),
        ("draw lstm --kind circuit", "lstm, 1 layer, as a circuit"),
        ("draw lstm2d --kind lattice --sites 2", "lstm2d on a lattice of 2 sites, over 4 steps"),
        ("draw f*c+i*g f=1 c=0.5 i=1 g=-1", "f*c+i*g"),
        ("draw a-b a=1 b=2", "a-b"),
        ("draw lstm-1997 x=1 h=0", "lstm_1997: values and gradients"),
        (f"step elman x=1,0 h=0,1 {W}", "elman: one step with numbers"),
        ("step lstm --text hello", "lstm: a run through 'hello'"),
    ],
)
def test_every_kind_of_picture(command: str, want: str, capsys: Capture):
    assert said(capsys, *command.split(" "), "-o", "out.svg") == "out.svg\n"
    assert title("out.svg") == want


def test_the_wiring_is_that_of_the_options(capsys: Capture):
    options = ["--shape", "many-to-one", "--bidirectional", "--pooling", "mean", "--embedding", "--losses"]
    said(capsys, "draw", "elman", "--kind", "unfolded", *options, "-o", "out.svg")
    wiring = Wiring(elman.graph, bidirectional=True, shape="many-to-one", pooling="mean", embedding=True, losses=True)
    assert Path("out.svg").read_text(encoding="utf-8") == unfolded(wiring).svg()


def test_a_cell_of_ones_own_is_drawn(capsys: Capture):
    Path("my cells.py").write_text(
        "from rekur.cells import cell, gate, tanh\n\n@cell\ndef mine(x, h):\n    return gate('new', tanh, x, h)\n"
    )
    assert said(capsys, "draw", "my cells.py:mine") == "mine-cell.svg\n"


def test_a_step_is_printed(capsys: Capture):
    out = said(capsys, "step", "elman", "x=1,0", "h=0,1", W)
    assert "= tanh((-1, 1.5))\n         = (-0.76, 0.91)\n" in out
    assert "= tanh((-1, 1.5))\n         = (-0.7616, 0.9051)\n" in said(
        capsys, "step", "elman", "x=1,0", "h=0,1", W, "--digits", "4"
    )
    assert said(capsys, "step", "gru", "--latex").startswith("\\begin{align*}\n")
    assert said(capsys, "step", "gru", "--seed", "1") != said(capsys, "step", "gru")
    out = said(capsys, "step", "lstm", "--text", "hey", "--hidden", "3")
    assert [line.split()[1] for line in out.splitlines()] == ["reads", "h", "e", "y"]


def test_equations_in_latex(capsys: Capture):
    assert said(capsys, "cells", "lstm", "--latex") == latex(find("lstm").graph) + "\n"
    assert "which cell" in refused(capsys, "cells", "--latex")


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("draw lsmt", "did you mean 'lstm'"),
        ("draw runs/none", "there is no cell 'runs/none'"),
        ("draw lstm -o lstm.pdf", "as .svg or .png"),
        ("draw lstm -o none/lstm.svg", "No such file"),
        ("draw f*c+q f=1 c=2", "no value was given for 'q'"),
        ("draw f*c f=1 c=2 --kind unfolded", "leave out --kind unfolded"),
        ("draw lstm x=1 --kind circuit", "values are for --kind flow"),
        ("draw lstm y=1", "lstm has no 'y'"),
        ("draw lstm2d --kind unfolded", "draw it as a lattice"),
        ("draw lstm --kind unfolded --steps 99", "1 to 12 steps"),
        ("draw lstm --kind circuit --layers 0", "1 layer or more"),
        ("step lsmt", "did you mean 'lstm'"),
        ("step lstm x=one", "is not a value"),
        ("step lstm --text hello x=1", "leave out x="),
        ("step row-lstm --text hello", "read one vector"),
        ("step lstm --hidden 99", "from 1 to 16"),
        ("step lstm --text " + "a" * 41, "for up to 40"),
    ],
)
def test_what_makes_no_sense_is_refused(command: str, message: str, capsys: Capture):
    assert message in refused(capsys, *command.split(" "))


def test_a_png_needs_its_library(capsys: Capture, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    assert "pip install 'rekur[png]'" in refused(capsys, "draw", "elman", "-o", "elman.png")
    assert not Path("elman.png").exists()
