"""`Plan` and its model: the wiring step by step, JSON there and back, and what makes no sense."""

from __future__ import annotations

import copy
import json
import re
from dataclasses import fields, replace
from typing import Any

import pytest
import torch
from torch import nn

from rekur.cells import find, lstm
from rekur.errors import CheckpointError, OptionError, ShapeError
from rekur.nn import Noise, Plan, SequenceModel

PLANS = {
    "characters": Plan(lstm, 4, 6, 2, dropout=0.3, symbols=11, outputs=11, feedback=True),
    "features": Plan(find("gru"), 4, 6, bidirectional=True),
    "labels": Plan(find("lstm-projected"), 4, 6, 2, bidirectional=True, sizes={"P": 3}, symbols=11, outputs=2),
    "noisy": Plan(
        lstm, 4, 6, 2, outputs=2, connections="dense", input_dropout=0.1, recurrent_dropout=0.2, zoneout={"h": 0.3},
        weight_drop=0.4, learn_initial_state=True,
    ),
}  # fmt: skip
BY_NAME = pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS.keys())


def made(plan: Plan, **options: Any) -> SequenceModel:
    return SequenceModel(plan, generator=torch.Generator().manual_seed(0), **options)


def read_by(plan: Plan) -> torch.Tensor:
    draw = torch.Generator().manual_seed(1)
    if plan.symbols is not None:
        return torch.randint(plan.symbols, (3, 5), generator=draw)
    return torch.randn(3, 5, plan.input_size, generator=draw)


@BY_NAME
def test_there_and_back_in_json(plan: Plan):
    text = json.dumps(plan.to_json())
    again = Plan.from_json(json.loads(text), {plan.cell.name: plan.cell, "other": find("gru")})
    assert again == plan
    assert json.dumps(again.to_json()) == text
    assert again != replace(plan, hidden_size=7)
    model = made(again)
    assert {k: v.shape for k, v in model.state_dict().items()} == {
        k: v.shape for k, v in made(plan).state_dict().items()
    }


def test_every_field_is_in_the_json():
    assert list(PLANS["labels"].to_json()) == [f.name for f in fields(Plan)]


def test_the_json_holds_no_part_of_the_plan():
    plan = PLANS["labels"]
    plan.to_json()["sizes"]["P"] = 99
    assert plan.sizes == {"P": 3}


GOOD = PLANS["characters"].to_json()
FIRST = {
    "cell": "lstm", "input_size": 4, "hidden_size": 6, "num_layers": 2, "bidirectional": False, "dropout": 0.3,
    "sizes": {}, "symbols": 11, "outputs": 11, "feedback": True,
}  # fmt: skip
"""As the first version wrote it"""


def test_a_plan_of_the_first_version():
    assert Plan.from_json(FIRST, {"lstm": lstm}) == PLANS["characters"]
    assert GOOD.keys() > FIRST.keys()


