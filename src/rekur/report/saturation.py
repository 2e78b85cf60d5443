"""How often gates are shut and open: a dot a unit, a table of layers and gates."""

from collections.abc import Sequence

import numpy as np

from rekur.inspect.gates import OPEN as FAR
from rekur.inspect.gates import SHUT, Looked
from rekur.report.elements import escaped, figure
from rekur.report.wording import amount

_PANEL, _LEFT, _TOP, _BELOW = 196, 40, 26, 46  # pixels: a panel's side at most, and the room around it
_STYLE = "font-size: {}px; fill: var(--{})"
Panel = tuple[str, str, list[tuple[float, float]]]
"""Layer, gate, (share shut, share open) of each unit"""


def saturated(looked: Looked) -> str:
    """The drawing and the table as HTML; nothing where no cell has gates."""
    panels = panels_of(looked)
    if not panels:
        return ""
    caption = (
        f"<b>How often each gate is shut and open</b>, a dot a unit, over {escaped(amount(looked.steps))} steps. To "
        f"the right: shut (below {SHUT:g}) at that share of the steps. Upwards: open (above {FAR:g}). In the corner "
        "below on the left, a gate is always in between; on the slanting line never: it is a switch."
    )
    return figure(caption, (1000, 0), lambda width, _: draw(panels, width)) + _table(panels)


def panels_of(looked: Looked) -> list[Panel]:
    """The dots of each layer and gate."""
    found: list[Panel] = []
    if looked.saturation is None:
        return found
    for layer in looked.saturation.layer.values:
        for gate in looked.saturation.gate.values:
            values = looked.saturation.sel(layer=layer, gate=gate).transpose("unit", "end").values
            dots = [(float(shut), float(opened)) for shut, opened in values if not np.isnan(shut)]
            if dots:
                found.append((str(layer), str(gate), dots))
    return found


def said_layer(layer: str) -> str:
    """The number of a layer, and its direction where that is back.

    >>> said_layer("1.reverse")
    '1, backwards'
    """
    number, _, back = layer.partition(".")
    return f"{number}, backwards" if back else number


def draw(panels: Sequence[Panel], width: int) -> str:
    """A triangle a layer and gate, a layer a row where there is room, as SVG."""
    gates = list(dict.fromkeys(gate for _, gate, _ in panels))
    layers = list(dict.fromkeys(layer for layer, _, _ in panels))
    across = min(len(gates), max(1, width // (140 + _LEFT)))
    if len(gates) <= across:  # a second layer beside the first, where it fits
        across = min(len(panels), max(1, width // ((_PANEL + _LEFT) * len(gates))) * len(gates))
    side = min(_PANEL + 40 if len(panels) < 4 else _PANEL, width // across - _LEFT - 4)
    parts = []
    for at, (layer, gate, dots) in enumerate(panels):
        left = at % across * (side + _LEFT + 4) + _LEFT
        top = at // across * (side + _TOP + _BELOW) + _TOP
        title = f"{gate}, layer {said_layer(layer)}" if len(layers) > 1 else gate
        parts.append(_panel(title, dots, left, top, side))
    height = -(-len(panels) // across) * (side + _TOP + _BELOW)
    return f'<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>'


def _panel(title: str, dots: Sequence[tuple[float, float]], left: int, top: int, side: int) -> str:
    bottom = top + side
    path = "".join(f"M{left + shut * side:.1f} {bottom - opened * side:.1f}h0" for shut, opened in dots)
    ticks = "".join(
        f'<text x="{left + share * side:g}" y="{bottom + 16}" text-anchor="{anchor}" '
        f'style="{_STYLE.format(11, "soft")}">{share:.0%}</text>'
        for share, anchor in ((0, "start"), (0.5, "middle"), (1, "end"))
    ) + "".join(
        f'<text x="{left - 6}" y="{bottom - share * side + 4:g}" text-anchor="end" '
        f'style="{_STYLE.format(11, "soft")}">{share:.0%}</text>'
        for share in (0.5, 1)
    )
    return (
        f'<text x="{left}" y="{top - 10}" style="{_STYLE.format(13, "ink")}">{escaped(title)}</text>'
        f'<path d="M{left} {top}V{bottom}H{left + side}" style="fill: none; stroke: var(--soft)"/>'
        f'<path d="M{left} {top}L{left + side} {bottom}" style="fill: none; stroke: var(--hair)"/>{ticks}'
        f'<text x="{left + side / 2:g}" y="{bottom + 32}" text-anchor="middle" '
        f'style="{_STYLE.format(11, "soft")}">shut</text>'
        f'<text transform="translate({left - 10} {top + side * 0.75:g}) rotate(-90)" text-anchor="middle" '
        f'style="{_STYLE.format(11, "soft")}">open</text>'
        f'<path d="{path}" style="fill: none; stroke: var(--ink); stroke-opacity: .42; stroke-width: 5; '
        'stroke-linecap: round"/>'
    )


def _table(panels: Sequence[Panel]) -> str:
    rows = []
    for layer, gate, dots in panels:
        shut, opened = np.array(dots).T
        counts = (f"{int((v > FAR).sum())} of {len(dots)}" for v in (shut, opened))
        places = (f"{shut.mean():.0%}", f"{opened.mean():.0%}", f"{1 - shut.mean() - opened.mean():.0%}", *counts)
        rows.append(
            f'<tr><th scope="row">{escaped(f"{gate}, layer {said_layer(layer)}")}</th>'
            + "".join(f'<td class="number">{place}</td>' for place in places)
            + "</tr>"
        )
    names = ("shut", "open", "in between", f"units shut at more than {FAR:.0%}", f"units open at more than {FAR:.0%}")
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    body = "".join(rows)
    return f'<div class="table"><table><thead><tr><th></th>{head}</tr></thead><tbody>{body}</tbody></table></div>'
