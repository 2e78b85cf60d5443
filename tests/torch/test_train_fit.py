"""The loop: exact resume from anywhere, and every way in which a run can end."""

import math
import os
import signal
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from rekur.errors import CheckpointError, TrainingError
from rekur.train import Quiet, RunFolder, StepLoss, fit, load, loop
from tests.torch.train_tiny import CHUNKS, CONFIG, Crash, CrashAt, Tiny, record, resume

TOTAL = CONFIG.epochs * CHUNKS


@pytest.fixture(autouse=True)
def _events_that_straddle_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "LOG_EVERY", 3)


@pytest.fixture
def heard() -> Iterator[None]:
    """Ctrl-C is heard also where a shell that runs the tests in the background has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFolder, Tiny]:
    """A run that nothing stopped."""
    folder, task = new(tmp_path_factory.mktemp("whole")), Tiny()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "LOG_EVERY", 3)
        result = fit(task, CONFIG, folder, Quiet())
    assert (result.reason, result.step, result.exit_code) == ("finished", TOTAL, 0)
    return folder, task


def new(root: Path) -> RunFolder:
    return RunFolder.create(root, "run", {"task": "tiny"})


def same_weights(one: torch.nn.Module, two: torch.nn.Module) -> bool:
    left, right = one.state_dict(), two.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def same_checkpoint(one: Path, two: Path) -> bool:
    left, right = load(one), load(two)
    return all(
        getattr(left, part).keys() == getattr(right, part).keys()
        and all(torch.equal(value, getattr(right, part)[name]) for name, value in getattr(left, part).items())
        for part in ("weights", "optimizer", "carry", "generators")
    )


def test_it_learns_and_says_so_in_nats_and_bits(whole: tuple[RunFolder, Tiny]):
    evals = [event for event in whole[0].events() if event["kind"] == "eval"]
    assert [event["step"] for event in evals] == [5, 10, 15, 20, TOTAL]
    assert evals[-1]["loss"] < evals[0]["loss"] < math.log(7)
    assert evals[0]["bits"] == pytest.approx(evals[0]["loss"] / math.log(2))
    assert evals[0]["perplexity"] == pytest.approx(math.exp(evals[0]["loss"]))
    trains = [event for event in whole[0].events() if event["kind"] == "train"]
    assert [(event["step"], event["epoch"]) for event in trains] == [
        (3, 1), (6, 1), (9, 2), (12, 2), (15, 2), (18, 3), (21, 3), (24, 3)
    ]  # fmt: skip
    assert trains[0]["lr"] == CONFIG.rate(2, TOTAL)


def test_the_kept_things_are_there(whole: tuple[RunFolder, Tiny]):
    folder, task = whole
    events = folder.events()
    start, end = events[0], events[-1]
    assert (start["kind"], start["parameters"], start["total"]) == (
        "start", sum(p.numel() for p in task.model.parameters()), TOTAL
    )  # fmt: skip
    best = min((event for event in events if event["kind"] == "eval"), key=lambda event: event["loss"])
    assert (end["kind"], end["best_loss"], end["best_step"]) == ("end", best["loss"], best["step"])
    assert folder.checkpoint("best").name == f"step-{best['step']:08}"
    assert folder.checkpoint().name == f"step-{TOTAL:08}"
    with torch.no_grad():
        task.model.eval()
        assert task.evaluate("test")["loss"] == end["test"]["loss"]
    assert same_weights(task.model, weights_of(load(folder.checkpoint("best")).weights))
    first = (folder.samples / "step-00000000.txt").read_text(encoding="utf-8")
    assert first.startswith("== greedy ==\n")
    assert len(list(folder.samples.iterdir())) == 6


def weights_of(state: Mapping[str, Tensor]) -> torch.nn.Module:
    model = Tiny().model
    model.load_state_dict(state)
    return model


def test_windows_cover_every_step_once(whole: tuple[RunFolder, Tiny]):
    """The mean loss of a `train` event is that of the steps since the one before, checkpoints or not."""
    losses: dict[int, float] = {}

    class Listening(Quiet):
        def step(self, step: int, loss: float) -> None:
            losses[step] = loss

    folder = new(whole[0].path.parent / "again")
    fit(Tiny(), CONFIG, folder, Listening())
    for event in folder.events():
        if event["kind"] == "train":
            steps = range(event["step"] - 2, event["step"] + 1)
            assert event["loss"] == pytest.approx(sum(losses[step] for step in steps) / 3)


@pytest.mark.parametrize("step", [*range(1, 11), 16, 17, 23, TOTAL])
def test_a_run_killed_after_any_step_goes_on_to_the_same_bits(
    step: int, tmp_path: Path, whole: tuple[RunFolder, Tiny]
):
    folder = new(tmp_path)
    with pytest.raises(Crash):
        fit(Tiny(), CONFIG, folder, CrashAt(step))
    torch.rand(5)  # another process's generator stands elsewhere
    task = resume(folder.path)
    assert record(folder) == record(whole[0])
    assert same_weights(task.model, whole[1].model)
    assert same_checkpoint(folder.checkpoint(), whole[0].checkpoint())


def test_a_run_killed_again_and_again_too(tmp_path: Path, whole: tuple[RunFolder, Tiny]):
    folder = new(tmp_path)
    with pytest.raises(Crash):
        fit(Tiny(), CONFIG, folder, CrashAt(2))
    for step in (7, 9, 13, 14, 22):
        with pytest.raises(Crash):
            resume(folder.path, display=CrashAt(step))
    assert same_weights(resume(folder.path).model, whole[1].model)
    assert record(folder) == record(whole[0])


@pytest.mark.parametrize("lost", ["weights", "optimizer", "carry", "generators"])
def test_that_comparison_sees_a_lost_part(lost: str, tmp_path: Path, whole: tuple[RunFolder, Tiny]):
    """Negative test: leave out one part of the checkpoint, and the run no longer comes out the same."""
    folder = new(tmp_path)
    with pytest.raises(Crash):
        fit(Tiny(), CONFIG, folder, CrashAt(7))
    saved = load(folder.checkpoint())
    instead: dict[str, Any] = {
        "weights": {name: value + 1e-6 for name, value in saved.weights.items()},
        "generators": {"torch": torch.Generator().manual_seed(5).get_state()},
        "optimizer": {},
        "carry": {},
    }
    instead = {lost: instead[lost]}
    task = Tiny()
    fit(task, CONFIG, folder, Quiet(), resume=replace(saved, **instead))
    assert record(folder) != record(whole[0])
    assert not same_weights(task.model, whole[1].model)


@pytest.mark.parametrize("step", [1, 5, 6, 8, 14])
@pytest.mark.usefixtures("heard")
def test_ctrl_c_ends_after_the_step_with_a_checkpoint(step: int, tmp_path: Path, whole: tuple[RunFolder, Tiny]):
    class CtrlC(Quiet):
        def step(self, at: int, loss: float) -> None:
            if at == step:
                os.kill(os.getpid(), signal.SIGINT)

    folder, before = new(tmp_path), signal.getsignal(signal.SIGINT)
    result = fit(Tiny(), CONFIG, folder, CtrlC())
    assert (result.reason, result.step, result.exit_code) == ("interrupted", step, 130)
    assert signal.getsignal(signal.SIGINT) is before
    assert folder.checkpoint().name == f"step-{step:08}"
    end = folder.events()[-1]
    assert (end["kind"], end["reason"], end["test"]) == ("end", "interrupted", None)
    task = resume(folder.path)
    assert record(folder) == record(whole[0])
    assert same_weights(task.model, whole[1].model)


@pytest.mark.usefixtures("heard")
def test_a_second_ctrl_c_stops_at_once(tmp_path: Path, whole: tuple[RunFolder, Tiny]):
    class Impatient(Quiet):
        def step(self, at: int, loss: float) -> None:
            if at == 7:
                os.kill(os.getpid(), signal.SIGINT)
                os.kill(os.getpid(), signal.SIGINT)
                pytest.fail("the second one came through")

    folder, before = new(tmp_path), signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        fit(Tiny(), CONFIG, folder, Impatient())
    assert signal.getsignal(signal.SIGINT) is before
    assert not folder.locked()
    resume(folder.path)
    assert record(folder) == record(whole[0])


class Worsening(Tiny):
    """Validation losses as told."""

    losses: tuple[float, ...] = (3.0, 2.0, 2.5, 2.0, 1.9, 1.95, 1.96, 1.97)

    def evaluate(self, split: str) -> dict[str, float]:
        return {} if split == "test" else {"loss": self.losses[self.epoch]}


PATIENT = replace(CONFIG, epochs=9, eval_every=0, patience=3)


def test_patience_counts_evaluations_without_a_new_best(tmp_path: Path):
    folder = new(tmp_path)
    result = fit(Worsening(), PATIENT, folder, Quiet())
    assert (result.reason, result.step, result.best_loss, result.best_step, result.test) == (
        "early stop", 8 * CHUNKS, 1.9, 5 * CHUNKS, None
    )  # fmt: skip


@pytest.mark.parametrize("step", [20, 21, 39, 40])
def test_patience_counts_on_across_a_resume(step: int, tmp_path: Path):
    class Soon(Worsening):
        losses = (3.0, 2.0, 2.5, 2.0, 2.1, 1.0, 1.1, 1.1, 1.1)

    folder = new(tmp_path)
    with pytest.raises(Crash):
        fit(Soon(), PATIENT, folder, CrashAt(step))
    resume(folder.path, Soon(), PATIENT)
    end = folder.events()[-1]
    assert (end["reason"], end["step"], end["best_step"]) == ("early stop", 5 * CHUNKS, 2 * CHUNKS)
    assert folder.checkpoint("best").name == f"step-{2 * CHUNKS:08}"
    resume(folder.path, Soon(), PATIENT)  # it is out of patience still
    assert folder.events()[-1]["step"] == 5 * CHUNKS
    resume(folder.path, Soon(), replace(PATIENT, patience=4))  # and goes on when given more
    assert (folder.events()[-1]["reason"], folder.events()[-1]["best_loss"]) == ("finished", 1.0)


class Diverging(Tiny):
    """Something stops being a number after 11 steps."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self.what, self.calls, self.evaluations = what, 0, 0

    def loss(self, index: int, carry: Mapping[str, Tensor] | None) -> StepLoss:
        self.calls += 1
        out = super().loss(index, carry)
        if self.calls <= 11 or self.what == "validation":
            return out
        if self.what == "weight":
            with torch.no_grad():
                self.model.head.bias[0] = math.inf
        elif self.what == "gradient":
            weight = self.model.head.weight
            return replace(out, loss=out.loss + (weight - weight.detach()).sum().sqrt())  # d√x at 0
        else:
            return replace(out, loss=out.loss * float(self.what))
        return out

    def evaluate(self, split: str) -> dict[str, float]:
        self.evaluations += 1
        bad = self.what == "validation" and self.evaluations == 2
        return {"loss": math.nan} if bad else super().evaluate(split)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("nan", "the loss became nan"),
        ("inf", "the loss became inf"),
        ("gradient", "the gradient's norm became (nan|inf)"),
        ("weight", "a weight is no longer a finite number"),
        ("validation", "the validation loss became nan"),
    ],
)
def test_what_is_not_a_number_stops_and_nothing_bad_is_saved(what: str, message: str, tmp_path: Path):
    folder, task = new(tmp_path), Diverging(what)
    with pytest.raises(TrainingError, match=message) as caught:
        fit(task, replace(CONFIG, eval_every=10), folder, Quiet())
    said = str(caught.value)
    good = folder.checkpoint()
    assert all(bool(torch.isfinite(value).all()) for value in load(good).weights.values())
    assert str(good) in said
    assert f"rekur train --resume {folder.path}" in said
    if what in {"nan", "inf", "gradient"}:
        assert "step 12 of 24" in said
        assert f"learning rate {CONFIG.rate(11, TOTAL):.3g}" in said
        assert "norm before was 0." in said
        assert good.name == "step-00000010"
    end = folder.events()[-1]
    assert (end["kind"], end["reason"], end["message"]) == ("end", "failed", said)
    assert not folder.locked()


