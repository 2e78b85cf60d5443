"""A supervised problem without its network: sequences, and what is wanted of them. No torch in here.

A task of this kind is one file: a `SupervisedConfig`, whose `prepare` gives a `Problem` and its `Data`; and one row
of `rekur.tasks.table`. `Supervised` does the rest.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from rekur.errors import OptionError
from rekur.tasks.config import NetworkConfig, TaskConfig
from rekur.train.task import Measure, Table, Track

if TYPE_CHECKING:
    from rekur.data import WordVectors
    from rekur.nn import Pooling

Array = npt.NDArray[Any]
NOT_ASKED = -1
"""The target of a step at which nothing is asked"""


@dataclass(frozen=True, eq=False)
class Sequences:
    """N inputs, symbols `(T,)`, words with their characters `(T, 1 + L)`, or features `(T, I)`, and what is wanted.

    A target is the number of a class or, where a number is asked for, that number: one a step `(T,)`, or one a
    sequence.
    """

    inputs: Sequence[Array]
    targets: Sequence[Any]
    sources: Sequence[Any] = ()
    """What the inputs were made of, where they do not say all of it"""
    notes: tuple[str, ...] = ()
    """What was passed over on the way"""

    @property
    def shown(self) -> Sequence[Any]:
        """What people are shown of the inputs."""
        return self.sources or self.inputs

    def __len__(self) -> int:
        return len(self.inputs)

    def select(self, at: Sequence[int] | npt.NDArray[np.int64]) -> Sequences:
        """Those at the given positions."""
        sources = [self.sources[i] for i in at] if self.sources else ()
        return Sequences([self.inputs[i] for i in at], [self.targets[i] for i in at], sources, self.notes)


def joined(some: Iterable[Sequences]) -> Sequences:
    """All of several, one after the other."""
    parts = list(some)
    inputs, targets, sources, notes = (
        [x for part in parts for x in getattr(part, name)] for name in ("inputs", "targets", "sources", "notes")
    )
    return Sequences(inputs, targets, sources, tuple(notes))


@dataclass(frozen=True, eq=False)
class Data:
    """What a problem is learnt from."""

    train: Callable[[int], Sequences]
    """By epoch: the same each time, or, where they are generated, always new ones; as many in each"""
    validation: Sequences
    test: Sequences
    about: Mapping[str, Any]
    """Plain JSON for the report: `source`, sizes, base lines"""
    digest: str = ""
    """Of the files that were read"""
    notes: tuple[str, ...] = ()
    """What to say before training"""
    vectors: WordVectors | None = None
    """To start the embedding from"""


@dataclass(frozen=True)
class Problem(ABC):
    """What goes in and what is asked for: with a model, all that is needed to predict.

    A subclass is a frozen dataclass of plain JSON values, which a checkpoint keeps.
    """

    unit: ClassVar[str] = "sequences"
    """What an item is: a thing that is predicted"""
    caption: ClassVar[str] = "A held-out sequence"
    """What stands over the drawing of a sequence"""

    @property
    def symbols(self) -> int | None:
        """V, where the inputs are symbols 0 … V-1."""
        return None

    @property
    def characters(self) -> int | None:
        """How many there are, where symbols are words and the network reads their characters too."""
        return None

    @property
    def features(self) -> int:
        """I, where the inputs are features."""
        return 0

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the classes; none where a number is asked for."""
        return ()

    @property
    def pooling(self) -> Pooling | None:
        """How a sequence becomes one vector; None where something is asked at every step."""
        return None

    @property
    def spread(self) -> float:
        """The standard deviation from which vectors of symbols are learnt, where they have an embedding."""
        return 1.0

    @property
    def outputs(self) -> int:
        """What the head puts out."""
        return len(self.labels) or 1

    @property
    def measure(self) -> Measure:
        """Cross entropy in nats, or a mean of squared errors."""
        return "nats" if self.labels else "squared error"

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @abstractmethod
    def read(self, files: Sequence[Path | str]) -> Sequences:
        """Sequences from files of a user's, or from data sets by name, for `rekur eval` and `rekur predict`."""

    def read_inputs(self, files: Sequence[Path | str]) -> Sequences:
        """Sequences to predict of; where nothing is known of one, its target is None."""
        return self.read(files)

    def read_text(self, texts: Sequence[str]) -> Sequences:
        """Sequences to predict of, from texts that a user gives by themselves."""
        raise OptionError("text is given to a model that reads no text; give it files")

    @abstractmethod
    def show(self, given: Any, wanted: Any, output: Array) -> str:
        """A sequence, what is wanted if it is known, and what a model makes of it, as lines of text.

        `given` is the input, or what it was made of (`Sequences.shown`). `output` has the probabilities of the
        classes, `(T, C)` or `(C,)`, or a number `(1,)`.
        """

    def tracks(self, given: Any, wanted: Any, output: Array) -> list[Track]:
        """The same by step, for a drawing."""
        return []

    def steps(self, given: Any) -> list[str]:
        """What each step of a sequence is called: its word or its character; else its number."""
        return [str(step + 1) for step in range(len(given))]

    def scores(self, examples: Sequences, guessed: Sequence[Array]) -> dict[str, float]:
        """Scores besides loss and accuracy, of the classes that were guessed."""
        return {}

    def tables(self, examples: Sequences, outputs: Sequence[Array], data: Data | None) -> list[Table]:
        """What a model gets right and wrong of examples, beside a base line that learns from `data`."""
        return []


@dataclass(frozen=True)
class ExamplesConfig:
    """How examples are read."""

    group: ClassVar[str] = "examples"

    batch: int = 32
    """B: sequences that are read side by side."""


@dataclass(frozen=True)
class LayersConfig(NetworkConfig):
    """What the model is made of."""

    group: ClassVar[str] = "network"

    hidden: int = 64
    """H: units of a layer."""
    layers: int = 1
    """Layers, one above the other."""
    embedding: int = 0
    """Size of the vectors that stand for symbols; 0: the first layer reads them without."""
    dropout: float = 0.0
    """Share of values dropped in training, never from step to step."""
    bidirectional: bool = False
    """A second chain of layers, from the end of a sequence to its beginning."""


@dataclass(frozen=True)
class SupervisedConfig(ExamplesConfig, LayersConfig, TaskConfig, ABC):
    """What every supervised task is made from."""

    problem_class: ClassVar[type[Problem]]

    def __post_init__(self) -> None:
        self._at_least_one("hidden", "layers", "batch")
        self._check("embedding", self.embedding >= 0, "0 or more")
        self._check("sizes", all(size >= 1 for size in self.sizes.values()), "1 or more each")
        self._check("dropout", 0 <= self.dropout < 1, "0 or more and below 1")

    @property
    def character_units(self) -> int:
        """H of a network that reads the characters of words, where the problem has them."""
        return 0

    @abstractmethod
    def prepare(self, cache: Path, seed: int) -> tuple[Problem, Data]:
        """The problem and its data."""


def no_files(files: Sequence[Path | str], why: str) -> None:
    """Raise OptionError where there are files and nothing reads them."""
    if files:
        raise OptionError(f"{str(files[0])!r} would not be read: {why}; leave it out")
