"""What a stack cannot be made of and cannot read: each message has the names, the sizes and a way out."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence

from rekur.cells import affine, cell, find, gate, spread, sum_over, tanh
from rekur.errors import BackendError, GraphError, OptionError, ShapeError
from rekur.nn import Recurrent

X = torch.randn(3, 5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
RESET = torch.zeros(3, 5, dtype=torch.bool)


def stack(name: str, **options: Any) -> Recurrent:
    return Recurrent(name, 3, 4, 2, dtype=torch.float64, **options)


@cell(h="")
def scalar_out(x, h):
    return tanh(sum_over(affine("hidden", x)) + h)


@cell(m="H K")
def matrix_out(x, m):
    return tanh(m + spread(affine("hidden", x), "H", "K"))


@cell(x="")
def scalar_in(x, h):
    return tanh(x + affine("hidden", h))


@cell(x="H")
def input_on_units(x, h):
    return tanh(x + affine("hidden", h))


@cell
def two_inputs(x, y, /, h):
    return gate("hidden", tanh, x, h) + affine("other", y)


@cell
def taken(x, h):
    return gate("training", tanh, x, h)


def plain(x, h):
    return h


@pytest.mark.parametrize(
    ("arguments", "options", "says"),
    [
        (("lsmt", 3, 4), {}, "there is no cell 'lsmt'; did you mean 'lstm'"),
        ((plain, 3, 4), {}, "is of type function, not a cell: a step under @cell is one"),
        ((find("gru").graph, 3, 4), {}, "is of type Graph, not a cell"),
        (("gru", 0, 4), {}, "input_size must be a whole number above zero, got 0"),
        (("gru", 3, -4), {}, "hidden_size must be a whole number above zero, got -4"),
        (("gru", 3, 4.0), {}, "hidden_size must be a whole number above zero, got 4.0"),
        (("gru", 3, "4"), {}, "hidden_size must be a whole number above zero, got '4'"),
        (("gru", 3, 4, 0), {}, "num_layers must be a whole number above zero, got 0"),
        (("gru", 3, 4, True), {}, "num_layers must be a whole number above zero, got True"),
        (("gru", 3, 4), {"dropout": 1.0}, "dropout must lie in 0 ≤ p < 1, got 1.0"),
        (("gru", 3, 4), {"dropout": -0.1}, "dropout must lie in 0 ≤ p < 1, got -0.1"),
        (("gru", 3, 4), {"dropout": torch.nan}, "dropout must lie in 0 ≤ p < 1, got nan"),
        (("gru", 3, 4), {"dropout": "0.5"}, "dropout must lie in 0 ≤ p < 1, got '0.5'"),
        (("gru", 3, 4), {"sizes": {"P": 2}}, "gru has no axis 'P'"),
        (("gru", 3, 4), {"sizes": {"H": 9}}, "the size of the axis 'H' is hidden_size: leave it out of sizes"),
        (("gru", 3, 4), {"sizes": {"I": 9}}, "the size of the axis 'I' is input_size: leave it out of sizes"),
        (("lstm-projected", 3, 4), {}, "lstmp has the axes P, whose sizes are not known; say sizes={'P': …}"),
        (("lstm-projected", 3, 4), {"sizes": {"P": 0}}, "sizes['P'] must be a whole number above zero, got 0"),
        (("attend", 3, 4), {}, "attend has the axes A, D, whose sizes are not known; say sizes={'A': …, 'D': …}"),
        (("row-lstm", 3, 4), {}, "row_lstm reads xi[H], xf[H], xg[H], xo[H] and puts out [H]; a stack is for"),
        ((two_inputs, 3, 4), {}, "two_inputs reads x[I], y[I] and puts out [H]; a stack is for cells that read one"),
        ((scalar_in, 3, 4), {}, "scalar_in reads x[] and puts out [H]; a stack is for"),
        ((scalar_out, 3, 4), {}, "scalar_out reads x[I] and puts out []; a stack is for"),
        ((matrix_out, 3, 4), {"sizes": {"K": 2}}, "matrix_out reads x[I] and puts out [H K]; a stack is for"),
        ((input_on_units, 3, 4), {}, "one axis, H, for input and units: layer 0 reads 3 features and has 4 units"),
        ((input_on_units, 4, 4, 2), {"bidirectional": True}, "layer 1 reads 8 features and has 4 units"),
        ((taken, 3, 4), {}, "a weight or gate cannot be called 'training': torch's modules use the name; rename it"),
        (("gru", 3, 4), {"backend": "fusde"}, "there is no backend 'fusde'; did you mean 'fused'"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_what_cannot_be_made(arguments: Any, options: dict[str, Any], says: str):
    with pytest.raises(OptionError, match=re.escape(says)):
        Recurrent(*arguments, **options)


def test_an_input_on_the_axis_of_the_units():
    assert Recurrent(input_on_units, 4, 4, 3)(torch.ones(2, 5, 4))[0].shape == (2, 5, 4)


def test_a_backend_by_name_is_never_replaced():
    with pytest.raises(BackendError, match="gru cannot run on fused: it is not an LSTM, a GRU with the reset after"):
        stack("gru", backend="fused")
    of = stack("lstm", backend="fused")
    of(X, lengths=[5, 0, 3])
    with pytest.raises(BackendError, match="lstm cannot run: fused: torch's layer knows no resets inside a sequence"):
        of(X, reset=RESET)


ZEROS = torch.zeros(3, 4, dtype=torch.float64)


@pytest.mark.parametrize(
    ("x", "state", "says"),
    [
        (np.zeros((3, 5, 3)), None, "the input must be a tensor (B, T, 3), got ndarray"),
        (
            pack_padded_sequence(X, torch.tensor([5, 2, 1]), True),
            None,
            "got PackedSequence; pad it, and say lengths=…",
        ),
        (X[0], None, "the input must be a tensor (B, T, 3), got (5, 3)"),
        (X[..., :2], None, "the input must be a tensor (B, T, 3), got (3, 5, 2)"),
        (X.float(), None, "the input 'x' is torch.float32, the weights are torch.float64; convert one of them"),
        (X, (ZEROS, ZEROS), "the state must be what the layer gave: 0.h, 0.c, 1.h, 1.c; got tuple"),
        (X, ZEROS, "got Tensor"),
        (X, {"0.h": ZEROS, "0.c": ZEROS}, "the state lacks 1.h, 1.c; hand in all of it, or no state"),
        (X, {}, "the state lacks 0.h, 0.c, 1.h, 1.c"),
        (X, {"h": ZEROS, "c": ZEROS}, "this stack has no state 'h'"),
        (X, {"0.h": ZEROS, "0.c": ZEROS, "1.h": ZEROS, "1.c": ZEROS, "2.h": ZEROS}, "no state '2.h'; did you mean"),
        (
            X,
            dict.fromkeys(("0.h", "0.c", "1.h", "1.c"), ZEROS[:2]),
            "the state 'h' has 2 rows in the batch (B), the input",
        ),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_what_cannot_be_read(x: Any, state: Any, says: str):
    with pytest.raises(ShapeError, match=re.escape(says)):
        stack("lstm")(x, state)


def test_both_directions_refuse_a_state():
    of = stack("lstm", bidirectional=True)
    _, state = of(X)
    with pytest.raises(
        ShapeError, match="a bidirectional stack cannot be handed a state: its second chain starts at"
    ):
        of(X, state)


@pytest.mark.parametrize("how", ["outputs", "record"])
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("forgt", "lstm has no value named 'forgt'; did you mean 'forget'"),
        ("2.forget", "lstm has no value named '2.forget'; did you mean '"),
        ("0.reverse.forget", "lstm has no value named '0.reverse.forget'; did you mean '0.forget'"),
    ],
)
def test_values_that_are_not_there(how: str, name: str, says: str):
    asked: dict[str, Any] = {how: (name,)}
    with pytest.raises((ShapeError, GraphError), match=re.escape(says)):
        stack("lstm").scan(X, **asked)
