"""A trained model of a supervised problem: it predicts, it is scored, and it comes back from a checkpoint."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from rekur.data import by_length, collate, masked_loss
from rekur.errors import CheckpointError, RekurError
from rekur.nn import SequenceModel
from rekur.tasks.findings import wilson
from rekur.tasks.problem import NOT_ASKED, Array, Problem, Sequences, SupervisedConfig
from rekur.tasks.rebuild import find_checkpoint, rebuild_model
from rekur.tasks.table import TASKS
from rekur.train import Checkpoint, load

_AT_ONCE = 256  # sequences that are read side by side where no gradient is wanted


@dataclass(frozen=True)
class Result:
    """What a model makes of examples: its loss, the mean over `items`, and, of classes, how many are `right`."""

    loss: float
    items: int
    right: int | None = None
    more: Mapping[str, float] = field(default_factory=dict)
    """The problem's own scores"""

    @property
    def accuracy(self) -> float | None:
        """The share that is right."""
        return None if self.right is None else self.right / self.items

    def scores(self) -> dict[str, float]:
        """As events have them: the loss, and the accuracy with its 95 % interval."""
        if self.right is None:
            return {"loss": self.loss, **self.more}
        low, high = wilson(self.right, self.items)
        share = self.right / self.items
        return {"loss": self.loss, "accuracy": share, "accuracy_low": low, "accuracy_high": high, **self.more}


class Predictor(NamedTuple):
    """A model and the problem that it was trained on."""

    model: SequenceModel
    problem: Problem

    def outputs(self, inputs: Sequence[Array]) -> list[Array]:
        """For each input the probabilities of classes, `(T, C)` or pooled `(C,)`, or numbers, `(T, 1)` or `(1,)`."""
        found: list[Array] = [np.empty(0)] * len(inputs)
        with self._looking():
            for at in by_length([len(one) for one in inputs], _AT_ONCE):
                y, lengths = run(self.model, [inputs[i] for i in at])
                if self.problem.labels:
                    y = y.softmax(-1)
                for row, i in enumerate(at):
                    found[i] = (y[row] if self.problem.pooling else y[row, : lengths[row]]).cpu().numpy()
        return found

    def score(self, examples: Sequences) -> Result:
        """The loss on examples and, of classes, how many are right; and the problem's own scores."""
        parts = []
        guessed: list[Array] = [np.empty(0)] * len(examples)
        with self._looking():
            for at in by_length([len(one) for one in examples.inputs], _AT_ONCE):
                one = step_loss(self.model, self.problem, examples.select(at))
                parts.append(Result(one.loss.item(), one.items, one.right))
                if one.guessed is not None:
                    for row, i in enumerate(at):
                        guessed[i] = one.guessed[row, : len(examples.inputs[i])].cpu().numpy()
        return replace(total(parts), more=self.problem.scores(examples, guessed) if self.problem.labels else {})

    @contextmanager
    def _looking(self) -> Iterator[None]:
        training = self.model.training
        self.model.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            self.model.train(training)


def total(parts: Iterable[Result]) -> Result:
    """One result of several parts' items."""
    known = list(parts)
    items = sum(part.items for part in known)
    right = None if known[0].right is None else sum(part.right or 0 for part in known)
    return Result(math.fsum(part.loss * part.items for part in known) / items, items, right)


def run(model: SequenceModel, inputs: Sequence[Array]) -> tuple[Tensor, Tensor]:
    """What the model puts out, `(B, T, outputs)` or pooled `(B, outputs)`, and the lengths."""
    x, lengths = collate(inputs)
    x = x.to(_device(model))
    whole = bool((lengths == x.shape[1]).all())
    return model(x, lengths=None if whole else lengths)[0], lengths


class Judged(NamedTuple):
    """The mean loss over the items of a batch and how many they are; of classes, how many are right, and which were
    guessed, `(B, T)` or pooled `(B, 1)`.
    """

    loss: Tensor
    items: int
    right: int | None = None
    guessed: Tensor | None = None


def step_loss(model: SequenceModel, problem: Problem, batch: Sequences) -> Judged:
    """What a model makes of a batch."""
    y, lengths = run(model, batch.inputs)
    if problem.pooling is None:
        wanted = collate(batch.targets, padding=NOT_ASKED).values.to(y.device)
    else:
        y, wanted = y[:, None], torch.from_numpy(np.asarray(batch.targets)).to(y.device)[:, None]
        lengths = torch.ones(len(y), dtype=torch.int64)
    if not problem.labels:
        loss = masked_loss(nn.functional.mse_loss, y[..., 0], wanted.to(y.dtype), lengths)
        return Judged(loss, int(lengths.sum()))
    asked, guessed = wanted != NOT_ASKED, y.argmax(-1)
    right = ((guessed == wanted) & asked).sum()
    return Judged(masked_loss(_cross_entropy, y, wanted, lengths), int(asked.sum()), int(right), guessed)


def _cross_entropy(logits: Tensor, wanted: Tensor) -> Tensor:
    return nn.functional.cross_entropy(logits, wanted, ignore_index=NOT_ASKED)


def _device(model: SequenceModel) -> torch.device:
    return next(model.parameters()).device


def load_predictor(path: Path | str) -> Predictor:
    """The model of a run folder (at its best validation) or of a checkpoint in one, of a supervised task.

    It needs neither the data nor the file that its cell was written in: all of it is in the checkpoint.
    CheckpointError where there is no such thing, or where it is damaged.
    """
    return rebuild(load(find_checkpoint(Path(path))))


def rebuild(saved: Checkpoint) -> Predictor:
    """The model of a checkpoint, which may come from a stranger; CheckpointError where it makes no sense."""
    row = TASKS.get(str(saved.meta.get("task")))
    config = None if row is None else row.config_class()
    if config is None or not issubclass(config, SupervisedConfig):
        raise CheckpointError(f"the checkpoint is of task {saved.meta.get('task')!r}, which does not predict")
    try:
        problem = config.problem_class(**saved.meta["model"]["problem"])
        model = rebuild_model(saved)
        plan = model.plan
        if (plan.symbols, plan.outputs, plan.pooling) != (problem.symbols, problem.outputs, problem.pooling):
            raise CheckpointError("its plan is not that of a model of its problem")
        if (None if plan.spelling is None else plan.spelling.symbols) != problem.characters:
            raise CheckpointError("its plan and its problem are of other characters")
        if plan.symbols is None and plan.input_size != problem.features:
            raise CheckpointError(f"its plan reads {plan.input_size} features, its problem has {problem.features}")
    except (RekurError, AttributeError, LookupError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"the checkpoint's model cannot be made: {error}") from error
    return Predictor(model, problem)
