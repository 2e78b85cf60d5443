"""The numbers and the sentence of a vanishing curve, on curves whose answer is known."""

import math

import numpy as np
import pytest

from rekur.inspect import Decay
from rekur.inspect.decay import share


def test_a_straight_line_has_its_half_life():
    decay = Decay.of(3.0 * 0.9 ** np.arange(100))
    assert decay.half_life == pytest.approx(math.log(0.5) / math.log(0.9))
    assert decay.verdict == "vanishes"
    assert decay.reach == 44  # 0.9^43 = 0.0108, 0.9^44 = 0.0097
    assert decay.left == pytest.approx(0.9**99)
    assert (
        decay.sentence() == "the gradient vanishes: less than 1 % of it is left 44 steps back and 3·10⁻⁵ of it "
        "99 steps back; it halves every 6.6 steps"
    )


@pytest.mark.parametrize(
    ("rate", "verdict", "says"),
    [
        (0.5, "vanishes", "it halves every step"),
        (0.98, "fades", "it halves every 34 steps"),
        (1.0, "holds", "100 % of it is left"),
        (1.02, "grows", "it doubles every 35 steps"),
        (1.5, "explodes", "it doubles every 1.7 steps"),
    ],
)
def test_the_verdict_is_that_of_the_rate(rate: float, verdict: str, says: str):
    decay = Decay.of(rate ** np.arange(65))
    assert decay.verdict == verdict
    assert decay.rate == pytest.approx(rate)
    assert says in decay.sentence()


def test_what_falls_and_comes_back_has_not_vanished_for_good():
    decay = Decay.of([1.0, 0.001, 0.2, 0.005, 0.004])
    assert decay.reach == 3
    assert decay.half == 1


def test_what_is_too_small_for_single_precision_is_not_fitted():
    curve = 0.1 ** np.arange(60.0)
    curve[40:] = 0.0
    decay = Decay.of(curve)
    assert decay.rate == pytest.approx(0.1)
    assert (decay.left, decay.verdict) == (0.0, "vanishes")
    assert "nothing of it 59 steps back" in decay.sentence()


def test_nothing_is_followed_beyond_what_is_there():
    assert Decay.of([1.0, 0.5, math.nan, math.nan]).steps == 1
    assert Decay.of([1.0]).sentence() == "the gradient was not followed: there is one step"
    for none in ([0.0, 0.0], [math.nan], []):
        decay = Decay.of(none)
        assert decay.verdict == "is zero"
        assert "zero to begin with" in decay.sentence()


def test_shares_are_said_with_digits_that_can_be_read():
    spoken = [share(v) for v in (1.0, 0.5, 0.0123, 1e-4, 9.6e-7, 1e-30)]
    assert spoken == [
        "100 %", "50 %", "1.2 %", "0.01 %", "1·10⁻⁶", "1·10⁻³⁰",
    ]  # fmt: skip


def test_one_step_is_said_as_one():
    assert Decay.of([1.0, 0.3]).sentence() == (
        "the gradient fades: less than half of it is left one step back, and 30 % of it one step back; over all of "
        "the way it halves every 0.6 steps"
    )
