"""How much faster do three models of torch.nn train after `rekur.accelerate`?

    python benchmarks/accelerate.py [--threads N] [--seconds S] [--json RESULTS]

A tagger (bidirectional LSTM, padded), a speech encoder (three bidirectional GRUs over packed rows, lengths from T/4
to T) and a language model (two LSTMs, tied head), none of them written for rekur: those of
tests/torch/accelerated_models.py, in sizes that people use. After their first losses have been found equal, whole
steps of training, optimiser included, are timed in alternating pairs, of the model as it is and of a copy that is
accelerated.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1]))

import rekur
from rekur.bench.pairs import alternate, interval
from rekur.train.environment import environment
from tests.torch.accelerated_models import Language, Speech, Tagger

SIZES: dict[str, tuple[Callable[[], nn.Module], int, int]] = {
    "tagger: BiLSTM 128, B 32, T 40": (lambda: Tagger(5000, 40, 128), 32, 40),
    "speech: 3 BiGRU 256, packed, B 16, T 100": (lambda: Speech(80, 40, 256), 16, 100),
    "language: 2 LSTM 256, B 32, T 35": (lambda: Language(5000, 256), 32, 35),
}


@dataclass
class Side:
    """A model in training, as the clock of the bench wants it."""

    run: Callable[[], object]
    ready: Callable[[], Any] = nullcontext


def training(model: Any, rows: int, steps: int) -> Callable[[], float]:
    """A step of training on batches that a seed draws; its loss."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    draw = torch.Generator().manual_seed(1)
    batches = [model.batch(rows, steps, draw) for _ in range(4)]
    count = iter(range(10**9))

    def step() -> float:
        loss = model.loss(*batches[next(count) % len(batches)])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return step


def main() -> None:
    """Time three models; print the table, write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=10.0, help="how long to time a model")
    parser.add_argument("--json", type=Path, default=Path("accelerate.json"), help="where the numbers go")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    result: dict[str, Any] = {"machine": environment(), "threads": options.threads, "models": {}}
    for name, (make, rows, steps) in SIZES.items():
        torch.manual_seed(0)
        plain = make()
        fast = copy.deepcopy(plain)
        print(rekur.accelerate(fast))
        sides = [training(model, rows, steps) for model in (fast, plain)]
        losses = []
        for step in sides:
            torch.manual_seed(2)  # of the dropout
            losses.append([step() for _ in range(3)])
        torch.testing.assert_close(*losses, rtol=1e-4, atol=1e-4)
        pairs = alternate(Side(sides[0]), Side(sides[1]), options.seconds)
        ratio = interval([b / a for a, b in zip(pairs.ours, pairs.theirs, strict=True)])
        ours, theirs = (interval(v).median * 1e3 for v in (pairs.ours, pairs.theirs))
        print(
            f"{name}: {theirs:.1f} ms a step with torch, {ours:.1f} ms accelerated, "
            f"ratio {ratio.median:.2f} ({ratio.low:.2f} to {ratio.high:.2f})\n"
        )
        result["models"][name] = {"ours": pairs.ours, "theirs": pairs.theirs}
    options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
