"""Supervised tasks: sequences with targets through one model of layers, pooling and a head."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rekur.cells import load as load_cell
from rekur.data import Buckets, WordVectors
from rekur.errors import BackendError, CheckpointError, OptionError, ShapeError
from rekur.graph import Cell
from rekur.nn import Plan, SequenceModel, Spelling
from rekur.tasks.base import DIGEST, ConfiguredTask
from rekur.tasks.config import CACHE, from_json
from rekur.tasks.predictor import Predictor, Result, step_loss
from rekur.tasks.problem import Data, Problem, Sequences, SupervisedConfig
from rekur.tasks.table import find
from rekur.train import Checkpoint, FitConfig, RunFolder, Sample, StepLoss, Table, Track, Tracks

_SHOWN = 3  # examples of the validation data that are shown as it learns


class Supervised(ConfiguredTask):
    """A problem, its data and a network.

    The network is (symbols, with an embedding or without; words with their spelling; or features) → `Recurrent` →
    pooling, where one answer a sequence is wanted → a linear head. Batches have sequences of similar length, in
    another order each epoch.

    Args:
        config: what to learn and what to make; its `prepare` gives the problem and the data.
        cache: a folder for prepared data.
        seed: of the first weights, of the order of examples, and of data that is generated.
        cell: instead of the configuration's, for a run whose cell is kept in its checkpoint.
        prepared: the problem and the data, where another task of the same data has them already.

    Raises:
        DataError: the data cannot be read, or there is too little of it.
        OptionError, CellError: an option makes no sense, or the cell cannot do this.
    """

    config: SupervisedConfig
    model: SequenceModel

    def __init__(
        self, config: SupervisedConfig, *, cache: Path = CACHE, seed: int = 0, cell: Cell | None = None,
        prepared: tuple[Problem, Data] | None = None,
    ) -> None:  # fmt: skip
        self.name, self.config = config.task, config
        cell = cell or load_cell(config.cell)
        self.problem, self.data = problem, data = prepared or config.prepare(cache, seed)
        self.unit, self.measure = problem.unit, problem.measure
        self.source, self.digest = str(data.about["source"]), data.digest
        spelling = None if problem.characters is None else Spelling(problem.characters, config.character_units)
        embedding = config.embedding if data.vectors is None else data.vectors.values.shape[1]
        self.plan = Plan(
            cell, problem.features if problem.symbols is None else embedding, config.hidden, config.layers,
            bidirectional=config.bidirectional, dropout=config.dropout, sizes=config.sizes,
            symbols=problem.symbols, outputs=problem.outputs, pooling=problem.pooling, spelling=spelling,
        )  # fmt: skip
        generator = torch.Generator().manual_seed(seed)
        self.model = SequenceModel(self.plan, backend=config.backend, generator=generator)
        if self.model.embedding is not None:
            _start(self.model.embedding.weight, problem.spread, data.vectors)
        self.predictor = Predictor(self.model, problem)
        self.epoch, self.examples = 0, data.train(0)
        self.buckets = Buckets(_lengths(self.examples), config.batch, seed=seed)
        try:
            self.predictor.outputs(data.validation.inputs[:1])
        except (ShapeError, BackendError) as error:
            raise OptionError(f"the cell {cell.name!r} cannot learn {self.name}: {error}") from error
        self.seed = seed

    def describe(self) -> dict[str, Any]:
        """The plan, the problem, and the digest of the data."""
        return {"plan": self.plan.to_json(), "problem": self.problem.to_json(), DIGEST: self.digest}

    def about(self) -> dict[str, Any]:
        """How the cell runs, its equations, and what the data is."""
        return super().about() | {"data": dict(self.data.about), "samples": "What it predicted"}

    def notes(self) -> list[str]:
        """What the data has to say."""
        return list(self.data.notes)

    def chunks(self) -> int:
        """Batches in an epoch."""
        return len(self.buckets)

    def begin(self, epoch: int) -> None:
        """Take the epoch's examples."""
        self.epoch, examples = epoch, self.data.train(epoch)
        if examples is not self.examples:
            self.examples = examples
            self.buckets = Buckets(_lengths(examples), self.config.batch, seed=self.seed)

    def loss(self, index: int, carry: Mapping[str, Tensor] | None) -> StepLoss:
        """The loss of a batch of sequences; nothing is carried."""
        batch = self.examples.select(self.buckets.batch(index, epoch=self.epoch))
        judged = step_loss(self.model, self.problem, batch)
        return StepLoss(judged.loss, judged.items)

    def score(self, split: str) -> Result | None:
        """What the model makes of "validation" or "test"; None where there is no such data."""
        examples = {"validation": self.data.validation, "test": self.data.test}[split]
        return self.predictor.score(examples) if len(examples) else None

    def evaluate(self, split: str) -> dict[str, float]:
        """The loss and, of classes, the accuracy with its interval."""
        result = self.score(split)
        return {} if result is None else result.scores()

    def demonstrate(self, step: int) -> list[Sample]:
        """The first sequences of the validation data with what the model makes of them."""
        some = self.data.validation.select(range(min(_SHOWN, len(self.data.validation))))
        outputs = self.predictor.outputs(some.inputs)
        shown = zip(some.shown, some.targets, outputs, strict=True)
        return [
            Sample(f"held-out sequence {number}", self.problem.show(given, wanted, output))
            for number, (given, wanted, output) in enumerate(shown, 1)
        ]

    def tracks(self) -> list[Tracks]:
        """The first sequence of the test data, or else of validation, with the states of the last layer."""
        examples = self.data.test if len(self.data.test) else self.data.validation
        given, wanted = examples.inputs[0], examples.targets[0]
        (output,) = self.predictor.outputs([given])
        return [
            Tracks(
                self.problem.caption,
                [*self.problem.tracks(examples.shown[0], wanted, output), *self._states(given)],
            )
        ]

    def tables(self) -> list[Table]:
        """What the test data, or else that for validation, shows, with a base line beside the model."""
        examples = self.data.test if len(self.data.test) else self.data.validation
        return self.problem.tables(examples, self.predictor.outputs(examples.inputs), self.data)

    def _states(self, given: np.ndarray[Any, Any]) -> list[Track]:
        x = self.model.read(torch.as_tensor(given)[None])
        top = self.plan.num_layers - 1
        names = [state.name for state in self.plan.cell.graph.of("state") if len(state.axes) == 1]
        record = self.model.recurrent.scan(x, record=[f"{top}.{name}" for name in names]).record
        found = []
        for name in names:
            values = record[f"{top}.{name}"][0].double()  # (T, H)
            values = values / values.abs().max().clamp(min=1)  # tanh units are drawn as they are
            found.append(Track(f"state {name}", [[round(v, 3) for v in row] for row in values.tolist()]))
        return found


