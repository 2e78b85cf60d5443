"""Look at a model of text: what it expects, and what is inside."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from rekur.data import UNKNOWN, Symbols, Unseen, Vocabulary, read_text
from rekur.errors import DataError, OptionError, RekurError
from rekur.inspect import Looked, Prediction, Record, foresee, look, observe, observed, states_of
from rekur.inspect.properties import Property, parse, standard, values
from rekur.inspect.units import Units, measure
from rekur.nn import SequenceModel
from rekur.report import heat
from rekur.report import units as report
from rekur.report.prediction import prediction
from rekur.tasks.charlm import CharLM
from rekur.tasks.inspection import Inspection, Line, Settings, attempt, begun, line, part
from rekur.tasks.text_model import rebuild
from rekur.train import Checkpoint

_CHUNK = 1024  # steps at once
_COUNTED = 50_000  # characters that saturation is counted over
_SHOWN = 2000  # characters that are shown one by one
_WARM = 1000  # characters before them, after which a state has forgotten that it began with nothing


@dataclass(frozen=True, eq=False)
class TextInspection(Inspection):
    """A trained model of text, and a text to look at it with."""

    vocabulary: Vocabulary
    symbols: Symbols
    """(N,) the text as the model reads it"""
    properties: tuple[Property, ...]
    """That units may follow, besides the usual ones"""

    @cached_property
    def text(self) -> str:
        """The text, a character for each of its symbols, also where these are bytes: then a character stands at its
        first byte, and a dot at its others.
        """
        return shown(self.vocabulary, self.symbols)

    @cached_property
    def excerpt(self) -> tuple[int, int]:
        """The places of the text that pages show, from the first to before the last.

        They are whole lines, where there are some, and not from the beginning of the text, since there the model has
        read too little to show what it can.
        """
        first = min(_WARM, max(0, len(self.text) - _SHOWN))
        first = self.text.find("\n", first, first + _WARM) + 1 or first
        last = min(len(self.text), first + _SHOWN)
        if last < len(self.text):
            last = self.text.rfind("\n", first + _SHOWN // 2, last) + 1 or last
        return max(1, first), last

    @cached_property
    def prediction(self) -> Prediction:
        """What the model expected of the text, and what came: arrays along it."""
        done, whole = 0, len(self.symbols) - 1

        def progress(steps: int) -> None:
            nonlocal done
            done += steps
            self.progress("what it expects", done / whole)

        return foresee(self.model, self.symbols, self.vocabulary.symbols, text=self.text, progress=progress)

    def record(self, *names: str, first: int = 0, last: int | None = None) -> Record:
        """Named values of the model, as `rekur.inspect.observe` gives them, over the text from `first` to before
        `last`; the model has read nothing before.
        """
        here = slice(first, last)
        return observe(self.model, self.symbols[here].astype(np.int64)[None], names, text=self.text[here])

    @cached_property
    def untrained(self) -> SequenceModel:
        """The network as the run began with it, which takes its plan and its seed, and no data.

        CheckpointError where there is a checkpoint by itself, which does not say the seed.
        """
        return SequenceModel(self.model.plan, generator=torch.Generator().manual_seed(self.training.seed)).eval()

    @cached_property
    def looked(self) -> Looked:
        """Gates and states along the beginning of `excerpt`, and how often gates are saturated over the text."""
        self.progress("gates and states", 0)
        read = slice(_COUNTED)
        return look(
            self.model, self.symbols[read].astype(np.int64)[None], self.text[read], first=self.excerpt[0], time=_CHUNK
        )

    @cached_property
    def units(self) -> Units:
        """Which units of the states follow which property of the text, better than the last few characters tell it,
        than any unit of the untrained network does, and than chance; for errors see `task` and
        `rekur.inspect.units.measure`.
        """
        known = {one.name: one for one in (*standard(self.text), *self.properties)}
        progress = self.progress

        def measuring(share: float) -> None:
            progress("units: measuring", share)

        return measure(
            self.text,
            self.states(self.model, lambda share: progress("units: reading", share)),
            self.states(self.untrained, lambda share: progress("units: the untrained network reads", share)),
            list(known.values()),
            columns(self.model),
            more=self.learnt,
            progress=measuring,
        )

    @cached_property
    def _looked(self) -> Looked | RekurError:
        return attempt(lambda: self.looked)

    @cached_property
    def _units(self) -> Units | RekurError:
        return attempt(lambda: self.units)

    @cached_property
    def learnt(self) -> str:
        """Some of the text that the model learnt from, as long as the other; for errors see `task`."""
        task = self.task
        assert isinstance(task, CharLM)
        return shown(self.vocabulary, task.corpus.split("train")[-len(self.symbols) :])

    def states(
        self, model: SequenceModel, progress: Callable[[float], object] = lambda share: None
    ) -> Iterator[npt.NDArray[np.float16]]:
        """The states of a model after each character of the text, (n, U) at a time, in the order of `columns`."""
        names, done = states_of(model), 0
        for record in observed(model, self.symbols.astype(np.int64)[None], names, time=_CHUNK):
            found = np.concatenate([values.values[0] for _, values in record.layers()], 1)
            done += len(found)
            progress(done / len(self.symbols))
            yield found.astype(np.float16)

    @property
    def amount(self) -> str:
        """How much of it is read."""
        return f"{len(self.symbols):,} {self.vocabulary.unit}"

    def summary(self) -> list[Line]:
        """The loss, how often the model guessed right, units that can be read, and gradients."""
        found, one = self.prediction, self.vocabulary.unit.removesuffix("s")
        first, five = (float((found.rank <= count).mean()) for count in (1, 5))
        said = f"{found.bits:.3f} bits a {one}; {first:.1%} are its first guess, {five:.1%} among its first five"
        return [("expects", said), ("units", line(self._units, report.sentence)), *super().summary()]

    def numbers(self) -> list[Line]:
        """The loss."""
        found = [(f"{self.prediction.bits:.3f}", f"bits per {self.vocabulary.unit.removesuffix('s')} on this text")]
        if isinstance(self._units, Units):
            share = self._units.shares[0]
            found.append((report.share_of(share.share), f"of units can be read: {share.count} of {share.of}"))
        return found

    def sections(self) -> Iterator[str]:
        """What it expects, gates and states, units that can be read, and gradients."""
        found = self.prediction
        yield prediction(found, found.part(*self.excerpt), self.vocabulary.unit)
        yield part(self._looked, "Gates and states", heat.section)
        yield part(self._units, "Which units can be read", report.section)
        yield from super().sections()


def columns(model: SequenceModel) -> list[str]:
    """What the states of a model are called, unit by unit, the lowest layer first.

    >>> from rekur.cells import lstm
    >>> from rekur.nn import Plan
    >>> columns(SequenceModel(Plan(lstm, 4, 2, symbols=3)))
    ['0.h.0', '0.h.1', '0.c.0', '0.c.1']
    """
    record = observe(model, np.zeros((1, 1), np.int64), states_of(model))
    return [f"{name}.{unit}" for name, values in record.layers() for unit in range(values.sizes["unit"])]


def open_text(
    path: Path, saved: Checkpoint, files: Sequence[Path | str], unseen: Unseen, length: int,
    properties: Sequence[str], settings: Settings,
) -> TextInspection:  # fmt: skip
    """A checkpoint and a text; for arguments and errors see `inspect_run`."""
    if length < 2:
        raise OptionError(f"length is {length}; it must be 2 or more")
    asked = tuple(map(parse, properties))
    (model, vocabulary), task = rebuild(saved), None
    if files:
        texts = read_text(map(Path, files))
        symbols, source = _first(vocabulary, texts.pieces(), unseen, length), texts.name
    else:
        task = begun(path, saved, settings[0])
        assert isinstance(task, CharLM)
        held = task.corpus.symbols[task.corpus.ends[0] :]  # validation and test follow one another
        symbols, source = held[:length], f"{task.source}, the part held out for validation and test"
    if len(symbols) < 2:
        raise DataError(f"the text is too short to look at a model with: {len(symbols)} {vocabulary.unit}")
    text = shown(vocabulary, symbols)
    for one in asked:
        values(one, text)  # what is wrong with it is said before anything else takes its time
    return TextInspection(path, saved, model, source, *settings, task, vocabulary, symbols, asked)


def _first(vocabulary: Vocabulary, pieces: Iterable[str], unseen: Unseen, length: int) -> Symbols:
    found, known = list[Symbols](), 0
    for piece in pieces:
        found.append(vocabulary.encode(piece[: length - known], unseen)[: length - known])
        known += len(found[-1])
        if known >= length:
            break
    return np.concatenate(found)


def shown(vocabulary: Vocabulary, symbols: Symbols) -> str:
    """A character for each symbol, also where these are bytes.

    >>> shown(Vocabulary.of_bytes(), np.frombuffer("né!".encode(), np.uint8))
    'né·!'
    """
    if vocabulary.unit == "characters":
        return vocabulary.decode(symbols)
    text = symbols.astype(np.uint8).tobytes().decode(errors="surrogateescape")  # a bad byte is a character, too
    return "".join(UNKNOWN if "\ud800" <= c <= "\udfff" else c + "·" * (len(c.encode()) - 1) for c in text)
