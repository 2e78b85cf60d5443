"""rekur.nn.LSTM and the others against torch.nn's, over a grid of arguments: results, gradients and `state_dict`."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

import rekur.nn
from rekur.nn import dropin, dropin_cells
from tests.compare import Named, differ, leaves, silent, with_gradients

ROWS, STEPS, INPUT, HIDDEN = 3, 5, 4, 5
WITHIN = 1e-5
"""Between two ways to compute in float32: relative and absolute"""
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "lstm": ("LSTM", {}),
    "projected": ("LSTM", {"proj_size": 3}),
    "gru": ("GRU", {}),
    "tanh": ("RNN", {}),
    "relu": ("RNN", {"nonlinearity": "relu"}),
}
CELLS: dict[str, tuple[str, dict[str, Any]]] = {
    "lstm": ("LSTMCell", {}),
    "gru": ("GRUCell", {}),
    "tanh": ("RNNCell", {}),
    "relu": ("RNNCell", {"nonlinearity": "relu"}),
}
FORMS = ("batched", "unbatched", "packed", "packed sorted")


def combinations() -> Iterator[tuple[bool, ...]]:
    """(batch_first, bidirectional, two layers, bias, state) in half of all ways: any four of them in every way."""
    for flags in itertools.product((False, True), repeat=5):
        if sum(flags) % 2 == 0:
            yield flags


class Calls:
    """How often rekur's scan was called."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        for place in (dropin, dropin_cells):
            monkeypatch.setattr(place, "scan", self)

    def __call__(self, *args: Any, **options: Any) -> Any:
        self.count += 1
        return rekur.scan(*args, **options)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Layers as small as these only wait for a second one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    return Calls(monkeypatch)


def made(home: Any, kind: str, table: Any = KINDS, **options: Any) -> Any:
    """A layer with the weights that a seed gives."""
    torch.manual_seed(7)
    name, more = table[kind]
    layer = getattr(home, name)(INPUT, HIDDEN, **more, **options)
    for p in layer.parameters():
        nn.init.normal_(p, std=0.5)
    return layer


def results(layer: Any, values: Named, form: str, batch_first: bool) -> Named:
    """What a layer gives for `x` (B, T, I) in a form, and all gradients."""
    given = leaves(values)
    x, states = given["x"], tuple(v for k, v in given.items() if k != "x")
    inner = x if batch_first else x.transpose(0, 1)
    fed: Any = inner
    if form == "unbatched":
        fed, states = x[0], tuple(v[:, 0] for v in states)
    elif form != "batched":
        lengths = torch.tensor([5, 4, 1] if "sorted" in form else [2, 5, 3])
        fed = pack_padded_sequence(inner, lengths, batch_first, enforce_sorted="sorted" in form)
    torch.manual_seed(5)  # of the dropout
    y, end = layer(fed, (states if len(states) > 1 else states[0]) if states else None)
    out: dict[str, Tensor] = {}
    if isinstance(y, PackedSequence):
        places = {"sizes": y.batch_sizes, "order": y.sorted_indices, "back": y.unsorted_indices}
        out |= {k: v.double() for k, v in places.items() if v is not None}
        y = y.data
    ends = end if isinstance(end, tuple) else (end,)
    out |= {"output": y, **{f"final {i}": v for i, v in enumerate(ends)}}
    return with_gradients(out, cotangents(out), {"parameter": dict(layer.named_parameters()), "input": given})


def cotangents(out: Named) -> Named:
    draw = torch.Generator().manual_seed(11)
    return {k: torch.randn(v.shape, generator=draw) for k, v in out.items()}


def values_for(layer: Any, state: bool, rows: tuple[int, ...] = (ROWS,)) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(3)
    chains = layer.num_layers * (1 + layer.bidirectional)
    sizes = (layer.proj_size or HIDDEN, HIDDEN)[: 1 + (layer.mode == "LSTM")]
    out = {"x": torch.randn(ROWS, STEPS, INPUT, generator=draw)}
    return out | {f"s{i}": torch.randn(chains, *rows, n, generator=draw) for i, n in enumerate(sizes) if state}


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")  # of torch's own layer
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KINDS)
def test_layers_are_torchs(kind: str, form: str, calls: Calls):
    """5 kinds, 4 forms, 16 combinations: 320 in all."""
    for batch_first, both, two, bias, state in combinations():
        layers = 1 + two
        options: dict[str, Any] = {
            "batch_first": batch_first, "bidirectional": both, "num_layers": layers, "bias": bias,
            "dropout": 0.4 if two else 0.0,
        }  # fmt: skip
        ours, theirs = (made(home, kind, **options) for home in (rekur.nn, nn))
        assert isinstance(ours, type(theirs))
        assert list(ours.state_dict()) == list(theirs.state_dict())
        ours.load_state_dict(theirs.state_dict())
        theirs.load_state_dict(ours.state_dict())
        values = values_for(ours, state)
        calls.count = 0
        got, want = (results(layer, values, form, batch_first) for layer in (ours, theirs))
        assert calls.count == layers * (1 + both)
        assert differ(got, want, WITHIN) == {}, options
        unused = {"gradient of input s0", "gradient of input s1"} if form == "unbatched" else set()
        assert silent({k: v for k, v in want.items() if k not in {"order", "back"}}) <= unused


@pytest.mark.parametrize("kind", CELLS)
def test_cells_are_torchs(kind: str, calls: Calls):
    """4 kinds, 8 combinations: 32 in all."""
    for batched, bias, state in itertools.product((False, True), repeat=3):
        ours, theirs = (made(home, kind, CELLS, bias=bias) for home in (rekur.nn, nn))
        assert isinstance(ours, type(theirs))
        ours.load_state_dict(theirs.state_dict())
        theirs.load_state_dict(ours.state_dict())
        draw = torch.Generator().manual_seed(3)
        lead = (ROWS,) if batched else ()
        values = {"x": torch.randn(*lead, INPUT, generator=draw)}
        if state:
            values |= {f"s{i}": torch.randn(*lead, HIDDEN, generator=draw) for i in range(1 + (kind == "lstm"))}
        got, want = (stepped(layer, values) for layer in (ours, theirs))
        assert differ(got, want, WITHIN) == {}, (batched, bias, state)
    assert calls.count == 8


def stepped(layer: Any, values: Named) -> Named:
    given = leaves(values)
    states = tuple(v for k, v in given.items() if k != "x")
    end = layer(given["x"], (states if len(states) > 1 else states[0]) if states else None)
    out = {f"final {i}": v for i, v in enumerate(end if isinstance(end, tuple) else (end,))}
    return with_gradients(out, cotangents(out), {"parameter": dict(layer.named_parameters()), "input": given})


@pytest.mark.parametrize("form", FORMS)
def test_swapped_gates_would_be_found(form: str):
    ours, theirs = made(rekur.nn, "lstm"), made(nn, "lstm")
    with torch.no_grad():
        a, b, *rest = ours.weight_hh_l0.split(HIDDEN)
        ours.weight_hh_l0.copy_(torch.cat([b, a, *rest]))
    values = values_for(ours, True)
    got, want = (results(layer, values, form, False) for layer in (ours, theirs))
    found = differ(got, want, WITHIN)
    assert {"output", "final 0", "final 1", "gradient of parameter weight_hh_l0", "gradient of input x"} <= set(found)
