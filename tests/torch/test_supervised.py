"""Supervised tasks: golden losses, resume, scores against plain loops, and models from checkpoints."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rekur.cells import lstm
from rekur.errors import CheckpointError, DataError, OptionError
from rekur.tasks import Predictor, load_model, load_predictor, resume, train
from rekur.tasks.findings import wilson
from rekur.tasks.predictor import rebuild, step_loss
from rekur.tasks.problem import NOT_ASKED, Problem, Sequences
from rekur.tasks.supervised import Supervised, held_out
from rekur.train import Checkpoint, RunFolder, load
from tests.torch.charlm_tiny import OWN_CELL, one_thread
from tests.torch.supervised_tiny import TRAINING, SignConfig, adding, icecream, quiet, series
from tests.torch.train_tiny import Crash, CrashAt, record

pytestmark = pytest.mark.usefixtures("one_thread")
__all__ = ["one_thread"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("supervised")


@pytest.fixture(scope="module")
def run(root: Path) -> RunFolder:
    return train(icecream(), TRAINING, runs=root, display=quiet)[0]


def losses(folder: RunFolder) -> dict[str, list[float]]:
    return {kind: [e["loss"] for e in folder.events() if e["kind"] == kind] for kind in ("train", "eval")}


# ---- training ----------------------------------------------------------------------------------------------


def test_the_losses_are_those_they_always_were(run: RunFolder, root: Path):
    """Golden: torch 2.13 on one thread; other processors round otherwise, hence the tolerance."""
    assert losses(run) == {
        "train": pytest.approx(GOLDEN["icecream"][0], rel=2e-3),
        "eval": pytest.approx(GOLDEN["icecream"][1], rel=2e-3),
    }
    sums, _ = train(adding(), TRAINING, runs=root, display=quiet)
    assert losses(sums) == {
        "train": pytest.approx(GOLDEN["adding"][0], rel=2e-3),
        "eval": pytest.approx(GOLDEN["adding"][1], rel=2e-3),
    }


GOLDEN = {
    "icecream": ([0.535565, 0.337938], [0.408729, 0.362069]),
    "adding": ([0.388882, 0.190855], [0.119588, 0.0912507]),
}


def test_a_squared_error_has_no_bits(root: Path):
    folder, result = train(adding(), replace(TRAINING, steps=2), runs=root, display=quiet)
    events = folder.events()
    assert events[0]["measure"] == "squared error"
    assert not any("bits" in event or "perplexity" in event for event in events)
    assert result.test is not None
    assert set(result.test) == {"loss"}


@pytest.mark.parametrize("make", [icecream, adding])
def test_a_run_killed_and_gone_on_with_comes_out_the_same(make: Any, tmp_path: Path):
    whole, _ = train(make(), TRAINING, runs=tmp_path, name="whole", display=quiet)
    with pytest.raises(Crash):
        train(make(), TRAINING, runs=tmp_path, name="killed", display=lambda _: CrashAt(28))
    folder, result = resume(tmp_path / "killed", display=quiet)
    assert record(folder) == record(whole)
    assert (result.step, result.reason) == (40, "finished")
    assert losses(whole) != losses(train(make(), replace(TRAINING, seed=4), runs=tmp_path, display=quiet)[0])


def test_every_epoch_has_new_sequences_in_the_order_of_its_number():
    task = Supervised(icecream(dropout=0.0))
    first = task.loss(0, None)
    task.begin(1)
    second = task.loss(0, None)
    task.begin(0)
    assert task.loss(0, None).loss.item() == first.loss.item() != second.loss.item()
    assert (task.chunks(), first.items, first.carry) == (5, 96, None)


def test_a_cell_of_ones_own_outlives_its_file(tmp_path: Path):
    path = tmp_path / "my_cells.py"
    path.write_text(OWN_CELL, encoding="utf-8")
    with pytest.raises(Crash):
        train(icecream(cell=f"{path}:mine"), TRAINING, runs=tmp_path, display=lambda _: CrashAt(21))
    path.unlink()
    folder, _ = resume(tmp_path / "icecream", display=quiet)
    assert load_predictor(folder.path).model.plan.cell.name == "mine"


def test_data_that_has_changed_is_not_gone_on_with(tmp_path: Path):
    path = tmp_path / "w.csv"
    path.write_text("weather\n" + "sun\nrain\nfog\nsun\n" * 30, encoding="utf-8")
    folder, _ = train(icecream(files=path), replace(TRAINING, steps=2), runs=tmp_path, display=quiet)
    resume(folder.path, display=quiet)
    path.write_text("weather\n" + "sun\nrain\nfog\nfog\n" * 30, encoding="utf-8")
    with pytest.raises(DataError, match=r"'w.csv' is no longer the data .* put the old data back"):
        resume(folder.path, display=quiet)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cell": "lsmt"}, "did you mean 'lstm'"),
        ({"cell": "lstm2d"}, "the cell 'lstm2d' cannot learn icecream"),
        ({"cell": "mogrifier"}, "the cell 'mogrifier_lstm' cannot learn icecream"),
        ({"backend": "fuzed"}, "did you mean 'fused'"),
        ({"dropout": 1.0}, "dropout is 1.0"),
    ],
)
def test_a_model_that_cannot_be_is_refused(changes: dict[str, Any], message: str, tmp_path: Path):
    with pytest.raises(OptionError, match=message):
        train(icecream(**changes), runs=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


# ---- scores ------------------------------------------------------------------------------------------------


def by_hand(predictor: Predictor, examples: Sequences) -> tuple[float, int, int]:
    """Loss, items and right answers, one unpadded sequence after the other, in float64."""
    terms, right = [], 0
    for x, wanted in zip(examples.inputs, examples.targets, strict=True):
        y = predictor.model(torch.as_tensor(x)[None])[0][0].double().detach().numpy()
        for row, want in zip(np.atleast_2d(y), np.atleast_1d(wanted), strict=True):
            if want != NOT_ASKED:
                terms.append(np.log(np.exp(row).sum()) - row[int(want)])
                right += int(row.argmax() == want)
    return float(np.mean(terms)), len(terms), right


@pytest.mark.parametrize("how", ["last", "mean", "max"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_padded_batch_has_the_loss_of_its_rows(how: str, bidirectional: bool):
    task = Supervised(SignConfig(how=how, bidirectional=bidirectional, hidden=5, batch=8))
    examples = series(30, 4)
    loss, items, right = by_hand(task.predictor, examples)
    got = step_loss(task.model, task.problem, examples)
    assert got[0].item() == pytest.approx(loss, rel=1e-5)
    assert got[1:3] == (items, right) == (30, right)
    score = task.predictor.score(examples)
    assert score.loss == pytest.approx(loss, rel=1e-5)
    assert (score.items, score.right) == (items, right)
    outputs = task.predictor.outputs(examples.inputs)
    assert [int(one.argmax()) for one in outputs] != examples.targets
    assert sum(int(one.argmax()) == want for one, want in zip(outputs, examples.targets, strict=True)) == right


def test_steps_at_which_nothing_is_asked_do_not_count():
    task = Supervised(adding(problem="copy", time=3))
    examples = task.data.test
    loss, items, right = by_hand(task.predictor, examples)
    score = task.predictor.score(examples)
    assert score.loss == pytest.approx(loss, rel=1e-5)
    assert (score.items, score.right) == (200, right)
    assert items == 200
    everything = Sequences(examples.inputs, [np.maximum(one, 0) for one in examples.targets])
    assert task.predictor.score(everything).items == 20 * 23


def test_the_loss_of_a_number_is_the_mean_of_squares():
    task = Supervised(adding())
    outputs = [float(one[0]) for one in task.predictor.outputs(task.data.test.inputs)]
    wanted = np.mean((np.array(outputs) - np.array(task.data.test.targets)) ** 2)
    assert task.evaluate("test") == {"loss": pytest.approx(wanted, rel=1e-5)}


@pytest.mark.parametrize(("right", "items"), [(0, 10), (10, 10), (7, 10), (995, 1000), (1, 3)])
def test_the_interval_ends_where_the_share_is_just_not_refuted(right: int, items: int):
    """Wilson's ends p solve |share − p| = z √(p (1 − p) / n)."""
    low, high = wilson(right, items)
    share = right / items
    for end in (low, high):
        if 1e-9 < end < 1 - 1e-9:
            assert abs(share - end) == pytest.approx(1.959964 * (end * (1 - end) / items) ** 0.5)
    assert 0 <= low <= share + 1e-9
    assert share - 1e-9 <= high <= 1
    assert low < high


