"""The rewrites that open a cell to noise, held to formulas in numpy and to the cell that they were made of."""

from __future__ import annotations

import numpy as np
import pytest

from rekur.cells import ZOO, affine, cell, find, gate, sigmoid, tanh
from rekur.errors import GraphError
from rekur.graph import Graph, derive, masked_state, mean_zoneout, parse, recurrent_weights, to_text, zoneout
from rekur.graph.noise import KEEP, MASK
from tests.pure.graph_cells import evaluator, random_values
from tests.pure.numpy_eval import Array

WEIGHTS = {
    "elman": "hidden.h",
    "elman-relu": "hidden.h",
    "lstm": "forget.h input.h candidate.h output.h",
    "peephole": "forget.h input.h candidate.h output.h",
    "lstm-projected": "forget.h input.h candidate.h output.h",  # the projection reads what is new
    "gru": "reset.h update.h candidate.h",
    "gru-after": "reset.h update.h candidate_h.h",
    "highway:2": "candidate0.h transform0.h candidate1.h transform1.h",
    "layer-norm-lstm": "forget_h.h input_h.h candidate_h.h output_h.h",
    "mogrifier": "q1.h q3.h q5.h forget.h input.h candidate.h output.h",
    "mingru": "",
    "attend": "query.h reset.h update.h candidate.h",
}
MASKED = [k for k, v in WEIGHTS.items() if v]
ROWS = 3


def values_of(graph: Graph) -> dict[str, Array]:
    return random_values(graph, evaluator(ROWS), np.random.default_rng(7))


def outputs_of(graph: Graph, values: dict[str, Array]) -> dict[str, Array]:
    return evaluator(ROWS)(graph, values)


def logistic(v: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-v)))


def summed(v: dict[str, Array], name: str, x: Array, h: Array) -> Array:
    return np.asarray(x @ v[f"{name}.x"].T + h @ v[f"{name}.h"].T + v[f"{name}.bias"])


@pytest.mark.parametrize("name", WEIGHTS)
def test_what_multiplies_the_state(name: str):
    assert recurrent_weights(find(name).graph) == tuple(WEIGHTS[name].split())


@cell
def by_place(x, h):
    """The state goes through places only on its way to one product, through a matrix to the other."""
    seen = gate("seen", sigmoid, x, h)
    return tanh(affine("far", seen=seen) + affine("near", made=2.0 * tanh(h) * seen, bias=False))


def test_a_vector_made_of_the_state_place_by_place_is_the_state():
    assert recurrent_weights(by_place.graph) == ("seen.h", "near.made")


# ---- a mask on the state -----------------------------------------------------------------------------------------


def test_the_masked_lstm_and_gru_by_hand():
    """Gal and Ghahramani, equation 7: gates read h ∘ m, the memory is not masked."""
    v = values_of(graph := masked_state(find("lstm").graph))
    x, h, c, seen = v["x"], v["h"], v["c"], v["h"] * v[f"{MASK}h"]
    f, i, o = (logistic(summed(v, k, x, seen)) for k in ("forget", "input", "output"))
    c = f * c + i * np.tanh(summed(v, "candidate", x, seen))
    got = outputs_of(graph, v)
    np.testing.assert_allclose(got["c"], c, rtol=1e-13)
    np.testing.assert_allclose(got["h"], o * np.tanh(c), rtol=1e-13)
    v = values_of(graph := masked_state(find("gru").graph))
    x, h, seen = v["x"], v["h"], v["h"] * v[f"{MASK}h"]
    r, z = (logistic(summed(v, k, x, seen)) for k in ("reset", "update"))
    n = np.tanh(summed(v, "candidate", x, r * seen))
    np.testing.assert_allclose(outputs_of(graph, v)["h"], (1 - z) * n + z * h, rtol=1e-13)
    assert not np.allclose(outputs_of(graph, v)["h"], (1 - z) * n + z * seen)  # the leak is not masked


@pytest.mark.parametrize("name", MASKED)
def test_a_masked_state_is_columns_of_weights_scaled(name: str):
    """U (v ∘ m) is (U diag m) v, whatever else the cell does."""
    plain = find(name).graph
    graph = masked_state(plain)
    values = values_of(graph)
    got = outputs_of(graph, values)
    for row in range(ROWS):
        scaled = dict(values)
        mask = values[MASK + plain.of("state")[0].name][row]
        for k in recurrent_weights(plain):
            scaled[k] = values[k] * mask
        for k, v in outputs_of(plain, scaled).items():
            np.testing.assert_allclose(got[k][row], v[row], rtol=1e-12, atol=1e-13)
    other = outputs_of(plain, values)
    assert not np.allclose(got[next(iter(other))], other[next(iter(other))])  # the mask does something


def test_a_cell_without_such_a_product():
    with pytest.raises(GraphError, match="mingru multiplies its state 'h' by no matrix: there is nothing to mask"):
        masked_state(find("mingru").graph)


# ---- zoneout -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ZOO)
def test_zoneout_keeps_or_takes_each_unit(name: str):
    plain = find(name).graph
    states = [a.name for a in plain.of("state")]
    graph = zoneout(plain, states)
    values = values_of(graph)
    for s in states:
        values[KEEP + s] = (values[KEEP + s] > 0).astype(float)
        values.setdefault(s, np.ones_like(values[KEEP + s]))
    new, got = outputs_of(plain, values), outputs_of(graph, values)
    for s in states:
        keep = values[KEEP + s]
        np.testing.assert_array_equal(got[s], np.where(keep > 0, values[s], new[s]))
        assert {0.0, 1.0} == set(keep.flatten().tolist())
    rates = {s: 0.1 * i for i, s in enumerate(states, 1)}
    mean = outputs_of(mean_zoneout(plain, rates), values)
    for s, p in rates.items():
        np.testing.assert_allclose(mean[s], p * values[s] + (1 - p) * new[s], rtol=1e-13, atol=1e-15)


def test_zoneout_of_one_state_leaves_the_others():
    plain = find("lstm").graph
    graph = zoneout(plain, ["c"])
    assert [a.name for a in graph.of("input")] == ["x", f"{KEEP}c"]
    assert graph.outputs["h"] is plain.outputs["h"]  # made of the memory as it was before zoneout
    assert graph.names == plain.names
    for rewrite in (lambda: zoneout(plain, ["cc"]), lambda: mean_zoneout(plain, {"cc": 0.5})):
        with pytest.raises(GraphError, match="lstm has no state 'cc'; it has h, c; did you mean 'c'"):
            rewrite()


@pytest.mark.parametrize("name", MASKED)
def test_a_rewritten_cell_is_a_graph_like_any_other(name: str):
    plain = find(name).graph
    graph = zoneout(masked_state(plain), [a.name for a in plain.of("state")])
    assert to_text(parse(to_text(graph))) == to_text(graph)
    assert set(graph.parameters) == set(plain.parameters)
    assert set(graph.names) == set(plain.names)
    assert f"d.{next(iter(plain.parameters))}" in derive(graph).outputs
