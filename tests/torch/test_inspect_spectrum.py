"""Spectral radii and the step's Jacobian against formulas."""

import numpy as np
import pytest
import torch
from torch import Tensor

from rekur.cells import find
from rekur.inspect import recurrent_radii, step_jacobian, step_radii
from rekur.inspect.spectrum import layers_of
from rekur.inspect.unfold import unfold
from rekur.nn import Recurrent

DOUBLE = torch.float64


def stack(name: str, layers: int = 1, **options) -> Recurrent:
    generator = torch.Generator().manual_seed(7)
    return Recurrent(find(name), 3, 4, layers, backend="reference", generator=generator, dtype=DOUBLE, **options)


def features(rows: int = 2, time: int = 5) -> Tensor:
    return torch.randn(rows, time, 3, generator=torch.Generator().manual_seed(1), dtype=DOUBLE)


@pytest.mark.parametrize("name", ["0", "0.reverse"])
def test_the_jacobian_of_elman_is_its_formula(name):
    net, x = stack("elman", bidirectional=True), features()
    chain = unfold(net, x).chains[name]
    y, u = net(x)[0], layers_of(net)[name].params()["hidden.h"]
    h = y[1, 2, :4] if name == "0" else y[1, 2, 4:]
    np.testing.assert_allclose(step_jacobian(chain, 1, 2), (torch.diag(1 - h**2) @ u).detach(), rtol=1e-9)


def test_the_jacobian_of_lstm_is_that_of_autograd():
    net, x = stack("lstm"), features()
    chain = unfold(net, x).chains["0"]
    for time in (0, 3):
        entering = [v[1] for v in chain.entering(time).values()]

        def step(flat: Tensor, time: int = time) -> Tensor:
            h, c = flat.split(4)
            p = layers_of(net)["0"].params()
            f, i, g, o = (
                p[f"{k}.x"] @ x[1, time] + p[f"{k}.h"] @ h + p[f"{k}.bias"]
                for k in ("forget", "input", "candidate", "output")
            )
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            return torch.cat([o.sigmoid() * c.tanh(), c])

        wanted = torch.autograd.functional.jacobian(step, torch.cat(entering).detach())
        np.testing.assert_allclose(step_jacobian(chain, 1, time), wanted, rtol=1e-9, atol=1e-12)
    assert not np.allclose(step_jacobian(chain, 0, 3), wanted)  # another row has another


def test_radii_are_by_gate_and_layer():
    found = recurrent_radii(stack("gru", 2))
    assert [*found["weight"].values] == ["reset.h", "update.h", "candidate.h"]
    assert [*found["layer"].values] == ["0", "1"]
    u = layers_of(stack("gru", 2))["1"].params()["update.h"].detach()
    assert found.sel(layer="1", weight="update.h").item() == pytest.approx(np.abs(np.linalg.eigvals(u)).max())


def test_a_vector_is_a_diagonal_and_an_oblong_has_no_radius():
    net = stack("indrnn")
    (weight,) = recurrent_radii(net)["weight"].values
    largest = layers_of(net)["0"].params()[weight].abs().max().item()
    assert recurrent_radii(net).values.tolist() == [[largest]]
    oblong = recurrent_radii(stack("lstm-projected", sizes={"P": 2}))
    assert "forget.h" in oblong["weight"]
    assert np.isnan(oblong.sel(weight="forget.h")).all()


def test_the_steps_radii_are_spread_and_below_those_of_the_weights():
    """tanh's slope is 1 at most."""
    net = stack("elman", 2)
    radii = step_radii(net, features(), places=3)
    assert radii.sizes == {"layer": 2, "place": 3}
    assert len(set(radii.values.ravel())) == 6
    with torch.no_grad():
        for layer in layers_of(net).values():
            weight = layer.weights["hidden.h"]
            weight.copy_(torch.linalg.qr(weight).Q)  # whose norm is its radius, 1
    assert (step_radii(net, features()) < 1).all()
    still = step_radii(net, torch.zeros(1, 4, 3, dtype=DOUBLE))
    np.testing.assert_allclose(still, 1.0)
