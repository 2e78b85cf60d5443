"""Weights of Keras's recurrent layers, in and out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor

from rekur.cells import elman, elman_relu, gru, gru_after, lstm
from rekur.errors import OptionError, ShapeError, suggest
from rekur.graph import Cell
from rekur.interop.packed import Array, Value, array, expect, of, pack, recognised, unpack

_LSTM, _GRU, _RNN = ("input", "forget", "candidate", "output"), ("update", "reset", "candidate"), ("hidden",)
_AFTER_X, _AFTER_H = ("update", "reset", "candidate_x"), ("update", "reset", "candidate_h")
_GATES: Mapping[str, tuple[str, ...]] = {"LSTM": _LSTM, "GRU": _GRU, "SimpleRNN": _RNN}
"""Keras's class -> its gates as they stand beside each other"""


def from_keras(
    kind: str, arrays: Sequence[Value], *, reset_after: bool | None = None
) -> tuple[Cell, dict[str, Tensor]]:
    """The cell that a Keras layer computes, and its weights by the names of that cell.

    ``kernel (I, nH)``, ``recurrent_kernel (H, nH)``, ``bias (nH,)``, gate beside gate: i f c o of an LSTM, z r h of
    a GRU. A GRU with ``reset_after=True``, the default of TensorFlow 2 and Keras 3, has a bias ``(2, 3H)`` and is
    `gru_after`; with ``reset_after=False`` it has ``(3H,)`` and is `gru`. Arrays do not say what the activations
    are: the cells have Keras's defaults, tanh and sigmoid. (A SimpleRNN of relu is the cell `elman_relu`, with the
    same weights. Layers from before TensorFlow 2 may have ``hard_sigmoid``, and then are no cell of the zoo.)

    :param kind: Keras's class: LSTM, GRU or SimpleRNN.
    :param arrays: what the layer's ``get_weights()`` gives: kernel, recurrent kernel and, if it has one, bias. Of a
        ``Bidirectional`` layer, the first half is the layer forwards and the second half the layer backwards.
    :param reset_after: of a GRU without bias, where the reset acts; else it is known from the bias.

    >>> import numpy as np
    >>> cell, weights = from_keras("LSTM", [np.zeros((3, 20)), np.zeros((5, 20)), np.zeros(20)])
    >>> cell.name, tuple(weights["forget.x"].shape)
    ('lstm', (5, 3))

    The weights are copies; a layer without bias gets one of zeros. Raises ShapeError, which names the array, for one
    that does not fit, and OptionError for a kind that is not there.
    """
    if kind not in _GATES:
        raise OptionError(f"Keras has no recurrent layer {kind!r}{suggest(kind, _GATES)}; known: {', '.join(_GATES)}")
    if len(arrays) not in (2, 3):
        raise ShapeError(f"{kind}: expected kernel, recurrent_kernel and perhaps bias, got {len(arrays)} arrays")
    if reset_after is not None and kind != "GRU":
        raise OptionError(f"reset_after is of a GRU, not of {kind}")
    gates = _GATES[kind]
    n = len(gates)
    kernel, recurrent, *bias = (array(f"{kind}: {k}", v) for k, v in zip(_NAMES, arrays, strict=False))
    expect(f"{kind}: recurrent_kernel", recurrent, ("H", f"{_times(n)}H"), "the state before a step, gate by gate")
    h = recurrent.shape[0]
    expect(f"{kind}: recurrent_kernel", recurrent, (h, n * h), f"(H, {_times(n)}H)", _other(recurrent))
    expect(f"{kind}: kernel", kernel, ("I", n * h), f"(I, {_times(n)}H)", f" with H = {h} of recurrent_kernel")
    b = bias[0] if bias else None
    if kind == "GRU":
        return _gru(kernel, recurrent, b, _after(b, h, reset_after))
    b = np.zeros(n * h, kernel.dtype) if b is None else b
    expect(f"{kind}: bias", b, (n * h,), f"({_times(n)}H,)")
    cell = lstm if kind == "LSTM" else elman
    return cell, unpack(kernel, of(gates, "x")) | unpack(recurrent, of(gates, "h")) | unpack(b, of(gates, "bias"))


