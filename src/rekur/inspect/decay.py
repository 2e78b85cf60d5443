"""A vanishing curve in numbers and in a sentence. Numpy only."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Verdict = Literal["vanishes", "fades", "holds", "grows", "explodes", "is zero"]

VANISHED, FADED = 0.01, 0.5
"""What share of a gradient is left of one that has vanished, or faded"""
_LEAST = 1e-30  # below this, numbers of single precision say little


@dataclass(frozen=True)
class Decay:
    """How the length of a gradient changes on its way back.

    >>> Decay.of([1.0, 0.5, 0.25, 0.125]).rate
    0.5
    """

    start: float
    """Its length where it starts"""
    steps: int
    """How far it was followed"""
    left: float
    """What is left of it there, as a share of what it starts with"""
    rate: float
    """By how much each step multiplies it, on average: e to the slope of a straight line through the logarithms"""
    reach: int | None
    """The first distance from which on it stays below a hundredth; None where it does not"""
    half: int | None
    """The first distance at which less than half of it is left"""

    @classmethod
    def of(cls, lengths: npt.ArrayLike) -> Decay:
        """Of lengths by distance; those at the end that are NaN are left out."""
        values = np.asarray(lengths, np.float64)
        known = np.flatnonzero(~np.isnan(values))
        values = values[: known[-1] + 1] if len(known) else values[:0]
        if not len(values) or not values[0] > 0:
            return cls(0.0, max(0, len(values) - 1), 0.0, math.nan, None, None)
        shares = values / values[0]
        said = values > _LEAST
        fit = int(said.argmin()) if not said.all() else len(values)  # what comes before the first that says little
        slope = math.nan
        if fit > 1:
            slope = float(np.polyfit(np.arange(fit), np.log(shares[:fit]), 1)[0])
        above = np.flatnonzero(~(shares < VANISHED))
        reach, below = int(above[-1]) + 1, np.flatnonzero(shares < FADED)
        return cls(
            float(values[0]), len(values) - 1, float(shares[-1]), round(math.exp(slope), 12) if fit > 1 else math.nan,
            reach if reach < len(values) else None, int(below[0]) if len(below) else None,
        )  # fmt: skip

    @property
    def verdict(self) -> Verdict:
        """What it does, over all the distance that it was followed."""
        if not self.start:
            return "is zero"
        if self.left < FADED:
            return "vanishes" if self.left < VANISHED else "fades"
        if self.left > 1 / FADED:
            return "explodes" if self.left > 1 / VANISHED else "grows"
        return "holds"

    @property
    def half_life(self) -> float:
        """Steps in which it halves, by the rate; infinite where it does not."""
        return math.log(0.5) / math.log(self.rate) if self.rate < 1 else math.inf

    @property
    def doubling(self) -> float:
        """Steps in which it doubles, by the rate; infinite where it does not."""
        return math.log(2) / math.log(self.rate) if self.rate > 1 else math.inf

    def brief(self, unit: str = "steps") -> str:
        """In few words.

        >>> Decay.of([0.5**i for i in range(65)]).brief("characters")
        'vanishes, 5·10⁻²⁰ of it left 64 characters back'
        """
        if self.verdict == "is zero" or not self.steps:
            return self.verdict
        amount = f"{times(self.left)} as large" if self.left >= 100 else f"{share(self.left)} of it left"
        return f"{self.verdict}, {amount} {self.steps} {unit} back"

    def sentence(self, what: str = "the gradient") -> str:
        """In plain words.

        >>> print(Decay.of([0.5**i for i in range(65)]).sentence())
        the gradient vanishes: less than 1 % of it is left 7 steps back and 5·10⁻²⁰ of it 64 steps back; it halves
        every step
        >>> print(Decay.of([1.0] * 65).sentence("In layer 0 the gradient"))
        In layer 0 the gradient holds: 64 steps back 100 % of it is left
        """
        if self.verdict == "is zero":
            return f"{what} is zero to begin with: the loss does not depend on this layer"
        if not self.steps:
            return f"{what} was not followed: there is one step"
        back = _back(self.steps)
        match self.verdict:
            case "vanishes":
                soon = f"less than 1 % of it is left {_back(self.reach)}"
                rest = f" and {share(self.left)} of it {back}" if self.reach != self.steps else ""
                return f"{what} vanishes: {soon}{rest}; {_each('halves', self.half_life)}"
            case "explodes" | "grows":
                large = f"{back} it is {times(self.left)} as large"
                return f"{what} {self.verdict}: {large}; {_each('doubles', self.doubling)}"
            case "fades":
                soon = f"less than half of it is left {_back(self.half)}, and {share(self.left)} of it {back}"
                return f"{what} fades: {soon}; over all of the way {_each('halves', self.half_life)}"
        return f"{what} holds: {back} {share(self.left)} of it is left"


def share(value: float) -> str:
    """A share as people say it: percent while that can be read, powers of ten below.

    >>> share(0.42), share(0.0031), share(2.3e-12), share(0.0)
    ('42 %', '0.31 %', '2·10⁻¹²', 'nothing')
    """
    if not value:
        return "nothing"
    if value >= 1e-4:
        return f"{_digits(100 * value)} %"
    return _power(value)


def times(value: float) -> str:
    """A factor above 1.

    >>> times(2.51), times(3e7)
    ('2.5 times', '3·10⁷ times')
    """
    return f"{_digits(value) if value < 1e4 else _power(value)} times"


def _digits(value: float) -> str:
    if value >= 99.5:
        return f"{value:,.0f}"
    return f"{value:.2g}"


def _power(value: float) -> str:
    exponent = math.floor(math.log10(value))
    front = round(value / 10.0**exponent)
    if front == 10:
        front, exponent = 1, exponent + 1
    raised = str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{front}·10{raised}"


def _back(steps: int | None) -> str:
    return "one step back" if steps == 1 else f"{steps} steps back"


def _each(what: str, steps: float) -> str:
    if math.isinf(steps) or math.isnan(steps):
        return "the change has no single rate"
    said = f"{steps:.1f}" if steps < 10 else f"{steps:.0f}"
    return f"it {what} every step" if said == "1.0" else f"it {what} every {said} steps"
