"""The configuration: the learning rate over time, and values that make no sense."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekur.errors import OptionError
from rekur.train import FitConfig


@given(
    st.sampled_from(["cosine", "linear", "constant"]),
    st.integers(0, 20),
    st.integers(1, 60),
    st.floats(0, 1),
)
def test_the_rate_rises_to_its_highest_and_then_never_rises_again(decay: Any, warmup: int, total: int, floor: float):
    config = FitConfig(lr=0.5, warmup=warmup, decay=decay, floor=floor)
    rates = [config.rate(step, total) for step in range(total)]
    assert all(0 < rate <= 0.5 for rate in rates) or floor == 0
    assert all(later > before for before, later in pairwise(rates[:warmup]))
    assert all(later <= before + 1e-12 for before, later in pairwise(rates[warmup:]))
    if total > warmup:
        assert rates[warmup] == 0.5
        assert rates[-1] >= 0.5 * floor - 1e-12


def test_each_decay_has_its_form():
    half = {
        decay: FitConfig(lr=1.0, warmup=0, decay=decay, floor=0.2).rate(25, 100)
        for decay in ("cosine", "linear", "constant")
    }
    assert half == pytest.approx({"cosine": 0.2 + 0.8 * (1 + 0.5**0.5) / 2, "linear": 0.8, "constant": 1.0})


def test_steps_win_over_epochs():
    assert FitConfig(epochs=3).total(chunks=7) == 21
    assert FitConfig(epochs=3, steps=5).total(chunks=7) == 5


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0), ("steps", -1), ("lr", 0), ("lr", -1.0), ("lr", float("nan")), ("lr", float("inf")),
        ("warmup", -1), ("floor", 1.5), ("weight_decay", -0.1), ("clip", float("nan")), ("betas", (0.9, 1.0)),
        ("eval_every", -5), ("checkpoint_every", -1), ("patience", -1), ("threads", -2), ("seed", -1),
        ("decay", "cosin"),
    ],
)  # fmt: skip
def test_a_value_without_sense_names_the_option(name: str, value: Any):
    with pytest.raises(OptionError, match=rf"^{name} is .*must be"):
        FitConfig(**{name: value})
