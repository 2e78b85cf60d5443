"""Ice cream: a store that sells on sunny days and reorders on others, and whether it has any left. No torch in here.

A classical exercise for recurrent networks: all that is seen is the weather, and what is asked for depends on what
was ordered three days ago and on what has been sold since.
"""

from __future__ import annotations

import csv
import hashlib
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple

import numpy as np
from tyro.conf import Positional, arg

from rekur.data import split
from rekur.errors import DataError
from rekur.tasks.problem import Array, Data, Problem, Sequences, SupervisedConfig
from rekur.tasks.sources import place
from rekur.train.task import Track

SUNNY, ORDER, OTHER = range(3)
CAPACITY, DELAY = 2, 3  # units that fit into the store; days from order to arrival
KINDS = {"sun": SUNNY, "rain": ORDER, "drizzle": ORDER, "snow": ORDER, "fog": OTHER}
"""What real weather means: sun sells, on a wet day there is time to order, in fog nothing happens"""
_LETTERS = "so."


class Day(NamedTuple):
    """A day's weather, and the store's stock after that day's sale."""

    weather: int
    stock: int


def store(weather: Iterable[int]) -> list[Day]:
    """Run the store, which starts full: 2 units, and nothing on its way.

    Every day in this order: a unit that was ordered three days before arrives, and is accepted if the store is not
    full; on a sunny day (0) one is sold if there is one; on a day of kind 1 one is ordered.

    >>> [day.stock for day in store([0, 1, 0, 0, 2, 0])]
    [1, 1, 0, 0, 1, 0]
    """
    stock, ordered, days = CAPACITY, [False] * DELAY, []
    for kind in weather:
        if ordered.pop(0) and stock < CAPACITY:
            stock += 1
        if kind == SUNNY and stock:
            stock -= 1
        ordered.append(kind == ORDER)
        days.append(Day(kind, stock))
    return days


def draw_weather(days: int, generator: random.Random) -> list[int]:
    """Weather of so many days, each of the three kinds as likely."""
    return [int(generator.random() * 3) for _ in range(days)]


def read_weather(path: Path) -> dict[str, list[int]]:
    """The kinds of a CSV file's days by its places: columns `weather` (see `KINDS`) and, if it has one, `location`.

    The rows of a place are taken in the file's order, a day each. DataError where the file cannot be read so.
    """
    found: dict[str, list[int]] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            if "weather" not in (rows.fieldnames or ()):
                has = ", ".join(rows.fieldnames or ()) or "nothing"
                raise DataError(f"{str(path)!r} has no column 'weather'; it has {has}")
            for row in rows:
                kind = KINDS.get(row["weather"] or "")
                if kind is None:
                    raise DataError(
                        f"{str(path)!r}, line {rows.line_num}: the weather is {row['weather']!r}; it has to be one "
                        f"of {', '.join(KINDS)}"
                    )
                found.setdefault(row.get("location") or "", []).append(kind)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{str(path)!r} cannot be read: {error}") from None
    if not found:
        raise DataError(f"{str(path)!r} has no days")
    return found


@dataclass(frozen=True)
class IceCream(Problem):
    """From each day's weather, whether the store has any ice cream left that evening."""

    unit: ClassVar[str] = "days"
    caption: ClassVar[str] = "Held-out days (☀ sells one unit, + orders one)"

    @property
    def symbols(self) -> int:
        """The kinds of weather."""
        return 3

    @property
    def labels(self) -> tuple[str, ...]:
        """What may be true of a day."""
        return ("none left", "some left")

    def read(self, files: Sequence[Path | str]) -> Sequences:
        """Each place of weather files as one sequence."""
        paths = [place(name, "icecream") for name in files]
        return sequences(days for path in paths for days in read_weather(path).values())

    def show(self, given: Array, wanted: Any, output: Array) -> str:
        """Weather (s sunny, o an order day, . other), stock, what is asked for, and the prediction."""
        guessed = output.argmax(-1)
        rows = {
            "weather": "".join(_LETTERS[kind] for kind in given),
            "stock": "".join(str(day.stock) for day in store(given.tolist())),
            "any left": "".join("-+"[int(left)] for left in wanted),
            "predicted": "".join("-+"[left] for left in guessed),
            "wrong": "".join(" ^"[int(a != b)] for a, b in zip(wanted, guessed, strict=True)),
        }
        return "\n".join(f"{name:10}{row}".rstrip() for name, row in rows.items())

    def steps(self, given: Array) -> list[str]:
        """The weather: ☀ sells one unit, + orders one."""
        return ["☀+ "[kind] for kind in given.tolist()]

    def tracks(self, given: Array, wanted: Any, output: Array) -> list[Track]:
        """The same, with the prediction as a probability."""
        wrong = output.argmax(-1) != np.asarray(wanted)
        return [
            Track("weather", ["☀+"[kind : kind + 1] for kind in given.tolist()]),
            Track("stock", [day.stock for day in store(given.tolist())]),
            Track("any left", [int(left) for left in wanted]),
            Track("predicted", [round(float(p), 3) for p in output[:, 1]]),
            Track("wrong", ["✗" if miss else "" for miss in wrong.tolist()]),
        ]


