"""Tag: for each word of a sentence its label, as parts of speech or names. No torch in here."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from tyro.conf import arg

from rekur.data import DATASETS, Vocabulary, Words, load_vectors
from rekur.errors import OptionError
from rekur.tasks import base_lines
from rekur.tasks.problem import Data, Problem, Sequences, SupervisedConfig
from rekur.tasks.sources import Parts, SourcesConfig
from rekur.tasks.tagged_files import reader
from rekur.tasks.tagger import BASE, Tag


@dataclass(frozen=True)
class ReadingConfig:
    """How sentences are read."""

    group: ClassVar[str] = "reading"

    word: Annotated[int, arg(metavar="COLUMN")] = 0
    """The column with words, counted from 0; CoNLL-U's is always FORM."""
    tag: Annotated[str, arg(metavar="COLUMN", help_behavior_hint="(default: the last; of CoNLL-U UPOS)")] = ""
    """The column with tags, counted from 0, or from the end as -1; or by name, as UPOS, XPOS or DEPREL of CoNLL-U."""
    characters: int = 32
    """Units, a direction, of the network that reads the characters of each word; 0: words by themselves."""
    lower: bool = True
    """Look words up in small letters; their characters are read as they are."""
    min_count: int = 2
    """Words that occur less often share one vector."""
    longest: int = 200
    """Words of a sentence that are learnt from; what comes after them is left out of training."""
    vectors: Annotated[str, arg(metavar="FILE|NAME", help_behavior_hint="(default: learnt)")] = ""
    """Word vectors to start from: a text file as GloVe's and word2vec's, or glove-50d."""


@dataclass(frozen=True)
class TagConfig(SupervisedConfig, ReadingConfig, SourcesConfig):
    """All that a tagger is made from, but for how it is trained.

    >>> TagConfig(files="train.conllu", cell="gru").characters
    32
    """

    task: ClassVar[str] = "tag"
    problem_class: ClassVar[type[Problem]] = Tag

    hidden: int = 128
    embedding: int = 100
    dropout: float = 0.3
    bidirectional: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "files", self.absolute(self.files))
        object.__setattr__(self, "test", self.absolute(self.test))
        self._at_least_one("min_count", "longest", "embedding")
        self._check("characters", self.characters >= 0, "0 or more")

    @property
    def character_units(self) -> int:
        """H of the network that reads characters."""
        return self.characters

    def prepare(self, cache: Path, seed: int) -> tuple[Problem, Data]:
        """Sentences of the files or the data sets, numbered as the training part has them."""
        for name in self.files:
            if name in DATASETS and not Path(name).exists() and (self.word or self.tag):
                raise OptionError(
                    f"the columns of the data set {name!r} are known; leave out word and tag, or give its file: "
                    f"rekur data where {name}"
                )
        parts = self.parts(self.task, reader(self.word, self.tag, self.on_bad), cache, seed)
        problem = self._problem(parts)
        train, validation, test = (problem.sequences(one) for one in (parts.train, parts.validation, parts.test))
        cut = sum(len(one) > self.longest for one in train.inputs)
        if cut:
            inputs, targets, sources = (
                [x[: self.longest] for x in one] for one in (train.inputs, train.targets, train.sources)
            )
            train = Sequences(inputs, targets, sources)
        base = base_lines.most_frequent(train.sources, train.targets, test.sources)
        right = np.concatenate(base) == np.concatenate(test.targets)
        about = {
            **parts.about(),
            "words": [sum(map(len, one.inputs)) for one in (train, validation, test)],
            "tags": list(problem.names),
            "vocabulary": problem.symbols,
            **({"characters": problem.characters} if problem.characters else {}),
            "base line": f"{right.mean():.1%} right by {BASE}",
        }
        notes = [*parts.notes(), *_unlearnt(parts)]
        if cut:
            notes.append(
                f"{cut:,} training sentences are longer than {self.longest} words; only these are learnt from"
            )
        vectors = None
        if self.vectors:
            vectors = load_vectors(self.vectors, problem.words, cache)
            about["words with a vector"] = share = f"{int(vectors.found.sum()):,} of {len(vectors.found):,}"
            notes.append(f"{share} words have a vector of {self.vectors}")
        return problem, Data(lambda epoch: train, validation, test, about, parts.digest, tuple(notes), vectors)

    def _problem(self, parts: Parts) -> Tag:
        sentences = parts.train.inputs
        forms = ([word.lower() if self.lower else word for word in sentence] for sentence in sentences)
        words = Words.build(forms, min_count=self.min_count)
        spelling: dict[str, Any] = {}
        if self.characters:
            spelling = dict(Vocabulary.build(map("".join, sentences), min_count=2, unknown=True).to_json())
        names = sorted({tag for part in vars(parts).values() for tags in part.labels for tag in tags})
        return Tag(tuple(names), words.to_json(), spelling, self.lower, word=self.word, tag=self.tag)


def _unlearnt(parts: Parts) -> list[str]:
    """Tags that training never has."""
    known = {tag for tags in parts.train.labels for tag in tags}
    held = Counter(tag for part in (parts.validation, parts.test) for tags in part.labels for tag in tags)
    lost = {tag: times for tag, times in held.items() if tag not in known}
    if not lost:
        return []
    words = f"{sum(lost.values()):,} held-out words have tags that are not there in training, so they will be wrong: "
    return [words + ", ".join(sorted(lost))]
