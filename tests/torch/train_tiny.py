"""A task that trains in milliseconds and has all that a resume can get wrong: dropout, a carry, an order."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rekur.train import FitConfig, Quiet, RunFolder, Sample, StepLoss, Task, fit, load

SYMBOLS, BATCH, TIME, CHUNKS = 7, 3, 5, 8
CONFIG = FitConfig(epochs=3, lr=0.05, warmup=3, eval_every=5, checkpoint_every=4, seed=3, weight_decay=0.1, threads=1)
LONG = replace(CONFIG, epochs=8)
TIMING = {"time", "seconds", "items_per_second", "resume"}


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(SYMBOLS, 6)
        self.gru = nn.GRU(6, 8, num_layers=2, dropout=0.3, batch_first=True)
        self.head = nn.Linear(8, SYMBOLS)

    def forward(self, x: Tensor, h: Tensor | None) -> tuple[Tensor, Tensor]:
        y, h = self.gru(self.embed(x), h)
        return self.head(y), h


class Tiny(Task):
    name = "tiny"
    unit = "symbols"
    model: Model

    def __init__(self, chunks: int = CHUNKS) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(1)
            self.model = Model()
        numbers = torch.Generator().manual_seed(2)
        self.data = torch.randint(SYMBOLS, (chunks + 2, BATCH, TIME + 1), generator=numbers)
        self.data[..., 1::2] = 3  # something to learn
        self.epoch = -1

    def describe(self) -> dict[str, Any]:
        return {"symbols": SYMBOLS}

    def cells(self) -> dict[str, str]:
        return {"gru": "cell gru(x, h)\n"}

    def chunks(self) -> int:
        return len(self.data) - 2

    def begin(self, epoch: int) -> None:
        self.epoch = epoch

    def loss(self, index: int, carry: Mapping[str, Tensor] | None) -> StepLoss:
        chunk = self.data[index].roll(self.epoch, 0)  # every epoch is a little different
        loss, h = self._loss(chunk, carry["h"] if carry else None)
        return StepLoss(loss, BATCH * TIME, {"h": h})

    def evaluate(self, split: str) -> dict[str, float]:
        assert not self.model.training
        assert not torch.is_grad_enabled()
        return {"loss": self._loss(self.data[-1 if split == "test" else -2], None)[0].item()}

    def demonstrate(self, step: int) -> list[Sample]:
        return [Sample("greedy", " ".join(str(v) for v in self.model.embed.weight[0].tolist()))]

    def _loss(self, chunk: Tensor, h: Tensor | None) -> tuple[Tensor, Tensor]:
        logits, h = self.model(chunk[:, :-1], h)
        return nn.functional.cross_entropy(logits.flatten(0, 1), chunk[:, 1:].flatten()), h


class Crash(BaseException):
    """The process ends here: nothing that handles errors may catch it."""


class CrashAt(Quiet):
    """A display that lets the process end after a step."""

    def __init__(self, step: int) -> None:
        self.at = step

    def step(self, step: int, loss: float) -> None:
        if step == self.at:
            raise Crash


def resume(path: Path, task: Task | None = None, config: FitConfig = CONFIG, display: Quiet | None = None) -> Task:
    """Go on with a run as a new process would."""
    folder, task = RunFolder.open(path), task or Tiny()
    fit(task, config, folder, display or Quiet(), resume=load(folder.checkpoint()))
    return task


def record(folder: RunFolder) -> list[dict[str, Any]]:
    """The numbers that a run must reproduce: all but times, and what says that it was stopped."""
    return [
        {key: value for key, value in event.items() if key not in TIMING}
        for event in folder.events()
        if event["kind"] in {"train", "eval", "sample"} or event.get("reason") in {"finished", "early stop"}
    ]


def go_on(folder: RunFolder, config: FitConfig = CONFIG, display: Quiet | None = None) -> Task:
    """Resume a run where it has a checkpoint, else begin it."""
    task = Tiny()
    begun = (folder.checkpoints / "latest").exists()
    fit(task, config, folder, display or Quiet(), resume=load(folder.checkpoint()) if begun else None)
    return task
