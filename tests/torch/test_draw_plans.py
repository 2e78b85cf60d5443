"""The picture of a plan, and of a run: how its model is really wired."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from rekur.cells import attend, gru, lstm, lstm2d
from rekur.cli import main
from rekur.draw import Wiring, circuit, unfolded
from rekur.errors import OptionError
from rekur.nn import Plan, SequenceModel
from tests.torch.charlm_tiny import arguments, one_thread, text

pytestmark = pytest.mark.usefixtures("one_thread")
__all__ = ["one_thread"]


def test_a_plan_becomes_the_wiring_that_it_says():
    plan = Plan(lstm, 8, 16, 3, True, symbols=50, outputs=4, connections="residual", pooling="mean")
    assert plan.wiring() == Wiring(lstm.graph, 3, True, "residual", pooling="mean", embedding=True, head=True)
    assert plan._repr_svg_() == circuit(plan.wiring()).svg()
    bare = Plan(gru, 0, 16, symbols=5, feedback=True)
    assert (bare.wiring().embedding, bare.wiring().head, bare.wiring().feedback) == (False, False, True)


def test_a_lattice_has_no_such_picture():
    with pytest.raises(OptionError, match="draw it as a lattice"):
        Plan(lstm2d, 4, 4).wiring()
    assert Plan(attend, 4, 4).wiring().states == ("h", "context")


@pytest.mark.parametrize(("layers", "both"), [(1, False), (3, True)])
def test_the_picture_has_the_layers_and_states_of_the_model(layers: int, both: bool):
    plan = Plan(lstm, 8, 16, layers, both, outputs=4)
    scene = unfolded(plan.wiring(), steps=1)
    model = SequenceModel(plan)
    assert len([b for b in scene.boxes if b.kind == "layer"]) == layers * (1 + both)
    _, state = model(torch.zeros(1, 1, 8))
    assert len([b for b in scene.boxes if b.name.startswith("final")]) == len(state)


def test_a_run_is_drawn_as_its_model_is_wired(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("words.txt").write_text(text(), encoding="utf-8")
    assert main(arguments(Path("words.txt"), tmp_path, steps=1, cell="gru", layers=2)) == 0
    capsys.readouterr()
    assert main(["draw", "runs/charlm", "--steps", "3"]) == 0
    assert capsys.readouterr().out == "charlm.svg\n"
    wiring = Wiring(gru.graph, 2, feedback=True, embedding=True)
    assert Path("charlm.svg").read_text(encoding="utf-8") == unfolded(wiring, 3).svg()
    assert main(["draw", "runs/charlm", "--kind", "lattice"]) == 2
    assert "name its cell" in capsys.readouterr().err
    assert main(["draw", "words.txt"]) == 2
