"""Tasks that show what a cell can remember: adding, copying, and digits read pixel by pixel. No torch in here."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, get_args

import numpy as np
from tyro.conf import Positional, arg

from rekur.data import read_idx, split
from rekur.errors import DataError, OptionError
from rekur.tasks.config import CACHE
from rekur.tasks.problem import NOT_ASKED, Array, Data, Problem, Sequences, SupervisedConfig, joined, no_files
from rekur.tasks.sources import place
from rekur.train.task import Track

if TYPE_CHECKING:
    from rekur.nn import Pooling

Kind = Literal["adding", "copy", "digits", "permuted-digits"]

TIMES = {"adding": 200, "copy": 50}
COPIED, LETTERS = 10, 8  # symbols to be copied, and kinds of them
BLANK, GO = 0, LETTERS + 1


def adding(count: int, time: int, generator: np.random.Generator) -> Sequences:
    """The adding problem (Hochreiter and Schmidhuber, 1997; as in Arjovsky et al., 2016).

    A step has a value, uniform in 0..1, and a mark. One step of each half is marked, and what is asked for at the end
    is the sum of the two values there. To say 1 always has a mean squared error of 1/6 = 0.1667.

    >>> one = adding(1, 6, np.random.default_rng(0))
    >>> values, marks = one.inputs[0].T
    >>> marks.tolist(), bool(np.isclose(values @ marks, one.targets[0]))
    ([0.0, 1.0, 0.0, 0.0, 0.0, 1.0], True)
    """
    values = generator.random((count, time))
    half = time // 2
    first = (generator.random(count) * half).astype(np.int64)
    second = half + (generator.random(count) * (time - half)).astype(np.int64)
    marks, rows = np.zeros((count, time)), np.arange(count)
    marks[rows, first] = marks[rows, second] = 1
    inputs = np.stack([values, marks], -1).astype(np.float32)
    return Sequences(list(inputs), list((inputs[..., 0] * inputs[..., 1]).sum(1)))


def copying(count: int, time: int, generator: np.random.Generator) -> Sequences:
    """The copy task (Hochreiter and Schmidhuber, 1997; as in Arjovsky et al., 2016).

    Ten symbols of eight kinds, then `time` blanks of which the last is a sign to begin, then ten more blanks, at
    which the ten are asked for in their order. To draw lots is right once in eight, at a loss of ln 8 = 2.079 nats.
    """
    letters = 1 + (generator.random((count, COPIED)) * LETTERS).astype(np.int64)
    inputs = np.full((count, time + 2 * COPIED), BLANK)
    inputs[:, :COPIED] = letters
    inputs[:, COPIED + time - 1] = GO
    targets = np.full_like(inputs, NOT_ASKED)
    targets[:, -COPIED:] = letters - 1
    return Sequences(list(inputs), list(targets))


def read_digits(files: Sequence[Path]) -> Sequences:
    """Pictures of digits as series of pixels from 0 to 1, and which digits they are.

    Two files are images and their labels in the format of MNIST, as are the next two, and so on. One is CSV, plain or
    compressed: a row has the pixels, from 0 to 16 or from 0 to 255, and then the digit. None is the set that comes
    with scikit-learn: 1,797 pictures of 8 × 8. DataError where they cannot be read so.
    """
    if len(files) > 1 and len(files) % 2:
        raise DataError(f"{len(files)} files of digits: give one of CSV, or the images and the labels of MNIST")
    if len(files) > 1:
        return joined(_idx(*files[i : i + 2]) for i in range(0, len(files), 2))
    path = files[0] if files else _shipped()
    try:
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode()
        rows = np.array([[float(value) for value in line.split(",")] for line in text.split()])
    except (OSError, EOFError, ValueError) as error:
        raise DataError(f"{str(path)!r} cannot be read as rows of pixels and a digit: {error}") from None
    if rows.ndim != 2 or rows.shape[1] < 3:
        raise DataError(f"{str(path)!r} has no rows of pixels and a digit")
    pixels = rows[:, :-1] / (16 if rows[:, :-1].max() <= 16 else 255)
    return _checked(path, list(pixels[..., None].astype(np.float32)), rows[:, -1].astype(np.int64))


def _idx(images: Path, labels: Path) -> Sequences:
    found = read_idx(images, labels)
    pictures = [np.ascontiguousarray(one, np.float32).reshape(-1, 1) for one in found.inputs]
    return _checked(images, pictures, np.array([int(label) for label in found.labels], np.int64))


def _places(names: Sequence[Path | str], cache: Path = CACHE) -> list[Path]:
    """Where files of digits lie, the user's or those of data sets; of a folder all in the format of MNIST."""
    found = []
    for path in (place(name, "memory", cache) for name in names):
        inside = sorted(path.glob("*-ubyte")) if path.is_dir() else [path]  # t10k-images t10k-labels train-images …
        if not inside:
            raise DataError(f"{str(path)!r} is a folder without files as MNIST has them, …-ubyte")
        found += inside
    return found


