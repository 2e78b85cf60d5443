"""What is asked of a stack: series, states and names by layer, checked and taken apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from rekur.errors import ShapeError, suggest
from rekur.graph import Graph
from rekur.nn.noise import NAME


def series(x: object, size: int) -> Tensor:
    """`x`, which must be `(B, T, size)`, or may be symbols `(B, T)`; ShapeError where it is neither."""
    if isinstance(x, Tensor):
        if x.dim() == 3 and x.shape[2] == size:
            return x
        if x.dim() == 2 and not x.is_floating_point():  # symbols, if `scan` agrees
            return x
    got = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
    hint = "; pad it, and say lengths=…" if isinstance(x, PackedSequence) else ""
    raise ShapeError(f"the input must be a tensor (B, T, {size}), got {got}{hint}")


def check_state(graphs: Mapping[str, Graph], state: Mapping[str, Tensor] | None) -> None:
    """Raise ShapeError where the state is not that of a stack with these cells, by the prefix of each."""
    if state is None:
        return
    known = [f"{p}.{a.name}" for p, graph in graphs.items() for a in graph.of("state")]
    if not isinstance(state, Mapping):
        raise ShapeError(f"the state must be what the layer gave: {', '.join(known)}; got {type(state).__name__}")
    for name in state:
        if name not in known and name != NAME:
            raise ShapeError(f"this stack has no state {name!r}{suggest(name, known)}")
    missing = [name for name in known if name not in state]
    if missing:
        raise ShapeError(f"the state lacks {', '.join(missing)}; hand in all of it, or no state")


def check_names(graphs: Mapping[str, Graph], names: Sequence[str]) -> None:
    """Raise ShapeError where no cell has a value of a name, or not the one that it asks."""
    if not names:
        return
    bare = {p: [*graph.names, *graph.outputs] for p, graph in graphs.items()}
    full = [f"{p}.{v}" for p, values in bare.items() for v in values]
    known = [*dict.fromkeys(v for values in bare.values() for v in values), *full]
    for name in names:
        if name not in known:
            cells = have(graph.name for graph in graphs.values())
            raise ShapeError(f"{cells} no value named {name!r}{suggest(name, known)}")


def have(cells: Iterable[str]) -> str:
    """Each of the cells once, for a message of what they do not have.

    >>> have(["lstm", "gru", "lstm"])
    'lstm and gru have'
    """
    names = list(dict.fromkeys(cells))
    return f"{' and '.join(names)} {'has' if len(names) == 1 else 'have'}"


def asked(names: Sequence[str], prefix: str, graph: Graph) -> list[str]:
    """The names meant for one layer: bare ones that its cell has, and those under its prefix."""
    out = []
    for name in names:
        head, _, tail = name.partition(".")
        if not head.isdigit():
            out += [name] if name in graph.names or name in graph.outputs else []
        elif name.startswith(f"{prefix}.") and not (tail.startswith("reverse.") and not prefix.endswith("reverse")):
            out.append(name[len(prefix) + 1 :])
    return out


def last_steps(
    y: Tensor, split: int, *, lengths: Tensor | Sequence[int] | None = None, live: Tensor | None = None, **_: Any
) -> Tensor:
    """The last real step of each row `(B, size)`: of the first `split` features the latest, of the others, which go
    backwards, the earliest; zero where a row has none.
    """
    rows, steps = y.shape[:2]
    if not steps:
        return y.new_zeros(rows, y.shape[2])
    if live is not None:
        first, final = live.int().argmax(1), steps - 1 - live.int().flip(1).argmax(1)
    else:
        counts = torch.full((rows,), steps) if lengths is None else torch.as_tensor(lengths)
        first, final = torch.zeros_like(counts), (counts - 1).clamp(min=0)
    at = torch.arange(rows, device=y.device)
    return torch.cat([y[at, final.to(y.device), :split], y[at, first.to(y.device), split:]], -1)