def test_noise_and_connections_are_in_the_plan():
    plan = PLANS["noisy"]
    of = made(plan).recurrent
    assert (of.connections, of.noise) == ("dense", Noise(0.1, 0.2, {"h": 0.3}, 0.4))
    assert "layers.1.initial.h" in of.state_dict()
    for changes in ({"input_dropout": 0.5}, {"connections": "dense"}):
        with pytest.raises(OptionError, match="first layer reads symbols, and this is for features; say input_size"):
            made(replace(PLANS["characters"], input_size=0, **changes))


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ([], "this is not a plan: it must have cell, input_size"),
        ({}, "this is not a plan: it must have cell, input_size"),
        ({k: v for k, v in GOOD.items() if k != "feedback"}, "this is not a plan: it must have"),
        (GOOD | {"extra": 1}, "this is not a plan: it must have"),
        (GOOD | {"hidden_size": "6"}, "this is not a plan: its hidden_size is '6'"),
        (GOOD | {"hidden_size": 6.0}, "its hidden_size is 6.0"),
        (GOOD | {"hidden_size": None}, "its hidden_size is None"),
        (GOOD | {"num_layers": True}, "its num_layers is True"),
        (GOOD | {"bidirectional": 0}, "its bidirectional is 0"),
        (GOOD | {"zoneout": "0.1"}, "its zoneout is '0.1'"),
        (GOOD | {"learn_initial_state": 1}, "its learn_initial_state is 1"),
        ({k: v for k, v in FIRST.items() if k != "sizes"}, "this is not a plan: it must have"),
        (GOOD | {"dropout": "0.1"}, "its dropout is '0.1'"),
        (GOOD | {"sizes": [["P", 3]]}, "its sizes is [['P', 3]]"),
        (GOOD | {"symbols": "all"}, "its symbols is 'all'"),
        (GOOD | {"cell": ["lstm"]}, "its cell is ['lstm']"),
        (GOOD | {"cell": "gru"}, "the plan's cell 'gru' is not there; there are lstm"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_what_is_no_plan(values: Any, says: str):
    with pytest.raises(CheckpointError, match=re.escape(says)):
        Plan.from_json(values, {"lstm": lstm})


@BY_NAME
def test_the_model_is_its_parts(plan: Plan):
    model, x = made(plan).eval(), read_by(plan)
    options: dict[str, Any] = {"lengths": [5, 0, 2], "reset": torch.rand(3, 5) < 0.3}
    y, state = model(x, **options)
    inner = x if model.embedding is None else model.embedding.weight[x]
    inner, want = model.recurrent(inner, **options)
    if model.head is not None:
        inner = inner @ model.head.weight.T + model.head.bias
    assert torch.allclose(y, inner, atol=1e-6)
    assert y.shape == (3, 5, plan.outputs or model.recurrent.output_size)
    assert all(torch.equal(state[k], v) for k, v in want.items())
    if not plan.bidirectional:
        assert torch.allclose(model(x[:, 3:], model(x[:, :3])[1])[0], model(x)[0][:, 3:], atol=1e-6)


def test_dropout_on_the_input_between_layers_and_before_the_head():
    plan = PLANS["characters"]
    model, x = made(plan).train(), read_by(plan)

    def drop(v: torch.Tensor) -> torch.Tensor:
        return nn.functional.dropout(v, 0.3, True)

    torch.manual_seed(5)
    got = model(x)[0]
    torch.manual_seed(5)
    assert model.embedding is not None
    assert model.head is not None
    v = drop(model.embedding(x))
    for i, layer in enumerate(model.recurrent.layers):
        v = layer(drop(v) if i else v, None).output
    assert torch.equal(got, model.head(drop(v)))
    assert torch.equal(model.eval()(x)[0], made(replace(plan, dropout=0.0))(x)[0])


def test_weights_start_the_same_from_one_generator():
    one, two = (made(PLANS["characters"]).state_dict() for _ in range(2))
    assert all(torch.equal(v, two[k]) for k, v in one.items())
    assert 0.8 < float(one["embedding.weight"].std()) < 1.2
    assert not one["head.bias"].any()


def test_made_in_a_dtype_and_copied():
    model = made(PLANS["labels"], dtype=torch.float64)
    assert {p.dtype for p in model.parameters()} == {torch.float64}
    x = read_by(PLANS["labels"])
    assert torch.equal(copy.deepcopy(model)(x)[0], model(x)[0])
    assert copy.deepcopy(model).plan.to_json() == model.plan.to_json()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"symbols": 0}, "symbols must be a whole number above zero, got 0"),
        ({"symbols": 2.5}, "symbols must be a whole number above zero, got 2.5"),
        ({"outputs": -1}, "outputs must be a whole number above zero, got -1"),
        ({"outputs": 7}, "as many symbols as outputs; got symbols=11, outputs=7, bidirectional=False"),
        ({"outputs": None}, "as many symbols as outputs; got symbols=11, outputs=None"),
        ({"symbols": None, "outputs": None}, "got symbols=None, outputs=None"),
        (
            {"bidirectional": True},
            "it needs one direction, and as many symbols as outputs; got symbols=11, outputs=11",
        ),
        ({"dropout": 1.5}, "dropout must lie in 0 ≤ p < 1, got 1.5"),
        ({"input_size": -1}, "input_size must be a whole number above zero, got -1"),
        (
            {"input_size": 0, "symbols": None, "feedback": False},
            "input_size must be a whole number above zero, got 0",
        ),
        ({"sizes": {"Q": 1}}, "lstm has no axis 'Q'"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_plans_that_make_no_sense(changes: dict[str, Any], says: str):
    with pytest.raises(OptionError, match=re.escape(says)):
        SequenceModel(replace(PLANS["characters"], **changes))


@pytest.mark.parametrize(
    ("x", "says"),
    [
        (torch.zeros(2, 3), "the input must be symbols (B, T) of int64 or int32, got torch.float32 (2, 3)"),
        (
            torch.zeros(2, 3, 1).long(),
            "the input must be symbols (B, T) of int64 or int32, got torch.int64 (2, 3, 1)",
        ),
        (torch.zeros(3).long(), "got torch.int64 (3,)"),
        (torch.zeros(2, 3).bool(), "got torch.bool (2, 3)"),
        ([[1, 2]], "got list"),
        (torch.tensor([[0, 11]]), "symbols must lie in 0..10, got 0..11"),
        (torch.tensor([[0, -1]]), "symbols must lie in 0..10, got -1..0"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_what_is_no_symbol(x: Any, says: str):
    with pytest.raises(ShapeError, match=re.escape(says)):
        made(PLANS["characters"])(x)


def test_symbols_in_int32():
    model, x = made(PLANS["characters"]).eval(), read_by(PLANS["characters"])
    assert torch.equal(model(x.int())[0], model(x)[0])
    assert model(x[:, :0])[0].shape == (3, 0, 11)


def test_symbols_without_an_embedding():
    """The first layer reads them, through no dropout; the same as one-hot features, step by step too."""
    plan = replace(PLANS["characters"], input_size=0)
    model, x = made(plan).eval(), read_by(plan)
    assert model.embedding is None
    assert model.recurrent.input_size == plan.symbols == 11
    assert Plan.from_json(plan.to_json(), {"lstm": lstm}) == plan
    y, _ = model(x)
    features = made(replace(plan, symbols=None, input_size=11, feedback=False)).eval()
    features.load_state_dict(model.state_dict())
    assert torch.allclose(y, features(nn.functional.one_hot(x, 11).float())[0], atol=1e-6)
    state = None
    for t in range(x.shape[1]):
        step, state = model.step(x[:, t], state)
        assert torch.allclose(step, y[:, t], atol=1e-6)
    whole = made(replace(plan, dropout=0.999, num_layers=1, outputs=None, feedback=False)).train()
    assert torch.equal(whole(x)[0], whole.eval()(x)[0])
    with pytest.raises(ShapeError, match=r"symbols 'x' must lie in 0\.\.10, got 0\.\.11"):
        model(torch.tensor([[0, 11]]))
    with pytest.raises(ShapeError, match="the input must be symbols"):
        model(nn.functional.one_hot(x, 11).float())


def test_a_model_without_values_is_made_without_drawing(monkeypatch: pytest.MonkeyPatch):
    """As for a checkpoint: on such tensors torch would import its compiler, which takes longer than all the rest."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("it draws")

    plan = Plan(find("lstm"), 4, 6, symbols=5, outputs=5)
    want = SequenceModel(plan)
    monkeypatch.setattr(torch.Tensor, "normal_", refuse)
    with torch.device("meta"):
        made = SequenceModel(plan)
    made.to_empty(device="cpu").load_state_dict(want.state_dict())
    assert {k: p.requires_grad for k, p in made.named_parameters()} == {k: True for k, _ in want.named_parameters()}
    x = torch.tensor([[0, 4, 2]])
    assert torch.equal(made(x)[0], want(x)[0])
    with pytest.raises(AssertionError, match="it draws"):
        SequenceModel(plan)
