"""How to train. The fields' docstrings are the command line's help."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

from rekur.errors import OptionError

Decay = Literal["cosine", "linear", "constant"]


@dataclass(frozen=True)
class FitConfig:
    """How long and how to train: AdamW, its learning rate over time, when to look and when to stop."""

    epochs: int = 10
    """Passes over the training data."""
    steps: int = 0
    """Optimiser steps; 0: as many as the epochs have."""
    lr: float = 2e-3
    """Learning rate at its highest."""
    warmup: int = 100
    """Steps in which the learning rate rises to its highest."""
    decay: Decay = "cosine"
    """How the learning rate falls after that, until the last step."""
    floor: float = 0.1
    """Where it falls to, as a fraction of the highest."""
    weight_decay: float = 0.01
    """Decay of the weights (AdamW); biases and other vectors are spared."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay of AdamW's running means of the gradient and of its square."""
    clip: float = 1.0
    """Greatest norm of the whole gradient; 0: not clipped."""
    eval_every: int = 0
    """Steps between validations, each with samples and a checkpoint; 0: after every epoch."""
    checkpoint_every: int = 250
    """Steps between further checkpoints; 0: only with validations."""
    patience: int = 0
    """Stop after so many validations in a row without a new best loss; 0: never."""
    seed: int = 0
    """Seed of dropout, and of what else draws from torch's default generator in training."""
    threads: int = 0
    """Threads that torch computes with; 0: leave it as it is."""

    def __post_init__(self) -> None:
        for name in ("steps", "warmup", "eval_every", "checkpoint_every", "patience", "threads", "seed"):
            self._check(name, getattr(self, name) >= 0, "0 or more")
        self._check("epochs", self.epochs >= 1, "1 or more")
        for name in ("lr", "weight_decay", "clip"):
            self._check(name, 0 <= getattr(self, name) < math.inf, "a finite number, 0 or more")
        self._check("lr", self.lr > 0, "above 0")
        self._check("decay", self.decay in get_args(Decay), f"one of {', '.join(get_args(Decay))}")
        self._check("floor", 0 <= self.floor <= 1, "between 0 and 1")
        self._check("betas", all(0 <= beta < 1 for beta in self.betas), "two numbers, each in 0 ≤ β < 1")

    def _check(self, name: str, fine: bool, rule: str) -> None:
        if not fine:
            raise OptionError(f"{name} is {getattr(self, name)}; it must be {rule}")

    def total(self, chunks: int) -> int:
        """The optimiser steps of the whole run, with `chunks` batches in an epoch."""
        return self.steps or self.epochs * chunks

    def rate(self, step: int, total: int) -> float:
        """The learning rate of step `step`, counted from 0, of `total`.

        >>> config = FitConfig(lr=0.1, warmup=4, decay="linear", floor=0.0)
        >>> [round(config.rate(step, total=8), 3) for step in range(8)]
        [0.025, 0.05, 0.075, 0.1, 0.1, 0.075, 0.05, 0.025]
        """
        if step < self.warmup:
            return self.lr * (step + 1) / self.warmup
        done = (step - self.warmup) / max(1, total - self.warmup)
        falling = {"cosine": (1 + math.cos(math.pi * done)) / 2, "linear": 1 - done, "constant": 1.0}
        return self.lr * (self.floor + (1 - self.floor) * falling[self.decay])
