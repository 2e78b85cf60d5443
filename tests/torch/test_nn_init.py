"""How weights start, and a layer of its own for cells that no stack takes."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from rekur.cells import affine, cell, find, lstm, sum_over, tanh, weight
from rekur.errors import OptionError
from rekur.nn import Layer, initial_weights
from rekur.run import scan
from tests.compare import differ

SIZES = {"I": 300, "H": 200}


def one(init: str, *, matrix: bool = True) -> Tensor:
    """A weight that starts as `init` says."""

    @cell
    def tiny(x, h):
        if matrix:
            return tanh(affine("w", x, init=init, bias=False) + h)
        return tanh(sum_over(x) * weight("w.x", init=init) + h)

    return initial_weights(tiny.graph, SIZES, generator=torch.Generator().manual_seed(0))["w.x"]


@pytest.mark.parametrize(
    ("init", "bound"),
    [("uniform", 200**-0.5), ("uniform=0.25", 0.25), ("glorot", math.sqrt(6 / 500))],
)
def test_uniform_up_to_a_bound(init: str, bound: float):
    v = one(init)
    assert v.shape == (200, 300)
    assert 0.999 * bound < v.max() <= bound
    assert -bound <= v.min() < -0.999 * bound
    assert abs(v.mean()) < 0.01 * bound
    assert v.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.01)


def test_normal():
    v = one("normal=0.5")
    assert v.std().item() == pytest.approx(0.5, rel=0.01)
    assert 1.5 < v.max() < 3


def test_orthogonal():
    v = one("orthogonal")
    assert torch.allclose(v @ v.T, torch.eye(200), atol=1e-5)


@pytest.mark.parametrize(
    ("init", "want"),
    [
        ("zeros", torch.zeros(200, 300)),
        ("ones", torch.ones(200, 300)),
        ("constant=-1.5", torch.full((200, 300), -1.5)),
        ("identity", torch.eye(200, 300)),
        ("identity=0.25", 0.25 * torch.eye(200, 300)),
        ("identity=0", torch.zeros(200, 300)),
    ],
)
def test_fixed(init: str, want: Tensor):
    assert torch.equal(one(init), want)


def test_a_vector():
    assert one("uniform", matrix=False).shape == (200,)
    assert one("uniform", matrix=False).abs().max() <= 200**-0.5
    assert one("constant=2", matrix=False).eq(2).all()


def test_the_same_draws_in_every_dtype():
    def draw(**options: Any) -> dict[str, Tensor]:
        return initial_weights(lstm.graph, {"I": 3, "H": 4}, generator=torch.Generator().manual_seed(1), **options)

    assert differ({k: v.float() for k, v in draw(dtype=torch.float64).items()}, draw(), within=0.0) == {}
    assert {v.device.type for v in draw(device="meta").values()} == {"meta"}


def test_an_untrained_lstm_remembers():
    weights = initial_weights(lstm.graph, {"I": 3, "H": 4})
    assert weights["forget.bias"].eq(1).all()
    assert not any(weights[f"{k}.bias"].any() for k in ("input", "candidate", "output"))


def test_a_size_that_is_not_given():
    with pytest.raises(OptionError, match=r"the weight 'forget\.x' of lstm has the axis H, whose size is not given"):
        initial_weights(lstm.graph, {"I": 3})


# ---- a layer of its own ------------------------------------------------------------------------------------------


def test_a_layer_of_several_inputs_on_a_lattice():
    layer = Layer(find("row-lstm"), {"H": 4}, generator=torch.Generator().manual_seed(0))
    x = {k: torch.randn(2, 3, 5, 4) for k in ("xi", "xf", "xg", "xo")}
    one = layer(x, None)
    want = scan(layer.kernel, layer.params(), x)
    assert one.output.shape == (2, 3, 5, 4)
    assert differ({"y": one.output.detach()}, {"y": want.output.detach()}, within=0.0) == {}


def test_a_layer_backwards():
    layer = Layer(lstm, {"I": 3, "H": 4}, reverse=True)
    x = torch.randn(2, 5, 3)
    y, state, *_ = layer(x, None, lengths=[5, 2])
    assert torch.equal(y[:, 0], state["h"])
    assert not y[1, 2:].any()


@pytest.mark.parametrize(
    ("of", "sizes", "says"),
    [
        (lstm, {"I": 3}, r"lstm has the axes H, whose sizes are not known; say sizes=\{'H': …\}"),
        (lstm, {"I": 0, "H": 4}, r"sizes\['I'\] must be a whole number above zero, got 0"),
        (lstm, {"I": 3, "H": 2.0}, r"sizes\['H'\] must be a whole number above zero, got 2\.0"),
        ("lstm", {"I": 3, "H": 4}, "'lstm' is of type str, not a cell"),
    ],
)
def test_what_cannot_be_made(of: Any, sizes: dict[str, int], says: str):
    with pytest.raises(OptionError, match=says):
        Layer(of, sizes)