def test_a_loss_that_is_bad_at_the_start_says_that_nothing_went_before(tmp_path: Path):
    task = Diverging("nan")
    task.calls = 11
    with pytest.raises(TrainingError, match=r"step 1 of 24.*norm before was unknown.*step-00000000"):
        fit(task, CONFIG, new(tmp_path), Quiet())


def test_dropout_depends_on_the_seed_alone_and_the_caller_keeps_their_generator(tmp_path: Path):
    runs = []
    for seed, noise in ((1, 0), (1, 9), (2, 0)):
        torch.manual_seed(noise)
        before = torch.get_rng_state()
        folder = new(tmp_path)
        fit(Tiny(), replace(CONFIG, epochs=1, seed=seed), folder, Quiet())
        assert torch.equal(torch.get_rng_state(), before)
        runs.append(record(folder))
    assert runs[0] == runs[1] != runs[2]


def test_resuming_from_an_older_checkpoint_takes_back_what_came_later(tmp_path: Path, whole: tuple[RunFolder, Tiny]):
    folder = new(tmp_path)
    with pytest.raises(Crash):
        fit(Tiny(), CONFIG, folder, CrashAt(14))
    steps = folder.checkpoint_steps()
    assert steps[-2:] == [10, 12]
    task = Tiny()
    fit(task, CONFIG, folder, Quiet(), resume=load(folder.checkpoints / "step-00000010"))
    assert record(folder) == record(whole[0])
    assert same_weights(task.model, whole[1].model)


