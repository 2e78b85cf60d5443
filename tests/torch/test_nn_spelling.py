"""Words by their spelling: against each word by itself."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from rekur.cells import find
from rekur.errors import CheckpointError, OptionError, ShapeError
from rekur.nn import Plan, SequenceModel, Speller, Spelling
from tests.compare import differ

PLAN = Plan(find("gru"), 5, 6, symbols=9, outputs=3, bidirectional=True, spelling=Spelling(11, 4))


def words(*spellings: list[int], length: int = 6) -> Tensor:
    return torch.tensor([[*one, *[-1] * (length - len(one))] for one in spellings])


X = torch.stack([words([1, 2, 3], [4], [1, 2, 3]), words([10, 9, 8, 7, 6, 5], [], [4])])  # (2, 3, 6)


def speller(cell: str = "gru", **sizes: int) -> Speller:
    options: dict[str, Any] = {"dtype": torch.float64, "backend": "reference"}
    return Speller(Spelling(11, 4), find(cell), sizes=sizes, generator=torch.Generator().manual_seed(0), **options)


def one_by_one(model: Speller, x: Tensor) -> Tensor:
    """Each word alone, without padding: the last state of either direction."""
    out = []
    for word in x.reshape(-1, x.shape[2]):
        read = word[word >= 0]
        if not len(read):
            out.append(torch.zeros(model.output_size, dtype=torch.float64))
            continue
        steps = model.embedding.weight[read][None]
        (there,), (back,) = model.recurrent.layers, model.recurrent.reverse_layers
        out.append(torch.cat([there(steps, None).output[0, -1], back(steps, None).output[0, 0]]))
    return torch.stack(out).reshape(*x.shape[:2], -1)


@pytest.mark.parametrize(("cell", "sizes"), [("gru", {}), ("lstm-projected", {"P": 3}), ("mut1", {}), ("elman", {})])
def test_a_word_is_read_as_if_it_were_alone(cell: str, sizes: dict[str, int]):
    model = speller(cell, **sizes)
    weight = torch.randn(2, 3, model.output_size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found = []
    for y in (model(X), one_by_one(model, X)):
        named = list(model.named_parameters())
        gradients = torch.autograd.grad((y * weight).sum(), [p for _, p in named])
        found.append({"y": y.detach(), **{name: g for (name, _), g in zip(named, gradients, strict=True)}})
    assert differ(found[0], found[1]) == {}
    other = X.clone()
    other[1, 0, 5] = 4  # the last letter of the longest word
    assert "y" in differ({"y": model(other).detach()}, {"y": found[0]["y"]})


def test_padding_and_what_is_around_a_word_change_nothing():
    model = speller()
    y = model(X)
    assert torch.equal(y[0, 0], y[0, 2])
    assert not y[1, 1].any()
    wide = torch.nn.functional.pad(X, (0, 3), value=-1)
    assert torch.allclose(model(wide), y, atol=1e-12)
    assert torch.allclose(model(X[:1, :1]), y[:1, :1], atol=1e-12)
    assert model(X[:, :0]).shape == (2, 0, 8)
    assert model(X[:, :, :0]).shape == (2, 3, 8)


def test_a_model_joins_a_word_s_vector_and_its_spelling():
    model = SequenceModel(PLAN, generator=torch.Generator().manual_seed(0)).eval()
    x = torch.cat([torch.tensor([[8, 0, 3], [2, 2, 1]])[..., None], X], -1)
    assert model.embedding is not None
    assert model.speller is not None
    joined = torch.cat([model.embedding(x[..., 0]), model.speller(X)], -1)
    assert torch.equal(model.read(x), joined)
    y, _ = model(x, lengths=[3, 2])
    assert y.shape == (2, 3, 3)
    padded = x.clone()
    padded[1, 2] = 0  # as `collate` pads
    assert torch.allclose(model(padded, lengths=[3, 2])[0][1, :2], y[1, :2], atol=1e-6)
    one_way = SequenceModel(replace(PLAN, bidirectional=False), generator=torch.Generator().manual_seed(0)).eval()
    whole, state = one_way(x)[0], None
    with torch.no_grad(), one_way.prepared():
        for t in range(3):
            step, state = one_way.step(x[:, t], state)
            assert torch.allclose(step, whole[:, t], atol=1e-6)


def test_there_and_back_in_json():
    values = PLAN.to_json()
    assert values["spelling"] == {"symbols": 11, "hidden_size": 4}
    assert Plan.from_json(values, {"gru": PLAN.cell}) == PLAN
    old = {name: value for name, value in values.items() if name != "spelling"}
    assert Plan.from_json(old, {"gru": PLAN.cell}) == replace(PLAN, spelling=None)
    for broken in ({"symbols": 11}, {"symbols": "11", "hidden_size": 4}, {**values["spelling"], "more": 1}, [1]):
        with pytest.raises(CheckpointError, match="this is not a plan: its spelling is"):
            Plan.from_json({**values, "spelling": broken}, {"gru": PLAN.cell})


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"symbols": None}, "it needs symbols, and an input_size, that of their embedding, and no feedback"),
        ({"input_size": 0}, "got symbols=9, input_size=0"),
        ({"outputs": 9, "bidirectional": False, "feedback": True}, "feedback=True"),
        ({"spelling": Spelling(0, 4)}, "spelling.symbols must be a whole number above zero, got 0"),
        ({"spelling": Spelling(3, 0)}, "spelling.hidden_size must be a whole number above zero, got 0"),
    ],
)
def test_plans_that_make_no_sense(changes: dict[str, Any], says: str):
    with pytest.raises(OptionError, match=re.escape(says)):
        SequenceModel(replace(PLAN, **changes))


@pytest.mark.parametrize(
    ("x", "says"),
    [
        (
            torch.zeros(2, 3).long(),
            "symbols (B, T, 1 + L), a word and its characters, of int64 or int32, got torch.int64",
        ),
        (torch.zeros(2, 3, 4), "got torch.float32 (2, 3, 4)"),
        (torch.tensor([[[9, 1, -1]]]), "symbols must lie in 0..8, got 9..9"),
        (torch.tensor([[[8, 11, -1]]]), "characters must lie in 0..10, -1 after a word, got one of 11"),
    ],
)
def test_what_is_no_word(x: Tensor, says: str):
    with pytest.raises(ShapeError, match=re.escape(says)):
        SequenceModel(PLAN)(x)