def _checked(path: Path, pictures: list[Array], digits: Array) -> Sequences:
    if not all(one.min() >= 0 and one.max() <= 1 for one in pictures) or not set(digits.tolist()) <= set(range(10)):
        raise DataError(f"{str(path)!r}: pixels have to lie in 0..16 or 0..255, and digits in 0..9")
    return Sequences(pictures, list(digits))


def _shipped() -> Path:
    found = find_spec("sklearn")
    if found is None or found.origin is None:
        raise DataError(
            "no digits were given, and scikit-learn, which has some, is not here: pip install scikit-learn, or name "
            "a file of them (rows of pixels and the digit)"
        )
    return Path(found.origin).parent / "datasets" / "data" / "digits.csv.gz"


def shuffled_places(pixels: int) -> Array:
    """The order in which permuted digits are read: always the same."""
    return np.argsort(np.random.default_rng(0).random(pixels), kind="stable")


@dataclass(frozen=True)
class Memory(Problem):
    """One of the problems: what is read, and what has to be remembered."""

    kind: Kind

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise OptionError(f"problem is {self.kind!r}; it must be one of {', '.join(get_args(Kind))}")

    @property
    def unit(self) -> str:  # type: ignore[override]
        """What is asked for."""
        return {"adding": "sums", "copy": "symbols"}.get(self.kind, "digits")

    @property
    def symbols(self) -> int | None:
        """The copy task reads symbols, a blank and a sign."""
        return LETTERS + 2 if self.kind == "copy" else None

    @property
    def features(self) -> int:
        """A value and a mark, or a pixel."""
        return {"adding": 2, "copy": 0}.get(self.kind, 1)

    @property
    def labels(self) -> tuple[str, ...]:
        """Letters to be copied, or digits; a sum is a number."""
        known = {"adding": "", "copy": "ABCDEFGH"}
        return tuple(known.get(self.kind, "0123456789"))

    @property
    def pooling(self) -> Pooling | None:
        """All but the copy task ask for one thing, at the end."""
        return None if self.kind == "copy" else "last"

    def read(self, files: Sequence[Path | str]) -> Sequences:
        """Digits from files; the other problems are only generated."""
        if self.kind in TIMES:
            no_files(files, f"the {self.kind} problem is generated")
        found = read_digits(_places(files))
        if self.kind == "permuted-digits":
            orders = {size: shuffled_places(size) for size in {*map(len, found.inputs)}}
            found = Sequences([one[orders[len(one)]] for one in found.inputs], found.targets)
        return found

    def show(self, given: Array, wanted: Any, output: Array) -> str:
        """What was to be remembered, and what was."""
        if self.kind == "adding":
            at = np.flatnonzero(given[:, 1])
            marked = " and ".join(f"{given[i, 0]:.3f} at step {i + 1}" for i in at)
            return f"{marked} of {len(given)}\nsum       {float(wanted):.3f}\npredicted {float(output[0]):.3f}"
        if self.kind == "copy":
            names = "".join(self.labels)
            asked = np.asarray(wanted) != NOT_ASKED
            letters = "".join(names[i] for i in np.asarray(wanted)[asked])
            guessed = "".join(names[i] for i in output.argmax(-1)[asked])
            wrong = "".join(" ^"[a != b] for a, b in zip(letters, guessed, strict=True)).rstrip()
            rows = [f"to copy   {letters}, {len(given)} steps in all", f"predicted {guessed}"]
            return "\n".join(rows + [f"wrong     {wrong}"] * bool(wrong))
        guess = int(output.argmax())
        return f"a {int(wanted)} of {len(given)} pixels\npredicted {guess}, sure by {float(output[guess]):.1%}"

    def tracks(self, given: Array, wanted: Any, output: Array) -> list[Track]:
        """What is read, step by step."""
        if self.kind == "adding":
            return [
                Track("value", [round(float(v), 3) for v in given[:, 0]]),
                Track("mark", [int(v) for v in given[:, 1]]),
            ]
        if self.kind == "copy":
            guessed = output.argmax(-1)
            shown = [self.labels[one] if ask != NOT_ASKED else "" for one, ask in zip(guessed, wanted, strict=True)]
            letters = ["", *self.labels, "go"]
            return [Track("read", [letters[one] for one in given]), Track("predicted", shown)]
        return [Track("pixel", [round(float(v), 3) for v in given[:, 0]])]


