"""Character models: a network that learns, symbol by symbol, what comes next in a text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rekur.cells import load as load_cell
from rekur.data import ContiguousStream, prepare, read_text, stdlib
from rekur.errors import BackendError, CheckpointError, DataError, OptionError, ShapeError
from rekur.graph import Cell, equations
from rekur.nn import Plan, SequenceModel
from rekur.tasks.config import CACHE, CharLMConfig, from_json
from rekur.tasks.text_model import TASK, TextModel, rebuild, step_loss, total
from rekur.train import Display, FitConfig, Result, RunFolder, Sample, StepLoss, Task, fit, load, open_display


class CharLM(Task):
    """A character model and its text.

    Training reads `batch` contiguous streams of the text, `time` symbols a step; the state is carried from each
    chunk to the next, the gradient is not. Validation and test are read likewise, in streams of at least `time`.

    Args:
        config: what to read and what to make.
        cache: a folder for encoded texts.
        seed: of the first weights and of the samples.
        cell: instead of the configuration's, for a run whose cell is kept in its checkpoint.

    Raises:
        DataError: the text cannot be read, or is too short for all its parts.
        OptionError, CellError: there is no such cell, or it is not written in the language.
    """

    name = TASK
    model: SequenceModel

    def __init__(self, config: CharLMConfig, *, cache: Path = CACHE, seed: int = 0, cell: Cell | None = None) -> None:
        self.config, self.seed = config, seed
        cell = cell or load_cell(config.cell)
        texts = read_text(config.files) if config.files else stdlib()
        self.corpus = prepare(texts, cache, unit=config.unit, min_count=config.min_count, fractions=config.split)
        self.stream = ContiguousStream(self.corpus.split("train"), config.batch, config.time)
        if len(self.corpus.split("validation")) < 2:
            share = f"{config.split[1]:g} of {len(self.corpus.symbols)} symbols"
            raise DataError(f"the text leaves nothing to validate with ({share}); split it otherwise, or give more")
        self.unit = self.corpus.vocabulary.unit
        size = len(self.corpus.vocabulary)
        self.plan = Plan(
            cell, config.embedding, config.hidden, config.layers,
            dropout=config.dropout, sizes=config.sizes, symbols=size, outputs=size, feedback=True,
        )  # fmt: skip
        generator = torch.Generator().manual_seed(seed)
        self.model = SequenceModel(self.plan, backend=config.backend, generator=generator)
        self.text_model = TextModel(self.model, self.corpus.vocabulary)
        self._try(config)

    def _try(self, config: CharLMConfig) -> None:
        """What would go wrong later goes wrong now, before there is a run."""
        self.corpus.vocabulary.encode(config.prompt, "error")
        try:
            with torch.no_grad():
                self.model.eval()(torch.zeros(1, 1, dtype=torch.long))
        except (ShapeError, BackendError) as error:
            raise OptionError(
                f"the cell {self.plan.cell.name!r} cannot read a text symbol by symbol: {error}"
            ) from error

    def describe(self) -> dict[str, Any]:
        """The plan, the vocabulary, and the digest of the text."""
        return {
            "plan": self.plan.to_json(),
            "vocabulary": self.corpus.vocabulary.to_json(),
            "text": self.corpus.texts.sha256,
        }

    def cells(self) -> dict[str, str]:
        """The cell's text."""
        return {self.plan.cell.name: self.plan.cell.text}

    def about(self) -> dict[str, Any]:
        """How the cell runs, its equations, and what the text is."""
        cell = self.plan.cell
        return {
            "backend": self.model.recurrent.explain(),
            "equations": {cell.name: equations(cell.graph)},
            "data": self.corpus.describe(),
        }

    def chunks(self) -> int:
        """Batches in an epoch."""
        return len(self.stream)

    def loss(self, index: int, carry: Mapping[str, Tensor] | None) -> StepLoss:
        """Chunk `index` of the streams, from the state after the one before."""
        x, y = self.stream.batch(index)
        loss, state = step_loss(self.model, x, y, carry)
        return StepLoss(loss, x.size, state)

    def evaluate(self, split: str) -> dict[str, float]:
        """The loss on the whole of a split."""
        symbols = self.corpus.split(split)
        if len(symbols) < 2:
            return {}
        config = self.config
        streams = max(1, min(config.batch, (len(symbols) - 1) // config.time))
        return {"loss": total(self.text_model.losses(symbols, streams=streams, time=config.time)).loss}

    def demonstrate(self, step: int) -> list[Sample]:
        """A sample for each temperature, which draws the same random numbers each time."""
        out = []
        for number, temperature in enumerate(self.config.temperatures):
            generator = torch.Generator().manual_seed(self.seed + number)
            (text,) = self.text_model.sample(
                self.config.prompt, self.config.sample_length, temperature=temperature, generator=generator
            )
            out.append(Sample(f"temperature {temperature:g}", text))
        return out


def train(
    config: CharLMConfig,
    training: FitConfig | None = None,
    *,
    runs: Path | str = "runs",
    name: str = TASK,
    cache: Path = CACHE,
    display: Callable[[RunFolder], Display] = open_display,
) -> tuple[RunFolder, Result]:
    """Train a character model in a new folder `name` in `runs`, as `rekur train charlm` does.

    For errors see `CharLM` and `rekur.train.fit`.

    >>> import tempfile
    >>> from rekur.tasks import load_model
    >>> from rekur.train import Quiet
    >>> here = Path(tempfile.mkdtemp())
    >>> _ = (here / "song.txt").write_text("row, row, row your boat\\n" * 200)
    >>> config = CharLMConfig(files=here / "song.txt", hidden=32, layers=1, batch=4, time=32)
    >>> training = FitConfig(steps=60, lr=0.02, threads=1)
    >>> run, result = train(config, training, runs=here, cache=here / "cache", display=lambda folder: Quiet())
    >>> model = load_model(run.path)
    >>> model.sample("row, row, ", 6, temperature=0)
    ['row, row, row yo']
    >>> model.evaluate("row, row, row your boat").bits < 1
    True
    """
    training = training or FitConfig()
    return begin(CharLM(config, cache=cache, seed=training.seed), training, Path(runs), name, display)


def begin(
    task: CharLM, training: FitConfig, runs: Path, name: str, display: Callable[[RunFolder], Display]
) -> tuple[RunFolder, Result]:
    """Make the run's folder and train."""
    config = {"task": TASK, "model": task.config.to_json(), "training": asdict(training)}
    folder = RunFolder.create(runs, name, config)
    return folder, fit(task, training, folder, display(folder))


def resume(
    run: Path | str, *, cache: Path = CACHE, display: Callable[[RunFolder], Display] = open_display
) -> tuple[RunFolder, Result]:
    """Go on with a run from its latest checkpoint, or from the checkpoint that is named; `rekur train --resume`.

    It needs the same text as before, and not the file that the cell was written in.

    Raises CheckpointError where the run cannot be gone on with, DataError where its text is gone or another.
    """
    path = Path(run)
    named = (path / "meta.json").exists()
    folder = RunFolder.open(path.resolve().parents[1] if named else path)
    saved, asked = load(path if named else folder.checkpoint()), folder.config()
    if asked.get("task") != TASK:
        raise CheckpointError(f"{folder.path} is a run of task {asked.get('task')!r}, not of {TASK!r}")
    config, training = from_json(CharLMConfig, asked.get("model")), from_json(FitConfig, asked.get("training"))
    task = CharLM(config, cache=cache, seed=training.seed, cell=rebuild(saved).model.plan.cell)
    if (now := task.corpus.texts.sha256) != (then := saved.meta["model"].get("text")):
        raise DataError(
            f"{task.corpus.texts.name!r} is no longer the text that {folder.path} was begun with: its digest was "
            f"{then}, it is {now}; put the old text back, or begin a new run"
        )
    return folder, fit(task, training, folder, display(folder), resume=saved)
