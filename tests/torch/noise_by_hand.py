"""A stack with noise as plain loops over time, for the tests of `rekur.nn`; and a cell that shows its masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from rekur.cells import affine, cell, named
from rekur.nn import Noise, Recurrent
from rekur.nn.layer import Layer
from rekur.nn.noise import Masks

State = dict[str, Tensor]


def lstm(w: State, x: Tensor, s: State, seen: Tensor) -> State:
    """One step; `seen` is h as products read it."""

    def gate(name: str) -> Tensor:
        return x @ w[f"{name}.x"].T + seen @ w[f"{name}.h"].T + w[f"{name}.bias"]

    c = gate("forget").sigmoid() * s["c"] + gate("input").sigmoid() * gate("candidate").tanh()
    return {"h": gate("output").sigmoid() * c.tanh(), "c": c}


def gru(w: State, x: Tensor, s: State, seen: Tensor) -> State:
    """One step of the published GRU."""

    def gate(name: str, h: Tensor) -> Tensor:
        return x @ w[f"{name}.x"].T + h @ w[f"{name}.h"].T + w[f"{name}.bias"]

    r, z = gate("reset", seen).sigmoid(), gate("update", seen).sigmoid()
    return {"h": (1 - z) * gate("candidate", r * seen).tanh() + z * s["h"]}


STEPS = {"lstm": lstm, "gru": gru}


def chain(
    layer: Layer, x: Tensor, state: State | None, noise: Noise, masks: Masks | None, counts: Sequence[int],
    reset: Tensor | None,
) -> tuple[Tensor, State]:  # fmt: skip
    """One layer forwards, row by row and step by step; without masks as in evaluation."""
    w, size = layer.params(), layer.sizes["H"]
    names = [a.name for a in layer.cell.graph.of("state")]
    said: Any = noise.zoneout
    rates: dict[str, float] = said if isinstance(said, dict) else dict.fromkeys(names, said)
    if masks is not None:
        for k in [k for k in w if k.endswith(".h") and noise.weight_drop]:
            w[k] = nn.functional.dropout(w[k], noise.weight_drop, True)
    start = {k: torch.zeros(size, dtype=x.dtype) if layer.initial is None else layer.initial[k] for k in names}
    rows, ends = [], []
    for b, count in enumerate(counts):
        s = {k: start[k] if state is None else state[k][b] for k in names}
        ys = [torch.zeros(size, dtype=x.dtype)] * x.shape[1]
        for t in range(count):
            s = start if reset is not None and reset[b, t] else s
            seen, read = s["h"], x[b, t]
            if masks is not None and noise.recurrent_dropout:
                seen = seen * masks.scaled("state h", [size], noise.recurrent_dropout, x.dtype)[b]
            if masks is not None and noise.input_dropout:
                read = read * masks.scaled("input x", [x.shape[2]], noise.input_dropout, x.dtype)[b]
            new = STEPS[layer.cell.name](w, read, s, seen)
            mixed = {}
            for k, v in new.items():
                p = rates.get(k, 0.0)
                if masks is None:
                    mixed[k] = p * s[k] + (1 - p) * v
                else:
                    take = masks.kept(f"zoneout {k}", [size], p, x.shape[1])[b, t].to(x.dtype)
                    mixed[k] = take * v + (1 - take) * s[k]
            s = mixed
            ys[t] = s["h"]
        rows.append(torch.stack(ys))
        ends.append(s)
    return torch.stack(rows), {k: torch.stack([s[k] for s in ends]) for k in names}


def stack(
    of: Recurrent, x: Tensor, state: State | None = None, *, lengths: Sequence[int] | None = None,
    reset: Tensor | None = None, masks: Masks | None = None,
) -> tuple[Tensor, State]:  # fmt: skip
    """The whole of it, in one direction: dropout between layers where there are masks."""
    counts = [x.shape[1]] * x.shape[0] if lengths is None else lengths
    final: State = {}
    for depth, layer in enumerate(of.layers):
        assert isinstance(layer, Layer)
        if depth and masks is not None:
            x = nn.functional.dropout(x, of.dropout, True)
        given = None if state is None else {k[2:]: v for k, v in state.items() if k.startswith(f"{depth}.")}
        own = None if masks is None else masks.of_layer(2 * depth)
        x, end = chain(layer, x, given, of.noise, own, counts, reset)
        final |= {f"{depth}.{k}": v for k, v in end.items()}
    return x, final


@cell
def shows(x, h):
    """Stays at one, and shows what it reads and what a product sees of the state."""
    named("read", x)
    named("seen", affine("see", h, init="identity", bias=False))
    return 0.0 * affine("hidden", x, h) + 1.0
