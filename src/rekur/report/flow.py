"""How gradients flow in a run's model and in other cells beside it: a part of the page of an inspection."""

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import cycle

import numpy as np

from rekur.inspect import Decay, Flows, Moment
from rekur.inspect.decay import share
from rekur.report.elements import escaped, figure
from rekur.report.elements import section as section_of
from rekur.report.falling import Line, falling
from rekur.report.travel import STYLE, Traveller, travel
from rekur.report.wording import amount, decimal

_FIXED = "\N{NO-BREAK SPACE}"
_TWO = "grid-template-columns: repeat(auto-fit, minmax(min(100%, 400px), 1fr))"
_LAYERS = 3  # more than that, and only the lowest and the highest have a picture
_CELLS = (("ink", 1.4, "2 4"), ("ink", 1.6, "8 4"), ("accent", 2.2, ""), ("soft", 2.2, ""))
_STATES = (("ink", 1.4, ""), ("accent", 1.8, ""), ("ink", 1.4, "8 4"), ("accent", 1.8, "8 4"))


def section(result: Flows) -> str:
    """All of it as HTML: in words, the gradient on its way, curves side by side and over training, and numbers.

    Nothing where there is no model.
    """
    if not result.own:
        return ""
    said, *others = result.sentences()
    one = result.unit.removesuffix("s")
    parts = [f"<p>{escaped(said)}</p>", f'<p class="note">{_MEASURED.format(unit=escaped(one))}</p>']
    if result.beside:
        parts += [_travelling(result), _side_by_side(result)]
        lines = "".join(f'<p class="note" style="break-inside: avoid">{escaped(line)}</p>' for line in others)
        parts.append(f'<div style="columns: 2 22em; column-gap: 48px">{lines}</div>')
    parts += [_over_training(result), _over_time(result.own[-1]), _numbers(result)]
    return section_of("How gradients flow", "".join(parts))


_MEASURED = """What is measured: the gradient of the loss at the last {unit} of a sequence alone, in the states of a
layer so many steps before: its length, the mean over held-out sequences, as a share of what it is at the last step.
So far back can an error still teach the network something. A layer that goes from the end to the beginning is
followed from the loss at the first step."""


def _travelling(result: Flows) -> str:
    looked = [(name, moments[at]) for at in (0, -1) for name, moments in result.beside.items()]
    looked.append((f"this {result.own[-1].cell}", result.own[-1]))
    rows = [Traveller(name, one.when, _left(one, one.layers[0])) for name, one in dict.fromkeys(looked)]
    where = " of the lowest layer" if len(result.own[-1].layers) > 1 else ""
    caption = (
        "<b>The gradient on its way back.</b> Time goes to the right; the loss is at its end, and its gradient goes "
        f"from there to the left through the unfolded cells{where}. Heights are what is left, by powers of ten: at "
        "the top all, at the bottom a millionth. A pointer on the picture stops it."
    )
    return STYLE + figure(caption, (1000, 500), partial(travel, rows))


def _side_by_side(result: Flows) -> str:
    figures = []
    first = next(iter(result.beside.values()))[0]
    for layer in _pictured(first):
        for place in (0, -1):
            moments = {name: of[place] for name, of in result.beside.items()}
            lines = [
                Line(name, _left(moment, layer), *style)
                for (name, moment), style in zip(moments.items(), cycle(_CELLS), strict=False)
            ]
            when = next(iter(moments.values())).when
            caption = f"<b>{escaped(when.capitalize())}</b>{_where(first, layer)}"
            figures.append(figure(caption, (476, 300), partial(falling, lines)))
    sizes = ", ".join(f"{name} {amount(count)}" for name, count in result.parameters.items())
    note = (
        "The same data in the same order, with the same sizes, seed and optimiser, and as many steps for each: what "
        f"{result.seconds:.0f} seconds were enough for. Parameters: {escaped(sizes)}."
    )
    return f'<h3>Several cells side by side</h3>{_pair(figures)}<p class="note">{note}</p>'


def _over_training(result: Flows) -> str:
    figures = []
    own = result.own
    for layer in _pictured(own[0]):
        caption = f"<b>This model, {escaped(own[0].cell)}</b>{_where(own[0], layer)}"
        figures.append(figure(caption, (476, 260), partial(falling, _by_step(own, layer))))
    for name, moments in result.beside.items():
        layer = moments[0].layers[0]
        caption = f"<b>{escaped(name)}</b>, the first steps{_where(moments[0], layer)}"
        figures.append(figure(caption, (476, 260), partial(falling, _by_step(moments, layer))))
    return f"<h3>Over training</h3>{_pair(figures)}"


