"""Timing two sides in turn, and what the pairs say: a median ratio with its interval."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Protocol

from rekur.errors import OptionError

Clock = Callable[[], float]
Rest = Callable[[float], object]
FEWEST, MOST = 7, 31  # samples: seven are the first number whose order gives 95 % with one to spare
REST = 0.02  # seconds before a sample
SAMPLE = 10e-3  # seconds that a sample lasts at least
SHORT = 50e-3  # seconds below which it matters to a call whether its code and data are still in the caches


@dataclass(frozen=True)
class Interval:
    """A median, and the interval that holds the true one with probability `coverage`."""

    median: float
    low: float
    high: float
    coverage: float


def interval(values: Sequence[float], coverage: float = 0.95) -> Interval:
    """The median, between the closest order statistics that cover it as often as asked.

    Of n values in order, the true median lies between the k-th from below and the k-th from above with probability
    1 - 2 P(Bin(n, 1/2) < k), whatever their distribution. Fewer than six values cannot reach 95 %: they give
    their extremes, and the coverage that these have.

    >>> interval([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 90.0])
    Interval(median=4.0, low=1.0, high=90.0, coverage=0.984375)
    """
    if not values:
        raise OptionError("no values: there is no median")
    ordered, n = sorted(values), len(values)
    k = 1
    while k < (n + 1) // 2 and _coverage(n, k + 1) >= coverage:
        k += 1
    return Interval(median(ordered), ordered[k - 1], ordered[n - k], _coverage(n, k))


def _coverage(n: int, k: int) -> float:
    return 1 - 2 * sum(math.comb(n, i) for i in range(k)) / float(2**n)


def geometric_mean(values: Sequence[float]) -> float:
    """exp(mean(log values))

    >>> geometric_mean([0.5, 2.0])
    1.0
    """
    return math.exp(math.fsum(map(math.log, values)) / len(values))


class Timed(Protocol):
    """Something that can be timed."""

    @property
    def run(self) -> Callable[[], object]:
        """One call of it."""

    @property
    def ready(self) -> Callable[[], AbstractContextManager[object]]:
        """What must be open around calls; the clock stands while it opens and closes."""


@dataclass(frozen=True)
class Pairs:
    """Seconds a call, of two sides in turn; the i-th of both make a pair."""

    ours: tuple[float, ...]
    theirs: tuple[float, ...]


def alternate(
    ours: Timed, theirs: Timed, seconds: float, clock: Clock = time.perf_counter, rest: Rest = time.sleep
) -> Pairs:
    """Time two sides in alternating pairs for about `seconds`, but 7 pairs at least and 31 at most.

    Each takes the first place in every other pair. A sample is as many calls as last 10 ms, after a rest: threads of
    the other side may spin on for some milliseconds, and take the processors. Short calls are made as often before
    the clock starts, for in a loop they find their code and data in the caches, and a processor that is awake. The
    first samples warm up and are not counted; Python collects no garbage meanwhile.
    """
    sides = (ours, theirs)
    with _no_collections():
        calls = [_calls(side, clock, rest) for side in sides]
        first = [_sample(side, *n, clock, rest) for side, n in zip(sides, calls, strict=True)]
        once = sum(s * sum(n) for s, n in zip(first, calls, strict=True))
        count = max(FEWEST, min(MOST, int(seconds / max(once, 1e-9))))
        found: tuple[list[float], list[float]] = ([], [])
        for i in range(count):
            for j in (0, 1) if i % 2 == 0 else (1, 0):
                found[j].append(_sample(sides[j], *calls[j], clock, rest))
    return Pairs(tuple(found[0]), tuple(found[1]))


def _calls(side: Timed, clock: Clock, rest: Rest) -> tuple[int, int]:
    """How often to call before the clock starts, and how often after that."""
    _sample(side, 0, 1, clock, rest)
    seconds = max(_sample(side, 1, 1, clock, rest), 1e-9)
    count = math.ceil(SAMPLE / seconds)
    return count if seconds < SHORT else 0, count


def _sample(side: Timed, before: int, calls: int, clock: Clock, rest: Rest) -> float:
    run = side.run
    rest(REST)
    with side.ready():
        for _ in range(before):
            run()
        start = clock()
        for _ in range(calls):
            run()
        return rounded((clock() - start) / calls)


def rounded(value: float) -> float:
    """Four digits: no clock here is worth more, and a record of them stays short."""
    return float(f"{value:.4g}")


@contextmanager
def _no_collections() -> Iterator[None]:
    gc.collect()
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
