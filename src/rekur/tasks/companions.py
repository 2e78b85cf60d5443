"""Gradient flow of a run's model, beside that of other cells that learn the same for a short while."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rekur.cells import load as load_cell
from rekur.data import collate
from rekur.inspect import Batch, Flows, Moment
from rekur.nn import SequenceModel
from rekur.tasks.base import ConfiguredTask
from rekur.tasks.charlm import CharLM
from rekur.tasks.problem import NOT_ASKED
from rekur.tasks.supervised import Supervised
from rekur.tasks.table import TASKS
from rekur.train import FitConfig, RunFolder, generators, load, optimizer

CELLS = ("elman", "gru", "lstm")
"""What stands beside a run's model"""
SECONDS = 25.0
ROWS, STEPS = 16, 128
"""Of the batch that gradients are followed through"""
LONGEST = 256
LOOKED = (0, 10, 30, 100, 300, 1000)
"""Steps of training at which it is looked at, besides the last"""


def flows(
    task: ConfiguredTask,
    training: FitConfig,
    trained: Mapping[int, SequenceModel],
    *,
    cache: Path,
    cells: Sequence[str] = CELLS,
    seconds: float = SECONDS,
    progress: Callable[[float], object] = lambda share: None,
) -> Flows:
    """Follow the gradient through a run's model as it began and as it was kept, and through companions.

    A companion has another cell in the place of the run's, and else the same data in the same order, sizes, seed and
    optimiser. All take a step in turn, so all have learnt as long when the time is over.

    Args:
        task: the run's, as it was when it began; its model is not trained on.
        training: how the run trained.
        trained: the run's model at some steps.
        cache: a folder for prepared data.
        cells: the companions'; the run's own cell is added where it is not among them.
        seconds: what training and measuring companions may take, about, in processor time of this thread, so that
            they learn as long where other work goes on; no companions where it is 0. They learn no longer than the
            run did.
        progress: is told the share of the time that is over.
    """
    batch = batch_of(task)
    own = [Moment.of(task.model, batch, step=0)]
    own += [Moment.of(model, batch, step=step) for step, model in sorted(trained.items())]
    began = time.thread_time()
    learners = _companions(task, training, cache, cells) if seconds else {}
    moments: dict[str, list[Moment]] = {name: [] for name in learners}

    def look() -> float:
        since = time.thread_time()
        for name, learner in learners.items():
            moments[name].append(Moment.of(learner.task.model, batch, step=learner.step, places=1))
        return time.thread_time() - since

    device = next(task.model.parameters()).device
    with generators.borrowed(generators.defaults(device), training.seed):
        cost, looked = look(), 0
        most = training.total(task.chunks())
        for step in range(1, most + 1 if learners else 0):
            for learner in learners.values():
                learner.learn(most)
            gone = time.thread_time() - began
            over = gone + cost > seconds or step == most
            progress(min(1.0, gone / seconds))
            if (step in LOOKED and gone + 2 * cost < seconds) or (over and step > 1.1 * looked):
                cost, looked = max(cost, look()), step
            if over:
                break
    parameters = {name: _size(learner.task.model) for name, learner in learners.items()}
    return Flows(own, moments, parameters, time.thread_time() - began, _unit(task))


def kept(folder: RunFolder) -> dict[int, SequenceModel]:
    """The model of a run at its kept checkpoints, by step."""
    found = {}
    for step in folder.checkpoint_steps():
        saved = load(folder.checkpoints / f"step-{step:08}")
        found[step] = TASKS[str(saved.meta.get("task"))].rebuilder()(saved).model
    return found


def batch_of(task: ConfiguredTask) -> Batch:
    """Some of what a task holds out: rows of a text, or its longest sequences."""
    if isinstance(task, CharLM):
        symbols = task.corpus.split("validation")
        time = min(STEPS, len(symbols) - 1)
        rows = min(ROWS, (len(symbols) - 1) // time)
        starts = np.linspace(0, len(symbols) - 1 - time, rows).astype(np.int64)
        both = np.stack([symbols[at : at + time + 1] for at in starts]).astype(np.int64)
        return Batch(torch.from_numpy(both[:, :-1].copy()), torch.from_numpy(both[:, 1:].copy()))
    assert isinstance(task, Supervised)
    held = task.data.validation
    lengths = np.array([len(one) for one in held.inputs])
    order = np.argsort(np.where(lengths > LONGEST, LONGEST - lengths, lengths), kind="stable")
    chosen = held.select(order[::-1][:ROWS].tolist())
    x, counts = collate([one[:LONGEST] for one in chosen.inputs])
    kind = np.int64 if task.problem.labels else np.float32
    if task.problem.pooling is not None:
        return Batch(x, torch.from_numpy(np.asarray(chosen.targets, kind)), counts)
    wanted = [np.asarray(one, kind)[:LONGEST] for one in chosen.targets]
    return Batch(x, collate(wanted, padding=NOT_ASKED).values, counts)


class _Learner:
    """A companion that learns."""

    def __init__(self, task: ConfiguredTask, training: FitConfig) -> None:
        self.task, self.training, self.step = task, training, 0
        self.optimizer = optimizer.adamw(task.model, training)
        self.carry: Mapping[str, Tensor] | None = None
        self.diverged = False

    def learn(self, total: int) -> None:
        """A step as `fit` takes them; none any more after a loss that is no number."""
        if self.diverged:
            return
        task, training = self.task, self.training
        epoch, index = divmod(self.step, task.chunks())
        if index == 0:
            task.begin(epoch)
            self.carry = None
        for group in self.optimizer.param_groups:
            group["lr"] = training.rate(self.step, total)
        task.model.train()
        out = task.loss(index, self.carry)
        self.optimizer.zero_grad()
        out.loss.backward()  # type: ignore[no-untyped-call]
        length = torch.nn.utils.get_total_norm([p.grad for p in task.model.parameters() if p.grad is not None])
        if not math.isfinite(out.loss.item()) or not math.isfinite(length.item()):
            self.diverged = True
            return
        if 0 < training.clip < length.item():
            torch.nn.utils.clip_grads_with_norm_(task.model.parameters(), training.clip, length)
        self.optimizer.step()
        self.carry = None if out.carry is None else {name: value.detach() for name, value in out.carry.items()}
        self.step += 1


def _companions(task: ConfiguredTask, training: FitConfig, cache: Path, cells: Sequence[str]) -> dict[str, _Learner]:
    own = task.plan.cell
    known: dict[str, Any] = {name: load_cell(name) for name in cells}
    if not any(cell.structure == own.structure for cell in known.values()):
        known[own.name] = own
    make = TASKS[task.name].task_class()
    data: dict[str, Any] = {"prepared": (task.problem, task.data)} if isinstance(task, Supervised) else {}
    found = {}
    for name, cell in known.items():
        config: Any = task.config
        axes = {axis: size for axis, size in config.sizes.items() if axis in cell.graph.axes}
        fitting = make(replace(config, sizes=axes), cache=cache, seed=training.seed, cell=cell, **data)
        found[name] = _Learner(fitting, training)
    return found


def _size(model: SequenceModel) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _unit(task: ConfiguredTask) -> str:
    if isinstance(task, CharLM):
        return task.unit
    return {"tag": "words", "classify": getattr(task.config, "kind", "steps")}.get(task.name, "steps")
