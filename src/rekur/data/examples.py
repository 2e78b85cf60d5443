"""Examples with their labels, and what was passed over on the way to them."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from rekur.errors import DataError, OptionError

Input = TypeVar("Input")
Label = TypeVar("Label")
OnBad = Literal["skip", "stop"]


@dataclass(frozen=True)
class Rejected:
    """A row or a sentence that is broken: where (`reviews.csv:17`), and why."""

    where: str
    reason: str

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}"


@dataclass(frozen=True, eq=False)
class Examples(Generic[Input, Label]):
    """N inputs and their labels.

    An input is a text, a sequence of words, or a series of features `(T, I)` of float32; a label is one for the
    whole input or one for each of its steps. `rejected` is what was passed over, and `notes` say what was guessed.
    `sha256` is a digest of the files' contents.
    """

    name: str
    inputs: Sequence[Input]
    labels: Sequence[Label]
    rejected: tuple[Rejected, ...] = ()
    notes: tuple[str, ...] = ()
    sha256: str = ""

    def __len__(self) -> int:
        return len(self.inputs)

    def select(self, at: npt.NDArray[np.int64] | Sequence[int]) -> "Examples[Input, Label]":
        """Those at the given positions, as `split` gives them; what was rejected goes with each selection."""
        return replace(self, inputs=tuple(self.inputs[i] for i in at), labels=tuple(self.labels[i] for i in at))

    def describe(self) -> dict[str, Any]:
        """What a run records of its data; of what was rejected, the first twenty."""
        return {
            "source": self.name,
            "examples": len(self),
            "rejected": len(self.rejected),
            "reasons": [str(rejected) for rejected in self.rejected[:20]],
            "notes": list(self.notes),
            "sha256": self.sha256,
        }

    def summary(self, most: int = 5) -> str:
        """For people: how many there are, what was guessed, and the first few that were passed over."""
        lines = [f"{self.name}: {len(self):,} examples", *self.notes]
        if self.rejected:
            lines.append(f"passed over {len(self.rejected):,} that are broken:")
            lines += [f"  {rejected}" for rejected in self.rejected[:most]]
        if len(self.rejected) > most:
            lines.append(f"  and {len(self.rejected) - most:,} more")
        return "\n".join(lines)


class Sieve:
    """What a reader drops broken rows into: it keeps account of them, or stops at the first."""

    def __init__(self, on_bad: OnBad) -> None:
        if on_bad not in ("skip", "stop"):
            raise OptionError(f"on_bad is {on_bad!r}; it is one of 'skip', 'stop'")
        self._stop, self._dropped = on_bad == "stop", list[tuple[str, int, str]]()

    def drop(self, path: Path, line: int, reason: str) -> None:
        """Keep account of a broken row; DataError where the user chose to stop."""
        if self._stop:
            raise DataError(f"{path}:{line}: {reason}; mend it, or pass over what is broken: on_bad 'skip'")
        self._dropped.append((path.name, line, reason))

    def examples(
        self,
        name: str,
        paths: Iterable[Path],
        inputs: Sequence[Any],
        labels: Sequence[Any],
        notes: Sequence[str] = (),
    ) -> Examples[Any, Any]:
        """What came through; DataError where nothing did."""
        rejected = tuple(Rejected(f"{file}:{line}", reason) for file, line, reason in sorted(self._dropped))
        if not len(inputs):
            why = "".join(f"\n  {one}" for one in rejected[:5])
            more = f"\n  and {len(rejected) - 5} more" if len(rejected) > 5 else ""
            raise DataError(f"{name!r} has no examples; passed over:{why or ' nothing, there are no rows'}{more}")
        return Examples(name, inputs, labels, rejected, tuple(notes), digest(paths))


def digest(paths: Iterable[Path]) -> str:
    """The SHA-256 of files' contents, one after the other."""
    total = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()


def bad_bytes(text: str) -> str:
    """Why a text that was decoded with `surrogateescape` is not UTF-8; nothing where it is."""
    if text.isascii():
        return ""
    at = next((i for i, c in enumerate(text) if "\udc80" <= c <= "\udcff"), None)
    return "" if at is None else f"it is not UTF-8: byte 0x{ord(text[at]) - 0xDC00:02x} after {text[:at][-20:]!r}"
