"""Spans of words, as tags of each word say them (`B-PER I-PER O`), and how many are found. No torch in here."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from rekur.tasks.findings import percent, prf
from rekur.train.task import Table

Span = tuple[str, int, int]
_TAG = re.compile(r"O|[BIESLUMW](?:-.*)?", re.DOTALL)
_BEGINS, _ENDS = "BSUW", "ESLUW"  # B-egin, S-ingle, U-nit, W-hole; E-nd, L-ast


def tells_spans(tags: Iterable[str]) -> bool:
    """Whether tags are of spans: all are `O`, or a letter of where in a span (IOB, BIOES, BILOU, BMEWO), `-`, a type.

    Spans of one kind may go without a type: `B`, `I` and `O`.

    >>> tells_spans(["O", "B-PER", "I-PER"]), tells_spans(["NN", "O"]), tells_spans(["I", "S"])
    (True, False, False)
    """
    known = set(tags)
    typed = any(tag[:2] in ("B-", "I-", "S-", "U-") for tag in known)
    return all(map(_TAG.fullmatch, known)) and (typed or known == {"B", "I", "O"})


def spans(tags: Sequence[str]) -> list[Span]:
    """The spans of a sentence as (type, first word, word after the last), by the rules of conlleval.

    These (Tjong Kim Sang and Buchholz, 2000) read IOB1, IOB2, IOBES and BILOU alike, and whatever a model makes of
    them: a span begins at `B` or `S`, and at any tag but `O` after `O`, after the end of a span (`E`, `S`), or after
    a tag of another type; it goes on until the next begins, or to an `O`.

    >>> spans(["B-PER", "I-PER", "I-LOC", "O", "I-LOC", "B-LOC"])
    [('PER', 0, 2), ('LOC', 2, 3), ('LOC', 4, 5), ('LOC', 5, 6)]
    """
    found = []
    start, before, kind = -1, "O", ""
    for at, tag in enumerate([*tags, "O"]):
        letter, _, its = tag.partition("-")
        new = letter in _BEGINS or before in ("O", *_ENDS) or its != kind
        if start >= 0 and (letter == "O" or new):
            found.append((kind, start, at))
            start = -1
        if letter != "O" and new:
            start = at
        before, kind = letter, its
    return found


Counts = dict[str, tuple[int, int, int]]


def count(wanted: Iterable[Sequence[str]], guessed: Iterable[Sequence[str]]) -> Counts:
    """By type: the spans that are found exactly, with their type; those that were said; those that are there.

    >>> count([["B-PER", "I-PER", "O", "B-LOC"]], [["B-PER", "O", "O", "B-LOC"]])
    {'LOC': (1, 1, 1), 'PER': (0, 1, 1)}
    """
    hits, said, there = Counter[str](), Counter[str](), Counter[str]()
    for want, guess in zip(wanted, guessed, strict=True):
        one, other = spans(want), spans(guess)
        there.update(kind for kind, *_ in one)
        said.update(kind for kind, *_ in other)
        hits.update(kind for kind, *_ in {*one} & {*other})
    return {kind: (hits[kind], said[kind], there[kind]) for kind in sorted({*said, *there})}


def overall(counts: Counts) -> tuple[int, int, int]:
    """The same of all types together."""
    hits, said, there = (sum(one[i] for one in counts.values()) for i in range(3))
    return hits, said, there


def table(counts: Counts, others: Mapping[str, Counts]) -> Table:
    """Precision, recall and F1 of each type's spans, all together (micro) as in conlleval, and others in all."""
    shown = {**counts, "all together": overall(counts)} | {name: overall(its) for name, its in others.items()}
    rows: list[tuple[str | int, ...]] = [(kind, *map(percent, prf(*one)), one[2]) for kind, one in shown.items()]
    note = "A span is right where its first word, its last and its type are."
    return Table("Span by span", ("", "precision", "recall", "F1", "there are"), rows, note)
