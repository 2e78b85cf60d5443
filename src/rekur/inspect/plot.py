"""What is found as pictures of matplotlib, and as a notebook shows them."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from rekur.errors import RekurError

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from xarray import DataArray

    from rekur.inspect.moments import Moment
    from rekur.inspect.record import Record
    from rekur.inspect.units import Units

_MOST = 12  # maps drawn in a notebook
_LETTERS = 120  # steps whose characters fit under a map


def plot(record: Record, names: Sequence[str] | None = None, *, row: int = 0, steps: int = 160) -> Figure:
    """Heat maps, a unit a row and a step a column: from 0 to 1 where no value is below zero, else around zero.

    Args:
        names: as a record has them; by default every value of every layer.
        row: of the batch.
        steps: shown at most, the first ones.

    RekurError where matplotlib is missing.
    """
    whole = dict(record.layers())
    chosen = [*whole] if names is None else [full for name in names for full in _full(record, whole, name)]
    maps = [(name, record[name].isel(batch=row, time=slice(steps))) for name in chosen]
    figure = _figure(10, 0.4 + 1.9 * max(len(maps), 1))
    for axes, (name, values) in zip(figure.subplots(max(len(maps), 1), squeeze=False)[:, 0], maps, strict=False):
        _map(axes, name, values)
    return figure


def curves(moments: Mapping[str, Moment], unit: str = "steps") -> Figure:
    """What is left of a gradient on its way back, by powers of ten: a line for each name, and axes for each layer."""
    layers = next(iter(moments.values())).layers
    figure = _figure(5 * len(layers), 4)
    for axes, layer in zip(figure.subplots(1, len(layers), squeeze=False)[0], layers, strict=True):
        for name, moment in moments.items():
            lengths = moment.curve.sel(layer=layer)
            axes.semilogy(lengths["distance"], lengths / lengths[0], label=name)
        axes.set(title=f"layer {layer}", xlabel=f"{unit} back", ylim=(1e-8, None))
    axes.legend()
    return figure


def rivals(units: Units) -> Figure:
    """For each property, the R² of the unit that tells it best, and a mark where its strongest rival is."""
    names = [one.name for one in units.properties]
    best, rival = units.r2.max(0), units.rival
    order = np.argsort(best)
    figure = _figure(8, 1 + 0.28 * len(names))
    axes = figure.subplots()
    labels = [f"{names[p]}  {units.names[units.r2[:, p].argmax()]}" for p in order]
    axes.barh(labels, np.maximum(best[order], 0), color="#c98a72", label="best unit")
    axes.plot(np.maximum(rival[order], 0), range(len(names)), "k|", markersize=12, label="strongest rival")
    axes.set_xlabel("R² on held-out text")
    axes.legend(loc="lower right")
    return figure


def _figure(width: float, height: float) -> Figure:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise RekurError("a picture needs matplotlib, which is not here: pip install 'rekur[inspect]'") from None
    return Figure(figsize=(width, height), layout="constrained")


def _full(record: Record, whole: dict[str, Any], name: str) -> list[str]:
    if "layer" not in record[name].dims:
        return [name]
    return [f"{layer}.{name}" for layer in record[name].layer.values if f"{layer}.{name}" in whole]


def _map(axes: Any, name: str, values: DataArray) -> None:
    table = values.transpose("time", ...).values.reshape(values.sizes["time"], -1).T
    most = float(np.nanmax(np.abs(table), initial=0.0)) or 1.0
    gate = not (table < 0).any()
    image = axes.imshow(
        table, aspect="auto", interpolation="nearest", cmap="Greens" if gate else "RdBu",
        vmin=0 if gate else -most, vmax=max(most, 1.0) if gate else most,
    )  # fmt: skip
    axes.figure.colorbar(image, ax=axes, pad=0.01)
    axes.set_ylabel(name)
    if "text" in values.coords and values.sizes["time"] <= _LETTERS:
        labels = [{"\n": "↵", "\t": "⇥"}.get(label, label) for label in map(str, values.text.values)]
        turned = 90 if any(len(label) > 1 for label in labels) else 0
        axes.set_xticks(range(len(labels)), labels, rotation=turned, fontsize=8, family="monospace")
        axes.tick_params(axis="x", length=0)
    else:
        first = int(values.time[0]) if values.sizes["time"] else 0
        axes.set_xticks(range(0, values.sizes["time"], 20), range(first, first + values.sizes["time"], 20))


def html(record: Record) -> str:
    """What a notebook shows: sizes, and the first heat maps."""
    names = [name for name, _ in record.layers()]
    said = f"<pre>{escape(repr(record))}</pre>"
    if not names or 0 in record[names[0]].shape:
        return said
    more = f"<p>and {len(names) - _MOST} more: record.plot([…])</p>" if len(names) > _MOST else ""
    return f"{said}{image(plot(record, names[:_MOST]))}{more}"


def image(figure: Figure) -> str:
    """A figure for a notebook."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=80)
    return f'<img alt="" src="data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}">'
