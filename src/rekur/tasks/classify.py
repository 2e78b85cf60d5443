"""Classify: what a text or a series of numbers is, one class of several for the whole of it. No torch in here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from tyro.conf import arg

from rekur.data import Vocabulary, Words, load_vectors, tokenize
from rekur.errors import OptionError
from rekur.tasks import base_lines
from rekur.tasks.classifier import Classify, How, Kind, reader
from rekur.tasks.problem import Data, Problem, SupervisedConfig
from rekur.tasks.sources import Parts, SourcesConfig


@dataclass(frozen=True)
class ReadingConfig:
    """How examples are read."""

    group: ClassVar[str] = "reading"

    kind: Kind = "words"
    """What a sequence is made of: words or characters of a text, or series of numbers."""
    text: Annotated[str, arg(metavar="COLUMN", help_behavior_hint="(default: guessed)")] = ""
    """The column with texts."""
    label: Annotated[str, arg(metavar="COLUMN", help_behavior_hint="(default: guessed)")] = ""
    """The column with classes."""
    features: Annotated[tuple[str, ...], arg(metavar="COLUMN …", help_behavior_hint="(default: guessed)")] = ()
    """The columns of a series, with numbers or lists of them."""
    sequence: Annotated[str, arg(metavar="COLUMN", help_behavior_hint="(default: guessed)")] = ""
    """The column that says which series a row is of, where a row is a step."""
    lower: bool = True
    """Read capital letters as small ones."""
    min_count: int = 2
    """Words or characters that occur less often share one symbol."""
    longest: int = 400
    """Steps that are read of an example; what comes after them is left out."""
    pooling: How = "max"
    """How the steps become one: the last one, their mean, or the greatest value of each unit."""
    vectors: Annotated[str, arg(metavar="FILE|NAME", help_behavior_hint="(default: learnt)")] = ""
    """Word vectors to start from: a text file as GloVe's and word2vec's, or glove-50d."""


@dataclass(frozen=True)
class ClassifyConfig(SupervisedConfig, ReadingConfig, SourcesConfig):
    """All that a classifier is made from, but for how it is trained.

    >>> ClassifyConfig(files="reviews.csv", cell="gru").embedding
    300
    """

    task: ClassVar[str] = "classify"
    problem_class: ClassVar[type[Problem]] = Classify

    hidden: int = 128
    embedding: int = 300
    dropout: float = 0.5
    bidirectional: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "files", self.absolute(self.files))
        object.__setattr__(self, "test", self.absolute(self.test))
        self._at_least_one("min_count", "longest")
        if self.vectors and self.kind != "words":
            raise OptionError(f"vectors are for words, and kind is {self.kind!r}")

    @property
    def columns(self) -> dict[str, Any]:
        """The columns that were named."""
        names = ("features", "label", "sequence") if self.kind == "series" else ("text", "label")
        return {name: value for name in names if (value := getattr(self, name))}

    def prepare(self, cache: Path, seed: int) -> tuple[Problem, Data]:
        """Examples of the files or the data sets, numbered as the training part has them."""
        parts = self.parts(self.task, reader(self.kind, self.columns, self.on_bad), cache, seed)
        problem = self._problem(parts)
        train, validation, test = (problem.sequences(one) for one in (parts.train, parts.validation, parts.test))
        counts = np.bincount(test.targets, minlength=len(problem.names))
        about = {
            **parts.about(),
            "classes": list(problem.names),
            **({"vocabulary": problem.symbols} if problem.symbols else {}),
            "base line": f"{counts.max() / counts.sum():.1%} right by always the same class",
        }
        vectors = None
        if self.vectors and isinstance(problem.book, Words):
            vectors = load_vectors(self.vectors, problem.book, cache)
        notes = [*parts.notes(), *self._lengths(parts)]
        if not base_lines.available():
            notes.append("there will be no base line beside it: that takes scikit-learn, pip install 'rekur[data]'")
        if vectors is not None:
            about["words with a vector"] = share = f"{int(vectors.found.sum()):,} of {len(vectors.found):,}"
            notes.append(f"{share} words have a vector of {self.vectors}")
        return problem, Data(lambda epoch: train, validation, test, about, parts.digest, tuple(notes), vectors)

    def _problem(self, parts: Parts) -> Classify:
        texts = parts.train.inputs
        vocabulary: dict[str, Any] = {}
        if self.kind == "words":
            words = (tokenize(text, lower=self.lower) for text in texts)
            vocabulary = Words.build(words, min_count=self.min_count).to_json()
        elif self.kind == "characters":
            text = [text.lower() if self.lower else text for text in texts]
            vocabulary = dict(Vocabulary.build(text, min_count=self.min_count, unknown=True).to_json())
        names = sorted({*parts.train.labels, *parts.validation.labels, *parts.test.labels})
        size = 0 if vocabulary else parts.train.inputs[0].shape[1]
        return Classify(
            self.kind, tuple(names), self.pooling, vocabulary, self.lower, self.longest, size, self.columns
        )

    def _lengths(self, parts: Parts) -> list[str]:
        def steps(one: Any) -> int:
            return len(tokenize(one) if self.kind == "words" else one)

        cut = sum(steps(one) > self.longest for part in vars(parts).values() for one in part.inputs)
        if not cut:
            return []
        return [f"{cut:,} examples are longer than {self.longest} {_STEPS[self.kind]}; of them only these are read"]


_STEPS = {"words": "words", "characters": "characters", "series": "steps"}
