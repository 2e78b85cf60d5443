"""Where a model of text loses most: by kind of character, by place in a word, by word, along the text. Only numpy."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Bits = npt.NDArray[np.floating[Any]]
Labels = npt.NDArray[np.str_]

_WORD = re.compile(r"\w+")
_LAST = 8  # the place in a word from which all are one
_KINDS = (
    "small letter", "capital letter", "other letter", "digit", "space", "indentation", "line end", "bracket", "quote",
    "other sign",
)  # fmt: skip


@dataclass(frozen=True)
class Share:
    """A part of a text: how many symbols, or words, it has, and what they cost."""

    name: str
    count: int
    bits: float
    """In all"""

    @property
    def each(self) -> float:
        """Bits for one."""
        return self.bits / self.count


def shares(labels: Labels, bits: Bits) -> list[Share]:
    """What the symbols of each label cost together, the costliest label first.

    >>> [(one.name, one.count, one.each) for one in shares(np.array(["a", "b", "a"]), np.array([1.0, 9.0, 2.0]))]
    [('b', 1, 9.0), ('a', 2, 1.5)]
    """
    names, at = np.unique(labels, return_inverse=True)
    counts, sums = np.bincount(at), np.bincount(at, bits)
    found = [Share(str(n), int(c), float(s)) for n, c, s in zip(names, counts, sums, strict=True)]
    return sorted(found, key=lambda one: -one.bits)


def kinds(text: str) -> Labels:
    """What kind of character each is.

    White space before anything else of a line is its indentation, also where the line begins before the text does.

    >>> kinds("f(1)\\n  é").tolist()
    ['small letter', 'bracket', 'digit', 'bracket', 'line end', 'indentation', 'indentation', 'small letter']
    """
    codes = _codes(text)
    known, at = np.unique(codes, return_inverse=True)
    found = np.array([_KINDS.index(_kind(chr(code))) for code in known.tolist()])[at]
    space, end = found == _KINDS.index("space"), found == _KINDS.index("line end")
    places = np.arange(len(text))
    last_end = np.maximum.accumulate(np.where(end, places, -1))
    last_other = np.maximum.accumulate(np.where(space | end, -1, places))
    found[space & (last_other <= last_end)] = _KINDS.index("indentation")
    return np.array(_KINDS).take(found)


def places(text: str) -> tuple[Labels, npt.NDArray[np.bool_]]:
    """Which letter of its word each character is, "1" to "7" and "8 and more"; and whether it is in a word at all.

    >>> labels, within = places("if x")
    >>> labels[within].tolist()
    ['1', '2', '1']
    """
    number = np.zeros(len(text), np.int64)
    for word in _WORD.finditer(text):
        number[word.start() : word.end()] = np.arange(1, word.end() - word.start() + 1)
    names = np.array(["", *map(str, range(1, _LAST)), f"{_LAST} and more"])
    return names.take(np.minimum(number, _LAST)), number > 0


def words(text: str, bits: Bits) -> list[Share]:
    """What each word costs, all its letters and all its occurrences together, the costliest first.

    >>> [(one.name, one.count, one.bits) for one in words("to be to", np.ones(8))]
    [('to', 2, 4.0), ('be', 1, 2.0)]
    """
    sums = np.concatenate([[0], np.cumsum(bits, dtype=np.float64)])
    found: dict[str, tuple[int, float]] = {}
    for word in _WORD.finditer(text):
        count, cost = found.get(word[0], (0, 0.0))
        found[word[0]] = count + 1, cost + float(sums[word.end()] - sums[word.start()])
    return sorted((Share(name, *one) for name, one in found.items()), key=lambda one: (-one.bits, one.name))


def worst(bits: Bits, count: int = 10, apart: int = 30) -> list[int]:
    """The places that cost most, the costliest first, none nearer than `apart` to one before it.

    >>> worst(np.array([1.0, 9.0, 8.0, 2.0, 7.0]), 2, apart=2)
    [1, 4]
    """
    found = list[int]()
    for at in np.argsort(-bits, kind="stable").tolist():
        if len(found) == count:
            break
        if all(abs(at - one) >= apart for one in found):
            found.append(at)
    return found


def blocks(bits: Bits, count: int = 200) -> tuple[npt.NDArray[np.int64], Bits]:
    """The text cut into at most so many equal blocks: where each begins, and its mean.

    >>> starts, means = blocks(np.array([1.0, 3.0, 5.0, 5.0]), 2)
    >>> starts.tolist(), means.tolist()
    ([0, 2], [2.0, 5.0])
    """
    starts = np.unique(np.linspace(0, len(bits), min(count, len(bits)), endpoint=False).astype(np.int64))
    lengths = np.diff(np.append(starts, len(bits)))
    return starts, np.add.reduceat(bits.astype(np.float64), starts) / lengths


def _kind(character: str) -> str:
    if character in "\n\r":
        return "line end"
    if character.isspace():
        return "space"
    category = unicodedata.category(character)
    if category.startswith("L"):
        return {"Ll": "small letter", "Lu": "capital letter"}.get(category, "other letter")
    if category.startswith("N"):
        return "digit"
    if category in ("Ps", "Pe"):
        return "bracket"
    return "quote" if character in "\"'`" or category in ("Pi", "Pf") else "other sign"


def _codes(text: Sequence[str]) -> npt.NDArray[np.uint32]:
    return np.frombuffer("".join(text).encode("utf-32-le", "surrogatepass"), "<u4")
