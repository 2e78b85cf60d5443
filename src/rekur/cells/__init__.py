"""The cell language, and the zoo of cells written in it.

>>> from rekur.cells import cell, find, gate, tanh
>>> @cell
... def mine(x, h):
...     return gate("hidden", tanh, x, h)
>>> mine.structure == find("elman").structure
True
"""

from rekur.cells.attention import attend
from rekur.cells.elman import elman, elman_relu, irnn
from rekur.cells.grid import lstm2d, row_lstm
from rekur.cells.gru import gru, gru_after
from rekur.cells.highway import highway
from rekur.cells.independent import indrnn
from rekur.cells.layer_norm import layer_norm_gru, layer_norm_lstm
from rekur.cells.linear import mingru, minlstm
from rekur.cells.load import load
from rekur.cells.lstm import cifg, lstm, lstm_1997, lstmp, peephole
from rekur.cells.mogrifier import mogrifier
from rekur.cells.mutants import mut1, mut2, mut3
from rekur.cells.one_gate import mgu, ugrnn
from rekur.cells.zoo import ZOO, Entry, catalogue, find
from rekur.graph import (
    Cell,
    affine,
    cell,
    exp,
    gate,
    layer_norm,
    log,
    max_over,
    maximum,
    mean_over,
    named,
    neighbour,
    one_hot,
    relu,
    sigmoid,
    softmax,
    softplus,
    spread,
    sqrt,
    standardise,
    stop,
    sum_over,
    tanh,
    weight,
    where,
)

__all__ = [
    "ZOO", "Cell", "Entry", "affine", "attend", "catalogue", "cell", "cifg", "elman", "elman_relu", "exp", "find",
    "gate", "gru", "gru_after", "highway", "indrnn", "irnn", "layer_norm", "layer_norm_gru", "layer_norm_lstm",
    "load", "log", "lstm", "lstm2d", "lstm_1997", "lstmp", "max_over", "maximum", "mean_over", "mgu", "mingru",
    "minlstm", "mogrifier", "mut1", "mut2", "mut3", "named", "neighbour", "one_hot", "peephole", "relu", "row_lstm",
    "sigmoid", "softmax", "softplus", "spread", "sqrt", "standardise", "stop", "sum_over", "tanh", "ugrnn", "weight",
    "where",
]  # fmt: skip
