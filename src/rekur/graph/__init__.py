"""The step graph: what a recurrent cell is. Tracing, text, rewriting, differentiation; no torch in here."""

from rekur.graph.derive import Gradients, derive, gradient_name, gradients
from rekur.graph.equations import equations
from rekur.graph.ir import Argument, Graph, Node, make, walk
from rekur.graph.language import (
    affine,
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
from rekur.graph.latex import latex
from rekur.graph.noise import masked_state, mean_zoneout, recurrent_weights, zoneout
from rekur.graph.ops import EPSILON, OPS, Leaf, Op, Type
from rekur.graph.rewrite import Rate, barriers, rates, regroup, simplify, with_outputs
from rekur.graph.save import save, with_saved
from rekur.graph.schedule import Pack, Schedule, Stage, Sum, schedule
from rekur.graph.split import Split, split
from rekur.graph.text import parse, same_structure, structure_hash, text_hash, to_text
from rekur.graph.trace import Cell, cell
from rekur.graph.verify import verify

__all__ = [
    "EPSILON", "OPS", "Argument", "Cell", "Gradients", "Graph", "Leaf", "Node", "Op", "Pack", "Rate", "Schedule",
    "Split", "Stage", "Sum", "Type", "affine", "barriers", "cell", "derive", "equations", "exp", "gate",
    "gradient_name", "gradients", "latex", "layer_norm", "log", "make", "masked_state", "max_over", "maximum",
    "mean_over", "mean_zoneout", "named", "neighbour", "one_hot", "parse", "rates", "recurrent_weights", "regroup",
    "relu", "same_structure", "save", "schedule", "sigmoid", "simplify", "softmax", "softplus", "split", "spread",
    "sqrt", "standardise", "stop", "structure_hash", "sum_over", "tanh", "text_hash", "to_text", "verify", "walk",
    "weight", "where", "with_outputs", "with_saved", "zoneout",
]  # fmt: skip