def test_without_test_data_a_run_ends_without_a_test():
    task = Supervised(SignConfig())
    assert task.evaluate("test") == {}
    assert len(task.tracks()) == 1


def test_what_is_shown_as_it_learns_and_at_the_end(run: RunFolder):
    events = run.events()
    samples = [event for event in events if event["kind"] == "sample"]
    assert len(samples) == 3 * 3
    assert samples[0]["title"] == "held-out sequence 1"
    assert samples[0]["text"].startswith("weather   ")
    (tracks,) = [event for event in events if event["kind"] == "tracks"]
    shapes = {track["name"]: np.shape(track["values"]) for track in tracks["tracks"]}
    assert shapes == {
        "weather": (12,), "stock": (12,), "any left": (12,), "predicted": (12,), "wrong": (12,),
        "state h": (12, 6), "state c": (12, 6),
    }  # fmt: skip
    states = np.array(next(track["values"] for track in tracks["tracks"] if track["name"] == "state h"))
    predictor = load_predictor(run.path)
    _, examples, _ = held_out(run.path, load(run.checkpoint("best")), "test")
    y, _ = predictor.model.recurrent(torch.as_tensor(examples.inputs[0])[None])
    assert states == pytest.approx(y[0].detach().numpy(), abs=6e-4)


# ---- a trained model ---------------------------------------------------------------------------------------


