"""A run's model and its companions: the same data, the same steps, and nothing of the run is changed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from rekur.inspect import Flows
from rekur.report.flow import section
from rekur.tasks.charlm import CharLM
from rekur.tasks.companions import batch_of, flows, kept
from rekur.tasks.start import begin
from rekur.tasks.supervised import Supervised
from rekur.train import FitConfig
from tests.torch import charlm_tiny, supervised_tiny
from tests.torch.charlm_tiny import one_thread as one_thread

pytestmark = pytest.mark.usefixtures("one_thread")
TRAINING = replace(charlm_tiny.TRAINING, steps=12, eval_every=6, checkpoint_every=0)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("companions")


def task(cache: Path) -> CharLM:
    source = cache / "text.txt"
    source.write_text(charlm_tiny.text())
    return CharLM(
        charlm_tiny.config(source, layers=1, dropout=0.0, split=(0.9, 0.01, 0.09)), cache=cache, seed=TRAINING.seed
    )


@pytest.fixture(scope="module")
def found(cache: Path) -> Flows:
    folder, _ = begin(task(cache), TRAINING, cache / "runs", "run", charlm_tiny.quiet)
    models = kept(folder)
    assert list(models) == [6, 12]
    return flows(task(cache), TRAINING, models, cache=cache, cells=("elman", "lstm"), seconds=60)


def test_companions_begin_as_the_run_and_learn_as_long(found):
    assert [moment.step for moment in found.own] == [0, 6, 12]
    assert list(found.beside) == ["elman", "lstm"]
    for name, moments in found.beside.items():
        assert [moment.step for moment in moments] == [0, 10, 12]
        assert moments[-1].loss < moments[0].loss, name
    np.testing.assert_array_equal(found.beside["lstm"][0].rows, found.own[0].rows)
    assert found.beside["lstm"][0].loss == found.own[0].loss
    assert found.parameters["elman"] < found.parameters["lstm"]
    assert found.unit == "characters"


def test_a_step_of_a_companion_is_a_step_of_fit(found):
    ours, run = found.beside["lstm"][-1], found.own[-1]
    np.testing.assert_allclose(ours.rows, run.rows, rtol=1e-4)
    assert ours.loss == pytest.approx(run.loss, rel=1e-6)


def test_the_runs_own_model_does_not_learn(cache):
    made = task(cache)
    before = made.model.state_dict()["head.weight"].clone()
    flows(made, TRAINING, {}, cache=cache, cells=("lstm",), seconds=1e-6)
    assert torch.equal(made.model.state_dict()["head.weight"], before)


def test_the_page_has_all_of_it(found):
    page = section(found)
    assert "<script" not in page
    assert "This model, lstm, after 12 steps: the gradient" in page
    for wanted in ("elman, before training: the gradient", "After 12 steps", "@keyframes", "this lstm", "step 6"):
        assert wanted in page
    assert "Several cells" not in section(replace(found, beside={}))
    assert section(Flows([])) == ""


def test_a_notebook_shows_curves(found):
    (axes,) = found.plot().axes
    lines = {line.get_label(): line.get_ydata() for line in axes.get_lines()}
    curve = found.own[-1].curve.sel(layer="0").values
    assert np.array_equal(lines["lstm, this model, after 12 steps"], curve / curve[0])
    assert set(lines) == {
        "lstm, this model, after 12 steps",
        *(f"{cell} beside it, after 12 steps" for cell in found.beside),
    }
    assert "This model, lstm" in found._repr_html_()


def test_the_runs_own_cell_stands_beside_others(cache):
    config = replace(supervised_tiny.SignConfig(hidden=4, batch=8), cell="mgu", bidirectional=True, layers=2)
    made = Supervised(config, cache=cache, seed=1)
    batch = batch_of(made)
    assert batch.lengths is not None
    assert batch.lengths.tolist() == sorted(batch.lengths.tolist(), reverse=True)
    assert batch.x.shape == (16, 7, 2)
    result = flows(made, FitConfig(steps=1), {}, cache=cache, cells=(), seconds=0)
    assert result.beside == {}
    assert result.own[0].layers == ["0", "0.reverse", "1", "1.reverse"]
    assert "0.reverse" in section(result)


def test_numbers_and_unpooled_sequences_have_a_batch_too(cache):
    for config in (supervised_tiny.adding(), supervised_tiny.icecream()):
        made = Supervised(config, cache=cache, seed=1)
        result = flows(made, FitConfig(steps=2), {}, cache=cache, cells=("elman",), seconds=9)
        assert [m.step for m in result.beside["elman"]] == [0, 2]
        assert set(result.beside) == {"elman", config.cell}
        assert np.isfinite(result.own[0].curve.values[:, 0]).all()


def test_the_time_is_kept(cache):
    hurried = flows(task(cache), TRAINING, {}, cache=cache, cells=("elman", "lstm"), seconds=1e-6)
    assert {moments[-1].step for moments in hurried.beside.values()} == {1}
