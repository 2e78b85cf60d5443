"""The statistics of rekur bench, on clocks that we make."""

import gc
import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekur.bench.pairs import FEWEST, MOST, alternate, geometric_mean, interval
from rekur.errors import OptionError


class Timed(NamedTuple):
    run: Callable[[], None]
    ready: Callable[[], AbstractContextManager[object]] = nullcontext


class World:
    """A clock that only its sides move, and the order in which they were called."""

    def __init__(self, drift: float = 0.0) -> None:
        self.now, self.drift, self.called = 0.0, drift, ""

    def clock(self) -> float:
        return self.now

    def rest(self, seconds: float) -> None:
        self.called += " "
        self.now += seconds

    def side(self, name: str, *seconds: float) -> Timed:
        """A side whose calls take the seconds given, one after the other, and then the last for ever."""
        left = list(seconds)

        def run() -> None:
            self.called += name
            self.now += (left.pop(0) if len(left) > 1 else left[0]) * (1 + self.drift * self.now)

        return Timed(run)


def test_the_interval_is_made_of_order_statistics():
    values = [float(v) for v in range(1, 26)]
    random.Random(0).shuffle(values)
    found = interval(values)
    # 1 - 2 P(Bin(25, 1/2) < 8), from a table of the binomial distribution
    assert (found.low, found.median, found.high) == (8.0, 13.0, 18.0)
    assert found.coverage == pytest.approx(0.956715, abs=1e-6)
    assert interval(values, 0.99).low == 6.0


def test_few_values_say_what_they_cover():
    found = interval([3.0, 1.0, 2.0])
    assert (found.low, found.median, found.high, found.coverage) == (1.0, 2.0, 3.0, 0.75)
    assert interval([2.0]).coverage == 0.0
    with pytest.raises(OptionError, match="no values"):
        interval([])


@given(st.lists(st.floats(0.1, 10.0), min_size=6, max_size=60))
def test_the_interval_holds_the_median_and_covers_what_was_asked(values: list[float]):
    found = interval(values)
    assert found.low <= found.median <= found.high
    assert found.coverage >= 0.95


def test_the_interval_covers_the_true_median_as_often_as_it_says():
    draw = random.Random(1)
    inside = 0
    for _ in range(1000):
        found = interval([draw.lognormvariate(0, 1) for _ in range(15)])  # whose true median is 1
        inside += found.low <= 1 <= found.high
    assert 0.94 < inside / 1000 < 0.985
    assert found.coverage == pytest.approx(0.9648, abs=1e-4)


def test_the_geometric_mean_is_that_of_ratios():
    assert geometric_mean([0.25, 4.0]) == pytest.approx(1.0)
    assert geometric_mean([2.0, 4.0, 8.0]) == pytest.approx(4.0)


def test_sides_take_turns_and_each_is_first_in_every_other_pair():
    world = World()
    pairs = alternate(world.side("o", 1.0), world.side("t", 3.0), seconds=40.0, clock=world.clock, rest=world.rest)
    assert pairs.ours == (1.0,) * 10
    assert pairs.theirs == (3.0,) * 10
    order = ["o", "oo", "t", "tt", *"ot", *"otto" * 5]  # warm-up and length of each, one of both, the pairs
    assert world.called == "".join(f" {side}" for side in order)  # each after a rest


@pytest.mark.parametrize(("seconds", "count"), [(0.0, FEWEST), (1e9, MOST)])
def test_there_are_neither_too_few_pairs_nor_too_many(seconds: float, count: int):
    world = World()
    pairs = alternate(world.side("o", 1.0), world.side("t", 1.0), seconds, world.clock, world.rest)
    assert len(pairs.ours) == len(pairs.theirs) == count


def test_the_first_call_is_not_counted():
    world = World()
    pairs = alternate(world.side("o", 1e6, 1.0), world.side("t", 1e6, 2.0), 30.0, world.clock, world.rest)
    assert (set(pairs.ours), set(pairs.theirs)) == ({1.0}, {2.0})


def test_a_sample_of_a_short_side_is_many_calls():
    world = World()
    pairs = alternate(world.side("o", 1e-3), world.side("t", 1.0), 0.0, world.clock, world.rest)
    assert world.called.count("t") == 3 + 1 + FEWEST
    assert world.called.count("o") == 3 + (1 + FEWEST) * (10 + 10)
    assert pairs.ours == pytest.approx((1e-3,) * FEWEST)


@pytest.mark.parametrize(("seconds", "counted"), [(0.01, 0.01), (0.1, 0.13)])
def test_what_a_rest_costs_a_short_call_is_not_counted(seconds: float, counted: float):
    """A call after a rest takes 30 ms longer: it matters to a call of 10 ms, and little to one of 100."""
    world = World()

    def side() -> None:
        world.now += seconds + 0.03 * (world.called[-1] == " ")
        world.called += "o"

    pairs = alternate(Timed(side), Timed(side), 0.0, world.clock, world.rest)
    assert pairs.ours == pytest.approx((counted,) * FEWEST)


def test_a_machine_that_slows_down_does_not_change_the_ratio():
    world = World(drift=1e-3)
    pairs = alternate(world.side("o", 1.0), world.side("t", 2.0), 90.0, world.clock, world.rest)
    assert pairs.ours[-1] > 1.05 * pairs.ours[0]
    ratios = [b / a for a, b in zip(pairs.ours, pairs.theirs, strict=True)]
    assert interval(ratios).median == pytest.approx(2.0, rel=0.002)


def test_what_a_side_needs_is_open_only_while_it_runs_and_costs_nothing():
    world, open_now = World(), False

    @contextmanager
    def ready() -> Iterator[None]:
        nonlocal open_now
        world.now += 1000.0
        open_now = True
        yield
        open_now = False
        world.now += 1000.0

    def ours() -> None:
        assert open_now
        world.now += 1.0

    def theirs() -> None:
        assert not open_now
        world.now += 2.0

    pairs = alternate(Timed(ours, ready), Timed(theirs), 0.0, world.clock, world.rest)
    assert (set(pairs.ours), set(pairs.theirs)) == ({1.0}, {2.0})


def test_python_collects_no_garbage_while_the_clock_runs():
    world, seen = World(), set()

    def side() -> None:
        seen.add(gc.isenabled())
        world.now += 1.0

    def broken() -> None:
        raise ValueError

    alternate(Timed(side), Timed(side), 0.0, world.clock, world.rest)
    assert seen == {False}
    assert gc.isenabled()
    with pytest.raises(ValueError):  # noqa: PT011
        alternate(Timed(broken), Timed(side), 0.0, world.clock, world.rest)
    assert gc.isenabled()
