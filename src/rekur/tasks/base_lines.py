"""Base lines that a network has to beat: plain methods on the same examples. No torch in here."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int64]
_STRENGTHS = (1.0, 10.0, 100.0)  # of a logistic regression, from much regularised to little


def available() -> bool:
    """Whether scikit-learn is here, which a logistic regression takes."""
    return find_spec("sklearn") is not None


def bag_of_words(
    train: Sequence[Sequence[str]], classes: Numbers, validation: Sequence[Sequence[str]], held: Numbers,
    test: Sequence[Sequence[str]],
) -> Numbers:  # fmt: skip
    """What a logistic regression on the words of a text, whatever their order, takes the test's texts for.

    A word counts by the logarithm of how often it occurs, and the more the fewer texts have it (tf-idf). Of three
    strengths of regularisation the one that is best on the validation data is taken.
    """
    from sklearn.feature_extraction import text

    counts = text.TfidfVectorizer(analyzer=list, sublinear_tf=True)
    x = counts.fit_transform(train)
    return _regression(x, classes, counts.transform(validation), held, counts.transform(test))


def summaries(
    train: Sequence[npt.NDArray[Any]], classes: Numbers, validation: Sequence[npt.NDArray[Any]], held: Numbers,
    test: Sequence[npt.NDArray[Any]],
) -> Numbers:  # fmt: skip
    """The same of series: on each feature's mean, deviation, least and greatest value, and on the length."""
    from sklearn.preprocessing import StandardScaler

    scale = StandardScaler()
    parts = [np.stack([_summary(one) for one in some]) for some in (train, validation, test)]
    return _regression(
        scale.fit_transform(parts[0]), classes, scale.transform(parts[1]), held, scale.transform(parts[2])
    )


def most_frequent(
    words: Sequence[Sequence[str]], tags: Sequence[Sequence[int]], test: Sequence[Sequence[str]]
) -> list[Numbers]:
    """For every word the tag that it mostly has in training; for a word that was not there, the tag of most words.

    >>> found = most_frequent([["a", "rose"], ["a", "rose"], ["roses"]], [[0, 1], [0, 2], [2]], [["a", "nose"]])
    >>> found[0].tolist()
    [0, 2]
    """
    seen: dict[str, Counter[int]] = defaultdict(Counter)
    for sentence, its in zip(words, tags, strict=True):
        for word, tag in zip(sentence, its, strict=True):
            seen[word][tag] += 1
    # of words that occur once, which are most like those that were never seen
    rare: Counter[int] = Counter(tag for counts in seen.values() if counts.total() == 1 for tag in counts)
    default = _most(rare or Counter(tag for its in tags for tag in its))
    best = {word: _most(counts) for word, counts in seen.items()}
    return [np.array([best.get(word, default) for word in sentence], np.int64) for sentence in test]


def _most(counts: Counter[int]) -> int:
    return min(counts, key=lambda tag: (-counts[tag], tag))


def _regression(x: Any, classes: Numbers, x_held: Any, held: Numbers, x_test: Any) -> Numbers:
    from sklearn.linear_model import LogisticRegression

    if len(set(classes.tolist())) == 1:  # nothing to tell apart
        return np.full(x_test.shape[0], classes[0])
    best, found = -1, np.zeros(0, np.int64)
    for strength in _STRENGTHS:
        model = LogisticRegression(C=strength, max_iter=1000).fit(x, classes)
        right = int((model.predict(x_held) == held).sum())
        if right > best:
            best, found = right, model.predict(x_test).astype(np.int64)
    return found


def _summary(one: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    x = one.astype(np.float64)
    return np.concatenate([x.mean(0), x.std(0), x.min(0), x.max(0), [len(x)]])
