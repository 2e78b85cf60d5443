"""Arrays of other libraries that do not fit: each message names the array, what it is and what it should be."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from torch import Tensor

from rekur.cells import gru_after, lstm, mgu
from rekur.errors import OptionError, ShapeError
from rekur.graph import Graph
from rekur.interop import from_keras, from_tf1, to_keras, to_tf1
from rekur.nn import initial_weights

Shape = tuple[int, ...]
AFTER = "expected (2, 15), which is (2, 3H) with reset_after=True; with reset_after=False it is (15,)"
BEFORE = "expected (15,), which is (3H,) with reset_after=False; with reset_after=True it is (2, 15)"


def weights_of(graph: Graph) -> dict[str, Tensor]:
    return initial_weights(graph, {"I": 3, "H": 5})


@pytest.mark.parametrize(
    ("kind", "shapes", "says"),
    [
        ("LSTM", [(3, 20), (5, 15), (20,)], "recurrent_kernel is (5, 15), expected (5, 20), which is (H, 4H)"),
        ("LSTM", [(3, 20), (5, 15), (20,)], "(H, 4H); GRU has that shape"),
        ("LSTM", [(3, 20), (20,), (20,)], "LSTM: recurrent_kernel is (20,), expected (H, 4H)"),
        ("LSTM", [(20, 3), (5, 20), (20,)], "LSTM: kernel is (20, 3), expected (I, 20), which is (I, 4H) with H = 5"),
        ("LSTM", [(3, 20), (5, 20), (2, 20)], "LSTM: bias is (2, 20), expected (20,), which is (4H,)"),
        ("LSTM", [(3, 20)], "LSTM: expected kernel, recurrent_kernel and perhaps bias, got 1 arrays"),
        ("SimpleRNN", [(3, 5), (5, 20), (5,)], "expected (5, 5), which is (H, H); LSTM has that shape"),
        ("GRU", [(3, 15), (5, 15), (20,)], f"GRU: bias is (20,), {BEFORE}"),
        ("GRU", [(3, 15), (5, 15), (1, 15)], f"GRU: bias is (1, 15), {AFTER}"),
    ],
)
def test_arrays_of_keras(kind: str, shapes: list[Shape], says: str):
    with pytest.raises(ShapeError, match=re.escape(says)):
        from_keras(kind, [np.zeros(shape) for shape in shapes])


@pytest.mark.parametrize(
    ("bias", "after", "says"),
    [((15,), True, f"GRU: bias is (15,), {AFTER}"), ((2, 15), False, f"GRU: bias is (2, 15), {BEFORE}")],
)
def test_the_other_bias_of_a_gru(bias: Shape, after: bool, says: str):
    arrays = [np.zeros((3, 15)), np.zeros((5, 15)), np.zeros(bias)]
    with pytest.raises(ShapeError, match=re.escape(says)):
        from_keras("GRU", arrays, reset_after=after)
    assert from_keras("GRU", arrays, reset_after=not after)[0].name == ("gru" if after else "gru_after")


GRU = {"gates/kernel": (8, 10), "gates/bias": (10,), "candidate/kernel": (8, 5), "candidate/bias": (5,)}


@pytest.mark.parametrize(
    ("kind", "shapes", "says"),
    [
        ("BasicLSTMCell", {"kernel": (8, 18), "bias": (18,)}, "kernel is (8, 18), expected (I + H, 4H)"),
        ("BasicLSTMCell", {"kernel": (5, 20), "bias": (20,)}, "kernel is (5, 20), expected (I + H, 4H)"),
        ("BasicLSTMCell", {"a/kernel": (20,), "a/bias": (20,)}, "a/kernel is (20,), expected (I + H, 4H)"),
        ("BasicLSTMCell", {"kernel": (8, 20), "bias": (5,)}, "bias is (5,), expected (20,), which is (4H,)"),
        ("BasicLSTMCell", {"kernel": (8, 20)}, "there is no 'bias' among kernel"),
        ("BasicLSTMCell", {}, "there is no 'kernel' among no variables"),
        ("BasicLSTMCell", GRU, "several 'kernel': gates/kernel, candidate/kernel; hand in the variables of one cell"),
        ("GRUCell", {"kernel": (8, 15)}, "there is no 'gates/kernel' among kernel"),
        (
            "GRUCell",
            {**GRU, "candidate/kernel": (9, 5)},
            "candidate/kernel is (9, 5), expected (8, 5), which is (I +",
        ),
        ("GRUCell", {**GRU, "candidate/bias": (10,)}, "candidate/bias is (10,), expected (5,), which is (H,)"),
    ],
)
def test_variables_of_tensorflow(kind: str, shapes: dict[str, Shape], says: str):
    with pytest.raises(ShapeError, match=re.escape(says)) as caught:
        from_tf1(kind, {k: np.zeros(shape) for k, shape in shapes.items()})
    assert str(caught.value).startswith(f"{kind}: ")


def test_whole_numbers():
    arrays = [np.zeros((3, 20)), np.zeros((5, 20)), np.zeros(20, int)]
    with pytest.raises(ShapeError, match="LSTM: bias must be floating point, got int64"):
        from_keras("LSTM", arrays)
    with pytest.raises(ShapeError, match="BasicRNNCell: kernel must be floating point, got int64"):
        from_tf1("BasicRNNCell", {"kernel": np.zeros((8, 5), int), "bias": np.zeros(5)})


def test_kinds_that_there_are_not():
    with pytest.raises(OptionError, match="no recurrent layer 'lstm'; known: LSTM, GRU, SimpleRNN"):
        from_keras("lstm", [])
    with pytest.raises(OptionError, match="no 'BasicLSTM'; did you mean 'BasicLSTMCell'"):
        from_tf1("BasicLSTM", {})


def test_what_nobody_says():
    arrays = [np.zeros((3, 15)), np.zeros((5, 15))]
    with pytest.raises(
        OptionError, match=r"nothing says where the reset acts; say reset_after=True .* or reset_after="
    ):
        from_keras("GRU", arrays)
    with pytest.raises(OptionError, match="reset_after is of a GRU, not of LSTM"):
        from_keras("LSTM", arrays, reset_after=True)


def test_cells_that_are_not_theirs():
    with pytest.raises(
        OptionError, match=r"to_tf1 writes lstm, gru, elman, elman_relu .*; gru_after is none of them"
    ):
        to_tf1(gru_after, weights_of(gru_after.graph))
    with pytest.raises(OptionError, match=r"to_keras writes .*; mgu is none of them"):
        to_keras(mgu, weights_of(mgu.graph))


def test_weights_that_do_not_fit_each_other():
    weights = weights_of(lstm.graph)
    with pytest.raises(ShapeError, match=r"to_keras: the weights of lstm lack 'forget\.h'"):
        to_keras(lstm, {k: v for k, v in weights.items() if k != "forget.h"})
    with pytest.raises(ShapeError, match=r"the weight 'forget\.h' is \(5, 4\), expected \(5, 5\), which is \[H H\]"):
        to_tf1(lstm, weights | {"forget.h": torch.zeros(5, 4)})
