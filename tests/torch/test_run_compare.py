"""The comparison helpers must find what they are for: each test here spoils one thing and says what is found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from rekur.cells import lstm
from rekur.nn import initial_weights
from rekur.run import compile, scan
from tests.compare import Named, differ, leaves, silent, with_gradients, worse

RESET = torch.zeros(3, 6, dtype=torch.bool)
RESET[1, 4] = True
Change = Callable[[dict[str, Any]], object]


def lstm_results(change: Change = lambda call: None, dtype: torch.dtype = torch.float64) -> Named:
    draw = torch.Generator().manual_seed(3)
    shapes = {k: v.shape for k, v in initial_weights(lstm.graph, {"I": 3, "H": 3}).items()}
    weights = {k: torch.randn(shape, generator=draw).to(dtype) for k, shape in shapes.items()}
    x, cotangent = (torch.randn(3, 6, 3, generator=draw).to(dtype) for _ in range(2))
    of = {"weight": leaves(weights), "input": leaves({"x": x})}
    call: dict[str, Any] = {"params": dict(of["weight"]), "x": of["input"], "reset": RESET}
    change(call)
    return with_gradients({"output": scan(compile(lstm, "reference"), **call).output}, {"output": cotangent}, of)


def swap_gates(call: dict[str, Any]) -> None:
    w = call["params"]
    w["forget.h"], w["input.h"] = w["input.h"], w["forget.h"]


def transpose(call: dict[str, Any]) -> None:
    call["params"]["candidate.x"] = call["params"]["candidate.x"].T


def lose_the_reset(call: dict[str, Any]) -> None:
    del call["reset"]


def drop_a_gradient(call: dict[str, Any]) -> None:
    call["params"]["forget.bias"] = call["params"]["forget.bias"].detach()


def in_bfloat16(call: dict[str, Any]) -> None:
    call["params"] = {k: v.bfloat16().to(v.dtype) for k, v in call["params"].items()}


def test_the_same_twice_is_the_same():
    assert differ(lstm_results(), lstm_results()) == {}
    assert silent(lstm_results()) == set()


@pytest.mark.parametrize("spoil", [swap_gates, transpose, lose_the_reset])
def test_differ_finds_a_wrong_forward_pass(spoil: Change):
    assert set(differ(lstm_results(spoil), lstm_results())) == set(lstm_results())


def test_differ_finds_a_dropped_gradient_and_nothing_else():
    assert set(differ(lstm_results(drop_a_gradient), lstm_results())) == {"gradient of weight forget.bias"}


def worse_than_reference(got: Named) -> set[str]:
    return set(worse(got, lstm_results(dtype=torch.float32), lstm_results(), epsilon=1e-6))


def test_worse_lets_rounding_pass():
    def other_order(call: dict[str, Any]) -> None:
        call.update(x={"x": call["x"]["x"].flip(0)}, reset=RESET.flip(0))

    flipped = dict(lstm_results(other_order, torch.float32))
    assert worse_than_reference(lstm_results(dtype=torch.float32)) == set()
    assert differ(flipped, lstm_results(dtype=torch.float32)).keys() >= {"output"}
    flipped["output"] = flipped["output"].flip(0)
    assert "output" not in worse_than_reference(flipped)


@pytest.mark.parametrize("spoil", [swap_gates, transpose, lose_the_reset, in_bfloat16])
def test_worse_finds_a_wrong_forward_pass(spoil: Change):
    assert worse_than_reference(lstm_results(spoil, torch.float32)) == set(lstm_results())


def test_worse_finds_a_dropped_gradient_and_nothing_else():
    found = worse_than_reference(lstm_results(drop_a_gradient, torch.float32))
    assert found == {"gradient of weight forget.bias"}


ONES = torch.ones(2, 3, dtype=torch.float64)


def but(value: float) -> Tensor:
    out = ONES.clone()
    out[1, 2] = value
    return out


@pytest.mark.parametrize(
    ("got", "says"),
    [
        ({}, "missing"),
        ({"v": ONES, "w": ONES}, "not wanted"),
        ({"v": ONES[:1]}, "(1, 3), not"),
        ({"v": ONES[0]}, "(3,), not"),
        ({"v": ONES.float()}, "float32"),
        ({"v": but(torch.nan)}, "1 of 6 wrong, first by nan at (1, 2)"),
        ({"v": but(torch.inf)}, "1 of 6 wrong"),
        ({"v": but(1 + 1e-10)}, "1 of 6 wrong, first by 1.0e-10 at (1, 2)"),
        ({"v": -ONES}, "6 of 6 wrong"),
    ],
)
def test_differ_says_what_is_wrong(got: dict[str, Tensor], says: str):
    (found,) = differ(got, {"v": ONES}).values()
    assert says in found


def test_an_element_is_not_excused_by_larger_ones():
    large = torch.tensor([1e9, 1.0], dtype=torch.float64)
    assert differ({"v": large + torch.tensor([0.0, 1e-6])}, {"v": large})
    assert differ({"v": large + torch.tensor([1e-3, 0.0])}, {"v": large}) == {}


def test_what_is_wanted_must_be_finite():
    with pytest.raises(AssertionError, match="v: what is wanted is not finite"):
        differ({"v": but(torch.nan)}, {"v": but(torch.nan)})


@pytest.mark.parametrize(("error", "found"), [(0.0, False), (3.9e-3, False), (4.2e-3, True), (torch.nan, True)])
def test_worse_allows_four_times_the_reference(error: float, found: bool):
    rounded, got = (ONES.float() for _ in range(2))
    rounded[0, 0] += 1e-3
    got[1, 2] += error
    assert bool(worse({"v": got}, {"v": rounded}, {"v": ONES}, epsilon=1e-6)) is found


def test_worse_refuses_other_dtypes_and_other_problems():
    assert worse({"v": ONES}, {"v": ONES.float()}, {"v": ONES}, 1e-6)
    with pytest.raises(AssertionError, match="two problems"):
        worse({"v": ONES[0].float()}, {"v": ONES[0].float()}, {"v": ONES}, 1e-6)
    with pytest.raises(AssertionError, match="not finite"):
        worse({"v": ONES.float()}, {"v": but(torch.nan).float()}, {"v": ONES}, 1e-6)


def test_silent_names_what_is_all_zero():
    assert silent({"a": torch.zeros(3), "b": torch.tensor([0.0, 1.0]), "c": torch.zeros(0)}) == {"a", "c"}


def test_a_missing_gradient_is_zero():
    x = leaves({"read": ONES, "unread": ONES})
    found = with_gradients({"y": 2 * x["read"]}, {"y": ONES}, {"leaf": x})
    assert silent(found) == {"gradient of leaf unread"}
    assert found["gradient of leaf read"].eq(2).all()
