from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekur.data import Buckets, by_length, split
from rekur.errors import DataError, OptionError

lengths = st.lists(st.integers(0, 40), min_size=1, max_size=120)


def epoch_of(buckets, epoch):
    return [buckets.batch(i, epoch=epoch).tolist() for i in range(len(buckets))]


@given(lengths, st.integers(1, 9), st.integers(0, 3), st.integers(1, 5), st.integers(0, 5))
def test_every_sequence_is_in_one_batch_of_every_epoch(lengths, batch, seed, pool, epoch):
    buckets = Buckets(lengths, batch, seed=seed, pool=pool)
    batches = epoch_of(buckets, epoch)
    assert sorted(i for b in batches for i in b) == list(range(len(lengths)))
    assert len(batches) == len(buckets) == -(-len(lengths) // batch)
    assert sum(len(b) != batch for b in batches) <= 1
    assert all(lengths[i] <= lengths[j] for b in batches for i, j in pairwise(b))


def test_a_batch_is_the_same_whatever_was_asked_for_before():
    lengths = np.random.default_rng(0).integers(1, 50, 200)
    first = Buckets(lengths, 8, seed=3)
    epochs = [epoch_of(first, epoch) for epoch in range(3)]
    other = Buckets(lengths, 8, seed=3)
    for epoch, at in [(2, 24), (0, 0), (1, 7), (2, 3)]:
        assert other.batch(at, epoch=epoch).tolist() == epochs[epoch][at]
    assert epochs[0] != epochs[1] != epochs[2]
    assert epoch_of(Buckets(lengths, 8, seed=4), 0) != epochs[0]


def test_a_pool_of_sorted_batches_pads_less_than_plain_shuffling():
    lengths = np.random.default_rng(1).integers(1, 100, 1000)

    def padding(pool):
        batches = epoch_of(Buckets(lengths, 10, pool=pool), 0)
        return sum(len(b) * max(lengths[b]) - sum(lengths[b]) for b in batches)

    assert padding(50) < padding(10) < padding(1) / 3
    by = by_length(lengths, 10)
    assert sum(len(b) * max(lengths[b]) - sum(lengths[b]) for b in by) < padding(50)
    assert sorted(int(i) for b in by for i in b) == list(range(1000))


def test_batches_are_not_in_the_order_of_length():
    longest = [max(b) for b in epoch_of(Buckets(range(100), 10), 0)]
    assert longest != sorted(longest)


def test_what_makes_no_sense():
    with pytest.raises(OptionError, match="batch must be at least 1, not 0"):
        Buckets([1], 0)
    with pytest.raises(OptionError, match="pool must be at least 1, not -1"):
        Buckets([1], 1, pool=-1)
    with pytest.raises(DataError, match="no sequences"):
        Buckets([], 1)
    for at in (-1, 2):
        with pytest.raises(IndexError, match=f"batch {at} of 2"):
            Buckets([1, 2, 3], 2).batch(at, epoch=0)


tenths = st.integers(0, 10).flatmap(lambda a: st.tuples(st.just(a), st.integers(0, 10 - a)))


@given(st.lists(st.sampled_from("abc"), max_size=200), tenths, st.integers(0, 3))
def test_every_part_has_its_share_of_the_whole_and_of_every_label(labels, tenths, seed):
    fractions = (tenths[0] / 10, tenths[1] / 10, (10 - sum(tenths)) / 10)
    parts = split(labels, fractions, seed=seed)
    assert sorted(int(i) for part in parts for i in part) == list(range(len(labels)))
    for part, fraction in zip(parts, fractions, strict=True):
        assert part.tolist() == sorted(part.tolist())
        assert abs(len(part) - fraction * len(labels)) < 1
        assert len(part) == 0 or fraction > 0
        for label in set(labels):
            assert abs(sum(labels[i] == label for i in part) - fraction * labels.count(label)) < 2


def test_a_split_is_drawn_by_its_seed():
    parts = [[part.tolist() for part in split([0] * 100, seed=seed)] for seed in (0, 0, 1)]
    assert parts[0] == parts[1] != parts[2]
    assert [len(part) for part in parts[0]] == [80, 10, 10]
    assert parts[0][1] != list(range(80, 90))  # drawn, not cut off


@pytest.mark.parametrize("fractions", [(0.5, 0.5), (0.5, 0.6, -0.1), (0.5, 0.3, 0.1)])
def test_shares_that_are_none(fractions):
    with pytest.raises(OptionError, match="three fractions that add up to 1"):
        split([0] * 10, fractions)
