"""Weights of Keras and TensorFlow 1, in and out, by value: our cells against those libraries' equations in numpy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from rekur.cells import Cell, cell, elman_relu, find, gate, gru, gru_after, lstm, sigmoid, tanh
from rekur.interop import from_keras, from_tf1, to_keras, to_tf1
from rekur.nn import Recurrent, initial_weights
from rekur.run import compile, scan
from tests.compare import Named, differ
from tests.torch import formats_by_hand as formats
from tests.torch.formats_by_hand import HIDDEN, INPUT, ROWS, STEPS, Array, random

H, I = HIDDEN, INPUT  # noqa: E741
X = random([(ROWS, STEPS, I)], 0)[0]

KERAS: Mapping[str, tuple[str, Callable[..., Any], list[tuple[int, ...]]]] = {
    "elman": ("SimpleRNN", formats.keras_simple_rnn, [(I, H), (H, H), (H,)]),
    "lstm": ("LSTM", formats.keras_lstm, [(I, 4 * H), (H, 4 * H), (4 * H,)]),
    "gru": ("GRU", formats.keras_gru_before, [(I, 3 * H), (H, 3 * H), (3 * H,)]),
    "gru_after": ("GRU", formats.keras_gru_after, [(I, 3 * H), (H, 3 * H), (2, 3 * H)]),
}
"""Our cell -> Keras's class, its equations, and the shapes of its arrays"""
PAIR = ("kernel", "bias")
TF1: Mapping[str, tuple[str, Callable[..., Any], dict[str, tuple[int, ...]]]] = {
    "elman": ("BasicRNNCell", formats.tf_basic_rnn, {"kernel": (I + H, H), "bias": (H,)}),
    "lstm": (
        "BasicLSTMCell",
        lambda x, *arrays: formats.tf_basic_lstm(x, *arrays, forget_bias=1.0),
        {"kernel": (I + H, 4 * H), "bias": (4 * H,)},
    ),
    "gru": (
        "GRUCell",
        formats.tf_gru,
        {
            "gates/kernel": (I + H, 2 * H),
            "gates/bias": (2 * H,),
            "candidate/kernel": (I + H, H),
            "candidate/bias": (H,),
        },
    ),
}


def keras_arrays(name: str) -> list[Array]:
    return random(KERAS[name][2], 1)


def tf1_arrays(name: str) -> dict[str, Array]:
    shapes = TF1[name][2]
    return dict(zip(shapes, random([*shapes.values()], 2), strict=True))


def ours(cell: Cell, weights: Mapping[str, Tensor]) -> Named:
    """The output and the final states of our cell."""
    found = scan(compile(cell, "reference"), dict(weights), torch.from_numpy(X))
    return {"output": found.output, **found.state}


def theirs(results: tuple[Array, ...]) -> Named:
    return dict(zip(("output", "h", "c"), map(torch.from_numpy, results), strict=False))


def own_weights(cell: Cell) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(3)
    shapes = initial_weights(cell.graph, {"I": I, "H": H})
    return {k: torch.randn(v.shape, generator=draw, dtype=torch.float64) for k, v in shapes.items()}


# ---- by value ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KERAS)
def test_from_keras(name: str):
    kind, equations, _ = KERAS[name]
    arrays = keras_arrays(name)
    cell, weights = from_keras(kind, arrays)
    assert cell.name == name
    assert weights.keys() == cell.graph.parameters.keys()
    assert differ(ours(cell, weights), theirs(equations(X, *arrays))) == {}


@pytest.mark.parametrize("name", KERAS)
def test_from_keras_without_a_bias(name: str):
    kind, equations, shapes = KERAS[name]
    kernel, recurrent, _ = keras_arrays(name)
    told = {"reset_after": name == "gru_after"} if kind == "GRU" else {}
    cell, weights = from_keras(kind, [kernel, recurrent], **told)
    assert cell.name == name
    assert differ(ours(cell, weights), theirs(equations(X, kernel, recurrent, np.zeros(shapes[2])))) == {}


@pytest.mark.parametrize("name", TF1)
def test_from_tf1(name: str):
    kind, equations, _ = TF1[name]
    arrays = tf1_arrays(name)
    cell, weights = from_tf1(kind, arrays)
    assert cell.name == name
    assert weights.keys() == cell.graph.parameters.keys()
    assert differ(ours(cell, weights), theirs(equations(X, *arrays.values()))) == {}