def _start(drawn: Tensor, spread: float, vectors: WordVectors | None) -> None:
    """Let an embedding that was drawn from normal numbers start with this deviation, or from vectors that are given;
    words that have none then are as long as the others.
    """
    with torch.no_grad():
        if vectors is None:
            drawn *= spread
        else:
            values, found = torch.from_numpy(vectors.values), torch.from_numpy(vectors.found)
            drawn.copy_(torch.where(found[:, None], values, drawn * values[found].std()))


def _lengths(examples: Sequences) -> list[int]:
    return [len(one) for one in examples.inputs]


def held_out(run: Path, saved: Checkpoint, part: str) -> tuple[str, Sequences, Data]:
    """A run's own data that it was not trained on, "validation" or "test": what it is called, the sequences,
    and all of the data.

    OptionError for another part, or where there is no such data; CheckpointError where there is only a checkpoint,
    which does not say what the data was.
    """
    if part not in ("validation", "test"):
        raise OptionError(f"split is {part!r}; it must be test or validation")
    if (run / "meta.json").exists():
        run = run.resolve().parents[1]
    asked = RunFolder.open(run).config()
    config = from_json(find(str(saved.meta["task"])).config_class(), asked.get("model"))
    training = from_json(FitConfig, asked.get("training"))
    if not isinstance(config, SupervisedConfig):
        raise CheckpointError(f"{run} and its checkpoint are of different tasks")
    _, data = config.prepare(CACHE, training.seed)
    if not len(examples := data.test if part == "test" else data.validation):
        raise OptionError(f"the run has no {part} data")
    return f"{part}, {data.about['source']}", examples, data
