"""Gradients in states against formulas, autograd through torch's own cells and finite differences."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rekur.cells import affine, cell, find
from rekur.errors import OptionError, ShapeError
from rekur.inspect import Decay, gradient_flow, vanishing
from rekur.inspect.spectrum import layers_of
from rekur.nn import Plan, Recurrent, SequenceModel

DOUBLE = torch.float64


def random(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)


def stack(cell, read: int, hidden: int, layers: int = 1, **options) -> Recurrent:
    generator = torch.Generator().manual_seed(7)
    return Recurrent(cell, read, hidden, layers, backend="reference", generator=generator, dtype=DOUBLE, **options)


def model(name: str = "lstm", **options) -> SequenceModel:
    settings = {"symbols": 9, "outputs": 9, "num_layers": 2} | options
    generator = torch.Generator().manual_seed(3)
    return SequenceModel(Plan(find(name), 4, 5, **settings), backend="reference", generator=generator, dtype=DOUBLE)


def symbols(*shape: int) -> Tensor:
    return torch.randint(9, shape, generator=torch.Generator().manual_seed(5))


def assert_close(found, wanted: Tensor) -> None:
    np.testing.assert_allclose(np.asarray(found), wanted.detach().numpy(), rtol=1e-9, atol=1e-12)


def test_elman_against_the_product_of_its_jacobians():
    layer = stack("elman", 3, 5)
    x, wanted = random(2, 6, 3), random(2, 6, 5, seed=2)
    flow = gradient_flow(layer, x, wanted, at="last")

    params = {k: v.detach().numpy() for k, v in layers_of(layer)["0"].params().items()}
    u = params["hidden.h"]
    for row in range(2):
        h, states = np.zeros(5), []
        for t in range(6):
            h = np.tanh(params["hidden.x"] @ x[row, t].numpy() + u @ h + params["hidden.bias"])
            states.append(h)
        back = 2 * (states[-1] - wanted[row, -1].numpy())
        for t in reversed(range(6)):
            np.testing.assert_allclose(flow["0.h"][row, t], back, rtol=1e-9)
            back = back @ (np.diag(1 - states[t] ** 2) @ u)


def test_the_comparison_finds_a_transposed_matrix():
    layer = stack("elman", 3, 5)
    x, wanted = random(2, 6, 3), random(2, 6, 5, seed=2)
    before = gradient_flow(layer, x, wanted, at="last")["0.h"]
    with torch.no_grad():
        weight = layers_of(layer)["0"].weights["hidden.h"]
        weight.copy_(weight.T.clone())
    with pytest.raises(AssertionError):
        assert_close(gradient_flow(layer, x, wanted, at="last")["0.h"], torch.from_numpy(before.values))


@pytest.mark.parametrize("at", ["every", "last"])
def test_lstm_against_autograd_through_torchs_cells(at):
    ours = stack("lstm", 3, 4, 2)
    theirs = [nn.LSTMCell(3 if depth == 0 else 4, 4, dtype=DOUBLE) for depth in range(2)]
    for layer, torchs in zip(layers_of(ours).values(), theirs, strict=True):
        params = layer.params()
        gates = ("input", "forget", "candidate", "output")
        with torch.no_grad():
            torchs.weight_ih.copy_(torch.cat([params[f"{gate}.x"] for gate in gates]))
            torchs.weight_hh.copy_(torch.cat([params[f"{gate}.h"] for gate in gates]))
            torchs.bias_ih.copy_(torch.cat([params[f"{gate}.bias"] for gate in gates]))
            torchs.bias_hh.zero_()
    x, wanted = random(3, 7, 3), random(3, 7, 4, seed=2)
    flow = gradient_flow(ours, x, wanted, at=at)

    zeros = torch.zeros(3, 4, dtype=DOUBLE, requires_grad=True)
    state, kept, losses = [(zeros, zeros)] * 2, [], []
    for t in range(7):
        read = x[:, t]
        for depth, torchs in enumerate(theirs):
            h, c = torchs(read, state[depth])
            # what the next step and the layer above read is this value, not the one that h was made of
            h, c = h.clone(), c.clone()
            state[depth] = (h, c)
            read = h
        kept.append(list(state))
        losses.append((read - wanted[:, t]).square().sum(-1))
    loss = losses[-1] if at == "last" else torch.stack(losses, 1).mean(1)
    for depth in range(2):
        for number, name in enumerate(("h", "c")):
            found = torch.autograd.grad(
                loss.sum(), [at[depth][number] for at in kept], retain_graph=True, allow_unused=True
            )
            series = torch.stack([torch.zeros(3, 4, dtype=DOUBLE) if g is None else g for g in found], 1)
            assert_close(flow[f"{depth}.{name}"], series)
    assert_close(flow.losses, loss)


@pytest.mark.parametrize("name", ["gru", "lstm", "indrnn", "minlstm"])
def test_any_cell_against_finite_differences(name):
    """Take some steps, move a unit of the state between two of them, go on: by as much does the loss change."""
    net, x, wanted, time = model(name), symbols(1, 6), symbols(1, 6), 2
    flow = gradient_flow(net, x, wanted)

    def moved(key: str, unit: int, by: float) -> float:
        read = net.read(x)
        for prefix, layer in layers_of(net).items():
            before = layer(read[:, : time + 1])
            state = {k: v.clone() for k, v in before.state.items()}
            if key.startswith(prefix):
                state[key[2:]][0, unit] += by
            after = layer(read[:, time + 1 :], state)
            first = next(iter(state.values()))[:, None]  # which layers above read at this step too
            read = torch.cat([before.output[:, :time], first, after.output], 1)
        assert net.head is not None
        return nn.functional.cross_entropy(net.head(read)[0], wanted[0]).item()

    with torch.no_grad():
        for key in flow:
            for unit in (0, 3):
                slope = (moved(key, unit, 1e-6) - moved(key, unit, -1e-6)) / 2e-6
                assert flow[key][0, time, unit].item() == pytest.approx(slope, rel=1e-4, abs=1e-9)


def test_the_compiled_kernels_steps_are_the_references():
    nets = [
        SequenceModel(Plan(find("lstm"), 4, 5, symbols=9, outputs=9), backend=backend).float()
        for backend in ("reference", "cpu")
    ]
    nets[1].load_state_dict(nets[0].state_dict())
    exact, ours = (gradient_flow(net, symbols(2, 5), symbols(2, 5)) for net in nets)
    for key in exact:
        np.testing.assert_allclose(ours[key], exact[key], rtol=1e-4, atol=1e-7)


def test_norms_are_the_lengths_by_state_and_by_layer():
    flow = gradient_flow(model(), symbols(3, 6), symbols(3, 6))
    assert flow.norms.dims == ("state", "batch", "time")
    assert [*flow.norms["state"].values] == ["0.h", "0.c", "1.h", "1.c"]
    np.testing.assert_allclose(flow.norms.sel(state="1.c"), np.linalg.norm(flow["1.c"], axis=-1))
    both = np.hypot(flow.norms.sel(state="0.h"), flow.norms.sel(state="0.c"))
    np.testing.assert_allclose(flow.layers.sel(layer="0"), both)
    assert flow.losses.dims == ("batch",)
    with pytest.raises(KeyError, match=r"did you mean '0\.h'"):
        flow["0.d"]


def test_rows_of_other_lengths_are_as_by_themselves():
    net, x, wanted = model(num_layers=2, bidirectional=True), symbols(3, 6), symbols(3, 6)
    lengths = [6, 2, 0]
    together = gradient_flow(net, x, wanted, lengths=lengths)
    curves = vanishing(net, x, wanted, lengths=lengths)
    for row, length in enumerate(lengths[:2]):
        here = (slice(row, row + 1), slice(length))
        alone = gradient_flow(net, x[here], wanted[here])
        for key in alone:
            assert_close(together[key][row, :length], torch.from_numpy(alone[key].values[0]))
            assert np.isnan(together[key][row, length:]).all()
        curve = vanishing(net, x[here], wanted[here])
        np.testing.assert_allclose(curves[:, row, :length], curve[:, 0], rtol=1e-9)
        assert np.isnan(curves[:, row, length:]).all()
    assert np.isnan(curves[:, 2]).all()
    assert together.losses[2] == 0


def test_the_vanishing_curve_is_the_gradient_of_the_last_loss_from_its_end():
    net, x, wanted = model(), symbols(3, 6), symbols(3, 6)
    wanted[1, 5] = -1  # nothing is asked: the curve begins at the step before
    curve, layers = vanishing(net, x, wanted), gradient_flow(net, x, wanted, at="last").layers
    np.testing.assert_allclose(curve[:, 0], layers[:, 0, ::-1])
    np.testing.assert_allclose(curve[:, 1, :5], layers[:, 1, 4::-1])
    assert np.isnan(curve[:, 1, 5]).all()


def test_a_chain_from_the_end_is_followed_to_it():
    """Turned around, a layer backwards is a layer forwards."""
    net = stack("gru", 3, 4, bidirectional=True)
    net.reverse_layers[0].load_state_dict(net.layers[0].state_dict())
    x = random(2, 6, 3)
    curve = vanishing(net, torch.cat([x, x.flip(1)]), torch.zeros(4, 6, 8, dtype=DOUBLE))
    assert [*curve["layer"].values] == ["0", "0.reverse"]
    np.testing.assert_allclose(curve.sel(layer="0")[:2], curve.sel(layer="0.reverse")[2:], rtol=1e-9)


@pytest.mark.parametrize("how", ["last", "mean", "max"])
def test_a_classifier_answers_for_the_whole(how):
    net, x, wanted = model(pooling=how, bidirectional=True), symbols(3, 6), torch.tensor([1, 4, 8])
    flow = gradient_flow(net, x, wanted)
    logits, _ = net(x)
    assert_close(flow.losses, nn.functional.cross_entropy(logits, wanted, reduction="none"))
    assert vanishing(net, x, wanted).sizes == {"layer": 4, "batch": 3, "distance": 6}
    if how == "last":
        numbers = model(pooling=how, outputs=1)
        a, b = (gradient_flow(numbers, x, wanted.double(), at=at)["0.c"].values for at in ("every", "last"))
        np.testing.assert_allclose(a, b)


@cell
def linear(x, h):
    return affine("hidden", x, h)


def constructed(scale: float) -> Decay:
    """The curve of a linear network whose recurrent matrix is orthogonal, but for the scale."""
    net = stack(linear, 3, 8)
    with torch.no_grad():
        weight = layers_of(net)["0"].weights["hidden.h"]
        nn.init.orthogonal_(weight, generator=torch.Generator().manual_seed(2))
        weight.mul_(scale)
    return Decay.of(vanishing(net, random(2, 65, 3), random(2, 65, 8, seed=2)).sel(layer="0").mean("batch"))


@pytest.mark.parametrize(
    ("scale", "verdict", "says"),
    [
        (0.5, "vanishes", "it halves every step"),
        (1.0, "holds", "64 steps back 100 % of it is left"),
        (1.5, "explodes", "it doubles every 1.7 steps"),
    ],
)
def test_constructed_networks_are_told_apart(scale, verdict, says):
    decay = constructed(scale)
    assert decay.verdict == verdict
    assert decay.rate == pytest.approx(scale)
    assert says in decay.sentence()
    if scale != 1:
        assert min(decay.half_life, decay.doubling) == pytest.approx(abs(math.log(2) / math.log(scale)))


def test_the_model_is_left_as_it_was():
    net = model(dropout=0.5).train()
    gradient_flow(net, symbols(2, 4), symbols(2, 4))
    assert net.training
    assert all(p.grad is None and p.requires_grad for p in net.parameters())


def test_what_does_not_fit_is_said():
    net = model()
    with pytest.raises(ShapeError, match=r"classes \(2, 4\), as the model answers; got \(2, 3\)"):
        gradient_flow(net, symbols(2, 4), symbols(2, 3))
    with pytest.raises(ShapeError, match=r"numbers \(2, 4, 9\)"):
        gradient_flow(net, symbols(2, 4), random(2, 4))
    with pytest.raises(ShapeError, match="no step"):
        gradient_flow(net, symbols(2, 0), symbols(2, 0))
    with pytest.raises(OptionError, match="1024 steps at most"):
        gradient_flow(net, symbols(1, 1025), symbols(1, 1025))