@pytest.mark.parametrize("name", KERAS)
def test_to_keras(name: str):
    _, equations, shapes = KERAS[name]
    cell = find(name.replace("_", "-"))
    weights = own_weights(cell)
    arrays = to_keras(cell, weights)
    assert [v.shape for v in arrays] == shapes
    assert differ(theirs(equations(X, *arrays)), ours(cell, weights)) == {}


@pytest.mark.parametrize("name", TF1)
def test_to_tf1(name: str):
    _, equations, shapes = TF1[name]
    weights = own_weights(find(name))
    arrays = to_tf1(find(name), weights)
    assert {k: v.shape for k, v in arrays.items()} == shapes
    assert differ(theirs(equations(X, *arrays.values())), ours(find(name), weights)) == {}


@pytest.mark.parametrize("forget_bias", [0.0, 2.5])
def test_the_forget_bias_is_added_at_run_time(forget_bias: float):
    arrays = tf1_arrays("lstm")
    cell, weights = from_tf1("BasicLSTMCell", arrays, forget_bias=forget_bias)
    want = theirs(formats.tf_basic_lstm(X, *arrays.values(), forget_bias=forget_bias))
    assert differ(ours(cell, weights), want) == {}
    assert "output" in differ(ours(*from_tf1("BasicLSTMCell", arrays)), want)  # which has another
    back = to_tf1(cell, weights, forget_bias=forget_bias)
    assert all(abs(back[k] - v).max() < 1e-15 for k, v in arrays.items())


# ---- there and back -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KERAS)
def test_to_keras_and_back(name: str):
    cell = find(name.replace("_", "-"))
    weights = own_weights(cell)
    again, found = from_keras(KERAS[name][0], to_keras(cell, weights))
    assert again is cell
    assert differ(found, weights, within=0.0) == {}
    arrays = keras_arrays(name)
    back = to_keras(*from_keras(KERAS[name][0], arrays))
    if name == "gru_after":  # which of the two rows has the bias of a gate makes no difference
        gates = slice(2 * H)
        assert np.array_equal(back[2].sum(0)[gates], arrays[2].sum(0)[gates])
        back[2][:, gates] = arrays[2][:, gates]
    assert all(map(np.array_equal, back, arrays))


@pytest.mark.parametrize("name", TF1)
def test_to_tf1_and_back(name: str):
    weights = own_weights(find(name))
    again, found = from_tf1(TF1[name][0], to_tf1(find(name), weights))
    assert again is find(name)
    assert differ(found, weights, within=1e-15) == {}


def test_relu_has_the_arrays_of_tanh():
    _, weights = from_keras("SimpleRNN", keras_arrays("elman"))
    assert all(map(np.array_equal, to_keras(elman_relu, weights), keras_arrays("elman")))
    assert to_tf1(elman_relu, weights)["kernel"].shape == (I + H, H)


def test_a_cell_of_ones_own_that_is_one_of_them():
    @cell
    def mine(features, memory):
        keep = gate("keep", sigmoid, features, memory)
        use = gate("use", sigmoid, features, memory)
        return keep * memory + gate("new", tanh, features, memory=use * memory) * (1 - keep)

    names = {"update": "keep", "reset": "use", "candidate": "new", "x": "features", "h": "memory", "bias": "bias"}
    weights = own_weights(gru)
    own = {".".join(names[part] for part in k.split(".")): v for k, v in weights.items()}
    assert all(map(np.array_equal, to_keras(mine, own), to_keras(gru, weights)))
    got, want = to_tf1(mine, own), to_tf1(gru, weights)
    assert all(np.array_equal(got[k], v) for k, v in want.items())


