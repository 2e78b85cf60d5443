"""`accelerate` on models that were not written for it: they train as before, and it says what it did."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune
from torch.nn.utils.parametrizations import weight_norm

import rekur
from rekur.errors import OptionError
from tests.compare import differ
from tests.torch.accelerated_models import MODELS, Language, Speech, Tagger

WITHIN = 2e-5
"""Of losses and weights after some steps in float32: relative and absolute"""
X = torch.randn(4, 3, 5, generator=torch.Generator().manual_seed(0))
KIND = pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])


def trained(name: str, between: Callable[[nn.Module], object]) -> dict[str, Tensor]:
    """Losses and weights of 6 steps with one optimiser, `between` done to the model after the first 3."""
    torch.manual_seed(1)
    model: Any = MODELS[name]()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
    draw, losses = torch.Generator().manual_seed(2), []
    for step in range(6):
        if step == 3:
            between(model)
        loss = model.loss(*model.batch(4, 9, draw))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return {"losses": torch.stack(losses), **{k: v.detach() for k, v in model.state_dict().items()}}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_trains_on_as_it_would_have(name: str):
    want = trained(name, lambda _: None)
    assert differ(trained(name, rekur.accelerate), want, WITHIN) == {}
    assert len(set(want["losses"].tolist())) == 6
    assert differ(trained(name, lambda model: rekur.accelerate(model).undo()), want, 0.0) == {}


@pytest.mark.parametrize("name", MODELS)
def test_swapped_gates_would_be_found(name: str):
    def spoil(model: nn.Module) -> None:
        rekur.accelerate(model)
        weight = next(p for k, p in model.named_parameters() if k.endswith("weight_hh_l0"))
        weight.data = weight.data.flip(0)  # other gates, other units

    assert "losses" in differ(trained(name, spoil), trained(name, lambda _: None), WITHIN)


def test_objects_stay_what_they_are():
    model = Language()
    layer, before = model.lstm, dict(model.named_parameters())
    seen: list[str] = []
    model.lstm.register_forward_hook(lambda *_: seen.append("hook"))
    rekur.accelerate(model)
    assert model.lstm is layer
    assert isinstance(layer, nn.LSTM)
    assert isinstance(layer, rekur.nn.LSTM)
    assert all(before[k] is p for k, p in model.named_parameters())
    assert model.head.weight is model.words.weight
    model.loss(torch.zeros(4, 2, dtype=torch.int64))
    assert seen == ["hook"]


def test_undo_gives_the_classes_of_torch_back():
    model = nn.ModuleList([Tagger(), Speech(), nn.RNN(3, 4)])
    before = [type(m) for m in model.modules()]
    report = rekur.accelerate(model)
    assert [o.kind for o in report.layers] == ["LSTM", "GRU", "RNN"]
    assert all(o.replaced and o.runs == "rekur" for o in report.layers)
    assert [type(m) for m in model.modules()] != before
    report.undo()
    assert [type(m) for m in model.modules()] == before
    report.undo()
    assert [type(m) for m in model.modules()] == before


def test_a_second_time_does_nothing_and_undoes_nothing():
    model = Tagger()
    first, second = rekur.accelerate(model), rekur.accelerate(model)
    (outcome,) = second.layers
    assert (outcome.replaced, outcome.runs) == (False, "rekur")
    assert outcome.why.startswith("was rekur's already; ")
    second.undo()
    assert type(model.lstm) is rekur.nn.LSTM
    first.undo()
    assert type(model.lstm) is nn.LSTM


class Own(nn.LSTM):
    def forward(self, *args: Any) -> Any:
        return super().forward(*args)


class Base(nn.RNNBase):
    pass


@pytest.mark.filterwarnings("ignore")  # of torch.ao and torch.jit
def test_what_is_left_as_it_is_and_why():
    patched = nn.GRU(3, 4)
    patched.__dict__["forward"] = lambda *_: None
    small = torch.ao.quantization.quantize_dynamic(nn.ModuleDict({"q": nn.LSTM(3, 4)}), {nn.LSTM})
    model = nn.ModuleDict(
        {
            "own": Own(3, 4), "patched": patched, "small": small["q"], "plain": nn.RNN(3, 4),
            "linear": nn.Linear(2, 2), "wide": nn.GRU(3, 4, dtype=torch.float64),
            "script": torch.jit.script(nn.GRU(3, 4)), "cell": nn.LSTMCell(3, 4),
            "base": Base("GRU", 3, 4),
        }
    )  # fmt: skip
    report = rekur.accelerate(model)
    found = {o.name: (o.replaced, o.runs) for o in report.layers}
    kept = dict.fromkeys(["own", "patched", "small", "script", "cell", "base"], (False, "itself"))
    assert found == kept | {"plain": (True, "rekur"), "wide": (True, "torch")}
    why = {o.name: o.why for o in report.layers}
    assert "subclass of torch.nn.LSTM" in why["own"]
    assert "derive it from rekur.nn.LSTM" in why["own"]
    assert why["patched"] == "its forward was replaced on the object"
    assert why["cell"].startswith("it takes one step at a call")
    assert "subclass of torch.nn.RNNBase, which rekur does not know" in why["base"]
    assert why["small"] == "it is quantised"
    assert why["script"] == "torch.jit has compiled it"
    assert "torch.float64" in why["wide"]
    assert type(model["own"]) is Own
    assert all(name in str(report) for name in found)


def test_the_report_as_text():
    report = rekur.accelerate(Tagger())
    assert str(report).splitlines() == [
        "layer  kind  runs on  why",
        "lstm   LSTM  rekur    lstm runs on cpu (compiled for this processor)",
    ]
    assert str(rekur.accelerate(nn.Linear(1, 1))) == "Linear has no recurrent layer of torch.nn"
    assert "(the model)  GRU" in str(rekur.accelerate(nn.GRU(1, 1)))
    with pytest.raises(OptionError, match="Module, got dict"):
        rekur.accelerate({})  # type: ignore[arg-type]


def twins(kind: str, change: Callable[[nn.Module], object]) -> tuple[Any, Any]:
    """Two layers of torch that are alike, both changed; torch itself cannot copy a parametrised one."""
    out = []
    for _ in range(2):
        torch.manual_seed(3)
        out.append(getattr(nn, kind)(5, 6))
        change(out[-1])
    return out[0], out[1]


def compare(layer: Any, twin: Any) -> None:
    def results(one: Any) -> dict[str, Tensor]:
        y, _ = one(X)
        grads = torch.autograd.grad(y.square().sum(), [*one.parameters()])
        return {"y": y.detach(), **dict(zip(dict(one.named_parameters()), grads, strict=True))}

    assert differ(results(layer), results(twin), WITHIN) == {}


@KIND
def test_pruned_weights(kind: str):
    layer, twin = twins(kind, lambda m: prune.random_unstructured(m, "weight_hh_l0", 0.5))
    rekur.accelerate(layer)
    compare(layer, twin)
    assert (layer.weight_hh_l0 == 0).sum() >= 18


@KIND
def test_parametrised_before_and_after(kind: str):
    layer, twin = twins(kind, lambda m: weight_norm(m, "weight_ih_l0"))
    report = rekur.accelerate(layer)
    assert report.layers[0].kind == f"Parametrized{kind}"
    assert isinstance(layer, getattr(rekur.nn, kind))
    compare(layer, twin)
    for one in (layer, twin):
        weight_norm(one, "weight_hh_l0")
    compare(layer, twin)
    for one in (layer, twin):
        parametrize.remove_parametrizations(one, "weight_ih_l0")
    compare(layer, twin)
    report.undo()
    assert isinstance(layer, getattr(nn, kind))
    assert not isinstance(layer, getattr(rekur.nn, kind))
    compare(layer, twin)
    rekur.accelerate(layer)
    parametrize.remove_parametrizations(layer, "weight_hh_l0")
    assert type(layer) is getattr(rekur.nn, kind)
    report.undo()
    assert type(layer) is getattr(nn, kind)


@KIND
def test_copies_and_pickles_stay_accelerated(kind: str):
    layer = getattr(nn, kind)(5, 6)
    twin = copy.deepcopy(layer)
    rekur.accelerate(layer)
    for one in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert type(one) is getattr(rekur.nn, kind)
        compare(one, twin)
