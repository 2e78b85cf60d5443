"""Pooling over real steps: against one row at a time, and in a model."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from rekur.cells import find
from rekur.errors import OptionError, ShapeError
from rekur.nn import Plan, Pooling, SequenceModel, pool

LENGTHS = [5, 0, 2, 1]


def by_row(y: Tensor, how: Pooling, lengths: list[int], bidirectional: bool) -> Tensor:
    """The same in a loop, over what is real alone."""
    out = []
    for row, length in zip(y, lengths, strict=True):
        real, half = row[:length], y.shape[2] // 2
        if not length:
            out.append(row.new_zeros(row.shape[1]))
        elif how == "last":
            out.append(torch.cat([real[-1, :half], real[0, half:]]) if bidirectional else real[-1])
        else:
            out.append(real.mean(0) if how == "mean" else real.max(0).values)
    return torch.stack(out)


@pytest.mark.parametrize("how", ["last", "mean", "max"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_only_real_steps_count(how: Pooling, bidirectional: bool):
    y = torch.randn(4, 5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) - 3
    for row, length in enumerate(LENGTHS):
        y[row, length:] = torch.nan
    y.requires_grad_()
    got = pool(y, how, LENGTHS, bidirectional=bidirectional)
    want = by_row(y, how, LENGTHS, bidirectional)
    assert torch.allclose(got, want)
    assert not torch.allclose(got, by_row(y, how, [5, 0, 1, 1], bidirectional), equal_nan=True)
    weight = torch.randn(4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    (one,), (two,) = (torch.autograd.grad((v * weight).sum(), y) for v in (got, want))
    assert torch.allclose(one, two)
    assert not one[1].any()


def test_without_lengths_every_step_is_real():
    y = torch.randn(2, 3, 4)
    assert torch.equal(pool(y, "last"), y[:, -1])
    assert torch.equal(pool(y, "max"), y.max(1).values)
    assert pool(y[:, :0], "max").tolist() == [[0.0] * 4] * 2


PLAN = Plan(find("gru"), 3, 4, outputs=2, pooling="mean")


@pytest.mark.parametrize("how", ["last", "mean", "max"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_padded_batch_gives_what_its_rows_give(how: Pooling, bidirectional: bool):
    plan = replace(PLAN, pooling=how, bidirectional=bidirectional)
    model = SequenceModel(plan, generator=torch.Generator().manual_seed(0))
    x = torch.randn(4, 5, 3, generator=torch.Generator().manual_seed(1))
    y, _ = model(x, lengths=LENGTHS)
    assert y.shape == (4, 2)
    alone = torch.cat([model(x[i : i + 1, :n])[0] for i, n in enumerate(LENGTHS)])
    assert torch.allclose(y, alone, atol=1e-6)


def test_the_last_output_is_that_of_the_last_step():
    model = SequenceModel(replace(PLAN, pooling="last"), generator=torch.Generator().manual_seed(0))
    x, state = torch.randn(2, 4, 3), None
    for t in range(4):
        y, state = model.step(x[:, t], state)
    assert torch.allclose(y, model(x)[0], atol=1e-6)


def test_a_mean_has_no_single_steps():
    with pytest.raises(ShapeError, match="the model takes the mean over whole sequences"):
        SequenceModel(PLAN).step(torch.zeros(1, 3))


@pytest.mark.parametrize("changes", [{"pooling": "median"}, {"symbols": 2, "feedback": True}])
def test_pooling_that_makes_no_sense(changes: dict[str, Any]):
    with pytest.raises(OptionError, match=re.escape("pooling is one of last, mean, max, and not for a model with")):
        SequenceModel(replace(PLAN, **changes))


def test_a_plan_from_before_there_was_pooling_has_none():
    old = {name: value for name, value in PLAN.to_json().items() if name != "pooling"}
    assert Plan.from_json(old, {"gru": PLAN.cell}) == replace(PLAN, pooling=None)
    assert Plan.from_json(PLAN.to_json(), {"gru": PLAN.cell}) == PLAN