def to_keras(cell: Cell, weights: Mapping[str, Value]) -> list[Array]:
    """What ``set_weights()`` of the Keras layer takes that computes `cell`: kernel, recurrent kernel, bias.

    `gru_after` is a GRU with ``reset_after=True``, `gru` one with False. A cell of yours that *is* one of them by
    its structure is taken too. A Keras layer without bias takes the first two.

    >>> import numpy as np
    >>> arrays = [np.ones((3, 15)), np.ones((5, 15)), np.ones((2, 15))]
    >>> [v.shape for v in to_keras(*from_keras("GRU", arrays))]
    [(3, 15), (5, 15), (2, 15)]

    Raises OptionError for a cell that Keras has not, and ShapeError for weights that do not fit it.
    """
    one, w = recognised("to_keras", cell, weights, (lstm, gru, gru_after, elman, elman_relu))
    if one is gru_after:
        kernel, recurrent = pack(w, of(_AFTER_X, "x")), pack(w, of(_AFTER_H, "h"))
        alone = w | {k: np.zeros_like(w[k]) for k in ("update.bias", "reset.bias")}  # the other row has these
        return [kernel, recurrent, np.stack([pack(w, of(_AFTER_X, "bias")), pack(alone, of(_AFTER_H, "bias"))])]
    gates = {lstm: _LSTM, gru: _GRU}.get(one, _RNN)
    return [pack(w, of(gates, part)) for part in ("x", "h", "bias")]


_NAMES = ("kernel", "recurrent_kernel", "bias")


def _gru(kernel: Array, recurrent: Array, bias: Array | None, after: bool) -> tuple[Cell, dict[str, Tensor]]:
    if not after:
        b = np.zeros(kernel.shape[1], kernel.dtype) if bias is None else bias
        return gru, unpack(kernel, of(_GRU, "x")) | unpack(recurrent, of(_GRU, "h")) | unpack(b, of(_GRU, "bias"))
    b = np.zeros((2, kernel.shape[1]), kernel.dtype) if bias is None else bias
    of_x, of_h = unpack(b[0], of(_AFTER_X, "bias")), unpack(b[1], of(_AFTER_H, "bias"))
    both = {k: of_x[k] + of_h[k] for k in of_x.keys() & of_h.keys()}
    weights = unpack(kernel, of(_AFTER_X, "x")) | unpack(recurrent, of(_AFTER_H, "h"))
    return gru_after, weights | of_x | of_h | both


def _after(bias: Array | None, h: int, asked: bool | None) -> bool:
    """Where the reset acts, from the shape of the bias."""
    shapes = {True: (2, 3 * h), False: (3 * h,)}
    if bias is None:
        if asked is None:
            raise OptionError(
                "GRU: without a bias nothing says where the reset acts; say reset_after=True (the default of "
                "TensorFlow 2 and Keras 3) or reset_after=False"
            )
        return asked
    found = next((after for after, shape in shapes.items() if bias.shape == shape), None)
    if found is None or asked not in (found, None):
        wanted = bias.ndim == 2 if asked is None else asked
        other = f"; with reset_after={not wanted} it is {shapes[not wanted]}"
        meaning = f"{'(2, 3H)' if wanted else '(3H,)'} with reset_after={wanted}"
        expect("GRU: bias", bias, shapes[wanted], meaning, other)
    return bool(found)


def _times(n: int) -> str:
    return "" if n == 1 else str(n)


def _other(recurrent: Array) -> str:
    """A hint where the array is that of another kind of layer."""
    h, wide = recurrent.shape
    return next((f"; {k} has that shape" for k, gates in _GATES.items() if wide == len(gates) * h), "")
