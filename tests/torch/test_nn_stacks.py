"""How layers make a stack: cells and sizes by layer, connections, what a sequence starts from, the last step."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import Tensor

from rekur.cells import cell, find, gate, tanh
from rekur.errors import OptionError, ShapeError
from rekur.nn import Layer, Recurrent
from rekur.run import State
from tests.compare import differ, leaves, with_gradients

LENGTHS = (5, 0, 3)
X = torch.randn(3, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
BOTH = pytest.mark.parametrize("both", [False, True], ids=["forwards", "both"])


def stack(cells: Any, units: Any, layers: int | None = None, **options: Any) -> Recurrent:
    generator = torch.Generator().manual_seed(1)
    return Recurrent(cells, 4, units, layers, **{"dtype": torch.float64, "generator": generator, **options})


def one_depth(of: Recurrent, depth: int, x: Tensor, **options: Any) -> Tensor:
    chains = [of.layers[depth], *([of.reverse_layers[depth]] if of.bidirectional else [])]
    return torch.cat([layer(x, None, **options).output for layer in chains], -1)


# ---- cells and sizes by layer ------------------------------------------------------------------------------------


@BOTH
def test_cells_and_sizes_by_layer(both: bool):
    of = stack(["lstm", find("gru"), "lstm-projected"], (6, 3, 5), sizes={"P": 2}, bidirectional=both)
    assert [layer.output_size for layer in of.layers if isinstance(layer, Layer)] == [6, 3, 2]
    assert of.output_size == 2 * (1 + both)
    x = X
    for depth in range(3):
        x = one_depth(of, depth, x, lengths=LENGTHS)
    y, state = of(X, lengths=LENGTHS)
    assert torch.equal(y, x)
    assert [k for k in state if "reverse" not in k] == ["0.h", "0.c", "1.h", "2.h", "2.c"]
    assert state["2.c"].shape == (3, 5)
    alike = stack("gru", [3, 3])
    assert torch.equal(alike(X)[0], stack(["gru", "gru"], 3)(X)[0])
    assert torch.equal(alike(X)[0], stack("gru", 3, 2)(X)[0])


def test_values_of_unlike_layers():
    of = stack(["lstm", "gru"], 3)
    assert list(of.scan(X, record=("forget", "update", "candidate")).record) == [
        "0.forget", "0.candidate", "1.update", "1.candidate",
    ]  # fmt: skip
    for name in ("1.forget", "0.update", "both"):
        with pytest.raises(ShapeError, match=f"lstm and gru have no value named '{name}'"):
            of.scan(X, record=(name,))
    with pytest.raises(ShapeError, match=re.escape("no state '1.c'; did you mean")):
        of(X, {k: torch.zeros(3, 3).double() for k in ("0.h", "0.c", "1.h", "1.c")})


@BOTH
def test_it_says_what_it_is(both: bool):
    of = stack(["lstm", "lstm", "gru"], [6, 6, 3], bidirectional=both, dropout=0.1, zoneout={"h": 0.5}, output="last")
    lines = of.explain().splitlines()
    chains = " × 2 directions of " if both else " × "
    assert [line.split(" runs")[0] for line in lines] == [f"2{chains}lstm.zoneout", f"1{chains}gru.zoneout"]
    text = repr(of)
    assert text.startswith(f"Recurrent(4 -> {3 * (1 + both)}, dropout=0.1, zoneout={{'h': 0.5}}, output of the last")
    assert "\n  2: gru, H=3, I=" in text
    assert ("\n  0.reverse: lstm, H=6, I=4, reverse\n" in text) == both
    assert "Weights" not in text
    assert repr(of.layers[2].weights).startswith("Weights(reset.x (3, ")


# ---- connections -------------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("kind", ["residual", "dense"])
def test_connections_by_hand(kind: str, both: bool):
    """With lengths and NaN in the padding, and all gradients."""
    sizes = 3 if kind == "residual" else [3, 2, 5]
    of = stack("gru", sizes, 3, connections=kind, bidirectional=both)
    padded = torch.where(torch.arange(5)[:, None] < torch.tensor(LENGTHS)[:, None, None], X, torch.nan)

    def by_hand(x: Tensor) -> Tensor:
        first = one_depth(of, 0, x, lengths=LENGTHS)
        if kind == "residual":
            second = first + one_depth(of, 1, first, lengths=LENGTHS)
            return second + one_depth(of, 2, second, lengths=LENGTHS)
        second = one_depth(of, 1, torch.cat([x, first], -1), lengths=LENGTHS)
        return one_depth(of, 2, torch.cat([x, first, second], -1), lengths=LENGTHS)

    def found(how: Any) -> Any:
        x = leaves({"x": padded})
        y = how(x["x"])
        return with_gradients({"y": y}, {"y": y.detach().cos()}, {"input": x, "weight": dict(of.named_parameters())})

    assert differ(found(lambda x: of(x, lengths=LENGTHS)[0]), found(by_hand)) == {}
    plain = stack("gru", 3, 3, bidirectional=both)
    if kind == "residual":
        assert plain.state_dict().keys() == of.state_dict().keys()
        assert "y" in differ({"y": plain(X)[0]}, {"y": of(X)[0]})


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("options", [{"connections": "residual"}, {"connections": "dense"}], ids=str)
def test_steps_through_connections(options: dict[str, Any], backend: str):
    of = stack(["lstm", "gru", "lstm"], 3, backend=backend, dtype=torch.float32, learn_initial_state=True, **options)
    x = X.float()
    with torch.no_grad():
        of.get_parameter("layers.1.initial.h").normal_()
        whole, end = of(x)
        with of.prepared():
            state, ys = None, []
            for t in range(5):
                y, state = of.step(x[:, t], state)
                ys.append(y)
    assert state is not None
    assert differ({"y": torch.stack(ys, 1), **state}, {"y": whole, **end}, 1e-6) == {}


# ---- what a sequence starts from ---------------------------------------------------------------------------------


@cell
def from_half(x, h=0.5):
    """Starts from a half, learnt or not."""
    return gate("hidden", tanh, x, h)


@BOTH
def test_a_learnt_initial_state_is_a_state_handed_in(both: bool):
    of = stack(from_half, 3, 2, learn_initial_state=True, bidirectional=both)
    plain = stack(from_half, 3, 2, bidirectional=both)
    assert torch.equal(of(X)[0], plain(X)[0])  # it starts as the cell says
    assert sum(".initial." in k for k in of.state_dict()) == 2 * (1 + both)
    for i, p in enumerate(of.parameters()):
        torch.nn.init.normal_(p, generator=torch.Generator().manual_seed(i))
    start = of.initial_state(3)
    assert start["1.h"].shape == (3, 3)
    assert torch.equal(start["1.h"][2], of.get_parameter("layers.1.initial.h"))
    x, counts = X, LENGTHS
    for depth in range(2):
        chains = [("", of.layers[depth]), *([(".reverse", of.reverse_layers[depth])] if both else [])]
        x = torch.cat([
            layer(x, {"h": start[f"{depth}{name}.h"]}, lengths=counts, initial={"h": torch.zeros(3).double()}).output
            for name, layer in chains
        ], -1)  # fmt: skip
    y, end = of(X, lengths=LENGTHS)
    assert torch.equal(y, x)
    assert torch.equal(end["0.h"][1], start["0.h"][1])  # a row without steps stays where it starts


def test_a_reset_goes_back_to_what_is_learnt():
    of = stack("lstm", 3, learn_initial_state=True)
    with torch.no_grad():
        for k in ("h", "c"):
            of.get_parameter(f"layers.0.initial.{k}").normal_()
    reset = torch.zeros(3, 5, dtype=torch.bool)
    reset[:, 2] = True
    y, _ = of(X, reset=reset)
    assert differ({"y": y[:, 2:]}, {"y": of(X[:, 2:])[0]}) == {}
    y[:, 2:].sum().backward()
    initial = of.get_parameter("layers.0.initial.h")
    assert initial.grad is not None
    late = initial.grad.clone()
    of(X[:, 2:])[0].sum().backward()
    assert differ({"gradient": initial.grad}, {"gradient": 2 * late}) == {}
    assert late.all()
    _, state = of(X)
    rows = torch.tensor([True, False, True])
    cut = state.reset(rows, of.initial_state())
    assert torch.equal(cut["0.c"][0], of.get_parameter("layers.0.initial.c"))
    assert torch.equal(cut["0.c"][1], state["0.c"][1])
    half = stack(from_half, 3)
    assert half(X)[1].reset(rows, half.initial_state())["0.h"][0].eq(0.5).all()


# ---- the last step -----------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("connections", ["plain", "residual"])
def test_the_last_step_of_each_chain(connections: str, both: bool):
    of = stack("lstm", 3, 2, output="last", connections=connections, bidirectional=both)
    every = stack("lstm", 3, 2, connections=connections, bidirectional=both)
    series, end = every(X, lengths=LENGTHS)
    y, state = of(X, lengths=LENGTHS)
    want = torch.zeros(3, of.output_size, dtype=torch.float64)
    for b, count in enumerate(LENGTHS):
        if count:
            want[b] = torch.cat([series[b, count - 1, :3], series[b, 0, 3:]])
    assert torch.equal(y, want)
    assert differ(dict(state), dict(end)) == {}
    if connections == "plain":
        assert torch.equal(y[0, :3], state["1.h"][0])
    assert torch.equal(of(X, lengths=torch.tensor(LENGTHS))[0], y)
    assert torch.equal(of(X)[0][1], torch.cat([every(X)[0][1, -1, :3], every(X)[0][1, 0, 3:]]))
    gaps = torch.tensor([[0, 1, 0, 1, 0], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1]], dtype=torch.bool)
    series, last = every.scan(X, live=gaps).output, of.scan(X, live=gaps).output
    assert torch.equal(last[0], torch.cat([series[0, 3, :3], series[0, 1, 3:]]))
    assert not last[1].any()
    assert of(X[:, :0])[0].shape == (3, of.output_size)


def test_a_stack_that_puts_out_the_last_step_takes_steps():
    of = stack("gru", 3, output="last")
    y, state = of.step(X[:, 0])
    assert torch.equal(y, of(X[:, :1])[0])
    assert differ(dict(of.step(X[:, 1], state)[1]), dict(of(X[:, :2])[1])) == {}


# ---- mistakes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "options", "says"),
    [
        ((["lstm", "gru"], 3, 3), {}, "num_layers is 3, cell lists 2; list one a layer, and leave out num_layers"),
        ((["lstm", "gru"], [3, 3, 3]), {}, "the layers are counted differently: cell lists 2, hidden_size lists 3"),
        (([], 3), {}, "cell lists 0"),
        (("gru", [3, 0]), {}, "hidden_size[1] must be a whole number above zero, got 0"),
        ((["gru", "lsmt"], 3), {}, "there is no cell 'lsmt'; did you mean 'lstm'"),
        ((["gru", 7], 3), {}, "7 is of type int, not a cell"),
        ((["lstm", "gru"], 3), {"sizes": {"P": 1}}, "lstm and gru have no axis 'P'"),
        (("gru", 3, 2), {"connections": "residul"}, "plain or residual or dense, got 'residul'; did you mean 'resid"),
        (("gru", 3, 2), {"output": "first"}, "output must be every or last, got 'first'"),
        (("gru", [3, 5]), {"connections": "residual"}, "layer 1 reads 3 features and puts out 5; give these layers"),
    ],
    ids=str,
)
def test_stacks_that_cannot_be(arguments: tuple[Any, ...], options: dict[str, Any], says: str):
    with pytest.raises(OptionError, match=re.escape(says)):
        stack(*arguments, **options)


def test_dense_connections_have_no_symbols():
    of = stack("gru", 3, 2, connections="dense")
    symbols = torch.zeros(3, 5, dtype=torch.int64)
    for call in (lambda: of(symbols), lambda: of.step(symbols[:, 0], State(of.initial_state(3)))):
        with pytest.raises(ShapeError, match="dense connections hand the input to every layer, and symbols are for"):
            call()
    assert stack("gru", 3, 1, connections="dense")(symbols)[0].shape == (3, 5, 3)
    assert stack("gru", 3, 2, connections="residual")(symbols)[0].shape == (3, 5, 3)
