import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rekur.data import ContiguousStream
from rekur.errors import DataError, OptionError

sizes = st.integers(1, 17)


@given(st.integers(2, 700), sizes, sizes)
def test_rows_are_contiguous_and_nothing_is_lost_but_the_stated_tail(length, batch, time):
    assume(length > batch * time)
    text = np.arange(length, dtype=np.uint16)  # the symbol at a place is its place
    stream = ContiguousStream(text, batch, time)
    chunks = list(stream)
    assert len(chunks) == len(stream) == (length - 1) // (batch * time)
    assert all(part.shape == (batch, time) and part.dtype == np.int64 for chunk in chunks for part in chunk)
    x = np.concatenate([chunk[0] for chunk in chunks], axis=1)
    y = np.concatenate([chunk[1] for chunk in chunks], axis=1)
    assert (np.diff(x, axis=1) == 1).all()  # each row is a contiguous piece
    assert (y == x + 1).all()
    targets = y.reshape(-1)  # row after row: the pieces follow each other, each target once
    assert targets.tolist() == list(range(1, targets.size + 1))
    assert length - 1 - targets.size < batch * time


@given(st.integers(0, 300), sizes, sizes)
def test_a_text_that_is_too_short_says_what_it_takes(length, batch, time):
    assume(length <= batch * time)
    with pytest.raises(DataError, match=f"at least {batch * time + 1} symbols, and it has {length};"):
        ContiguousStream(np.zeros(length, np.uint8), batch, time)


def test_the_shortest_text_that_will_do():
    stream = ContiguousStream(np.arange(7), batch=2, time=3)
    assert len(stream) == 1
    assert [part.tolist() for part in stream.batch(0)] == [[[0, 1, 2], [3, 4, 5]], [[1, 2, 3], [4, 5, 6]]]


def test_chunks_are_the_callers_own_and_the_same_each_time():
    text = np.arange(100)
    stream = ContiguousStream(text, batch=3, time=5)
    before = [part.copy() for part in stream.batch(4)]
    for part in stream.batch(4):
        part[:] = -1
    assert all((a == b).all() for a, b in zip(stream.batch(4), before, strict=True))
    assert text.tolist() == list(range(100))


@pytest.mark.parametrize("index", [-1, 3])
def test_there_is_no_chunk_beyond_the_epoch(index):
    with pytest.raises(IndexError, match=f"chunk {index} of 3"):
        ContiguousStream(np.arange(10), batch=3, time=1).batch(index)


@pytest.mark.parametrize(("batch", "time", "name"), [(0, 5, "batch"), (5, 0, "time"), (-3, -5, "batch")])
def test_sizes_must_be_positive(batch, time, name):
    with pytest.raises(OptionError, match=f"{name} must be at least 1"):
        ContiguousStream(np.arange(100), batch, time)
