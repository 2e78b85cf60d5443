"""Which of a cell's named values are gates, how often they are shut or open, and what they do along a sequence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import inf
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from rekur.errors import OptionError
from rekur.graph import Graph, Node, walk
from rekur.inspect.names import parts, xarray
from rekur.inspect.record import Record, observed
from rekur.inspect.taking import Array, Model, Text
from rekur.inspect.told import Told
from rekur.nn import SequenceModel

if TYPE_CHECKING:
    from xarray import DataArray

SHUT, OPEN = 0.1, 0.9
"""Below the one a gate counts as saturated shut, above the other open (Karpathy, Johnson and Fei-Fei, 2016)"""
Bounds = tuple[float, float]


def gates_of(model: Model | Graph) -> list[str]:
    """The names of the values that are gates: those that cannot leave 0 … 1, as the logistic function's.

    So is what is made of gates, as ``1 - forget``. Not a softmax: it shares out, and where many share none gets much.

    >>> from rekur.cells import gru, lstm
    >>> gates_of(lstm.graph), gates_of(gru.graph)
    (['forget', 'input', 'output'], ['reset', 'update'])
    """
    graphs = [model] if isinstance(model, Graph) else _graphs(model).values()
    found = [name for graph in graphs for name, node in graph.names.items() if _is_gate(node)]
    return [*dict.fromkeys(found)]


def states_of(model: Model | Graph) -> list[str]:
    """The names of the states, the first of which a layer puts out.

    >>> from rekur.cells import lstm
    >>> states_of(lstm.graph)
    ['h', 'c']
    """
    graphs = [model] if isinstance(model, Graph) else _graphs(model).values()
    return [*dict.fromkeys(state.name for graph in graphs for state in graph.of("state"))]


def saturation(record: Record | Iterable[Record], shut: float = SHUT, opened: float = OPEN) -> DataArray:
    """How often the values of each unit are below `shut` and above `opened`, of all steps of all rows.

    (end, layer, gate, unit), a share from 0 to 1; the ends are "shut" and "open". NaN where a layer has no such gate
    or no such unit, or no step. Further axes of a gate count as steps do.

    Args:
        record: of gates, or the chunks of one, as `observed` gives them: a long text takes no more memory.

    >>> import torch
    >>> from rekur.nn import Recurrent
    >>> layer = Recurrent("lstm", 3, 8)
    >>> shares = saturation(observed(layer, torch.randn(2, 50, 3), gates_of(layer)))
    >>> shares.dims, shares.sizes["unit"], shares.gate.values.tolist()
    (('end', 'layer', 'gate', 'unit'), 8, ['forget', 'input', 'output'])
    >>> bool((shares.sum("end") <= 1).all())
    True
    """
    if not shut < opened:
        raise OptionError(f"shut is {shut} and opened {opened}; a gate cannot be both")
    counts: dict[str, Array] = {}
    for one in [record] if isinstance(record, Record) else record:
        for name, values in one.layers():
            if "unit" not in values.dims:
                continue
            flat = values.transpose(..., "unit").values.reshape(-1, values.sizes["unit"])
            tensor = torch.from_numpy(flat)  # counted on all cores; in 64 bits it would take four times as long
            tests = tensor < shut, tensor > opened, tensor == tensor
            seen = torch.stack([test.sum(0, dtype=torch.int32) for test in tests]).numpy().astype(np.int64)
            counts[name] = counts.get(name, 0) + seen
    if not counts:
        raise OptionError("no value with units was recorded: there is nothing to count")
    named = [parts(name) for name in counts]
    layers, values_of = [*dict.fromkeys(str(p[0]) for p in named)], [*dict.fromkeys(p[1] for p in named)]
    most = max(found.shape[1] for found in counts.values())
    shares = np.full((2, len(layers), len(values_of), most), np.nan)
    for (layer, value, _), found in zip(named, counts.values(), strict=True):
        with np.errstate(invalid="ignore"):
            of = shares[:, layers.index(str(layer)), values_of.index(value)]
            of[:, : found.shape[1]] = found[:2] / found[2]
    coordinates = {"end": ["shut", "open"], "layer": layers, "gate": values_of}
    array: DataArray = xarray().DataArray(
        shares, dims=("end", "layer", "gate", "unit"), coords=coordinates, name="saturation"
    )
    return array


@dataclass(frozen=True, eq=False)
class Looked:
    """What gates and states do: along the beginning of some sequences, and how often gates are saturated in all."""

    record: Record
    """Gates and states, of what is shown"""
    saturation: DataArray | None
    """As `saturation` gives it; None where no cell has gates"""
    gates: tuple[str, ...]
    states: tuple[str, ...]
    steps: int
    """That saturation was counted over"""
    told: tuple[Told, ...] = ()
    """What the model says of each row that is shown, where it says something step by step"""

    def _repr_html_(self) -> str:
        return "".join(f"<p>{escape(one)}</p>" for one in self.sentences()) + self.record._repr_html_()

    def sentences(self) -> Iterator[str]:
        """What the saturation says, in plain words: a line of each layer and gate."""
        if self.saturation is None:
            yield "The cell has no gates."
            return
        for layer in self.saturation.layer.values:
            for gate in self.saturation.gate.values:
                shut, opened = (v[~np.isnan(v)] for v in self.saturation.sel(layer=layer, gate=gate).values)
                if not len(shut):
                    continue
                text = f"Layer {layer}, {gate}: shut at {shut.mean():.0%} of all steps, open at {opened.mean():.0%}"
                always = {"shut": int((shut > OPEN).sum()), "open": int((opened > OPEN).sum())}
                said = [f"{n} almost always {end}" for end, n in always.items() if n]
                yield f"{text}; of {len(shut)} units {' and '.join(said)}." if said else f"{text}."


def look(
    model: Model,
    x: Tensor | Array,
    text: Text | None = None,
    lengths: Tensor | Sequence[int] | None = None,
    *,
    rows: int = 1,
    first: int = 0,
    steps: int = 160,
    time: int = 256,
) -> Looked:
    """Gates and states of the first `rows` over some `steps`, and the saturation over all, in one pass.

    What is shown begins at step `first`: a state takes a while to fill. For the other arguments and errors see
    `observed`.

    >>> import torch
    >>> from rekur.nn import Recurrent
    >>> found = look(Recurrent("lstm", 3, 8), torch.randn(2, 300, 3), steps=100)
    >>> found.record["forget"].sizes["time"], found.steps, found.gates
    (100, 600, ('forget', 'input', 'output'))
    """
    found = tuple(gates_of(model)), tuple(states_of(model))
    kept: list[Record] = []
    count = 0

    def passing() -> Iterator[Record]:
        nonlocal count
        for record in observed(model, x, [*found[0], *found[1]], None, lengths, text=text, time=time):
            one = next(iter(record.layers()))[1]
            here = (one.time.values >= first) & (one.time.values < first + steps)
            if here.any() or not kept:
                kept.append(
                    Record({k: v.isel(batch=slice(rows), time=here) for k, v in record.items()}, record.state)
                )
            count += int((~np.isnan(one.values.reshape(*one.shape[:2], -1)[..., 0])).sum())
            yield Record({k: v for k, v in record.items() if parts(k)[1] in found[0]}, record.state)

    counted = saturation(passing()) if found[0] else None
    if counted is None:
        for _ in passing():
            pass
    arrays = {k: xarray().concat([one[k] for one in kept], "time") for k in kept[0]} if len(kept) > 1 else kept[0]
    return Looked(Record(arrays, kept[-1].state), counted, *found, count)


def _graphs(model: Model) -> Mapping[str, Graph]:
    return (model.recurrent if isinstance(model, SequenceModel) else model).graphs


def _is_gate(node: Node) -> bool:
    low, high = bounds(node)
    return 0 <= low < high <= 1


def bounds(node: Node) -> Bounds:
    """What a value cannot leave, whatever goes in; infinite where nothing is known.

    >>> from rekur.cells import lstm
    >>> [bounds(lstm.graph.named(name)) for name in ("forget", "candidate", "c")]
    [(0.0, 1.0), (-1.0, 1.0), (-inf, inf)]
    """
    known: dict[Node, Bounds] = {}
    for one in walk([node]):
        known[one] = _bounds(one, [known[a] for a in one.args])
    return known[node]


def _bounds(node: Node, of: list[Bounds]) -> Bounds:
    match node.op:
        case "number":
            assert isinstance(node.attr, float)
            return node.attr, node.attr
        case "sigmoid" | "greater":
            return 0.0, 1.0
        case "tanh":
            return -1.0, 1.0
        case "neg":
            return -of[0][1], -of[0][0]
        case "add":
            return of[0][0] + of[1][0], of[0][1] + of[1][1]
        case "sub":
            return of[0][0] - of[1][1], of[0][1] - of[1][0]
        case "mul":
            ends = [0.0 if 0 in (a, b) else a * b for a in of[0] for b in of[1]]
            return min(ends), max(ends)
        case "maximum":
            return max(of[0][0], of[1][0]), max(of[0][1], of[1][1])
        case "where":
            return min(of[1][0], of[2][0]), max(of[1][1], of[2][1])
        case "stop" | "spread":
            return of[0]
        case "exp" | "relu" | "softplus":
            return 0.0, inf
    return -inf, inf
