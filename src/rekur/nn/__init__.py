"""Modules: any cell as a layer, and models wired by a plan."""

from rekur.nn.binding import Binding, Part, torch_layer
from rekur.nn.init import initial_weights
from rekur.nn.layer import Layer
from rekur.nn.plan import Plan, SequenceModel
from rekur.nn.pooling import Pooling, pool
from rekur.nn.recurrent import Recurrent
from rekur.nn.sampling import draw, sample

__all__ = [
    "Binding", "Layer", "Part", "Plan", "Pooling", "Recurrent", "SequenceModel", "draw", "initial_weights", "pool",
    "sample", "torch_layer",
]  # fmt: skip