@dataclass(frozen=True)
class ProblemConfig:
    """What is to be remembered."""

    group: ClassVar[str] = "problem"

    files: Annotated[
        tuple[str, ...],
        Positional,
        arg(metavar="[FILE|NAME …]", help_behavior_hint="(default: scikit-learn's digits)"),
    ] = ()
    """For digits: CSV of pixels and the digit, images and labels as MNIST has them, or a data set: digits, mnist."""
    problem: Kind = "adding"
    """adding: the sum of two marked values; copy: ten symbols; digits: which, read pixel by pixel."""
    time: int = 0
    """T: steps of the adding problem (0: 200), or blanks before the symbols are asked for (0: 50); not of digits."""
    sequences: int = 3200
    """Sequences in an epoch, other ones each time; not of digits."""
    held_out: int = 1000
    """Sequences to validate with, and as many to test with; not of digits."""


@dataclass(frozen=True)
class MemoryConfig(ProblemConfig, SupervisedConfig):
    """All that a memory task is made from, but for how it is trained.

    >>> MemoryConfig(problem="copy", cell="gru").steps
    50
    """

    task: ClassVar[str] = "memory"
    problem_class: ClassVar[type[Problem]] = Memory

    hidden: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "files", self.absolute(self.files))
        self._at_least_one("sequences", "held_out")
        Memory(self.problem)
        if self.problem in TIMES:
            no_files(self.files, f"the {self.problem} problem is generated")
            self._check("time", self.time == 0 or self.time >= 2, "2 or more, or 0")
        else:
            self._check("time", self.time == 0, "0: digits have as many steps as pixels")

    @property
    def steps(self) -> int:
        """T of the adding problem, or the copy task's blanks."""
        return self.time or TIMES[self.problem]

    def prepare(self, cache: Path, seed: int) -> tuple[Problem, Data]:
        """Generated sequences, or digits."""
        problem = Memory(self.problem)
        return problem, self._drawn(seed) if self.problem in TIMES else self._digits(problem, cache, seed)

    def _drawn(self, seed: int) -> Data:
        make = {"adding": adding, "copy": copying}[self.problem]

        def drawn(count: int, *key: int) -> Sequences:
            return make(count, self.steps, np.random.default_rng([seed, *key]))

        validation, test = (drawn(self.held_out, part) for part in (1, 2))
        line = {"adding": "a mean squared error of 0.1667 by always saying 1", "copy": "12.5 % right by drawing lots"}
        about = {
            "source": f"the {self.problem} problem",
            "steps of a sequence": len(test.inputs[0]),
            "sequences in an epoch, new each time": self.sequences,
            "held-out sequences": [self.held_out, self.held_out],
            "base line": line[self.problem],
        }
        return Data(lambda epoch: drawn(self.sequences, 3, epoch), validation, test, about)

    def _digits(self, problem: Memory, cache: Path, seed: int) -> Data:
        files = _places(self.files, cache)
        whole = problem.read(files)
        train, validation, test = (
            whole.select(at) for at in split([int(digit) for digit in whole.targets], (0.8, 0.1, 0.1), seed=seed)
        )
        about = {
            "source": ", ".join(path.name for path in files) or "the digits of scikit-learn",
            "pixels of a picture": len(whole.inputs[0]),
            "pictures": [len(train), len(validation), len(test)],
            "base line": f"{np.bincount(test.targets).max() / len(test):.1%} right by always the same digit",
        }
        digest = hashlib.sha256(b"".join(path.read_bytes() for path in files or [_shipped()])).hexdigest()
        return Data(lambda epoch: train, validation, test, about, digest)
