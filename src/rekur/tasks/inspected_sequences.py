"""Look at a model that predicts from sequences: step by step, by words where there are some."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from rekur.data import collate
from rekur.errors import DataError, RekurError
from rekur.inspect import Looked, Record, observe
from rekur.report import heat
from rekur.tasks.by_steps import look_at
from rekur.tasks.inspection import Inspection, Line, Settings, attempt, begun, part
from rekur.tasks.predictor import Predictor, Result, rebuild
from rekur.tasks.problem import Sequences
from rekur.tasks.supervised import Supervised
from rekur.train import Checkpoint


@dataclass(frozen=True, eq=False)
class SequenceInspection(Inspection):
    """A trained classifier, tagger or other predictor, and sequences to look at it with."""

    predictor: Predictor
    examples: Sequences

    @cached_property
    def words(self) -> list[list[str]]:
        """What is read at each step of each sequence: words, characters, or else the number of the step."""
        return [self.predictor.problem.steps(shown) for shown in self.examples.shown]

    @cached_property
    def score(self) -> Result | None:
        """The loss and, of classes, how much is right; None where nothing is known of the sequences."""
        known = [i for i, wanted in enumerate(self.examples.targets) if wanted is not None]
        return self.predictor.score(self.examples.select(known)) if known else None

    @cached_property
    def looked(self) -> Looked:
        """Gates and states along some sequences, with what the model says after each step, and how often gates are
        saturated in all.
        """
        self.progress("gates and states", 0)
        return look_at(self.predictor, self.examples)

    def record(self, *names: str, count: int = 8) -> Record:
        """Named values of the model, as `rekur.inspect.observe` gives them, over the first sequences."""
        x, lengths = collate(self.examples.inputs[:count])
        return observe(self.model, x, names, lengths=lengths, text=self.words[:count])

    @property
    def amount(self) -> str:
        """How many there are."""
        return f"{len(self.examples):,} sequences"

    def summary(self) -> list[Line]:
        """The loss, how much is right, and gradients."""
        said = ", ".join(f"{number} {what}" for number, what in self.numbers())
        return [*([("predicts", said)] if said else []), *super().summary()]

    def numbers(self) -> list[Line]:
        """The same for the page."""
        if self.score is None:
            return []
        problem, found = self.predictor.problem, self.score
        if found.accuracy is None:
            return [(f"{found.loss:.4g}", "mean squared error")]
        bits = found.loss / np.log(2)
        one = problem.unit.removesuffix("s")
        return [
            (f"{found.accuracy:.1%}", f"of {found.items:,} {problem.unit} right"),
            (f"{bits:.3f}", f"bits per {one}"),
        ]

    def sections(self) -> Iterator[str]:
        """Gates, states and what it says step by step; and gradients."""
        yield part(self._looked, "Gates and states", heat.section)
        yield from super().sections()

    @cached_property
    def _looked(self) -> Looked | RekurError:
        return attempt(lambda: self.looked)


def open_sequences(
    path: Path, saved: Checkpoint, files: Sequence[Path | str], settings: Settings
) -> SequenceInspection:
    """A checkpoint and sequences; for arguments and errors see `inspect_run`."""
    predictor, task = rebuild(saved), None
    if files:
        examples = predictor.problem.read_inputs(files)
        source = ", ".join(Path(name).name for name in files)
    else:
        task = begun(path, saved, settings[0])
        assert isinstance(task, Supervised)
        part = "test" if len(task.data.test) else "validation"
        examples = task.data.test if part == "test" else task.data.validation
        source = f"{task.source}, the part held out for {part}"
    if not len(examples):
        raise DataError(f"{source}: there is no sequence to look at the model with")
    return SequenceInspection(path, saved, predictor.model, source, *settings, task, predictor, examples)
