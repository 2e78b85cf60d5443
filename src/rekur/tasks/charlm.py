"""Character models: a network that learns, symbol by symbol, what comes next in a text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from rekur.cells import load as load_cell
from rekur.data import ContiguousStream, prepare, read_text, stdlib
from rekur.errors import BackendError, DataError, OptionError, ShapeError
from rekur.graph import Cell
from rekur.nn import Plan, SequenceModel
from rekur.tasks.base import DIGEST, ConfiguredTask
from rekur.tasks.config import CACHE, CharLMConfig
from rekur.tasks.text_model import TASK, TextModel, step_loss, total
from rekur.train import Sample, StepLoss
from rekur.train.display import printable


class CharLM(ConfiguredTask):
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
    material: ClassVar[str] = "text"
    config: CharLMConfig
    model: SequenceModel

    def __init__(self, config: CharLMConfig, *, cache: Path = CACHE, seed: int = 0, cell: Cell | None = None) -> None:
        self.config, self.seed = config, seed
        cell = cell or load_cell(config.cell)
        texts = read_text(config.files) if config.files else stdlib()
        self.corpus = prepare(texts, cache, unit=config.unit, min_count=config.min_count, fractions=config.split)
        self.source, self.digest = self.corpus.texts.name, self.corpus.texts.sha256
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
            DIGEST: self.digest,
        }

    def notes(self) -> list[str]:
        """What was read, and what was passed over."""
        corpus, texts = self.corpus, self.corpus.texts
        said = [f"{printable(texts.name)}: {len(corpus.symbols):,} {self.unit} of {len(corpus.vocabulary):,} kinds"]
        if self.config.files and texts.skipped:
            shown = ", ".join(f"{str(passed.path)!r} {passed.reason}" for passed in texts.skipped[:5])
            more = f", and {len(texts.skipped) - 5} more" if len(texts.skipped) > 5 else ""
            said.append(f"note: passed over {shown}{more}")
        return said

    def about(self) -> dict[str, Any]:
        """How the cell runs, its equations, and what the text is."""
        return super().about() | {"data": self.corpus.describe()}

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
