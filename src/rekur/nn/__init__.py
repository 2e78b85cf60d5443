"""Modules: any cell as a layer, models wired by a plan, and torch.nn's recurrent layers with rekur's kernels."""

from rekur.nn.binding import Binding, Part, torch_layer
from rekur.nn.dropin import GRU, LSTM, RNN
from rekur.nn.dropin_cells import GRUCell, LSTMCell, RNNCell
from rekur.nn.init import initial_weights
from rekur.nn.layer import Layer
from rekur.nn.noise import Noise
from rekur.nn.plan import Plan, SequenceModel
from rekur.nn.pooling import Pooling, pool
from rekur.nn.recurrent import Recurrent
from rekur.nn.sampling import draw, sample
from rekur.nn.spelling import Speller, Spelling

__all__ = [
    "GRU", "LSTM", "RNN", "Binding", "GRUCell", "LSTMCell", "Layer", "Noise", "Part", "Plan", "Pooling", "RNNCell",
    "Recurrent", "SequenceModel", "Speller", "Spelling", "draw", "initial_weights", "pool", "sample", "torch_layer",
]  # fmt: skip
