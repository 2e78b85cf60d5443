"""The call that most make: one series of features, with lengths or whole; checked at once where one like it was."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import torch

from rekur.graph import Graph
from rekur.run.call import Call
from rekur.run.sizes import fitting, live_steps
from rekur.run.traced import PLAIN


class _Shapes(NamedTuple):
    """What follows from the shapes of the weights and of the input."""

    sizes: Mapping[str, int]
    states: Mapping[str, tuple[tuple[int, ...], float]]
    """The shape of each state, and the value that it starts from"""


_BY_NAME = ("constants", "initial", "memory_lengths")


def plain(graph: Graph, given: Mapping[str, Any]) -> Call | None:
    """The call of `scan` with what it was given; None where somebody has to look closer, and say what is wrong."""
    params, x, state = given["params"], given["x"], given["state"]
    if type(x) not in PLAIN or not isinstance(params, Mapping) or not isinstance(state, Mapping | None):
        return None
    if given["live"] is not None or given["reset"] is not None:
        return None
    if given["outputs"] or given["record"] or not isinstance(given["told"], Mapping | None):
        return None
    for k in _BY_NAME:
        if given[k] is not None and (given[k] or not isinstance(given[k], Mapping)):
            return None
    weights = [params.get(name) for name in graph.parameters]
    kind, device = x.dtype, x.device
    if not weights or len(weights) != len(params) or not kind.is_floating_point:
        return None
    for v in weights:
        if v is None or type(v) not in PLAIN or v.dtype != kind or v.device != device:
            return None
    shapes = _shapes(graph, x.shape, tuple([v.shape for v in weights if v is not None]))
    if shapes is None:
        return None
    if state is None:
        held = {k: x.new_full(shape, value) for k, (shape, value) in shapes.states.items()}
    elif [*state] == [*shapes.states]:
        held = dict(state)
        for k, (shape, _) in shapes.states.items():
            v = held[k]
            if type(v) not in PLAIN or v.shape != shape or v.dtype != kind or v.device != device:
                return None
    else:
        return None
    _, lengths = live_steps(given["lengths"], None, (x.shape[0], x.shape[1]), device)
    # nothing is reset, so nobody reads what a reset would go back to
    return Call(
        graph=graph, params=params, inputs={graph.of("input")[0].name: x}, state=held, initial=held, constants={},
        mask=None, lengths=lengths, reset=None, reverse=given["reverse"], memory={}, outputs=(), record=(),
        sizes=shapes.sizes,
    )  # fmt: skip


@lru_cache(maxsize=256)
def _shapes(graph: Graph, x: torch.Size, weights: tuple[torch.Size, ...]) -> _Shapes | None:
    inputs = graph.of("input")
    known = fitting(graph, weights)
    if known is None or len(inputs) != 1 or graph.of("constant") or graph.reads_neighbours:
        return None
    sizes = dict(known[0])
    axes = ("B", "T", *inputs[0].axes)
    if len(axes) != len(x) or any(sizes.setdefault(a, n) != n for a, n in zip(axes, x, strict=True)):
        return None
    states = graph.of("state")
    if any(a not in sizes for s in states for a in s.axes):
        return None
    return _Shapes(sizes, {s.name: ((x[0], *(sizes[a] for a in s.axes)), s.initial) for s in states})
