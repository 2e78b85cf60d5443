"""What a model of classes gets right and wrong, as tables for people. No torch in here."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rekur.train.task import Table

Numbers = npt.NDArray[np.int64]
_MOST = 40  # classes whose confusions are shown
_ERRORS = 12  # errors that are shown
_LENGTH = 300  # characters of a text that are shown


def wilson(right: int, items: int, z: float = 1.959964) -> tuple[float, float]:
    """The interval of a share (Wilson, 1927), 95 % by default: for items that are right independently of each other.

    With p = right / items, its middle is (p + z²/2n) / (1 + z²/n), and its half width
    z √(p(1 − p)/n + z²/4n²) / (1 + z²/n).

    >>> [round(end, 4) for end in wilson(81, 100)]
    [0.7222, 0.8749]
    """
    p, spread = right / items, z * z / items
    middle = (p + spread / 2) / (1 + spread)
    half = math.sqrt(p * (1 - p) * spread + spread * spread / 4) / (1 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)


def ahead(first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_], z: float = 1.959964) -> tuple[float, float]:
    """The interval of how much greater the share of `first` that is true is than that of `second`, of the same items.

    With b items that only the first has right, c that only the second has, and n in all, it is
    (b − c)/n ± z √(b + c − (b − c)²/n)/n: that of a difference of paired shares (Wald).

    >>> [round(end, 4) for end in ahead(np.arange(100) < 80, np.arange(100) < 70)]
    [0.0412, 0.1588]
    """
    items = len(first)
    b, c = int((first & ~second).sum()), int((second & ~first).sum())
    half = z * math.sqrt(max(0.0, b + c - (b - c) ** 2 / items)) / items
    return (b - c) / items - half, (b - c) / items + half


def beside(name: str, wanted: Numbers, guessed: Numbers, base: Numbers, items: str) -> Table:
    """The model beside a base line on the same items, and whether one of them is ahead."""
    rows = []
    for who, said in (("this model", guessed), (name, base)):
        right = int((said == wanted).sum())
        low, high = wilson(right, len(wanted))
        rows.append((who, f"{right / len(wanted):.2%}", f"{low:.2%} to {high:.2%}"))
    low, high = ahead(guessed == wanted, base == wanted)
    word = "The model is ahead" if low > 0 else "The base line is ahead" if high < 0 else "Neither is clearly ahead"
    note = f"{word}: by {low * 100:+.2f} to {high * 100:+.2f} points of {len(wanted):,} {items} (95 %, paired)."
    return Table("Beside a base line", ("", "right", "95 % interval"), rows, note)


def parts(
    members: Mapping[str, npt.NDArray[np.bool_]], right: Mapping[str, npt.NDArray[np.bool_]], items: str
) -> Table:
    """How much is right of parts of the items, by each of several methods, with the first one's interval."""
    rows: list[tuple[str | int | float, ...]] = []
    for name, member in members.items():
        if count := int(member.sum()):
            hits = [int((its & member).sum()) for its in right.values()]
            low, high = wilson(hits[0], count)
            shares = [f"{one / count:.2%}" for one in hits]
            rows.append((name, shares[0], f"{low:.2%} to {high:.2%}", *shares[1:], count))
    first, *others = right
    return Table(f"Old {items} and new", ("", first, "95 % interval", *others, "there are"), rows)


def confusion(labels: Sequence[str], wanted: Numbers, guessed: Numbers) -> Table:
    """How often each class was taken for each; of many classes, the most frequent ones."""
    counts = np.zeros((len(labels), len(labels)), np.int64)
    np.add.at(counts, (wanted, guessed), 1)
    kept = np.sort(np.argsort(-counts.sum(1), kind="stable")[:_MOST])
    rest = len(labels) - len(kept)
    note = "A row is what it was, a column what it was taken for." + (
        f" {rest} rare classes left out." if rest else ""
    )
    rows = [(labels[i], *(int(counts[i, j]) for j in kept)) for i in kept]
    return Table("What was taken for what", ("", *(labels[j] for j in kept)), rows, note, shaded=True)


