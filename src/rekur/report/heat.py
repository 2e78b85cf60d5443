"""Gates and states along a sequence as heat maps, and how often each gate is shut or open."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rekur.inspect.gates import Looked
from rekur.report import elements
from rekur.report.bitmap import ABOVE, OPEN, image, png
from rekur.report.elements import escaped, figure
from rekur.report.saturation import said_layer, saturated

if TYPE_CHECKING:
    from xarray import DataArray

Array = npt.NDArray[Any]
_LEFT, _ROOM = 74, 6  # pixels for names and numbers of units; between maps
_UNITS, _FEWER = 96, 48  # units shown at most, of one sequence and of several
_ROW, _TALL = 2, 9  # the least and the most height of one
_LETTER, _WIDEST, _UPRIGHT = 7.6, 88, 15  # width of a step: a character's, a word's most, a word's that is turned
_SIZE, _SMALL = 12.5, 9.5
_APART = 12  # between numbers of units
_LINE, _LABELS = 14, 20  # height of a label's row; labels shown at most, the likeliest
_FULL = 0.7  # this share of a state's values is below full colour: a few that count up do not pale the others


@dataclass(frozen=True)
class Map:
    """A heat map: a row a unit or a label, a column a step."""

    name: str
    values: Array
    """`(T, rows)`, of -1 … 1"""
    rows: Sequence[str]
    """What each row is called"""
    colour: tuple[int, int, int]


def section(looked: Looked, title: str = "Gates and states") -> str:
    """The part of the page: saturation, then the maps of each sequence and layer."""
    rows = looked.record[next(iter(looked.record))].sizes["batch"]
    return elements.section(
        title, f"{saturated(looked)}{_note(looked)}{''.join(_row(looked, row) for row in range(rows))}"
    )


def _note(looked: Looked) -> str:
    gate = "A gate is drawn the stronger, the further it is open, from 0, blank, to 1. " if looked.gates else ""
    said = "Above them, how likely the model holds each answer after each step. " if looked.told else ""
    return (
        "<h3>Step by step</h3>"
        f'<p class="note">A row is a unit, the same in all maps of a layer; the numbers of some are beside it. {gate}'
        "Of states, blue is above zero and orange below. Units that change slowly are at the top, those that change "
        f"at every step at the bottom: what a layer keeps is above what it reads. {said}</p>"
    )


def _row(looked: Looked, row: int) -> str:
    layers = list(dict.fromkeys(name.rpartition(".")[0] for name, _ in looked.record.layers()))
    figures = [_said(looked, row), *(_layer(looked, layer, row) for layer in layers)]
    return "".join(figures)


def _said(looked: Looked, row: int) -> str:
    """What the model says of a row, over the same columns as the maps of its layers."""
    if row >= len(looked.told):
        return ""
    told = looked.told[row]
    first = next(iter(dict(looked.record.layers()).values())).isel(batch=row)
    labels = _texts(first)[: told.values.sizes["time"]]
    values = told.values.transpose("time", "label").values[: len(labels)]
    if len(values) < 1:
        return ""
    likeliest = np.sort(np.argsort(-values.max(0), kind="stable")[:_LABELS])
    values = values[:, likeliest]
    names = [str(told.values.label.values[at]) for at in likeliest]
    one = Map("", values / max(1.0, float(np.abs(values).max())), names, ABOVE)
    caption = f"<b>{escaped(told.note or 'What it says')}</b>"
    return figure(caption, (1000, 0), lambda width, _: draw([one], labels, width))


def _texts(values: "DataArray") -> list[str]:
    """The labels of the real steps of one row."""
    flat = values.transpose("time", ...).values.reshape(values.sizes["time"], -1)
    real = ~np.isnan(flat).all(1)
    return [str(label) for label in values.text.values[real]] if "text" in values.coords else [""] * int(real.sum())


def _layer(looked: Looked, layer: str, row: int) -> str:
    known = dict(looked.record.layers())
    found: dict[str, Array] = {}
    labels: list[str] = []
    for name in (*reversed(looked.states), *looked.gates):
        values = known.get(f"{layer}.{name}")
        if values is None or set(values.dims) != {"batch", "time", "unit"}:
            continue
        one = values.isel(batch=row).transpose("time", "unit")
        labels = _texts(one)
        found[name] = one.values[: len(labels)]
    if not labels:
        return ""
    slow = next(iter(found.values()))
    found = {k: v for k, v in found.items() if v.shape == slow.shape}  # where sizes differ a row is another unit
    most = _UNITS if next(iter(known.values())).sizes["batch"] == 1 else _FEWER
    order = arranged(slow, found.get(looked.states[0], slow), most)
    full = {k: 1.0 if k in looked.gates else float(np.quantile(np.abs(v), _FULL)) or 1.0 for k, v in found.items()}
    scales = ", ".join(f"{name} at ±{v:.2g}" for name, v in full.items() if name not in looked.gates)
    shown = "" if len(order) == slow.shape[1] else f", the {len(order)} liveliest of {slow.shape[1]} units"
    caption = f"<b>Layer {escaped(said_layer(layer))}</b>{shown}. Full colour: {escaped(scales)}."
    numbers = [str(unit) for unit in order]
    maps = [Map(k, v[:, order] / full[k], numbers, OPEN if k in looked.gates else ABOVE) for k, v in found.items()]
    return figure(caption, (1000, 0), lambda width, _: draw(maps, labels, width))


def arranged(values: Array, output: Array, most: int = _UNITS) -> Array:
    """The units of `(T, H)` that are drawn: the liveliest in what is put out, ordered by how like one step is to the
    next, the slowest first.

    >>> t = np.arange(40)
    >>> values = np.stack([(-1.0) ** t, np.sin(t / 9), np.sin(t)], 1)
    >>> arranged(values, values).tolist()
    [1, 2, 0]
    """
    liveliest = np.argsort(-output.var(0), kind="stable")[:most]
    change = (np.diff(values, axis=0) ** 2).sum(0) / np.maximum(values.var(0), 1e-12)
    return liveliest[np.argsort(change[liveliest], kind="stable")]


def draw(maps: Sequence[Map], labels: Sequence[str], width: int) -> str:
    """The maps, one under the other, as SVG; as many steps as there is room for."""
    room = width - _LEFT
    step, turned = _step(labels, room)
    steps = min(len(labels), int(room / step + 1e-6))
    if not turned and max(map(len, labels)) <= 1:
        step = min(room / steps, 22.0)
    lines = 12 + 6 * min(max(map(len, labels[:steps])), 14) if turned else 18
    parts, top = [], 0.0
    for one in maps:
        each = min(max(_ROW, 180 // len(one.rows)), _TALL if one.name else _LINE)
        height = each * len(one.rows)
        if one is maps[0] or not turned:
            parts.append(_labels(labels[:steps], top + lines - 5, step, turned))
            top += lines
        parts.append(image(png(one.values[:steps].T, one.colour), _LEFT, top, steps * step, height))
        parts.append(_frame(_LEFT, top, steps * step, height))
        parts.append(_text(0, top + 11, one.name, _SIZE, "start", "ink"))
        parts += [
            _text(_LEFT - 6, top + (at + 0.5) * each + 3.5, _short(one.rows[at], 12), _SMALL, "end", "soft")
            for at in range(0, len(one.rows), -(-_APART // each))
            if at * each > 14 or len(one.name) < 6
        ]
        top += height + _ROOM
    return f'<svg viewBox="0 0 {width} {top:g}" xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>'


def _step(labels: Sequence[str], room: float) -> tuple[float, bool]:
    """The width of a step, and whether labels are turned."""
    longest = max(map(len, labels))
    if longest <= 1:
        return _LETTER, False
    if len(labels) * (flat := min(longest * 7.2 + 8, _WIDEST)) <= room:
        return flat, False
    return max(min(room / len(labels), _WIDEST), _UPRIGHT), True


def _labels(labels: Sequence[str], y: float, step: float, turned: bool) -> str:
    middles = [_LEFT + (at + 0.5) * step for at in range(len(labels))]
    if turned:
        return "".join(
            f'<text transform="translate({x + 3:.1f} {y:g}) rotate(-60)" style="{_style(11, "ink")}">'
            f"{escaped(_short(label, 14))}</text>"
            for x, label in zip(middles, labels, strict=True)
        )
    if any(len(label) > 1 for label in labels):
        return "".join(
            _text(x, y, _short(label, int(step / 7)), 12, "middle", "ink")
            for x, label in zip(middles, labels, strict=True)
        )
    places = " ".join(f"{x:.1f}" for x in middles)
    shown = "".join(_SIGNS.get(label, label if label.isprintable() else "·") for label in labels)
    style = f"{_style(12, 'ink')}; font-family: var(--mono)"
    return f'<text x="{places}" y="{y:g}" text-anchor="middle" style="{style}">{escaped(shown)}</text>'


_SIGNS = {"": "\N{NO-BREAK SPACE}", " ": "\N{NO-BREAK SPACE}", "\n": "↵", "\t": "⇥"}


def _short(label: str, most: int) -> str:
    return label if len(label) <= most else f"{label[: max(most - 1, 1)]}…"


def _style(size: float, colour: str) -> str:
    return f"font-size: {size:g}px; fill: var(--{colour})"


def _text(x: float, y: float, text: str, size: float, anchor: str, colour: str) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" style="{_style(size, colour)}">{escaped(text)}</text>'
    )


def _frame(x: float, y: float, width: float, height: float) -> str:
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" style="fill: none; stroke: var(--hair)"/>'
    )