def test_more_steps_can_be_asked_of_a_finished_run(tmp_path: Path):
    folder = new(tmp_path)
    fit(Tiny(), replace(CONFIG, epochs=1), folder, Quiet())
    resume(folder.path, config=replace(CONFIG, epochs=2))
    ends = [(event["step"], event["reason"]) for event in folder.events() if event["kind"] == "end"]
    assert ends == [(CHUNKS, "finished"), (2 * CHUNKS, "finished")]


def test_a_checkpoint_of_something_else_is_refused_and_nothing_is_cut(tmp_path: Path):
    class Other(Tiny):
        name = "other"

    class Wider(Tiny):
        def __init__(self) -> None:
            super().__init__()
            self.model.head = torch.nn.Linear(8, 9)

    folder = new(tmp_path)
    with pytest.raises(Crash):
        fit(Tiny(), CONFIG, folder, CrashAt(6))
    before = folder.events()
    for task, message in (
        (Other(), "of task 'tiny', not of 'other'"),
        (Tiny(chunks=9), "had 8 batches an epoch and now there are 9"),
        (Wider(), r"does not fit the model.*head"),
    ):
        with pytest.raises(CheckpointError, match=f"(?s){message}"):
            resume(folder.path, task)
    saved = load(folder.checkpoint())
    optimizer = dict(saved.optimizer)
    optimizer["nowhere.exp_avg"] = optimizer.pop("head.bias.exp_avg")
    for damage, message in (
        ({"optimizer": optimizer}, "head.bias"),
        ({"optimizer": {"nowhere.step": torch.zeros(())}}, "nowhere"),
        ({"generators": {}}, "does not fit the model"),
        ({"generators": {"torch": torch.zeros(3)}}, "does not fit the model"),
        ({"meta": {**saved.meta, "progress": {"step": -1}}}, "where its run stands"),
        ({"meta": {**saved.meta, "progress": {**saved.meta["progress"], "stale": "0"}}}, "where its run stands"),
        ({"step": 999}, "no checkpoint of step 999"),
    ):
        with pytest.raises(CheckpointError, match=message):
            fit(Tiny(), CONFIG, folder, Quiet(), resume=replace(saved, **damage))
    assert folder.events() == before


