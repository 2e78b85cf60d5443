"""Weights of TensorFlow 1's recurrent cells (`tf.nn.rnn_cell`), in and out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from torch import Tensor

from rekur.cells import elman, elman_relu, gru, lstm
from rekur.errors import OptionError, ShapeError, suggest
from rekur.graph import Cell
from rekur.interop.packed import Array, Value, array, expect, of, pack, recognised, unpack

_LSTM, _RNN = ("input", "candidate", "forget", "output"), ("hidden",)
_KINDS: Mapping[str, tuple[Cell, Mapping[str, tuple[str, ...]]]] = {
    "BasicRNNCell": (elman, {"": _RNN}),
    "BasicLSTMCell": (lstm, {"": _LSTM}),
    "GRUCell": (gru, {"gates/": ("reset", "update"), "candidate/": ("candidate",)}),
}
"""TensorFlow's class -> our cell, and the gates of each of its pairs of kernel and bias, side by side"""


def from_tf1(kind: str, arrays: Mapping[str, Value], *, forget_bias: float = 1.0) -> tuple[Cell, dict[str, Tensor]]:
    """The cell that a cell of TensorFlow 1 computes, and its weights by the names of ours.

    ``kernel (I + H, nH)`` has the rows of the input above those of the state, and gate beside gate: i j f o of
    BasicLSTMCell, where j is the candidate. GRUCell has two pairs: ``gates/kernel`` and ``gates/bias`` with r and u,
    ``candidate/kernel`` and ``candidate/bias``; u is the share of the old state, the reset acts before the product.

    :param kind: TensorFlow's class: BasicRNNCell, BasicLSTMCell or GRUCell.
    :param arrays: variables by name. What stands before the name, as in ``rnn/basic_lstm_cell/kernel``, may be left
        on, and other variables beside, as long as there is one cell's.
    :param forget_bias: what BasicLSTMCell adds to its forget gate at run time; here it becomes part of the bias.

    >>> import numpy as np
    >>> arrays = {"rnn/basic_lstm_cell/kernel": np.zeros((8, 20)), "rnn/basic_lstm_cell/bias": np.zeros(20)}
    >>> cell, weights = from_tf1("BasicLSTMCell", arrays)
    >>> cell.name, tuple(weights["forget.x"].shape), weights["forget.bias"][0].item()
    ('lstm', (5, 3), 1.0)

    The weights are copies. Raises ShapeError, which names the array, for one that is not there or does not fit, and
    OptionError for a kind that is not there.
    """
    if kind not in _KINDS:
        raise OptionError(
            f"of TensorFlow 1's cells there is no {kind!r}{suggest(kind, _KINDS)}; known: {', '.join(_KINDS)}"
        )
    cell, pairs = _KINDS[kind]
    out: dict[str, Tensor] = {}
    rows = h = 0
    for prefix, gates in pairs.items():
        n, times = len(gates), "" if len(gates) == 1 else len(gates)
        name, kernel = _find(kind, f"{prefix}kernel", arrays)
        if not out:  # the first one says how large all are
            expect(f"{kind}: {name}", kernel, ("I + H", f"{times}H"), f"the input above the state, {n} to a unit")
            rows, h = kernel.shape[0], kernel.shape[1] // n
            if kernel.shape[1] % n or rows <= h:
                raise ShapeError(f"{kind}: {name} is {kernel.shape}, expected (I + H, {times}H)")
        expect(f"{kind}: {name}", kernel, (rows, n * h), f"(I + H, {times}H)")
        name, bias = _find(kind, f"{prefix}bias", arrays)
        expect(f"{kind}: {name}", bias, (n * h,), f"({times}H,)")
        x, state = np.split(kernel, [rows - h])
        out |= unpack(x, of(gates, "x")) | unpack(state, of(gates, "h")) | unpack(bias, of(gates, "bias"))
    if cell is lstm:
        out["forget.bias"] += forget_bias
    return cell, out


def to_tf1(cell: Cell, weights: Mapping[str, Value], *, forget_bias: float = 1.0) -> dict[str, Array]:
    """The variables of the cell of TensorFlow 1 that computes `cell`, as `from_tf1` takes them.

    A cell of yours that *is* one of them by its structure is taken too.

    :param forget_bias: what BasicLSTMCell is going to add at run time; it is taken off the bias here.

    >>> import numpy as np
    >>> arrays = {"kernel": np.ones((8, 20)), "bias": np.ones(20)}
    >>> {k: v.shape for k, v in to_tf1(*from_tf1("BasicLSTMCell", arrays)).items()}
    {'kernel': (8, 20), 'bias': (20,)}

    Raises OptionError for a cell that is not there, and ShapeError for weights that do not fit it.
    """
    one, w = recognised("to_tf1", cell, weights, (lstm, gru, elman, elman_relu))
    if one is lstm:
        w["forget.bias"] = w["forget.bias"] - forget_bias
    pairs = next((pairs for known, pairs in _KINDS.values() if known is one), _KINDS["BasicRNNCell"][1])
    out = {}
    for prefix, gates in pairs.items():
        out[f"{prefix}kernel"] = np.concatenate([pack(w, of(gates, part)) for part in ("x", "h")])
        out[f"{prefix}bias"] = pack(w, of(gates, "bias"))
    return out


def _find(kind: str, name: str, arrays: Mapping[str, Value]) -> tuple[str, Array]:
    """The one variable of this name, whatever stands before it; and what it is called in full."""
    found = [k for k in arrays if k.removesuffix(":0") == name or k.removesuffix(":0").endswith(f"/{name}")]
    if len(found) > 1:
        raise ShapeError(f"{kind}: there are several {name!r}: {', '.join(found)}; hand in the variables of one cell")
    if not found:
        raise ShapeError(f"{kind}: there is no {name!r} among {', '.join(arrays) or 'no variables'}")
    return found[0], array(f"{kind}: {found[0]}", arrays[found[0]])
