"""Supervised tasks that train in a second, and one of unequal lengths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from rekur.nn import Pooling
from rekur.tasks import IceCreamConfig, MemoryConfig
from rekur.tasks.problem import Array, Data, Problem, Sequences, SupervisedConfig
from rekur.train import FitConfig, Quiet, RunFolder

TRAINING = FitConfig(steps=40, lr=0.05, warmup=5, eval_every=20, checkpoint_every=6, threads=1, seed=3)


def icecream(**changes: Any) -> IceCreamConfig:
    return IceCreamConfig(
        **{"days": 12, "sequences": 40, "held_out": 20, "hidden": 6, "batch": 8, "dropout": 0.1, **changes}
    )


def adding(**changes: Any) -> MemoryConfig:
    return MemoryConfig(**{"time": 10, "sequences": 40, "held_out": 20, "hidden": 6, "batch": 8, **changes})


def quiet(folder: RunFolder) -> Quiet:
    return Quiet()


@dataclass(frozen=True)
class Sign(Problem):
    """Whether the values of a series, of any length, have a mean above zero."""

    how: str = "mean"

    @property
    def features(self) -> int:
        return 2

    @property
    def labels(self) -> tuple[str, ...]:
        return ("below", "above")

    @property
    def pooling(self) -> Pooling:
        return self.how  # type: ignore[return-value]

    def read(self, files: Sequence[Path | str]) -> Sequences:
        return series(len(files))

    def show(self, given: Array, wanted: Any, output: Array) -> str:
        return f"{len(given)} steps, {self.labels[wanted]}, predicted {self.labels[output.argmax()]}"


def series(count: int, seed: int = 0) -> Sequences:
    draw = np.random.default_rng(seed)
    inputs = [draw.normal(size=(1 + n % 7, 2)).astype(np.float32) for n in range(count)]
    return Sequences(inputs, [int(x.mean() > 0) for x in inputs])


@dataclass(frozen=True)
class SignConfig(SupervisedConfig):
    task: ClassVar[str] = "sign"
    problem_class: ClassVar[type[Problem]] = Sign
    how: str = "mean"

    def prepare(self, cache: Path, seed: int) -> tuple[Problem, Data]:
        train, some = series(50), series(21, 1)
        return Sign(self.how), Data(lambda epoch: train, some, Sequences([], []), {"source": "made up"})
