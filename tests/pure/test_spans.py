"""Spans from tags: against what conlleval says, and against a walk by hand."""

import itertools

import pytest

from rekur.tasks import findings
from rekur.tasks.spans import count, overall, spans, table, tells_spans


def by_hand(tags):
    """conlleval's rules, as its two functions have them: when a chunk ends, and when one starts."""
    found: list[tuple[str, int, int]] = []
    start = None
    parts = [[*tag.split("-", 1), ""][:2] for tag in tags]
    before, its = "O", ""
    for at, (now, kind) in enumerate([*parts, ("O", "")]):
        ends = (before, now) in {
            ("B", "B"), ("B", "O"), ("I", "B"), ("I", "O"), ("E", "E"), ("E", "I"), ("E", "O"), ("E", "B"),
            ("E", "S"),            ("B", "S"), ("I", "S"), ("S", "B"), ("S", "I"), ("S", "O"), ("S", "E"), ("S", "S"),
        } or (before != "O" and its != kind)  # fmt: skip
        starts = (before, now) in {
            ("B", "B"), ("I", "B"), ("O", "B"), ("O", "I"), ("E", "E"), ("E", "I"), ("O", "E"), ("E", "B"),
            ("E", "S"),            ("O", "S"), ("B", "S"), ("I", "S"), ("S", "B"), ("S", "I"), ("S", "E"), ("S", "S"),
        } or (now != "O" and its != kind)  # fmt: skip
        if ends and start is not None:
            found.append((its, start, at))
            start = None
        if starts:
            start = at
        before, its = now, kind
    return found


@pytest.mark.parametrize(
    ("tags", "wanted"),
    [
        ("B-PER I-PER O B-LOC", [("PER", 0, 2), ("LOC", 3, 4)]),
        ("I-PER I-PER O I-LOC", [("PER", 0, 2), ("LOC", 3, 4)]),  # IOB1
        ("I-LOC B-LOC I-LOC", [("LOC", 0, 1), ("LOC", 1, 3)]),  # IOB1: B parts two of a type
        ("B-PER I-LOC", [("PER", 0, 1), ("LOC", 1, 2)]),  # another type begins another span
        ("O I-PER O", [("PER", 1, 2)]),  # what a model makes of IOB2
        ("B-LOC E-LOC S-PER S-PER", [("LOC", 0, 2), ("PER", 2, 3), ("PER", 3, 4)]),  # IOBES
        ("B-LOC L-LOC U-PER I-PER", [("LOC", 0, 2), ("PER", 2, 3), ("PER", 3, 4)]),  # BILOU
        ("B-a-b I-a-b", [("a-b", 0, 2)]),
        ("B I O I", [("", 0, 2), ("", 3, 4)]),
        ("O O", []),
        ("", []),
    ],
)
def test_spans_of_every_style(tags, wanted):
    assert spans(tags.split()) == wanted


def test_all_short_sentences_are_as_in_conlleval():
    kinds = ("O", *(f"{letter}-{kind}" for letter in "BIES" for kind in ("X", "Y")))
    for length in range(1, 5):
        for tags in itertools.product(kinds, repeat=length):
            assert spans(tags) == by_hand(tags), tags
    assert by_hand(["B-X", "I-X"]) != spans(["B-X", "B-X"])


def test_scores_as_conlleval_prints_them():
    """Four phrases are there, three are said, two of these are right: precision 66.67 %, recall 50 %, FB1 57.14."""
    wanted = [["B-NP", "I-NP", "B-VP", "B-NP", "I-NP", "I-NP", "O"], ["B-PP", "O"]]
    guessed = [["B-NP", "I-NP", "B-VP", "B-NP", "I-NP", "O", "O"], ["O", "O"]]
    counts = count(wanted, guessed)
    assert counts == {"NP": (1, 2, 2), "PP": (0, 0, 1), "VP": (1, 1, 1)}
    assert [round(100 * one, 2) for one in findings.prf(*overall(counts))] == [66.67, 50.0, 57.14]
    rows = table(counts, {"all of them": count(wanted, wanted)}).rows
    assert rows[-2:] == [
        ("all together", "66.7%", "50.0%", "57.1%", 4),
        ("all of them", "100.0%", "100.0%", "100.0%", 4),
    ]
    assert overall(count(wanted, wanted)) == (4, 4, 4)


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        (["O", "B-PER", "I-PER"], True),
        (["O", "I-PER"], True),
        (["S-X", "B-X", "E-X", "M-X"], True),
        (["B", "I", "O"], True),
        (["NN", "O", "B-PER"], False),
        (["I", "O"], False),
        (["O"], False),
        (["Bx-PER", "O"], False),
    ],
)
def test_tags_of_spans_are_known(tags, said):
    assert tells_spans(tags) is said
