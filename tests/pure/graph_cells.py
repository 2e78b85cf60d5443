"""Cells for the tests of the graph passes: the zoo, and cells that reach what the zoo does not."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rekur.cells import ZOO, find
from rekur.graph import (
    Graph,
    affine,
    cell,
    gate,
    max_over,
    maximum,
    mean_over,
    neighbour,
    one_hot,
    sigmoid,
    softmax,
    spread,
    sqrt,
    stop,
    sum_over,
    tanh,
    weight,
    where,
)
from tests.pure.numpy_eval import Array, Numpy, key
from tests.pure.random_cells import SIZES


@cell
def highway_tied(x, h):
    """Later layers share one transform gate: a weight that is used three times."""
    for d in range(4):
        read = {"x": x} if d == 0 else {}
        n = gate(f"candidate{d}", tanh, **read, h=h)
        t = gate(f"transform{d}", sigmoid, **read, h=h, bias=-1.0, tie="transform1" if d > 1 else None)
        h = n * t + h * (1 - t)
    return h


def norm(name, v):
    """Layer normalisation from its parts, not from the primitive."""
    d = v - mean_over(v)
    scaled = d / sqrt(mean_over(d * d) + 1e-5)
    return scaled * weight(f"{name}.gain", init="ones") + weight(f"{name}.shift", init="zeros")


@cell
def norm_by_parts(x, h):
    """Reductions of reductions."""
    z = sigmoid(norm("update_x", affine("update_x", x)) + norm("update_h", affine("update_h", h)))
    return z * h + (1 - z) * tanh(norm("out", affine("candidate", x, h)))


@cell(first="", image="V")
def caption(x, h, first=1.0, *, image):
    """A scalar state that is a flag: the image is read at the first step only."""
    return tanh(affine("hidden", x, h) + where(first, affine("picture", image, bias=False), 0.0)), 0.0


@cell(x="V", teach="", noise="V", y="V")
def sampler(x, teach, noise, /, h, y):
    """It reads its own previous sample, with a straight-through gradient; where teach is 1, x replaces it."""
    y = where(teach, x, y)
    h = gate("hidden", tanh, h, y=y)
    logits = affine("logits", h=h, size="V")
    soft, hard = softmax(logits), one_hot(logits + noise)
    return h, soft + stop(hard - soft)


@cell(m="H K")
def fast_weights(x, h, m):
    """A matrix as a state: it is written by an outer product and read by a product."""
    k, q = affine("key", x, h, size="K"), affine("query", x, h, size="K")
    v = gate("value", tanh, x, h)
    m = sigmoid(affine("forget", x)) * m + spread(v, "H", "K") * k
    return sum_over(m * q, "K") / maximum(max_over(q * q), 0.5), m


@cell(x="V", h="S H", slot="S")
def slots(x, h, slot):
    """A state of several vectors that share weights, and sites read far off."""
    score = sum_over(h * affine("query", x), "H") + sum_over(neighbour(h, 7) * 0.1, "H")
    p = softmax(score + slot)
    u = gate("update", tanh, h, up=neighbour(h, -1)) + affine("write", x)
    return h + spread(p, "S", "H") * (u - h), p


GRAPHS: Mapping[str, Graph] = {
    **{name: find(name).graph for name in ZOO},
    "highway:5": find("highway:5").graph,
    **{c.name: c.graph for c in (highway_tied, norm_by_parts, caption, sampler, fast_weights, slots)},
}


def random_values(graph: Graph, e: Numpy, rng: np.random.Generator) -> dict[str, Array]:
    """Asymmetric random values for every leaf that the outputs read, and for gradients in the outputs."""
    leaves = {key(n): n.type for n in graph.nodes if not n.args and n.op != "number"}
    values = {k: 0.8 * rng.standard_normal(e.shape(kind)) for k, kind in leaves.items()}
    shapes = {f"d.{k}": (e.rows, *(e.sizes[a] for a in n.axes)) for k, n in graph.outputs.items()}
    return values | {k: rng.standard_normal(shape) for k, shape in shapes.items()}


def evaluator(rows: int = 2) -> Numpy:
    """The interpreter at the sizes of the random cells."""
    return Numpy({**SIZES, "R": 2}, rows)