def _by_step(moments: Sequence[Moment], layer: str) -> list[Line]:
    lines = []
    for place, moment in enumerate(moments):
        style = ("accent", 2.2, "") if moment is moments[-1] else ("soft", 1.2, "" if place else "2 4")
        lines.append(Line(f"step {moment.step:,}", _left(moment, layer), *style))
    return lines


def _over_time(moment: Moment) -> str:
    lines = []
    largest = float(np.nanmax(moment.over_time.values)) or 1.0
    names = [str(name) for name in moment.over_time["state"].values]
    for name, style in zip(names, cycle(_STATES), strict=False):
        values = moment.over_time.sel(state=name).values
        lines.append(Line(name, [float(v) for v in values[~np.isnan(values)] / largest], *style))
    caption = (
        f"<b>The whole loss</b> of this model {escaped(moment.when)}: the length of its gradient in each "
        "state as it leaves a step, as a share of the largest. So much does the state there count for what comes."
    )
    return "<h3>By time</h3>" + figure(caption, (1000, 260), lambda w, h: falling(lines, w, h, "step"))


def _numbers(result: Flows) -> str:
    groups: Mapping[str, Sequence[Moment]] = {f"this {result.own[0].cell}": result.own, **result.beside}
    body = ""
    for name, moments in groups.items():
        for moment in moments if moments is result.own else dict.fromkeys((moments[0], moments[-1])):
            for layer, decay in moment.decays.items():
                first, *cells, last = (name, *_row(moment, layer, decay))
                numbers = "".join(f'<td class="number">{escaped(v.replace(" ", _FIXED))}</td>' for v in cells)
                head = escaped(first.replace(" ", _FIXED))
                body += f'<tr><th scope="row">{head}</th>{numbers}<td>{escaped(last)}</td></tr>'
    heads = "".join(f'<th scope="col">{escaped(title)}</th>' for title in _COLUMNS)
    note = (
        "What is left so many steps back, and at the end of what was followed, in brackets how far that is. The "
        "spectral radius is the largest |λ| of the eigenvalues: of the Jacobian ∂s′/∂s of a step, the mean over some "
        "places, and of each matrix by which the cell multiplies its state."
    )
    return (
        f'<figure class="table"><figcaption><b>In numbers.</b> {note}</figcaption>'
        f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></figure>"
    )


_COLUMNS = (
    "cell", "step", "layer", "loss", "10 back", "50 back", "at the end", "below 1 % from", "halves every",
    "radius of the step", "of the weights",
)  # fmt: skip


def _row(moment: Moment, layer: str, decay: Decay) -> list[str]:
    left, weights = _left(moment, layer), moment.weights.sel(layer=layer)
    radii = [
        f"{str(name).removesuffix('.h')}{_FIXED}{float(value):.2f}"
        for name, value in zip(weights["weight"].values, weights.values, strict=True)
        if not np.isnan(value)
    ]
    return [
        f"{moment.step:,}",
        layer,
        decimal(moment.loss),
        *(share(left[at]) if at < len(left) else "–" for at in (10, 50)),
        f"{share(decay.left)} ({decay.steps})",
        str(decay.reach or "–"),
        f"{decay.half_life:.1f}" if decay.half_life < 1e4 else "–",
        f"{float(moment.jacobians.sel(layer=layer).mean()):.2f}",
        ", ".join(radii) or "–",
    ]


def _left(moment: Moment, layer: str) -> list[float]:
    values = moment.curve.sel(layer=layer).values
    values = values[~np.isnan(values)]
    return [float(v / values[0]) for v in values] if len(values) and values[0] > 0 else []


def _pictured(moment: Moment) -> list[str]:
    return moment.layers if len(moment.layers) <= _LAYERS else [moment.layers[0], moment.layers[-1]]


def _pair(figures: Sequence[str]) -> str:
    return f'<div class="pair" style="{_TWO}">{"".join(figures)}</div>'


def _where(moment: Moment, layer: str) -> str:
    return f", layer {escaped(layer)}" if len(moment.layers) > 1 else ""
