"""What a user gets wrong when calling `scan` and `compile`: each message has the names, the sizes and a way out."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from rekur.cells import cell, elman, find, gate, tanh
from rekur.errors import BackendError, GraphError, OptionError, RekurError, ShapeError
from rekur.nn import initial_weights
from rekur.run import compile, scan

SIZES = {"I": 3, "H": 5, "A": 2, "D": 4, "P": 2}
B, T, S = 2, 6, 3


def call(name: str) -> dict[str, Any]:
    """What fits."""
    graph = find(name).graph
    lattice = (4,) if name in ("lstm2d", "row-lstm") else ()
    sizes = SIZES | {"S": S}

    def zeros(*lead: int, axes: tuple[str, ...]) -> Tensor:
        return torch.zeros(*lead, *(sizes[a] for a in axes))

    return {
        "kernel": compile(graph, "reference"),
        "params": initial_weights(graph, sizes),
        "x": {a.name: zeros(B, T, *lattice, axes=a.axes) for a in graph.of("input")},
        "state": {a.name: zeros(B, *lattice, axes=a.axes) for a in graph.of("state")},
        "constants": {a.name: zeros(B, *lattice, axes=a.axes) for a in graph.of("constant")},
    }


@pytest.mark.parametrize("name", ["lstm", "attend", "lstm2d", "row-lstm"])
def test_what_fits_is_taken(name: str):
    assert scan(**call(name)).output.shape[:2] == (B, T)


def change(given: dict[str, Any], where: tuple[str, ...], value: Any) -> dict[str, Any]:
    """`given` with the entry at `where` set, or taken out where `value` is None."""
    head, *rest = where
    inner = change(given.get(head) or {}, tuple(rest), value) if rest else value
    return {k: v for k, v in {**given, head: inner}.items() if v is not None}


ones, flags = torch.ones, torch.zeros(B, T, dtype=torch.bool)
WRONG: list[tuple[str, tuple[str, ...], Any, str]] = [
    # names
    ("lstm", ("params", "forgot.x"), ones(5, 3), "lstm has no weight 'forgot.x'; did you mean 'forget.x'?"),
    ("lstm", ("params", "forget.x"), None, "lstm needs the weight 'forget.x', which was not given"),
    ("lstm", ("x", "y"), ones(B, T, 3), "lstm has no input 'y'"),
    ("lstm", ("x",), {}, "lstm needs the input 'x', which was not given"),
    ("lstm", ("state", "c"), None, "lstm needs the state 'c', which was not given"),
    ("lstm", ("state", "s"), ones(B, 5), "lstm has no state 's'"),
    ("lstm", ("initial", "d"), ones(5), "lstm has no state 'd'"),
    ("lstm", ("constants", "memory"), ones(B, S, 4), "lstm has no constant 'memory'"),
    ("attend", ("constants",), None, "attend needs the constant 'memory', which was not given"),
    ("attend", ("constants", "memry"), ones(B, S, 4), "no constant 'memry'; did you mean 'memory'?"),
    ("attend", ("memory_lengths", "Q"), [1, 2], "memory_lengths names 'Q', which is no axis of a constant"),
    ("attend", ("memory_lengths", "H"), [1, 2], "memory_lengths names 'H', which is no axis of a constant"),
    # kinds
    ("lstm", ("x",), np.zeros((B, T, 3)), "lstm: the input must be a tensor, or a mapping of them, got ndarray"),
    ("lstm", ("x", "x"), [[1.0]], "lstm: the input 'x' must be a tensor, got list"),
    ("lstm2d", ("x", "x"), [[1.0]], "lstm2d: the input 'x' must be a tensor, got list"),
    ("row-lstm", ("x",), ones(B, T, 4, 5), "row_lstm reads the inputs xi, xf, xg, xo: hand x in as a mapping"),
    ("lstm", ("state",), (ones(B, 5), ones(B, 5)), "lstm: hand each state in by name, as a mapping; got tuple"),
    ("lstm", ("params",), [ones(5, 3)], "lstm: hand each weight in by name, as a mapping; got list"),
    ("attend", ("constants",), ones(B, S, 4), "attend: hand each constant in by name, as a mapping; got Tensor"),
    ("attend", ("memory_lengths",), [1, 2], "attend: hand each memory's lengths in by name, as a mapping; got list"),
    ("lstm", ("initial",), ones(5), "lstm: hand each initial state in by name, as a mapping; got Tensor"),
    ("lstm", ("params", "forget.x"), 3.0, "the weight 'forget.x' must be a tensor, got float"),
    # sizes
    ("lstm", ("params", "forget.x"), ones(5), "lstm: the weight 'forget.x' must be (H, I), got (5,)"),
    ("lstm", ("x", "x"), ones(B, T, 2), "the input 'x' has 2 features (I), the weight 'forget.x' expects 3"),
    ("lstm", ("params", "input.h"), ones(5, 4), "'input.h' has 4 units (H), the weight 'forget.x' expects 5"),
    ("lstm", ("state", "c"), ones(B, 4), "the state 'c' has 4 units (H), the weight 'forget.x' expects 5"),
    ("lstm", ("state", "c"), ones(3, 5), "the state 'c' has 3 rows in the batch (B), the input 'x' expects 2"),
    ("lstm", ("state", "c"), ones(5), "the state 'c' must be (B, H), got (5,)"),
    ("lstm", ("initial", "c"), ones(B, 5), "the initial 'c' must be (H), got (2, 5)"),
    ("lstm", ("initial", "c"), ones(4), "the initial 'c' has 4 units (H), the weight 'forget.x' expects 5"),
    ("lstm", ("x", "x"), ones(T, 3), "the input 'x' must be (B, T, I), got (6, 3)"),
    ("lstm", ("x", "x"), ones(B, T, 3, 1, 1), "the input 'x' must be (B, T, I), got (2, 6, 3, 1, 1)"),
    ("lstm2d", ("x", "x"), ones(B, T, 3), "lstm2d: the input 'x' must be (B, T, L, I), got (2, 6, 3)"),
    ("lstm2d", ("state", "h"), ones(B, 3, 5), "the state 'h' has 3 lattice sites (L), the input 'x' expects 4"),
    ("attend", ("constants", "memory"), ones(B, S, 3), "has 3 places (D), the weight 'key.memory' expects 4"),
    ("attend", ("constants", "memory"), ones(3, S, 4), "has 3 rows in the batch (B), the input 'x' expects 2"),
    # dtypes and devices
    ("lstm", ("x", "x"), ones(B, T, 3).double(), "'x' is torch.float64, the weights are torch.float32; convert"),
    ("lstm", ("x", "x"), ones(B, T, 3).long(), "the input 'x' is torch.int64, the weights are torch.float32"),
    ("lstm", ("params", "input.h"), ones(5, 5).half(), "'input.h' is torch.float16, the weights are torch.float32"),
    ("lstm", ("params", "forget.x"), ones(5, 3).int(), "weights must be floating point, got torch.int32"),
    ("lstm", ("params", "forget.x"), 1j * ones(5, 3), "weights must be floating point, got torch.complex64"),
    ("lstm", ("x", "x"), ones(B, T, 3, device="meta"), "the input 'x' is on meta, the weights are on cpu"),
    # which steps are real
    ("lstm", ("lengths",), torch.tensor([2.0, 6.0]), "lengths must be whole numbers, got torch.float32"),
    ("lstm", ("lengths",), [2.5, 6], "lengths must be whole numbers, got torch.float32"),
    ("lstm", ("lengths",), np.array([2.0, 6.0]), "lengths must be whole numbers, got torch.float64"),
    ("lstm", ("lengths",), [True, False], "lengths must be whole numbers, got torch.bool"),
    ("lstm", ("lengths",), [-1, 6], "lengths must lie in 0..6, got -1..6"),
    ("lstm", ("lengths",), [2, 7], "lengths must lie in 0..6, got 2..7"),
    ("lstm", ("lengths",), [2, 3, 4], "lengths must be (2,), one a row, got (3,)"),
    ("lstm", ("lengths",), torch.ones(B, T).long(), "lengths must be (2,), one a row, got (2, 6)"),
    ("lstm", ("lengths",), 3, "lengths must be (2,), one a row, got ()"),
    ("lstm", ("live",), flags.float(), "live must be a tensor of bool, got torch.float32"),
    ("lstm", ("live",), [[True]], "live must be a tensor of bool, got list"),
    ("lstm", ("live",), flags.T, "live must be (2, 6), got (6, 2)"),
    ("lstm", ("reset",), flags.long(), "reset must be a tensor of bool, got torch.int64"),
    ("lstm", ("reset",), flags[0], "reset must be (2, 6), got (6,)"),
    ("lstm2d", ("reset",), flags[..., None], "reset must be (2, 6, 4), got (2, 6, 1)"),
    ("attend", ("memory_lengths", "S"), [1, 4], "memory_lengths['S'] must lie in 0..3, got 1..4"),
    ("attend", ("memory_lengths", "S"), [1.0, 2.0], "memory_lengths['S'] must be whole numbers, got torch.float32"),
    ("attend", ("memory_lengths", "S"), [1], "memory_lengths['S'] must be (2,), one a row, got (1,)"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "where", "value", "says"), WRONG, ids=lambda v: v if isinstance(v, str) else "")
def test_what_does_not_fit(name: str, where: tuple[str, ...], value: Any, says: str):
    with pytest.raises(ShapeError, match=re.escape(says)):
        scan(**change(call(name), where, value))


def test_lengths_and_live_at_once():
    with pytest.raises(ShapeError, match="give lengths or live, not both"):
        scan(**call("lstm"), lengths=[1, 2], live=flags)


@pytest.mark.parametrize("how", ["outputs", "record"])
def test_values_that_are_not_there(how: str):
    given: dict[str, Any] = {how: ("forgot",)}
    with pytest.raises(GraphError, match="lstm has no value named 'forgot'; did you mean 'forget'"):
        scan(**call("lstm"), **given)


@cell(x="", h="")
def counter(x, h):
    """No weights, no axes."""
    return x + h


def test_nothing_says_the_dtype_but_the_input():
    y, state, *_ = scan(compile(counter), {}, torch.ones(2, 3, dtype=torch.float64), lengths=[3, 2])
    assert y.tolist() == [[1, 2, 3], [1, 2, 0]]
    assert (y.dtype, state["h"].tolist()) == (torch.float64, [3, 2])


@cell(h="H", m="N H")
def board(x, h, m=0.5):
    """The axis N is one of a state alone."""
    return gate("hidden", tanh, x, h), m * h


def test_an_axis_of_a_state_alone():
    weights = initial_weights(board.graph, SIZES)
    with pytest.raises(
        ShapeError, match=re.escape("nothing that was given says how large the axis N is; say sizes={'N'")
    ):
        scan(compile(board, "reference"), weights, torch.zeros(B, T, 3))
    _, state, *_ = scan(compile(board, "reference"), weights, torch.zeros(B, T, 3), sizes={"N": 7})
    assert state["m"].shape == (B, 7, 5)
    with pytest.raises(ShapeError, match=re.escape("the initial 'm' has 3 places (N), sizes expects 7")):
        scan(
            compile(board, "reference"),
            weights,
            torch.zeros(B, T, 3),
            sizes={"N": 7},
            initial={"m": torch.zeros(3, 5)},
        )


# ---- backends ------------------------------------------------------------------------------------------------


def test_a_backend_that_does_not_exist():
    with pytest.raises(OptionError, match="there is no backend 'fusd'; did you mean 'fused'"):
        compile(elman, "fusd")
    with pytest.raises(OptionError, match=r"there is no backend 'tpu'.*; there are auto, .*reference"):
        compile(elman, "tpu")


def test_a_backend_that_can_never_run_the_cell():
    with pytest.raises(BackendError, match="gru cannot run on fused: it is not an LSTM, a GRU with the reset after"):
        compile(find("gru"), "fused")


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"reset": flags}, "torch's layer knows no resets inside a sequence"),
        ({"outputs": ("forget",)}, "torch's layer shows no inner values"),
        ({"record": ("h",)}, "torch's layer shows no inner values"),
        ({"live": ~flags}, "torch's layer knows lengths, not any mask of real steps"),
    ],
)
def test_a_backend_that_cannot_do_the_call(given: dict[str, Any], why: str):
    fits = call("lstm") | {"kernel": compile(find("lstm"), "fused")}
    scan(**fits)
    with pytest.raises(BackendError, match=f"lstm cannot run: fused: {why}"):
        scan(**fits, **given)


def test_torchs_layers_know_no_lattice():
    given = call("lstm") | {"kernel": compile(find("lstm"), "fused"), "state": None}
    with pytest.raises(BackendError, match="fused: torch's layer knows no lattice"):
        scan(**given | {"x": torch.zeros(B, T, 4, 3)})
    assert scan(**given | {"x": torch.zeros(B, T, 4, 3), "kernel": compile(find("lstm"))}).output.shape == (
        B,
        T,
        4,
        5,
    )


@pytest.mark.parametrize("what", ["lstm", np.tanh, None])
def test_what_is_no_cell(what: Any):
    with pytest.raises(OptionError, match="not a cell: a step under @cell is one"):
        compile(what)


def test_every_error_is_one_of_ours():
    for error in (BackendError, GraphError, OptionError, ShapeError):
        assert issubclass(error, RekurError)