def test_a_folder_that_holds_a_run_is_not_begun_anew(tmp_path: Path, whole: tuple[RunFolder, Tiny]):
    before = whole[0].events()
    with pytest.raises(TrainingError, match=r"holds a run already; .* `rekur train --resume"):
        fit(Tiny(), CONFIG, whole[0], Quiet())
    assert whole[0].events() == before


def test_a_folder_in_which_another_trains_is_left_alone(tmp_path: Path):
    folder = new(tmp_path)
    with folder.lock(), pytest.raises(TrainingError, match="another process"):
        fit(Tiny(), CONFIG, folder, Quiet())
    assert folder.events() == []
    assert folder.checkpoint_steps() == []


def test_another_environment_is_said(tmp_path: Path):
    class Listening(Quiet):
        def __init__(self) -> None:
            self.notes: list[str] = []

        def note(self, text: str) -> None:
            self.notes.append(text)

    folder, display = new(tmp_path), Listening()
    with pytest.raises(Crash):
        fit(Tiny(), CONFIG, folder, CrashAt(6))
    resume(folder.path, display=display)
    assert display.notes == []
    saved = load(folder.checkpoint())
    saved.meta["environment"]["threads"] = 64
    fit(Tiny(), CONFIG, folder, display, resume=saved)
    (note,) = display.notes
    assert note.startswith("threads was 64 when the run was begun")


def test_a_task_without_validation_data_is_told_so(tmp_path: Path):
    class Blind(Tiny):
        def evaluate(self, split: str) -> dict[str, float]:
            return {}

    with pytest.raises(TrainingError, match="no validation data"):
        fit(Blind(), CONFIG, new(tmp_path), Quiet())