def by_label(labels: Sequence[str], wanted: Numbers, guessed: Numbers) -> Table:
    """Precision, recall and F1 of each class, the most frequent first, and their plain means (macro)."""
    rows: list[tuple[str | int | float, ...]] = []
    scores = []
    for i in np.argsort(-np.bincount(wanted, minlength=len(labels)), kind="stable").tolist():
        hits, said, there = (int(x.sum()) for x in ((wanted == i) & (guessed == i), guessed == i, wanted == i))
        if said or there:
            scores.append(found := prf(hits, said, there))
            rows.append((labels[i], *map(percent, found), there))
    rows.append(
        ("mean of the classes", *(percent(math.fsum(x) / len(scores)) for x in zip(*scores, strict=True)), "")
    )
    return Table("Class by class", ("", "precision", "recall", "F1", "there are"), rows)


def prf(hits: int, said: int, there: int) -> tuple[float, float, float]:
    """Precision, recall and F1 of what was found: hits / said, hits / there, 2 hits / (said + there); 0 for 0 / 0.

    >>> prf(2, 4, 2)
    (0.5, 1.0, 0.6666666666666666)
    """
    return (hits / said if said else 0.0, hits / there if there else 0.0, 2 * hits / (said + there) if hits else 0.0)


def errors(
    labels: Sequence[str], wanted: Numbers, probabilities: Sequence[npt.NDArray[Any]], text: Callable[[int], str]
) -> Table | None:
    """The errors that surprise the model most: those where it gave what is right the least probability."""
    known = np.array([p[i] for p, i in zip(probabilities, wanted, strict=True)])
    guessed = np.array([p.argmax() for p in probabilities])
    wrong = [i for i in np.argsort(known, kind="stable").tolist() if guessed[i] != wanted[i]][:_ERRORS]
    if not wrong:
        return None
    rows = [
        (labels[wanted[i]], labels[guessed[i]], f"{known[i]:.1%}", shortened(text(i)))
        for i in wrong
    ]  # fmt: skip
    columns = ("it was", "taken for", "probability of what is right", "as the model read it")
    return Table("The most surprising errors", columns, rows)


def shortened(text: str) -> str:
    """A text for a table."""
    return text if len(text) <= _LENGTH else f"{text[:_LENGTH]} …"


def plain(table: Table) -> str:
    """A table for a terminal.

    >>> print(plain(Table("Tags", ("", "right"), [("nn", "90.0%"), ("vb", 7)], "Two of them.")))
    Tags. Two of them.
        right
    nn  90.0%
    vb      7
    """
    rows = [table.columns, *([f"{one:,}" if isinstance(one, int) else str(one) for one in row] for row in table.rows)]
    wide = [max(map(_width, column)) for column in zip(*rows, strict=True)]
    lines = [f"{table.title}. {table.note}" if table.note else table.title]
    for row in rows:
        cells = [f"{row[0]}{' ' * (wide[0] - _width(row[0]))}"]
        cells += [f"{' ' * (to - _width(one))}{one}" for one, to in zip(row[1:], wide[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def aligned(rows: Mapping[str, Sequence[str]], width: int = 100) -> str:
    """Rows of words, one under the other in columns, each with its name; long ones are broken at `width`.

    >>> print(aligned({"": ["The", "cat"], "tagged": ["at", "nn"]}))
            The  cat
    tagged  at   nn
    """
    columns = list(zip(*rows.values(), strict=True))
    wide = [max(map(_width, column)) for column in columns]
    left = max(map(_width, rows))
    lines, at = list[str](), 0
    while at < len(columns):
        end, room = at + 1, width - left - 2 - wide[at]
        while end < len(columns) and (room := room - 2 - wide[end]) >= 0:
            end += 1
        for name, row in rows.items():
            cells = [f"{row[i]}{' ' * (wide[i] - _width(row[i]))}" for i in range(at, end)]
            if "".join(cells).strip():
                lines.append("  ".join([f"{name}{' ' * (left - _width(name))}", *cells]).rstrip())
        at = end
    return "\n".join(lines)


def _width(text: str) -> int:
    """Columns of a terminal that a text takes."""
    if text.isascii():
        return len(text)
    wide = (unicodedata.east_asian_width(c) in "WF" for c in text if not unicodedata.combining(c))
    return sum(1 + one for one in wide)


def percent(share: float) -> str:
    """A share for a table."""
    return f"{share:.1%}"
