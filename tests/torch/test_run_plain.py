"""The short way of checking a call gives what the long one gives, or leaves it to that."""

from importlib import import_module
from typing import Any

import pytest
import torch

from rekur.cells import elman, load, lstm
from rekur.graph import Cell
from rekur.nn import initial_weights
from rekur.run.plain import plain

long_way = import_module("rekur.run.scan")._call
NOTHING: dict[str, Any] = {
    "state": None, "constants": None, "initial": {}, "lengths": None, "live": None, "reset": None, "reverse": False,
    "memory_lengths": None, "told": {"H": 3}, "outputs": (), "record": (),
}  # fmt: skip


def given(cell: Cell, **more: Any) -> dict[str, Any]:
    params = initial_weights(cell.graph, {"I": 2, "H": 3}, generator=torch.Generator().manual_seed(0))
    return {"params": params, "x": torch.ones(4, 5, 2), **NOTHING, **more}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return [*one] == [*other] and all(torch.equal(v, other[k]) for k, v in one.items())


@pytest.mark.parametrize("lengths", [None, [1, 2, 0, 4], torch.tensor([5, 5, 5, 5])])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", ["lstm", "gru", "elman", "layer-norm-lstm"])
def test_a_plain_call_is_what_the_long_way_makes_of_it(
    name: str, reverse: bool, lengths: torch.Tensor | list[int] | None
):
    cell = load(name)
    states = {a.name: torch.full((4, 3), 0.5) for a in cell.graph.of("state")}
    for state in (None, states):
        what = given(cell, reverse=reverse, state=state, lengths=lengths)
        found, wanted = plain(cell.graph, what), long_way(cell.graph, **what)
        assert found is not None
        assert found.sizes == wanted.sizes
        assert found.reverse == wanted.reverse
        for kind in ("params", "inputs", "state"):
            assert same(getattr(found, kind), getattr(wanted, kind)), kind
        ragged = isinstance(lengths, list)
        for kind in ("lengths", "live"):
            mine, theirs = getattr(found, kind), getattr(wanted, kind)
            assert torch.equal(mine, theirs) if ragged else mine is theirs is None, kind
        assert (found.mask, found.reset, found.constants) == (None, None, {})
        assert (found.lead, found.steps, found.outputs, found.record) == ((4,), 5, (), ())
    assert not same({"a": torch.zeros(1)}, {"a": torch.ones(1)})


@pytest.mark.parametrize(
    "more",
    [
        {"x": torch.ones(4, 5, 3)},
        {"x": torch.ones(4, 5)},
        {"x": torch.ones(4, 5, 2, dtype=torch.float64)},
        {"x": torch.ones(4, 5, dtype=torch.int64)},
        {"x": {"x": torch.ones(4, 5, 2)}},
        {"x": torch.ones(4, 5, 2, device="meta")},
        {"params": {}},
        {"params": None},
        {"state": {"h": torch.zeros(4, 3)}},
        {"state": {"h": torch.zeros(4, 3), "c": torch.zeros(1, 3)}},
        {"state": {"h": torch.zeros(4, 3), "c": torch.zeros(4, 3, dtype=torch.float64)}},
        {"state": 3},
        {"live": torch.ones(4, 5, dtype=torch.bool)},
        {"reset": torch.ones(4, 5, dtype=torch.bool)},
        {"initial": {"h": torch.zeros(3)}},
        {"initial": []},
        {"told": 3},
        {"outputs": ("forget",)},
        {"record": ("forget",)},
    ],
)
def test_what_is_not_plain_or_wrong_is_left_to_the_long_way(more: dict[str, Any]):
    assert plain(lstm.graph, given(lstm, **more)) is None


def test_a_weight_that_does_not_fit_is_left_to_the_long_way():
    what = given(elman)
    what["params"]["hidden.bias"] = torch.zeros(4)
    assert plain(elman.graph, what) is None
