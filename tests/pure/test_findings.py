"""What a model of classes gets right and wrong, against counts by hand."""

import numpy as np
import pytest

from rekur.tasks import base_lines, findings

LABELS = ("ham", "spam", "news")
WANTED = np.array([0, 0, 0, 1, 1, 2])
GUESSED = np.array([0, 1, 1, 1, 0, 2])


def test_confusions_are_counted_by_row():
    table = findings.confusion(LABELS, WANTED, GUESSED)
    assert list(table.rows) == [("ham", 1, 2, 0), ("spam", 1, 1, 0), ("news", 0, 0, 1)]
    assert list(findings.confusion(LABELS, GUESSED, WANTED).rows) != list(table.rows)  # not the other way round


def test_of_many_classes_the_frequent_ones_are_shown():
    labels = [f"c{i}" for i in range(60)]
    wanted = np.array([i for i in range(60) for _ in range(2 if i >= 20 else 1)])
    table = findings.confusion(labels, wanted, wanted)
    assert [row[0] for row in table.rows] == labels[20:]
    assert "20 rare classes left out" in table.note


def test_scores_by_class():
    table = findings.by_label(LABELS, WANTED, GUESSED)
    assert list(table.rows) == [
        ("ham", "50.0%", "33.3%", "40.0%", 3),
        ("spam", "33.3%", "50.0%", "40.0%", 2),
        ("news", "100.0%", "100.0%", "100.0%", 1),
        ("mean of the classes", "61.1%", "61.1%", "60.0%", ""),
    ]


@pytest.mark.parametrize(
    ("base", "word"),
    [(WANTED, "The base line is ahead"), (GUESSED, "Neither is clearly ahead"), (2 - WANTED, "The model is ahead")],
)
def test_a_base_line_that_wins_is_said_to_win(base, word):
    many = 40
    table = findings.beside("guessing", np.tile(WANTED, many), np.tile(GUESSED, many), np.tile(base, many), "texts")
    assert table.note.startswith(word)
    assert table.rows[0][1] == "50.00%"


def test_the_interval_of_a_paired_difference():
    both, first, second, none = 50, 20, 5, 25
    a = np.array([True] * (both + first) + [False] * (second + none))
    b = np.array([True] * both + [False] * first + [True] * second + [False] * none)
    variance = (first + second) / 100 - ((first - second) / 100) ** 2  # of one pair's difference
    low, high = findings.ahead(a, b)
    assert low == pytest.approx(0.15 - 1.959964 * (variance / 100) ** 0.5)
    assert high == pytest.approx(0.15 + 1.959964 * (variance / 100) ** 0.5)


def test_the_most_surprising_errors_come_first():
    sure = [
        np.array([0.9, 0.1, 0.0]),
        np.array([0.3, 0.7, 0.0]),
        np.array([0.1, 0.9, 0.0]),
        np.array([0.6, 0.4, 0.0]),
    ]
    table = findings.errors(LABELS, np.array([0, 0, 0, 1]), sure, lambda i: f"text {i}")
    assert table is not None
    assert [row[-1] for row in table.rows] == ["text 2", "text 1", "text 3"]
    assert table.rows[0] == ("ham", "spam", "10.0%", "text 2")
    assert findings.errors(LABELS, np.array([0, 1]), sure[:2], str) is None  # nothing is wrong


def test_a_bag_of_words_is_learnt_and_word_order_is_nothing_to_it():
    good, bad = ["a", "fine", "film"], ["a", "dull", "film"]
    train, classes = [good, bad] * 8, np.array([0, 1] * 8)
    test = [["film", "fine", "a"], ["dull"]]
    assert base_lines.bag_of_words(train, classes, train, classes, test).tolist() == [0, 1]


def test_series_are_told_by_their_summaries():
    rng = np.random.default_rng(0)
    series = [rng.random((5, 2)).astype(np.float32) + shift for shift in (0, 3) * 8]
    classes = np.array([0, 1] * 8)
    found = base_lines.summaries(series, classes, series, classes, series[:2])
    assert found.tolist() == [0, 1]
