"""Where examples come from: files of the user's, and data sets by name. No torch in here."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, ClassVar

from tyro.conf import Positional, arg

from rekur.data import DATASETS, DataSet, Examples, OnBad, find, load_dataset, split
from rekur.errors import DataError, OptionError, suggest
from rekur.tasks.config import CACHE

Reader = Callable[[Path], Examples[Any, Any]]
_LISTED = 5  # broken rows that are shown before training


@dataclass(frozen=True)
class SourcesConfig:
    """What to read, and how it is parted."""

    group: ClassVar[str] = "data"

    files: Annotated[tuple[str, ...], Positional, arg(metavar="FILE|NAME …", help_behavior_hint="(required)")] = ()
    """Files with labels, or data sets that `rekur data list` names."""
    test: Annotated[tuple[str, ...], arg(metavar="FILE …", help_behavior_hint="(default: a part of the data)")] = ()
    """Files to test with."""
    split: tuple[float, float, float] = (0.8, 0.1, 0.1)
    """Shares for training, validation and test, drawn by the seed; without the last where there is a test set."""
    on_bad: OnBad = "skip"
    """Broken rows: skip passes over them and says how many and why, stop ends with an error at the first."""

    def parts(self, use: str, read: Reader, cache: Path, seed: int) -> Parts:
        """All that there is, parted. `use` is the task, for data sets that are of another one.

        DataError where there is nothing, or too little for its parts.
        """
        if not self.files:
            sets = ", ".join(name for name, one in DATASETS.items() if one.use == use)
            raise DataError(f"say what to read: rekur train {use} FILE, or a data set by its name: {sets}")
        given = [_read(name, use, read, cache, self.on_bad) for name in self.files]
        train = _joined([one["train"] for one in given])
        aside = [one["test"] for one in given if "test" in one]
        if self.test and aside:
            raise OptionError(
                f"{aside[0].name} is there to test with; leave out test, or give files instead of the set"
            )
        aside += [read(Path(name)) for name in self.test]
        shares = self.split
        if aside:
            whole = shares[0] + shares[1]
            if not whole:
                raise OptionError(f"split is {shares}; it must leave something to train and to validate with")
            shares = (shares[0] / whole, 1 - shares[0] / whole, 0.0)
        # a sentence's tags are no one label to have equal shares of
        labels = [label if isinstance(label, str) else 0 for label in train.labels]
        first, second, third = (train.select(at) for at in split(labels, shares, seed=seed))
        return Parts(first, second, _joined(aside) if aside else third)


@dataclass(frozen=True)
class Parts:
    """Examples to train, to validate and to test with."""

    train: Examples[Any, Any]
    validation: Examples[Any, Any]
    test: Examples[Any, Any]

    def __post_init__(self) -> None:
        for name, part in vars(self).items():
            if not len(part):
                raise DataError(
                    f"{len(self.train)} examples leave none for {name}; give more, or other shares: split"
                )

    @property
    def digest(self) -> str:
        """Of all that was read."""
        known = dict.fromkeys((self.train.sha256, self.test.sha256))
        return hashlib.sha256("".join(known).encode()).hexdigest()

    @property
    def rejected(self) -> list[str]:
        """What was passed over, as `films.csv:3: the text is empty`."""
        return [str(one) for one in dict.fromkeys(chain(self.train.rejected, self.test.rejected))]

    def about(self) -> dict[str, Any]:
        """For the report."""
        names = dict.fromkeys((self.train.name, self.test.name))
        about: dict[str, Any] = {
            "source": ", ".join(names),
            "examples": [len(self.train), len(self.validation), len(self.test)],
        }
        if self.rejected:
            about["broken, and passed over"] = len(self.rejected)
            about["why"] = self.rejected[:_LISTED]
        return about

    def notes(self) -> tuple[str, ...]:
        """What to say before training: what was guessed, and what was passed over."""
        lines = list(dict.fromkeys((*self.train.notes, *self.test.notes)))
        return (*lines, *passed_over(self.rejected, " (--on-bad stop ends at the first)"))


def passed_over(broken: Sequence[object], hint: str = "") -> list[str]:
    """Lines that say how many broken ones there are, and list the first; none where there are none.

    >>> passed_over(["a.csv:3: the text is empty"])
    ['passed over 1 that is broken:', '  a.csv:3: the text is empty']
    """
    if not broken:
        return []
    lines = [f"passed over {len(broken):,} that {'is' if len(broken) == 1 else 'are'} broken{hint}:"]
    lines += [f"  {one}" for one in broken[:_LISTED]]
    return [*lines, f"  and {len(broken) - _LISTED:,} more"] if len(broken) > _LISTED else lines


def named(name: str, use: str) -> DataSet:
    """The data set that is meant where there is no such file; DataError where there is none, or for another task."""
    if name not in DATASETS:
        hint = suggest(name, DATASETS)
        raise DataError(f"there is no file {name!r}, and no data set of that name{hint}; rekur data list has them")
    if (of := DATASETS[name].use) != use:
        raise DataError(f"the data set {name!r} is for {of}, not for {use}")
    return DATASETS[name]


def place(name: Path | str, use: str, cache: Path = CACHE) -> Path:
    """Where a file lies, the user's or a data set's that was fetched into the cache.

    Raises DataError where there is no such file, and no such data set for the task `use`, or it was not fetched.
    """
    return Path(name) if Path(name).exists() else find(named(str(name), use), cache)


def whole(name: Path | str, use: str, read: Reader) -> Examples[Any, Any]:
    """All examples of a file, or of a data set that was fetched into the cache; see `place`."""
    return _joined([*_read(str(name), use, read, CACHE, "skip").values()])


def _read(name: str, use: str, read: Reader, cache: Path, on_bad: OnBad) -> dict[str, Examples[Any, Any]]:
    if Path(name).exists():
        return {"train": read(Path(name))}
    return load_dataset(named(name, use).name, cache, on_bad=on_bad)


def _joined(some: Sequence[Examples[Any, Any]]) -> Examples[Any, Any]:
    if len(some) == 1:
        return some[0]
    return Examples(
        ", ".join(one.name for one in some),
        tuple(chain.from_iterable(one.inputs for one in some)),
        tuple(chain.from_iterable(one.labels for one in some)),
        tuple(chain.from_iterable(one.rejected for one in some)),
        tuple(f"{one.name}: {note}" for one in some for note in one.notes),
        hashlib.sha256("".join(one.sha256 for one in some).encode()).hexdigest(),
    )