def test_both_directions_of_a_stack():
    """As keras.layers.Bidirectional has them: the arrays forwards, then those backwards."""
    shapes = KERAS["lstm"][2]
    arrays = random([*shapes, *shapes], 4)
    stack = Recurrent("lstm", I, H, bidirectional=True, dtype=torch.float64)
    for half, chain in ((arrays[:3], stack.layers[0]), (arrays[3:], stack.reverse_layers[0])):
        chain.weights.load_state_dict(from_keras("LSTM", half)[1])  # type: ignore[union-attr]
    forth, *_ = formats.keras_lstm(X, *arrays[:3])
    back, *_ = formats.keras_lstm(X[:, ::-1], *arrays[3:])
    want = {"y": torch.from_numpy(np.concatenate([forth, back[:, ::-1]], 2))}
    assert differ({"y": stack(torch.from_numpy(X))[0].detach()}, want) == {}


# ---- what is wrong is found ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("a", "b"), [(0, 1), (1, 2), (2, 3), (0, 3)])
def test_swapped_gates_are_found(a: int, b: int):
    def swapped(v: Array) -> Array:
        gates = np.split(v, 4, axis=-1)
        gates[a], gates[b] = gates[b], gates[a]
        return np.concatenate(gates, -1)

    arrays, kept = keras_arrays("lstm"), tf1_arrays("lstm")
    for part in range(3):
        wrong = [swapped(v) if k == part else v for k, v in enumerate(arrays)]
        assert "output" in differ(ours(*from_keras("LSTM", wrong)), theirs(formats.keras_lstm(X, *arrays)))
    for key in kept:
        found = ours(*from_tf1("BasicLSTMCell", kept | {key: swapped(kept[key])}))
        assert "output" in differ(found, theirs(formats.tf_basic_lstm(X, *kept.values(), forget_bias=1.0)))


def test_the_other_reset_is_found():
    kernel, recurrent, bias = keras_arrays("gru")
    doubled = np.stack([bias, np.zeros_like(bias)])
    found = ours(*from_keras("GRU", [kernel, recurrent, doubled]))
    assert "output" in differ(found, theirs(formats.keras_gru_before(X, kernel, recurrent, bias)))
    assert from_keras("GRU", [kernel, recurrent, doubled])[0] is gru_after


def test_the_state_above_the_input_is_found():
    arrays = tf1_arrays("gru")
    wrong = arrays | {"candidate/kernel": np.roll(arrays["candidate/kernel"], H, axis=0)}
    assert "output" in differ(ours(*from_tf1("GRUCell", wrong)), theirs(formats.tf_gru(X, *arrays.values())))


# ---- what is taken and given --------------------------------------------------------------------------------------


def test_tensors_other_precisions_and_orders_of_bytes_are_taken():
    arrays = keras_arrays("lstm")
    want = from_keras("LSTM", arrays)[1]
    tensors = [torch.from_numpy(v).requires_grad_() for v in arrays]
    assert differ(from_keras("LSTM", tensors)[1], want, within=0.0) == {}
    assert differ(from_keras("LSTM", [v.astype(">f8") for v in arrays])[1], want, within=0.0) == {}
    half = from_keras("LSTM", [v.astype(np.float32) for v in arrays])[1]
    assert {v.dtype for v in half.values()} == {torch.float32}
    assert {v.dtype for v in to_keras(lstm, half)} == {np.dtype("float32")}


def test_weights_are_copies():
    arrays, kept = keras_arrays("elman"), tf1_arrays("elman")
    (_, one), (_, other) = from_keras("SimpleRNN", arrays), from_tf1("BasicRNNCell", kept)
    before = {k: v.clone() for k, v in one.items()}, {k: v.clone() for k, v in other.items()}
    for v in (*arrays, *kept.values()):
        v[...] = 0
    assert differ(one, before[0], within=0.0) == differ(other, before[1], within=0.0) == {}
    out = to_keras(find("elman"), one)
    for v in out:
        v[...] = 0
    assert differ(one, before[0], within=0.0) == {}


def test_variables_of_a_checkpoint_are_found_by_the_end_of_their_names():
    arrays = tf1_arrays("gru")
    scope = "decoder/rnn/multi_rnn_cell/cell_0/gru_cell/"
    inside = {f"{scope}{k}:0": v for k, v in arrays.items()}
    other = {f"{k.removesuffix(':0')}/Adam": np.zeros(1) for k in inside} | {"dense/kernel": np.zeros(1)}
    want = from_tf1("GRUCell", arrays)[1]
    assert differ(from_tf1("GRUCell", inside | other)[1], want, within=0.0) == {}
