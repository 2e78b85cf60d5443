"""`Recurrent`: a stack against its layers one by one; dropout, names, modules that travel."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from rekur.cells import affine, cell, gate, named, spread, sum_over, tanh
from rekur.errors import OptionError
from rekur.nn import Layer, Recurrent
from rekur.run import State, scan
from tests.compare import TIGHT, differ, leaves, silent, with_gradients
from tests.torch.one_by_one import CHAINS, SQUARE

EXTRA: Mapping[str, dict[str, int]] = {"attend": {"A": 2, "D": 4}, "lstm-projected": {"P": 2}}
LENGTHS = (5, 0, 3)
RESET = torch.tensor([[0, 1, 0, 0, 1], [0, 0, 1, 0, 0], [1, 0, 0, 1, 0]], dtype=torch.bool)


def stack(name: str, layers: int = 2, both: bool = False, **options: Any) -> Recurrent:
    return Recurrent(
        name, 3, 4, layers, bidirectional=both, sizes=EXTRA.get(name), dtype=torch.float64,
        generator=torch.Generator().manual_seed(1), **options,
    )  # fmt: skip


def given(name: str) -> dict[str, Any]:
    options: dict[str, Any] = {"lengths": LENGTHS, "reset": RESET}
    if name == "attend":
        draw = torch.Generator().manual_seed(2)
        options["constants"] = {"memory": torch.randn(3, 6, 4, generator=draw, dtype=torch.float64)}
        options["memory_lengths"] = {"S": [6, 1, 0]}
    return options


X = torch.randn(3, 5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def layer_by_layer(of: Recurrent, x: Tensor, state: Mapping[str, Tensor] | None, **options: Any) -> Any:
    """The definition: each layer reads what the one below puts out, both directions side by side."""
    final = {}
    for depth, forward in enumerate(of.layers):
        chains = [(f"{depth}", forward, False)]
        if of.bidirectional:
            chains.append((f"{depth}.reverse", of.reverse_layers[depth], True))
        ys = []
        for prefix, layer, reverse in chains:
            assert isinstance(layer, Layer)
            names = [a.name for a in layer.cell.graph.of("state")]
            start = None if state is None else {k: state[f"{prefix}.{k}"] for k in names}
            one = scan(layer.kernel, dict(layer.weights.named_parameters()), x, start, reverse=reverse, **options)
            ys.append(one.output)
            final.update({f"{prefix}.{k}": v for k, v in one.state.items()})
        x = torch.cat(ys, -1)
    return x, final


@pytest.mark.parametrize("both", [False, True], ids=["forwards", "both"])
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("name", [name for name in CHAINS if name not in SQUARE])
def test_a_stack_is_its_layers(name: str, layers: int, both: bool):
    of, options = stack(name, layers, both), given(name)
    wanted = [k for k in of.state_dict() if k.startswith("layers")]
    assert len(of.state_dict()) == len(wanted) * (1 + both)

    def run(how: Any) -> Any:
        x = leaves({"x": X})
        y, final = how(x["x"])
        results = {"output": y, **final}
        cotangents = {k: torch.cos(v.detach()) for k, v in results.items()}
        return with_gradients(results, cotangents, {"input": x, "weight": dict(of.named_parameters())})

    want = run(lambda x: layer_by_layer(of, x, None, **options))
    unread = {f"gradient of weight {k}" for k in of.state_dict() if name in ("elman-relu", "irnn", "indrnn")}
    assert silent(want) <= unread  # a relu may be off
    assert differ(run(lambda x: of(x, **options)), want) == {}
    assert run(lambda x: of(x, **options))["output"].shape == (3, 5, of.output_size)


@pytest.mark.parametrize("name", SQUARE)
def test_a_stack_of_cells_that_read_as_many_features_as_they_have_units(name: str):
    of = Recurrent(name, 4, 4, 3, dtype=torch.float64)
    x = torch.cat([X, X[..., :1]], 2)
    want, final = layer_by_layer(of, x, None, lengths=LENGTHS)
    y, state = of(x, lengths=LENGTHS)
    assert differ({"output": y, **state}, {"output": want, **final}) == {}
    with pytest.raises(OptionError, match="layer 0 reads 3 features and has 4 units; make them equal"):
        stack(name)


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_a_state_goes_in_and_comes_out(name: str):
    of = stack(name)
    whole, end = of(X)
    first, state = of(X[:, :2])
    second, last = of(X[:, 2:], state)
    assert differ({"y": torch.cat([first, second], 1).detach()}, {"y": whole.detach()}) == {}
    assert differ(last.detach(), end.detach()) == {}
    stepped = State({k: torch.zeros_like(v) for k, v in end.items()})
    for t in range(5):
        y, stepped = of.step(X[:, t], stepped)
        assert differ({"y": y.detach()}, {"y": whole[:, t].detach()}) == {}
    assert differ(dict(stepped.detach()), end.detach()) == {}
    zero = {k: torch.zeros_like(v) for k, v in end.items()}
    assert torch.equal(of(X, zero)[0], whole)


# ---- dropout ------------------------------------------------------------------------------------------------------


def test_dropout_only_between_layers_and_only_in_training():
    of = stack("gru", 2, dropout=0.5)
    quiet, _ = of.eval()(X)
    assert torch.equal(quiet, layer_by_layer(of, X, None)[0])
    one = stack("gru", 1, dropout=0.5).train()
    assert torch.equal(one(X)[0], one.eval()(X)[0])
    torch.manual_seed(0)
    loud, _ = of.train()(X)
    torch.manual_seed(0)
    below, _ = of.layers[0](X, None)[:2]
    dropped = nn.functional.dropout(below, 0.5, True)
    assert torch.equal(loud, of.layers[1](dropped, None)[0])
    assert not torch.equal(loud, quiet)


def test_dropout_drops_its_share():
    of = Recurrent(holds_one, 2, 50, 2, dropout=0.25)
    of(torch.ones(20, 40, 2))
    seen = of.scan(torch.ones(20, 40, 2), record=("1.read",)).record["1.read"]
    assert set(seen.unique().tolist()) == {0.0, torch.tensor(1 / 0.75).item()}
    assert abs((seen == 0).float().mean().item() - 0.25) < 0.01


@cell
def holds_one(x, h):
    """Puts ones out, and shows what it reads."""
    named("read", x)
    return 0.0 * affine("hidden", x, h) + 1.0


# ---- names --------------------------------------------------------------------------------------------------------


def test_values_by_name():
    of = stack("lstm", 2, both=True)
    everything = of.scan(X, record=("forget",)).record
    assert list(everything) == ["0.forget", "0.reverse.forget", "1.forget", "1.reverse.forget"]
    for name in everything:
        alone = of.scan(X, outputs=(name,))
        assert list(alone.outputs) == [name]
        assert differ({name: alone.outputs[name].detach()}, {name: everything[name]}) == {}
        assert alone.outputs[name].requires_grad
    mixed = of.scan(X, outputs=("1.input", "h"), record=("0.reverse.c",))
    assert set(mixed.outputs) == {"1.input", "0.h", "0.reverse.h", "1.h", "1.reverse.h"}
    assert list(mixed.record) == ["0.reverse.c"]
    assert torch.equal(torch.cat([mixed.outputs["1.h"], mixed.outputs["1.reverse.h"]], -1), mixed.output)


def test_names_of_weights_and_states():
    of = stack("lstm", 2, both=True)
    assert "layers.1.weights.forget.x" in of.state_dict()
    assert "reverse_layers.0.weights.forget.bias" in of.state_dict()
    _, state = of(X)
    assert list(state) == [f"{p}.{k}" for p in ("0", "0.reverse", "1", "1.reverse") for k in ("h", "c")]


def test_it_prints():
    text = repr(stack("lstm-projected", 1, both=True))
    assert "lstmp, H=4, P=2, I=3" in text
    assert "I=3, reverse" in text


# ---- modules that travel ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lstm", "gru", "mogrifier", "attend"])
def test_copies_pickles_and_state_dicts(name: str):
    of, options = stack(name, both=True), given(name)
    want = of(X, **options)[0]
    want.sum().backward()  # a module that has been used
    file = io.BytesIO()
    torch.save(of, file)
    file.seek(0)
    copies = [copy.deepcopy(of), pickle.loads(pickle.dumps(of)), torch.load(file, weights_only=False)]
    fresh = stack(name, both=True)
    with torch.no_grad():
        for p in fresh.parameters():
            p.mul_(2)
    assert not torch.equal(fresh(X, **options)[0], want)
    fresh.load_state_dict(of.state_dict())
    for again in (*copies, fresh):
        assert torch.equal(again(X, **options)[0], want)
        assert again.explain() == of.explain()
        with torch.no_grad():
            next(again.parameters()).zero_()
    assert torch.equal(of(X, **options)[0], want)  # nothing is shared


def test_weights_start_the_same_from_one_generator():
    before = torch.random.get_rng_state()
    one, two = (stack("lstm", both=True).state_dict() for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), before)  # the global generator is left alone
    assert differ(one, two, within=0.0) == {}
    other = Recurrent("lstm", 3, 4, 2, bidirectional=True, dtype=torch.float64).state_dict()
    assert set(differ(other, one)) == {k for k in one if not k.endswith(".bias")}


def test_a_learning_step_changes_what_comes_out():
    of = stack("lstm")
    optimiser = torch.optim.AdamW(of.parameters(), lr=0.1)
    losses = []
    for _ in range(12):
        loss = of(X, lengths=LENGTHS)[0].square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]


class Halved(nn.Module):
    def forward(self, v: Tensor) -> Tensor:
        return v / 2


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_weights_through_torchs_parametrizations(name: str):
    """As weight norm, spectral norm and pruning use them."""
    of, plain_one = stack(name, 1), stack(name, 1)
    gates = [k.removesuffix(".h") for k in of.cell.graph.parameters if k.endswith(".h")]
    for gate_name in gates:
        parametrize.register_parametrization(of.get_submodule(f"layers.0.weights.{gate_name}"), "h", Halved())
        with torch.no_grad():
            plain_one.get_parameter(f"layers.0.weights.{gate_name}.h").div_(2)
    y, _ = of(X)
    assert torch.equal(y, plain_one(X)[0])
    y.sum().backward()
    assert of.state_dict().keys() >= {f"layers.0.weights.{g}.parametrizations.h.original" for g in gates}
    assert all(p.grad is not None for p in of.parameters())


@cell(slots="N H")
def with_slots(x, h, slots=0.25):
    """The axis N is of a state alone: only `sizes` says how large it is."""
    h = gate("hidden", tanh, x, h)
    return h + sum_over(slots, "N"), 0.5 * slots + spread(h, "N", "H")


def test_an_axis_that_only_a_state_has():
    of = Recurrent(with_slots, 3, 4, 2, sizes={"N": 3})
    y, state = of(torch.ones(2, 5, 3), lengths=[5, 0])
    assert y.shape == (2, 5, 4)
    assert state["1.slots"].shape == (2, 3, 4)
    assert state["0.slots"][1].eq(0.25).all()


@pytest.mark.parametrize("both", [False, True], ids=["one direction", "both directions"])
@pytest.mark.parametrize(("dtype", "within"), [(torch.float64, TIGHT), (torch.float32, 1e-5)], ids=str)
@pytest.mark.parametrize("name", ["lstm", "gru", "attend"])
def test_the_first_layer_reads_symbols(name: str, dtype: torch.dtype, within: float, both: bool):
    of, options = stack(name, both=both).to(dtype), given(name)
    options |= {"constants": {k: v.to(dtype) for k, v in options.get("constants", {}).items()}}
    symbols = torch.randint(3, (3, 5), generator=torch.Generator().manual_seed(4))
    padded = torch.where(torch.arange(5) < torch.tensor(LENGTHS)[:, None], symbols, -1)

    def found(x: Tensor) -> Any:
        y, state = of(x, **options)
        values = {"y": y, **state}
        return with_gradients(values, {k: v.detach().cos() for k, v in values.items()}, {"weight": weights})

    weights = dict(of.named_parameters())
    want = found(nn.functional.one_hot(symbols, 3).to(dtype))
    for x in (padded, padded.int()):
        assert differ(found(x), want, within) == {}
    wrong = differ(found((symbols + 1) % 3), want, within)
    assert "y" in wrong
    assert {k for k in wrong if k.startswith("gradient of weight layers.0") and k.endswith(".x")}
