"""One step of every cell of the zoo, as its graph says, against an independent formula; float64, one row."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rekur.cells import ZOO, Cell, affine, cell, find, gate, log, named, sigmoid, tanh
from rekur.graph import Graph, Node, parse, to_text
from tests.pure.cell_formulas import CASES, READS, Weights

Array = NDArray[Any]
Leaves = Mapping[tuple[str, int], Array]
SIZES = {"I": 3, "H": 5, "P": 2, "A": 4, "D": 6, "S": 7}


def along(v: Array, have: tuple[str, ...], want: tuple[str, ...]) -> Array:
    kept = [a for a in want if a in have]
    v = v.transpose([have.index(a) for a in kept])
    return v[tuple(slice(None) if a in have else None for a in want)]


def softmax(v, dim):
    e = np.exp(v)
    return e / e.sum(dim, keepdims=True)


def standardise(v, dim):
    return (v - v.mean(dim, keepdims=True)) / np.sqrt(v.var(dim, keepdims=True) + 1e-5)


POINTWISE: Mapping[str, Callable[..., Array]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "tanh": np.tanh,
    "sigmoid": lambda v: 1 / (1 + np.exp(-v)),
    "neg": np.negative,
    "log": np.log,
    "relu": lambda v: np.maximum(v, 0.0),
    "softplus": lambda v: np.logaddexp(v, 0.0),
}
OVER_AXIS: Mapping[str, Callable[..., Array]] = {"sum": np.sum, "softmax": softmax, "standardise": standardise}


def run(graph: Graph, leaves: Leaves) -> dict[str, Array]:
    """The next states by name. Knows the operations of the zoo and no other."""
    done: dict[Node, Array] = {}
    for n in graph.nodes:
        args = [done[a] for a in n.args]
        if n.op == "number":
            done[n] = np.array(n.attr)
        elif not n.args:
            done[n] = leaves[n.leaf.name, n.leaf.offset]
        elif n.op == "matvec":
            w, v = args
            at = n.args[1].axes.index(n.args[0].axes[1])
            done[n] = np.moveaxis(np.tensordot(w, v, (1, at)), 0, at)
        elif n.op == "transpose":
            done[n] = args[0].T
        elif n.op in OVER_AXIS:
            done[n] = OVER_AXIS[n.op](args[0], n.args[0].axes.index(str(n.attr)))
        else:
            done[n] = POINTWISE[n.op](*(along(v, a.axes, n.axes) for v, a in zip(args, n.args, strict=True)))
    return {name: done[n] for name, n in graph.outputs.items()}


def random_leaves(name: str) -> dict[tuple[str, int], Array]:
    """Asymmetric random values for all that the cell reads, by (name, lattice offset)."""
    cell, rng = find(name), np.random.default_rng(zlib.crc32(name.encode()))
    wanted = [(p.name, 0, p.axes) for p in cell.graph.parameters.values()]
    wanted += [(a.name, 0, a.axes) for a in cell.graph.arguments]
    axes = {a.name: a.axes for a in cell.graph.arguments}
    wanted += [(state, offset, axes[state]) for state, offset in READS.get(name, {}).values()]
    return {(k, offset): 0.8 * rng.standard_normal([SIZES[a] for a in axes]) for k, offset, axes in wanted}


def differences(cell: Cell, name: str, leaves: Leaves) -> dict[str, float]:
    """Next state -> the largest difference between the cell's graph and the formula, where it is not rounding."""
    got = run(cell.graph, leaves)
    weights = Weights({k: leaves[k, 0] for k in cell.graph.parameters})
    given = {a.name: leaves[a.name, 0] for a in cell.graph.arguments}
    given |= {k: leaves[read] for k, read in READS.get(name, {}).items()}
    want = dict(zip((a.name for a in cell.graph.of("state")), CASES[name](np, weights, **given), strict=True))
    assert weights.read == set(cell.graph.parameters)
    assert got.keys() == want.keys()
    assert all(got[k].shape == want[k].shape and np.isfinite(want[k]).all() for k in want)
    return {k: d for k in want if not (d := float(abs(got[k] - want[k]).max())) < 1e-13}


def test_every_cell_of_the_zoo_has_a_formula():
    assert {name.partition(":")[0] for name in CASES} == set(ZOO)


@pytest.mark.parametrize("name", CASES)
def test_a_step_is_the_formula(name: str):
    assert differences(find(name), name, random_leaves(name)) == {}


@pytest.mark.parametrize("name", CASES)
def test_a_step_is_the_formula_after_printing_and_parsing(name: str):
    cell = find(name)
    again = Cell(parse(to_text(cell.graph)))
    assert again.text == cell.text
    assert again.structure == cell.structure
    assert differences(again, name, random_leaves(name)) == {}


def test_the_shares_of_minlstm_where_both_of_its_gates_round_to_zero():
    leaves = random_leaves("minlstm")
    for k, v in leaves.items():
        leaves[k] = np.zeros_like(v) if k[0] in ("forget.x", "input.x") else v
    leaves["forget.bias", 0], leaves["input.bias", 0] = np.full(5, -1000.0), np.full(5, -1001.0)
    new = leaves["candidate.x", 0] @ leaves["x", 0] + leaves["candidate.bias", 0]
    kept = 1 / (1 + np.exp(-1))  # log f - log i is 1
    assert np.allclose(run(find("minlstm").graph, leaves)["h"], kept * leaves["h", 0] + (1 - kept) * new)


@cell
def gates_swapped(x, h, c):
    f = gate("input", sigmoid, x, h)
    i = gate("forget", sigmoid, x, h)
    g = gate("candidate", tanh, x, h)
    o = gate("output", sigmoid, x, h)
    c = f * c + i * g
    return o * tanh(c), c


@cell
def old_cell_put_out(x, h, c):
    f = gate("forget", sigmoid, x, h)
    i = gate("input", sigmoid, x, h)
    g = gate("candidate", tanh, x, h)
    o = gate("output", sigmoid, x, h)
    return o * tanh(c), f * c + i * g


@cell
def update_turned_round(x, h):
    r = gate("reset", sigmoid, x, h)
    z = gate("update", sigmoid, x, h)
    n = gate("candidate", tanh, x, h=r * h)
    return z * n + (1 - z) * h


@cell
def tanh_elsewhere(x, h):
    z = gate("update", sigmoid, x, h)
    r = gate("reset", sigmoid, x, h=tanh(h))
    n = gate("candidate", tanh, x, h=r * h)
    return n * z + h * (1 - z)


@cell
def shares_exchanged(x, h):
    f, i = sigmoid(affine("input", x)), sigmoid(affine("forget", x))
    f = named("forget", sigmoid(log(f) - log(i)))
    return f * h + (1 - f) * affine("candidate", x)


TURNED = "%90 = transpose(hidden.h) [H H]\n%1 = matvec(%90, h) [H]"
transposed = Cell(parse(find("elman").text.replace("%1 = matvec(hidden.h, h) [H]", TURNED)))


@pytest.mark.parametrize(
    ("wrong", "name", "states"),
    [
        (gates_swapped, "lstm", {"h", "c"}),
        (old_cell_put_out, "lstm", {"h"}),
        (update_turned_round, "gru", {"h"}),
        (transposed, "elman", {"h"}),
        (find("gru"), "mut3", {"h"}),
        (tanh_elsewhere, "mut3", {"h"}),
        (shares_exchanged, "minlstm", {"h"}),
    ],
)
def test_a_wrong_cell_is_found(wrong: Cell, name: str, states: set[str]):
    assert wrong.text != find(name).text
    assert set(differences(wrong, name, random_leaves(name))) == states
