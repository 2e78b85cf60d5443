"""Calls of rekur.nn.LSTM and the others that are wrong, or torch's to do, and what torch's tools do with them."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.func import functional_call, grad

import rekur.nn
from rekur.nn import dropin
from tests.compare import differ

X = torch.randn(5, 3, 4, generator=torch.Generator().manual_seed(0))
LAYERS = pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
CELLS = pytest.mark.parametrize("kind", ["LSTMCell", "GRUCell", "RNNCell"])
WITHIN = 1e-5


def pair(kind: str, *sizes: int, **options: Any) -> tuple[Any, Any]:
    """Ours and torch's, with the same weights."""
    ours, theirs = (getattr(home, kind)(*(sizes or (4, 6)), **options) for home in (rekur.nn, nn))
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


def state(kind: str, *shape: int) -> Any:
    return (torch.zeros(shape), torch.zeros(shape)) if kind.startswith("LSTM") else torch.zeros(shape)


def only_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("rekur's kernels were called")

    monkeypatch.setattr(dropin, "scan", fail)


def said(layer: Any, *arguments: Any) -> tuple[type[Exception], str]:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - which one, and its text, are compared
        layer(*arguments)
    return caught.type, str(caught.value)


@LAYERS
def test_what_is_wrong_is_said_as_torch_says_it(kind: str):
    ours, theirs = pair(kind)
    wrong: list[tuple[Any, ...]] = [
        (X[..., :3],), (X[0, 0],), (X[None],), (X.double(),), (X[:0],), (X, state(kind, 1, 2, 6)),
        (X, state(kind, 2, 3, 6)), (X, state(kind, 1, 6)), (X[:, 0], state(kind, 1, 3, 6)), (X.int(),),
        (nn.utils.rnn.pack_padded_sequence(X, torch.tensor([5, 4, 1])), state(kind, 1, 2, 6)),
    ]  # fmt: skip
    for arguments in wrong:
        assert said(ours, *arguments) == said(theirs, *arguments)
    with pytest.raises(ValueError, match="proj_size"):
        getattr(rekur.nn, kind)(4, 6, proj_size=7)


@CELLS
def test_what_is_wrong_with_a_cell_is_said_as_torch_says_it(kind: str):
    ours, theirs = pair(kind)
    x = X[0]
    for arguments in ((x[:, :3],), (X,), (x, state(kind, 2, 6)), (x, state(kind, 3, 5)), (x, state(kind, 1, 3, 6))):
        assert said(ours, *arguments) == said(theirs, *arguments)


@LAYERS
def test_no_rows(kind: str):
    ours, theirs = pair(kind)
    assert ours(X[:, :0])[0].shape == theirs(X[:, :0])[0].shape == (5, 0, 6)


@LAYERS
def test_elsewhere_torchs_kernels_run_and_it_says_so(kind: str, monkeypatch: pytest.MonkeyPatch):
    only_torch(monkeypatch)
    ours, theirs = pair(kind)
    with torch.autocast("cpu", torch.bfloat16):
        assert "autocast" in ours.explain()
        if kind != "LSTM":  # which oneDNN has in bfloat16 on some processors only
            torch.testing.assert_close(ours(X)[0], theirs(X)[0], rtol=0, atol=0)
    ways = [grad(lambda x, layer=layer: layer(x)[0].sum())(X) for layer in (ours, theirs)]
    torch.testing.assert_close(*ways)
    with pytest.warns(match=r"."):
        traced = torch.jit.trace(ours, X, check_trace=False)
    torch.testing.assert_close(traced(2 * X)[0], theirs(2 * X)[0])
    with forward_ad.dual_level():
        assert "forward-mode" in ours.explain()
    ours.double()
    assert "torch.float64" in ours.explain()
    torch.testing.assert_close(ours(X.double())[0], theirs.double()(X.double())[0], rtol=0, atol=0)
    ours.to("meta")
    assert ours(X.double().to("meta"))[0].shape == (5, 3, 6)
    ours, _ = pair(kind)
    with pytest.raises(AssertionError, match="rekur's kernels were called"):
        ours(X)


@LAYERS
def test_torchs_tools(kind: str):
    ours, theirs = pair(kind, 4, 6, 2)
    ours.flatten_parameters()
    assert [w.shape for ws in ours.all_weights for w in ws] == [w.shape for ws in theirs.all_weights for w in ws]
    want = theirs(X)[0]
    for one in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours)), ours._replicate_for_data_parallel()):
        assert type(one) is type(ours)
        torch.testing.assert_close(one(X)[0], want)
    with torch.inference_mode():
        torch.testing.assert_close(ours(X)[0], want)
    other = {k: 2 * v for k, v in ours.named_parameters()}
    torch.testing.assert_close(functional_call(ours, other, X)[0], functional_call(theirs, other, X)[0])
    torch.testing.assert_close(ours(X)[0], want)
    y = pair(kind)[0](X)[0]
    assert y.view(-1, 6).shape == (15, 6)


@LAYERS
def test_gradients_of_gradients(kind: str):
    def penalty(layer: Any) -> dict[str, Tensor]:
        x = X.clone().requires_grad_()
        (g,) = torch.autograd.grad(layer(x)[0].square().sum(), x, create_graph=True)
        found = torch.autograd.grad(g.square().sum(), [*layer.parameters()])
        return dict(zip(dict(layer.named_parameters()), found, strict=True))

    ours, theirs = pair(kind)
    assert differ(penalty(ours), penalty(theirs), 1e-4) == {}


@pytest.mark.filterwarnings("ignore")  # the compiler's own
@LAYERS
def test_under_the_compiler(kind: str):
    def results(model: Callable[..., Any]) -> dict[str, Tensor]:
        y = model(X)[0].cos()
        found = torch.autograd.grad(y.sum(), [*ours.parameters()])
        return {"y": y.detach(), **{str(i): g for i, g in enumerate(found)}}

    torch._dynamo.reset()
    ours, _ = pair(kind)
    want = results(ours)
    assert differ(results(torch.compile(ours, backend="aot_eager")), want, WITHIN) == {}
    with torch._dynamo.config.patch(allow_rnn=True):
        whole = torch.compile(ours, backend="aot_eager", fullgraph=True)
        assert differ(results(whole), want, WITHIN) == {}
