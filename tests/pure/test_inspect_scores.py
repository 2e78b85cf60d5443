"""Scores and what chance can do, against loops, formulas and draws."""

import math
from collections import defaultdict
from typing import Any

import numpy as np
import pytest

from rekur.errors import DataError
from rekur.inspect import trials
from rekur.inspect.scores import BINS, ORDERS, Target, bins, losses, shifted_scores, table_losses, whole_blocks

N = 10_000
RNG = np.random.default_rng(1)


def target(y: Any) -> Target:
    return Target.of(np.atleast_2d(np.asarray(y, np.float32)))


def by_hand(codes: Any, y: Any, blocks: int) -> np.ndarray:
    """The loss by block, character by character."""
    half, length = len(y) // 2, len(y) // blocks
    out = np.zeros(blocks)
    for fit, held in ((range(half), range(half, len(y))), (range(half, len(y)), range(half))):
        seen = defaultdict(list)
        for t in fit:
            seen[codes[t]].append(y[t])
        overall = np.mean([y[t] for t in fit])
        means = {code: (sum(known) + 2 * overall) / (len(known) + 2) for code, known in seen.items()}
        for t in held:
            out[t // length] += (y[t] - means[codes[t]]) ** 2
    return out


def test_bins_are_ranks_and_ties_stay_together():
    column = RNG.normal(size=3200).astype(np.float16)
    codes = bins(column)
    order = np.argsort(column, kind="stable")
    assert (np.diff(codes[order].astype(int)) >= 0).all()
    counts = np.bincount(codes, minlength=BINS)
    assert abs(counts - 100).max() <= 8
    for value in np.unique(column):
        assert len(set(codes[column == value])) == 1
    assert set(bins(np.zeros(10, np.float16))) == {16}
    assert bins(np.array([-np.inf, -1, -0.0, 1e-7, 3], np.float16), 5).tolist() == [0, 1, 2, 3, 4]


def test_losses_are_those_of_a_loop():
    y = RNG.normal(size=(1, N)).cumsum(1)
    codes = RNG.integers(0, BINS, N).astype(np.uint8)
    what = target(y)
    found = losses(codes, what)
    np.testing.assert_allclose(found[:, 0], by_hand(codes, what.y[0], what.blocks), rtol=1e-9)
    assert not np.allclose(found[:, 0], by_hand((codes + 1) % 7, what.y[0], what.blocks), rtol=1e-3)


def test_a_property_that_the_bin_tells_has_no_loss_and_one_it_does_not_has_all():
    codes = RNG.integers(0, BINS, N).astype(np.uint8)
    what = target(np.stack([codes % 3 == 0, RNG.normal(size=N)]))
    r2 = 1 - losses(codes, what).sum(0) / what.squares.sum(0)
    assert r2[0] > 0.999
    assert -0.02 < r2[1] < 0.002


def test_tables_back_off_as_a_loop_does():
    text = "".join(RNG.choice(list("ab("), N, p=[0.45, 0.45, 0.1]))
    more = "".join(RNG.choice(list("ab)"), 500))
    values = [np.array([s[t - 1 : t + 1] == "ab" for t in range(len(s))], float) for s in (text, more)]
    values[0] = np.where(RNG.random(N) < 0.2, 1 - values[0], values[0])
    what = target(values[0])
    further = (values[1] - values[0].mean()) / values[0].std()
    found, (order,) = table_losses(text, more, what, further[None])
    y = np.concatenate([what.y[0], further])
    strings = [(text + more)[max(0, t - 4) : t + 1] for t in range(len(y))]
    first, second, rest = range(N // 2), range(N // 2, N), range(N, N + 500)
    loss = 0.0
    for held, other in ((first, second), (second, first)):
        known: dict[tuple[int, str], list[float]] = defaultdict(lambda: [0.0, 0])
        for t in [*other, *rest]:
            for k in range(1, order + 1):
                known[k, strings[t][-k:]][0] += y[t]
                known[k, strings[t][-k:]][1] += 1
        mean = np.mean([y[t] for t in [*other, *rest]])
        for t in held[what.block.tolist().count(0) if held is first else 0 :]:  # but for the first block
            guess = mean
            for k in range(1, order + 1):
                total, count = known[k, strings[t][-k:]]
                guess = (total + 2 * guess) / (count + 2)
            loss += (y[t] - guess) ** 2
    assert order >= 2
    assert found[1:].sum() == pytest.approx(loss, rel=1e-4)  # the first characters have fewer before them


def test_a_table_cannot_see_further_than_it_looks():
    text = "".join(RNG.choice(list("abcd"), N))
    near, far = ([float(t >= k and text[t - k] == "a") for t in range(N)] for k in (2, ORDERS))
    what = target(np.array([near, far]))
    found, _ = table_losses(text, "", what, np.zeros((2, 0)))
    r2 = 1 - found.sum(0) / what.squares.sum(0)
    assert r2[0] > 0.98
    assert r2[1] < 0.01


def test_shifted_scores_are_the_scores_of_the_moved():
    codes = RNG.integers(0, BINS, N).astype(np.uint8)
    what = target(np.stack([codes > 20, RNG.normal(size=N)]))
    found = shifted_scores(codes, what.y.T.astype(np.float32), N // 2)
    np.testing.assert_allclose(found, 1 - losses(codes, what).sum(0) / what.squares.sum(0), atol=1e-5)


def test_a_text_has_an_even_number_of_blocks_or_is_too_short():
    assert whole_blocks(10_000) == (10_000, 20)
    assert whole_blocks(220_007) == (220_000, 50)
    with pytest.raises(DataError, match=r"9,999 characters.*at least 10,000"):
        whole_blocks(9_999)


def test_the_largest_t_by_chance_is_that_of_draws():
    generator = np.random.default_rng(2)
    blocks, columns = 24, 40
    limit = trials.critical(generator.normal(size=(blocks, columns)), 0.05, generator)
    draws = generator.normal(size=(4000, blocks, columns))
    largest = np.array([trials.statistics(d).max() for d in draws])
    assert 0.03 < (largest > limit).mean() < 0.08
    d = draws[0]
    expected = d.mean(0) / d.std(0, ddof=1) * math.sqrt(blocks)
    np.testing.assert_allclose(trials.statistics(d), expected)
    assert trials.statistics(np.zeros((5, 2))).tolist() == [0, 0]


def test_columns_that_are_alike_are_corrected_for_once():
    generator = np.random.default_rng(3)
    one = generator.normal(size=(24, 1))
    alike = trials.critical(np.repeat(one, 500, 1), 0.05, generator)
    apart = trials.critical(generator.normal(size=(24, 500)), 0.05, generator)
    assert alike < 1.9 < 3.2 < apart


@pytest.mark.parametrize("units", [24, 400])
def test_luck_is_how_much_one_best_beats_another(units: int):
    generator = np.random.default_rng(4)
    draws = generator.exponential(size=(2000, 2, units, 1))
    difference = draws[:, 0].max(1)[:, 0] - draws[:, 1].max(1)[:, 0]
    margins = np.array([trials.luck(draws[i, 1], 0.05)[0] for i in range(len(draws))])
    assert 0.02 < (difference > margins).mean() < 0.08
    assert (difference > 0).mean() == pytest.approx(0.5, abs=0.03)
    many = trials.luck(draws[0, 1] * np.ones(10), 0.05)
    assert many[0] > margins[0]


def test_the_bar_of_chance_is_passed_as_rarely_as_it_says():
    generator = np.random.default_rng(5)
    draws = generator.gumbel(size=(3000, 60, 4))
    passed = [(generator.gumbel(size=4) > trials.bars(d, 0.05)).any() for d in draws]
    assert 0.02 < np.mean(passed) < 0.08