def test_a_checkpoint_predicts_without_its_data(run: RunFolder, tmp_path: Path):
    shutil.copytree(run.checkpoint("best"), tmp_path / "kept")
    predictor = load_predictor(tmp_path / "kept")
    assert not predictor.model.training
    _, examples, _ = held_out(run.path, load(run.checkpoint("best")), "test")
    end = run.events()[-1]
    score = predictor.score(examples)
    assert score.scores() == {
        name: pytest.approx(value) for name, value in end["test"].items() if name not in ("bits", "perplexity")
    }
    with pytest.raises(CheckpointError, match="is not a run folder"):
        held_out(tmp_path / "kept", load(tmp_path / "kept"), "test")


def damaged(run: RunFolder, **changes: Any) -> Checkpoint:
    saved = load(run.checkpoint("best"))
    model = {**saved.meta["model"], **changes.pop("model", {})}
    return replace(saved, meta={**saved.meta, "model": model, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": "charlm"}, "the checkpoint is of task 'charlm', which does not predict"),
        ({"task": "memory"}, "the checkpoint's model cannot be made"),
        ({"task": ["icecream"]}, r"is of task \['icecream'\], which does not predict"),
        ({"model": {"problem": {"colour": 1}}}, "the checkpoint's model cannot be made"),
        ({"model": {"problem": None}}, "the checkpoint's model cannot be made"),
        ({"model": {"plan": {}}}, "this is not a plan"),
    ],
)
def test_a_checkpoint_that_makes_no_sense(changes: dict[str, Any], message: str, run: RunFolder):
    with pytest.raises(CheckpointError, match=message):
        rebuild(damaged(run, **changes))


def test_a_plan_that_is_not_the_problem_s(run: RunFolder):
    plan = load(run.checkpoint("best")).meta["model"]["plan"]
    assert rebuild(damaged(run, model={"plan": plan})).model.plan.cell.name == lstm.name
    for changes in ({"pooling": "last"}, {"symbols": 4}, {"outputs": 3}):
        with pytest.raises(CheckpointError, match="cannot be made"):
            rebuild(damaged(run, model={"plan": {**plan, **changes}}))


def test_a_model_that_predicts_is_not_one_that_writes(run: RunFolder):
    with pytest.raises(CheckpointError, match="of task 'icecream', not of 'charlm'"):
        load_model(run.path)


def test_a_configuration_that_was_tampered_with_is_refused(run: RunFolder, tmp_path: Path):
    folder = RunFolder.open(shutil.copytree(run.path, tmp_path / "run"))
    path = folder.path / "config.json"
    saved = json.loads(path.read_bytes())
    for changes, message in (
        ({"model": {**saved["model"], "hidden": 7}}, "does not fit the model"),
        ({"model": {**saved["model"], "days": 0}}, "IceCreamConfig cannot be read: days is 0"),
        ({"task": "tagger"}, "a run of task 'tagger', not of 'charlm', 'icecream', 'classify', 'tag', 'memory'"),
        ({"task": "memory", "model": {}}, "the checkpoint is of task 'icecream', not of 'memory'"),
    ):
        path.write_text(json.dumps({**saved, **changes}), encoding="utf-8")
        with pytest.raises(CheckpointError, match=message):
            resume(folder.path, display=quiet)


def test_a_problem_has_its_measure_and_its_outputs():
    class Other(Problem):
        read = show = None  # type: ignore[assignment]

    assert (Other().measure, Other().outputs, Other().pooling, Other().symbols) == ("squared error", 1, None, None)
