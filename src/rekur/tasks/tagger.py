"""What a tagger predicts: for each word of a sentence, from it and its characters, a tag. No torch in here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from rekur.data import Examples, Vocabulary, Words, tokenize
from rekur.errors import DataError, OptionError
from rekur.tasks import base_lines, findings, spans
from rekur.tasks.problem import NOT_ASKED, Array, Data, Problem, Sequences, joined
from rekur.tasks.sources import passed_over, whole
from rekur.tasks.tagged_files import read_to_tag, reader
from rekur.train.task import Table, Track

BASE = "the tag that the word mostly has"
_LETTERS = 20  # characters of a word that are read
_AROUND = 5  # words of context on each side of an error


@dataclass(frozen=True)
class Tag(Problem):
    """From the words of a sentence, and from their characters, the tag of each."""

    unit: ClassVar[str] = "words"

    names: tuple[str, ...]
    """The tags"""
    vocabulary: Mapping[str, Any]
    """Of words, as JSON"""
    spelling: Mapping[str, Any] = field(default_factory=dict)
    """The vocabulary of characters, as JSON; empty where they are not read"""
    lower: bool = True
    """Whether words are looked up in small letters; characters are as they are"""
    letters: int = _LETTERS
    """L, characters that are read of a word: of a longer one its first and its last"""
    word: int = 0
    tag: str = ""
    """Where files have words and tags, as `reader` wants it"""

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(self.names))
        if len(self.names) < 2 or len(set(self.names)) < len(self.names):
            raise DataError(f"there have to be two tags or more; there are: {', '.join(map(repr, self.names))}")
        if self.letters < 1:
            raise OptionError(f"letters is {self.letters}; it must be 1 or more")
        object.__setattr__(self, "_words", Words.from_json(self.vocabulary))
        object.__setattr__(self, "_letters", Vocabulary.from_json(self.spelling) if self.spelling else None)

    @property
    def words(self) -> Words:
        """The vocabulary of words."""
        found: Words = vars(self)["_words"]
        return found

    @property
    def symbols(self) -> int:
        """V, words."""
        return len(self.words)

    @property
    def characters(self) -> int | None:
        """How many there are, where they are read."""
        book: Vocabulary | None = vars(self)["_letters"]
        return None if book is None else len(book)

    @property
    def spread(self) -> float:
        """Little: most words are rare, and what little is learnt of them is not to drown in how they start.

        With few sentences more would be better: see docs/results.md.
        """
        return 0.1

    @property
    def labels(self) -> tuple[str, ...]:
        """The tags."""
        return self.names

    def encode(self, sentences: Sequence[Sequence[str]]) -> list[Array]:
        """Sentences as words `(T,)`, or as words with their characters `(T, 1 + L)`, -1 after the last."""
        kinds = {word: at for at, word in enumerate(dict.fromkeys(chain.from_iterable(sentences)))}
        table = self.words.encode(map(self.form, kinds)).astype(np.int32)
        if self.spelling:
            table = np.concatenate([table[:, None], np.stack([self._spelt(word) for word in kinds])], 1)
        return [table[[kinds[word] for word in sentence]] for sentence in sentences]

    def form(self, word: str) -> str:
        """A word as it is looked up."""
        return word.lower() if self.lower else word

    def _spelt(self, word: str) -> Array:
        head = self.letters // 2
        if len(word) > self.letters:
            word = word[:head] + word[head - self.letters :]
        found = np.full(self.letters, -1, np.int32)
        found[: len(word)] = vars(self)["_letters"].encode(word)
        return found

    def sequences(self, examples: Examples[Any, Any]) -> Sequences:
        """Tagged sentences as a model takes them; words with a tag that it does not know are not asked for.

        DataError where most words are so.
        """
        numbers = {name: number for number, name in enumerate(self.names)}
        targets = [np.array([numbers.get(tag, NOT_ASKED) for tag in tags]) for tags in examples.labels]
        notes = passed_over(examples.rejected)
        lost = Counter(tag for tags in examples.labels for tag in tags if tag not in numbers)
        if lost:
            total, tags = sum(map(len, targets)), ", ".join(tag for tag, _ in lost.most_common(5))
            if lost.total() * 2 > total:
                raise DataError(
                    f"{lost.total():,} of the {total:,} words of {examples.name} have tags that the model does not "
                    f"know: {tags}; it knows {', '.join(self.names[:12])}; are the tags in another column?"
                )
            notes.append(
                f"{lost.total():,} of {total:,} words are not counted: the model does not know their tags, {tags}"
            )
        return Sequences(self.encode(examples.inputs), targets, examples.inputs, tuple(notes))

    def read(self, files: Sequence[Path | str]) -> Sequences:
        """Tagged sentences, from columns as those that the model was trained with."""
        read = reader(self.word, self.tag)
        return joined(self.sequences(whole(name, "tag", read)) for name in files)

    def read_inputs(self, files: Sequence[Path | str]) -> Sequences:
        """Sentences with tags or without, or text, a sentence a line."""
        read = partial(read_to_tag, word=self.word, tag=self.tag, known=self.names)
        return joined(self._to_tag(whole(name, "tag", read)) for name in files)

    def read_text(self, texts: Sequence[str]) -> Sequences:
        """A sentence each; punctuation is parted from words, other marks of words are not."""
        words = [tuple(tokenize(text, lower=False)) for text in texts]
        if not all(words):
            raise OptionError("a text is empty; it has to have a word at least")
        return Sequences(self.encode(words), [None] * len(words), words)

    def _to_tag(self, examples: Examples[Any, Any]) -> Sequences:
        numbers = {name: number for number, name in enumerate(self.names)}
        targets = [
            np.array([numbers[tag] for tag in tags]) if all(tag in numbers for tag in tags) else None
            for tags in examples.labels
        ]
        notes = (*examples.notes, *passed_over(examples.rejected))
        return Sequences(self.encode(examples.inputs), targets, examples.inputs, notes)

    def show(self, given: Sequence[str], wanted: Any, output: Array) -> str:
        """Words, the tags that a model gives them and, where these are wrong, what they are."""
        guessed = output.argmax(-1)
        rows = {"": list(given), "tagged": [self.names[i] for i in guessed]}
        wrong = np.zeros(len(given), bool) if wanted is None else (guessed != wanted) & (wanted != NOT_ASKED)
        if wrong.any():
            rows["wrong, it is"] = [self.names[i] if bad else "" for i, bad in zip(wanted, wrong, strict=True)]
        return findings.aligned(rows)

    def tracks(self, given: Sequence[str], wanted: Any, output: Array) -> list[Track]:
        """Words, tags, and what the model makes of them."""
        tags = [self.names[i] if i != NOT_ASKED else "" for i in wanted]
        found = [
            Track("word", list(given)),
            Track("tag", tags),
            Track("tagged", [self.names[i] for i in output.argmax(-1)]),
        ]
        sure = output.max(-1)
        return [*found, Track("sure", [round(float(one), 3) for one in sure])]

    def steps(self, given: Sequence[str]) -> list[str]:
        """The words."""
        return list(given)

    def scores(self, examples: Sequences, guessed: Sequence[Array]) -> dict[str, float]:
        """How many words that are not in the vocabulary are right, and the F1 of spans."""
        found = {}
        unknown, right, asked = (np.concatenate(one) for one in zip(*self._judged(examples, guessed), strict=True))
        if (unknown & asked).any():
            found["unknown words right"] = float((right & unknown & asked).sum() / (unknown & asked).sum())
        if spans.tells_spans(self.names):
            total = spans.overall(self._spans(examples, guessed))
            found |= {"span F1": findings.prf(*total)[2]}
        return found

    def _judged(self, examples: Sequences, guessed: Sequence[Array]) -> Iterable[tuple[Array, Array, Array]]:
        for given, wanted, guess in zip(examples.inputs, examples.targets, guessed, strict=True):
            words = given if given.ndim == 1 else given[:, 0]
            yield words == self.words.unknown, guess == wanted, wanted != NOT_ASKED

    def _spans(self, examples: Sequences, guessed: Sequence[Array]) -> spans.Counts:
        def names(numbers: Array) -> list[str]:
            return [self.names[i] if i != NOT_ASKED else "O" for i in numbers]

        return spans.count(map(names, examples.targets), map(names, guessed))

    def tables(self, examples: Sequences, outputs: Sequence[Array], data: Data | None) -> list[Table]:
        """A base line beside the model, new words by themselves, spans, scores by tag, confusions, worst errors."""
        guesses = [one.argmax(-1) for one in outputs]
        wanted, guessed = np.concatenate(examples.targets), np.concatenate(guesses)
        asked = wanted != NOT_ASKED
        wanted, guessed = wanted[asked], guessed[asked]
        found, others = list[Table](), dict[str, spans.Counts]()
        if data is not None:
            train = data.train(0)
            said = base_lines.most_frequent(train.sources, train.targets, examples.sources)
            others[BASE], base = self._spans(examples, said), np.concatenate(said)[asked]
            seen = {word for sentence in train.sources for word in sentence}
            new = np.array([word not in seen for sentence in examples.sources for word in sentence])[asked]
            parts = {"all words": new | True, "seen in training": ~new, "never seen in training": new}
            found = [
                findings.beside(BASE, wanted, guessed, base, "words"),
                findings.parts(parts, {"this model": guessed == wanted, BASE: base == wanted}, "words"),
            ]
        if spans.tells_spans(self.names):
            found.append(spans.table(self._spans(examples, guesses), others))
        found += [findings.by_label(self.names, wanted, guessed), findings.confusion(self.names, wanted, guessed)]
        places = [(one, at) for one in examples.sources for at in range(len(one))]
        places = [place for place, its in zip(places, asked, strict=True) if its]
        probabilities = np.concatenate(outputs)[asked]
        worst = findings.errors(self.names, wanted, probabilities, lambda i: _context(*places[i]))
        return found if worst is None else [*found, worst]


def _context(sentence: Sequence[str], at: int) -> str:
    before, after = sentence[max(0, at - _AROUND) : at], sentence[at + 1 : at + 1 + _AROUND]
    return " ".join([*before, f"[{sentence[at]}]", *after])