def sequences(weather: Iterable[list[int]]) -> Sequences:
    """Days of weather as inputs, and whether any is left in the evening as targets."""
    runs = [store(days) for days in weather]
    return Sequences(
        [np.array([day.weather for day in days], np.int64) for days in runs],
        [np.array([day.stock > 0 for day in days], np.int64) for days in runs],
    )


@dataclass(frozen=True)
class WeatherConfig:
    """The weather, and how it is cut."""

    group: ClassVar[str] = "weather"

    files: Annotated[
        tuple[str, ...], Positional, arg(metavar="[FILE|NAME …]", help_behavior_hint="(default: drawn)")
    ] = ()
    """Real weather: CSV with a column `weather` (sun; rain, drizzle, snow; fog), or weather, the data set."""
    days: int = 50
    """T: days of a sequence, at the beginning of which the store is full."""
    sequences: int = 1000
    """Sequences of drawn weather in an epoch, other ones each time."""
    held_out: int = 500
    """Sequences of drawn weather to validate with, and as many to test with."""


@dataclass(frozen=True)
class IceCreamConfig(WeatherConfig, SupervisedConfig):
    """All that an ice cream task is made from, but for how it is trained.

    >>> IceCreamConfig(cell="elman", hidden=4).days
    50
    """

    task: ClassVar[str] = "icecream"
    problem_class: ClassVar[type[Problem]] = IceCream

    hidden: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "files", self.absolute(self.files))
        self._at_least_one("days", "sequences", "held_out")

    def prepare(self, cache: Path, seed: int) -> tuple[Problem, Data]:
        """Drawn weather, or that of files or of a data set."""
        paths = [place(name, self.task, cache) for name in self.files]
        return IceCream(), self._real(paths, seed) if paths else self._drawn(seed)

    def _drawn(self, seed: int) -> Data:
        def drawn(split: str, count: int) -> Sequences:
            generator = random.Random(f"{split} {seed}")
            return sequences(draw_weather(self.days, generator) for _ in range(count))

        validation, test = (drawn(name, self.held_out) for name in ("validation", "test"))
        about = {
            "source": "drawn weather",
            "days of a sequence": self.days,
            "sequences in an epoch, new each time": self.sequences,
            "held-out sequences": [self.held_out, self.held_out],
        }
        return Data(lambda epoch: drawn(f"train {epoch}", self.sequences), validation, test, about | _base_line(test))

    def _real(self, paths: Sequence[Path], seed: int) -> Data:
        places = {f"{path.name} {at}": days for path in paths for at, days in read_weather(path).items()}
        cut = [days[at : at + self.days] for days in places.values() for at in range(0, len(days), self.days)]
        whole = sequences(days for days in cut if len(days) == self.days)
        parts = [whole.select(at) for at in split([0] * len(whole), (0.7, 0.15, 0.15), seed=seed)]
        if not all(len(part) for part in parts):
            raise DataError(
                f"{len(whole)} sequences of {self.days} days cannot be parted in three; give more weather"
            )
        train, validation, test = parts
        counts = np.bincount(np.concatenate(list(whole.inputs)), minlength=3)
        about = {
            "source": ", ".join(path.name for path in paths),
            "places": [name.strip() for name in places],
            "days": {"sunny": int(counts[0]), "order": int(counts[1]), "other": int(counts[2])},
            "days of a sequence": self.days,
            "sequences": [len(part) for part in parts],
        }
        digest = hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()
        return Data(lambda epoch: train, validation, test, about | _base_line(test), digest)


def _base_line(test: Sequences) -> dict[str, Any]:
    some = float(np.mean(np.concatenate(list(test.targets))))
    return {"base line": f"{max(some, 1 - some):.2%} right by always the same answer"}
