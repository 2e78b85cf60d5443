"""Networks drawn: the layers, steps and weights that were asked for, in their places, and nothing overlaps."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from rekur.cells import ZOO, attend, elman, find, gru, lstm, lstm2d, row_lstm
from rekur.draw import CONNECTIONS, POOLINGS, SHAPES, Scene, Wiring, circuit, lattice, overlaps, unfolded
from rekur.errors import OptionError
from tests.pure.drawings import ends_meet
from tests.pure.random_cells import random_cell

LATTICES = ("lstm2d", "row-lstm")
PLAIN = sorted(set(ZOO) - set(LATTICES))


def sound(scene: Scene) -> None:
    assert overlaps(scene) == []
    assert ends_meet(scene) == []


def kinds(scene: Scene, kind: str) -> list[str]:
    return [b.name for b in scene.boxes if b.kind == kind]


def wirings() -> dict[str, Wiring]:
    """All that goes together."""
    out = {}
    options = itertools.product(
        (1, 3), (False, True), CONNECTIONS, SHAPES, (None, *POOLINGS), (False, True), (False, True), (False, True)
    )
    for layers, both, connections, shape, pooling, feedback, embedding, losses in options:
        try:
            w = Wiring(lstm.graph, layers, both, connections, shape, pooling, feedback, embedding, losses=losses)
        except OptionError:
            continue
        out[f"{layers} {both} {connections} {shape} {pooling} {feedback} {embedding} {losses}"] = w
    return out


def test_whatever_goes_together_is_drawn_without_overlaps():
    found = wirings()
    assert len(found) > 150
    for name, wiring in found.items():
        for scene in (unfolded(wiring, 3), *([] if wiring.shape == "encoder-decoder" else [circuit(wiring)])):
            assert (name, overlaps(scene), ends_meet(scene)) == (name, [], [])


@pytest.mark.parametrize("name", PLAIN)
def test_every_cell_is_drawn_as_a_network(name: str):
    graph = find(name).graph
    for wiring in (Wiring(graph), Wiring(graph, layers=2, losses=True)):
        sound(circuit(wiring))
        sound(unfolded(wiring, 4))


@pytest.mark.parametrize("seed", range(12))
def test_random_cells_are_drawn_as_networks(seed: int):
    wiring = Wiring(random_cell(seed).graph)
    sound(circuit(wiring))
    sound(unfolded(wiring, 3))


def test_an_unfolded_network_has_its_steps_layers_and_states():
    scene = unfolded(Wiring(lstm.graph, layers=2, losses=True), steps=4)
    assert len(kinds(scene, "layer")) == 8
    assert [scene.box(n).label for n in kinds(scene, "input")] == [f"x_{{{t}}}" for t in range(1, 5)]
    along = [e for e in scene.edges if e.kind == "state" and {e.source, e.target} <= set(kinds(scene, "layer"))]
    assert len(along) == 2 * 2 * 3  # states, layers, steps between
    assert [len(kinds(scene, kind)) for kind in ("output", "loss", "target")] == [4, 4, 4]
    heights = [scene.box(n).y for n in ("input 1", "layer 1 1", "layer 2 1", "output 1", "loss 1", "target 1")]
    assert heights == sorted(heights, reverse=True)  # from the bottom to the top
    columns = [scene.box(f"layer 1 {t}").x for t in range(1, 5)]
    assert columns == sorted(columns)  # time to the right


def test_weights_are_named_on_the_edges_and_are_the_same_at_all_steps():
    scene = unfolded(Wiring(elman.graph), steps=3)
    assert [e.label for e in scene.edges if e.source.startswith("input")] == ["W_{x}"] * 3
    between = [e.label for e in scene.edges if e.source.startswith("layer") and e.target.startswith("layer")]
    assert between == ["W_{h}"] * 2
    assert {t.text for t in scene.texts if t.kind == "note"} == {
        "W_{x}: hidden.x", "W_{h}: hidden.h — the same at every step",
    }  # fmt: skip
    shown = [t.text for t in scene.texts if t.kind == "weight"]
    assert sorted(shown) == sorted(e.label for e in scene.edges if e.label)


def test_what_has_no_matrix_has_no_name():
    assert Wiring(lstm.graph).symbol("c") == ""
    assert Wiring(attend.graph).symbol("context") == ""
    assert Wiring(attend.graph).symbol("memory") == "W_{memory}"
    assert Wiring(gru.graph, layers=2).symbol("h", 1) == "W_{h}^{2}"


def test_two_directions_are_two_chains():
    scene = unfolded(Wiring(gru.graph, bidirectional=True), steps=3)
    states = [(e.source, e.target) for e in scene.edges if e.kind == "state" and "layer" in e.source[:5]]
    assert ("layer 1→ 1", "layer 1→ 2") in states
    assert ("layer 1← 3", "layer 1← 2") in states
    assert not any("→" in a and "←" in b for a, b in states)
    assert {e.source for e in scene.edges if e.target == "join 1 2"} == {"layer 1→ 2", "layer 1← 2"}


@pytest.mark.parametrize(
    ("shape", "inputs", "outputs"),
    [
        ("one-to-one", 1, 1),
        ("one-to-many", 1, 3),
        ("many-to-one", 3, 1),
        ("many-to-many", 3, 3),
        ("encoder-decoder", 3, 3),
    ],
)
def test_the_five_shapes(shape: str, inputs: int, outputs: int):
    assert len(SHAPES) == 5
    scene = unfolded(Wiring(gru.graph, shape=shape, losses=True), steps=3)
    assert len(kinds(scene, "input")) == inputs
    assert len([n for n in kinds(scene, "output") if n.startswith("output")]) == outputs
    assert len(kinds(scene, "loss")) == outputs


def test_a_decoder_starts_from_the_context_reads_it_and_is_fed_what_it_puts_out():
    scene = unfolded(Wiring(gru.graph, shape="encoder-decoder"), steps=3)
    edges = {(e.source, e.target): e.kind for e in scene.edges}
    assert edges["encoder 1 3", "context"] == "context"
    assert [edges["context", f"decoder 1 {t}"] for t in (1, 2, 3)] == ["context"] * 3
    assert ("encoder 1 3", "decoder 1 1") not in edges
    assert edges["output 5", "decoder 1 2"] == "feedback"
    labels = {e.label for e in scene.edges if "W_" in e.label}
    assert labels == {"W_{x}^{e}", "W_{h}^{e}", "W_{h}^{d}"}


@pytest.mark.parametrize(("pooling", "sources"), [("mean", 4), ("max", 4), ("last", 2)])
def test_pooling_reads_all_steps_or_where_each_direction_ends(pooling: str, sources: int):
    scene = unfolded(Wiring(gru.graph, bidirectional=True, pooling=pooling), steps=4)
    read = {e.source for e in scene.edges if e.target == "pooling"}
    assert len(read) == sources
    assert pooling != "last" or read == {"layer 1→ 4", "layer 1← 1"}


def test_skips_follow_the_connections():
    residual = unfolded(Wiring(gru.graph, layers=3, connections="residual"), steps=1)
    skips = {(e.source, e.target) for e in residual.edges if e.kind == "skip"}
    assert skips == {("layer 1 1", "plus 2 1"), ("plus 2 1", "plus 3 1")}
    dense = unfolded(Wiring(gru.graph, layers=3, connections="dense"), steps=1)
    skips = {(e.source, e.target) for e in dense.edges if e.kind == "skip"}
    assert skips == {("input 1", "layer 2 1"), ("input 1", "layer 3 1"), ("layer 1 1", "layer 3 1")}


def test_a_circuit_delays_each_state_by_a_black_square():
    scene = circuit(Wiring(lstm.graph, layers=2, feedback=True))
    assert len(kinds(scene, "delay")) == 5
    for state, layer in itertools.product("hc", (1, 2)):
        name = f"delay {state} of layer {layer}"
        loop = {(e.source, e.target) for e in scene.edges if name in (e.source, e.target)}
        assert loop == {(f"layer {layer}", name), (name, f"layer {layer}")}


@pytest.mark.parametrize("name", LATTICES)
def test_a_lattice_reads_what_the_cell_reads(name: str):
    graph = find(name).graph
    scene = lattice(graph, steps=3, sites=4)
    sound(scene)
    offsets = {n.leaf.offset for n in graph.nodes if n.op == "state"}
    want = {
        (f"site {k + o} step {t}", f"site {k} step {t + 1}")
        for k, t, o in itertools.product(range(1, 5), (1, 2), offsets)
        if 1 <= k + o <= 4
    }
    assert {(e.source, e.target) for e in scene.edges if e.kind == "state"} == want


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: Wiring(gru.graph, shape="many-to-on"), "did you mean 'many-to-one'"),
        (lambda: Wiring(gru.graph, connections="residul"), "did you mean 'residual'"),
        (lambda: Wiring(gru.graph, pooling="maxx"), "did you mean 'max'"),
        (lambda: Wiring(gru.graph, layers=0), "1 layer or more"),
        (lambda: Wiring(gru.graph, bidirectional=True, feedback=True), "both directions"),
        (lambda: Wiring(gru.graph, bidirectional=True, shape="encoder-decoder"), "both directions"),
        (lambda: Wiring(gru.graph, pooling="mean", shape="one-to-many"), "pooling"),
        (lambda: Wiring(lstm2d.graph), "draw it as a lattice"),
        (lambda: unfolded(Wiring(gru.graph), 0), "1 to 12 steps"),
        (lambda: unfolded(Wiring(gru.graph), 13), "1 to 12 steps"),
        (lambda: circuit(Wiring(gru.graph, shape="encoder-decoder")), "draw them unfolded"),
        (lambda: lattice(gru.graph), "reads no neighbours"),
        (lambda: lattice(row_lstm.graph, sites=9), "1 to 8"),
    ],
)
def test_what_makes_no_sense_is_refused(made, message: str):
    with pytest.raises(OptionError, match=message):
        made()


def test_the_check_finds_an_edge_that_does_not_meet_its_box():
    scene = unfolded(Wiring(gru.graph), 2)
    first = scene.edges[0]
    off = replace(first, points=((first.points[0][0], first.points[0][1] + 40), *first.points[1:]))
    assert ends_meet(replace(scene, edges=(off, *scene.edges[1:])))
