"""What a classifier predicts: of a text or of a series of numbers its class. No torch in here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

import numpy as np

from rekur.data import Examples, Vocabulary, Words, read_labelled, read_series, read_texts, read_ts, tokenize
from rekur.errors import DataError, OptionError
from rekur.tasks import base_lines, findings
from rekur.tasks.problem import Array, Data, Problem, Sequences, joined
from rekur.tasks.sources import passed_over, whole
from rekur.train.task import Table, Track

if TYPE_CHECKING:
    from rekur.nn import Pooling

Kind = Literal["words", "characters", "series"]
How = Literal["last", "mean", "max"]
_DRAWN = 6  # features of a series that are drawn


@dataclass(frozen=True)
class Classify(Problem):
    """From a text, as words or as characters, or from a series of features, its class."""

    unit: ClassVar[str] = "examples"

    kind: Kind
    names: tuple[str, ...]
    """The classes"""
    how: How
    vocabulary: Mapping[str, Any] = field(default_factory=dict)
    """Of words or of characters, as JSON"""
    lower: bool = True
    longest: int = 400
    """Steps that are read, from the beginning"""
    size: int = 0
    """I, of series"""
    columns: Mapping[str, Any] = field(default_factory=dict)
    """Where files have texts and labels, as `read_labelled` and `read_series` want it"""

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(self.names))
        if len(self.names) < 2 or len(set(self.names)) < len(self.names):
            raise DataError(f"there have to be two classes or more; there are: {', '.join(map(repr, self.names))}")
        if self.kind not in get_args(Kind):
            raise OptionError(f"kind is {self.kind!r}; it must be one of {', '.join(get_args(Kind))}")
        book: Words | Vocabulary | None = None
        if self.kind != "series":
            book = (Words if self.kind == "words" else Vocabulary).from_json(self.vocabulary)
        object.__setattr__(self, "_book", book)

    @property
    def book(self) -> Words | Vocabulary:
        """The vocabulary of texts."""
        found: Words | Vocabulary = vars(self)["_book"]
        return found

    @property
    def symbols(self) -> int | None:
        """V, of texts."""
        return None if self.kind == "series" else len(self.book)

    @property
    def features(self) -> int:
        """I, of series."""
        return self.size

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes."""
        return self.names

    @property
    def pooling(self) -> Pooling:
        """One answer for a whole sequence."""
        return self.how

    @property
    def spread(self) -> float:
        """Of words little: most are rare, and what little is learnt of them is not to drown in how they start."""
        return 0.03 if self.kind == "words" else 1.0

    def encode(self, given: Any) -> Array:
        """A text as symbols `(T,)`, or a series as it is `(T, I)`; no longer than is read."""
        if self.kind == "series":
            return np.asarray(given, np.float32)[: self.longest]
        if isinstance(self.book, Words):
            return self.book.encode(tokenize(given, lower=self.lower)[: self.longest])
        text = given.lower() if self.lower else given
        return self.book.encode(text[: self.longest]).astype(np.int64)

    def text(self, given: Array) -> str:
        """A text as the model reads it; of a series, how long it is."""
        if self.kind == "series":
            return f"a series of {len(given)} steps"
        return " ".join(self.book.decode(given)) if isinstance(self.book, Words) else self.book.decode(given)

    def sequences(self, examples: Examples[Any, str]) -> Sequences:
        """Examples as a model takes them; DataError for a class that it does not know, or other features."""
        numbers = {name: number for number, name in enumerate(self.names)}
        for label in examples.labels:
            if label not in numbers:
                known = ", ".join(self.names[:12])
                raise DataError(f"{examples.name} has the class {label!r}; the model knows {known}")
        inputs = [self.encode(one) for one in examples.inputs]
        for one in inputs if self.kind == "series" else ():
            if one.shape[1:] != (self.size,):
                raise DataError(f"{examples.name} has {one.shape[1]} features, the model reads {self.size}")
        targets = [numbers[label] for label in examples.labels]
        return Sequences(inputs, targets, notes=tuple(passed_over(examples.rejected)))

    def read(self, files: Sequence[Path | str]) -> Sequences:
        """Labelled examples, from columns of the names that the model was trained with."""
        read = reader(self.kind, self.columns)
        return joined(self.sequences(whole(name, "classify", read)) for name in files)

    def read_inputs(self, files: Sequence[Path | str]) -> Sequences:
        """Texts whether or not they have labels: a column of a table, or the lines of a `.txt` file."""
        if self.kind == "series":
            return self.read(files)
        read = partial(read_texts, text=self.columns.get("text"))
        return joined(self._to_tell(whole(name, "classify", read)) for name in files)

    def read_text(self, texts: Sequence[str]) -> Sequences:
        """Texts, each whole."""
        if self.kind == "series":
            return super().read_text(texts)
        if not all(text.strip() for text in texts):
            raise OptionError("a text is empty; it has to have a word at least")
        return Sequences([self.encode(text) for text in texts], [None] * len(texts))

    def _to_tell(self, examples: Examples[str, Any]) -> Sequences:
        return replace(self.read_text(examples.inputs), notes=(*examples.notes, *passed_over(examples.rejected)))

    def show(self, given: Array, wanted: Any, output: Array) -> str:
        """The text, its class, and what the model makes of it."""
        guess = int(output.argmax())
        lines = [findings.shortened(self.text(given)), f"predicted {self.names[guess]} ({output[guess]:.1%})"]
        if wanted is not None and wanted != guess:
            lines.append(f"wrong, it is {self.names[wanted]} ({output[wanted]:.1%})")
        return "\n".join(lines)

    def tracks(self, given: Array, wanted: Any, output: Array) -> list[Track]:
        """What is read, step by step."""
        if isinstance(book := vars(self)["_book"], Words):
            return [Track("word", book.decode(given))]
        if book is not None:
            return [Track("read", list(book.decode(given)))]
        drawn = range(min(self.size, _DRAWN))
        return [Track(f"feature {i + 1}", [round(float(v), 3) for v in given[:, i]]) for i in drawn]

    def steps(self, given: Array) -> list[str]:
        """Words or characters; of series numbers."""
        return super().steps(given) if self.kind == "series" else list(self.book.decode(given))

    def tables(self, examples: Sequences, outputs: Sequence[Array], data: Data | None) -> list[Table]:
        """Confusions, scores by class, a base line that learns from `data`, and the worst errors."""
        wanted, guessed = np.array(examples.targets), np.array([int(one.argmax()) for one in outputs])
        worst = findings.errors(self.names, wanted, outputs, lambda i: self.text(examples.inputs[i]))
        found = [findings.confusion(self.names, wanted, guessed), findings.by_label(self.names, wanted, guessed)]
        if data is not None and base_lines.available():
            base, name = self._base_line(data.train(0), data.validation, examples)
            found.insert(0, findings.beside(name, wanted, guessed, base, "examples"))
        return found if worst is None else [*found, worst]

    def _base_line(self, train: Sequences, validation: Sequences, test: Sequences) -> tuple[Any, str]:
        classes, held = np.array(train.targets), np.array(validation.targets)
        if self.kind == "series":
            said = base_lines.summaries(train.inputs, classes, validation.inputs, held, test.inputs)
            return said, "logistic regression on each feature's mean, deviation, least and greatest"
        bags = [[self._bag(one) for one in part.inputs] for part in (train, validation, test)]
        said = base_lines.bag_of_words(bags[0], classes, bags[1], held, bags[2])
        return said, "logistic regression on the bag of words"

    def _bag(self, given: Array) -> list[str]:
        return self.book.decode(given) if isinstance(self.book, Words) else tokenize(self.book.decode(given))


def reader(kind: Kind, columns: Mapping[str, Any], on_bad: Any = "skip") -> Callable[[Path], Examples[Any, str]]:
    """What reads a labelled file of a kind."""

    def read(path: Path) -> Examples[Any, str]:
        if kind != "series":
            return read_labelled(path, text=columns.get("text"), label=columns.get("label"), on_bad=on_bad)
        if path.suffix == ".ts":
            return read_ts(path, on_bad=on_bad)
        return read_series(path, **columns, on_bad=on_bad)

    return read
