"""Curves as SVG that goes into the page: its colours and its typeface are the page's, in light and in dark.

One unit of a drawing is one pixel of the page, so that its text has the size of the page's small print.
"""

import io
import re
from typing import TYPE_CHECKING

from rekur.errors import RekurError
from rekur.report.history import Curve, thin

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = {"ink": "#010101", "soft": "#020202", "hair": "#030303", "accent": "#040404", "paper": "#050505"}
SIZE = 12.5  # of text
_APART = 16  # the least distance of two labels' baselines
_DOTS = 40  # more points than that are a line without dots


def losses(train: Curve, validation: Curve, width: int, height: int) -> str:
    """Training and validation loss by step, each labelled at its end; a ring marks the best validation."""
    axes = _axes(width, height, right=104)
    train = thin(train)
    _line(axes, train, "soft", linewidth=1)
    _line(axes, validation, "accent", linewidth=2, dots=len(validation) <= _DOTS)
    if validation:
        best = min(validation, key=lambda point: point[1])
        axes.plot(*best, color=_COLOURS["accent"], marker="o", markersize=11, markerfacecolor="none", clip_on=False)
    _limits(axes, train + validation)
    _end_labels(axes, {"training": (train, "soft"), "validation": (validation, "accent")})
    return _svg(axes, f"losses{width}")


def quantity(name: str, curve: Curve, width: int, height: int, level: tuple[str, float] | None = None) -> str:
    """One quantity by step; a level that it reaches is a dashed line with its name."""
    axes = _axes(width, height, right=16)
    values = [value for _, value in curve]
    if 0 < 30 * min(values) < max(values):
        axes.set_yscale("log")
    else:
        axes.set_ylim(0, max(values) * 1.08 or 1)
    _line(axes, thin(curve), "ink", linewidth=1.2)
    if level and level[1] <= max(values):
        text, at = level
        axes.axhline(at, color=_COLOURS["soft"], linewidth=1, dashes=(5, 4))
        axes.annotate(
            text,
            (1, at),
            xycoords=("axes fraction", "data"),
            xytext=(0, 4),
            textcoords="offset points",
            ha="right",
            color=_COLOURS["soft"],
            fontsize=SIZE,
        )
    _limits(axes, curve)
    return _svg(axes, f"{name}{width}")


def _axes(width: int, height: int, right: int) -> "Axes":
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise RekurError("a report needs matplotlib, which is not here: pip install 'rekur[report]'") from None
    left, bottom, top = 44, 28, 12
    figure = Figure(figsize=(width / 72, height / 72), dpi=72)
    axes = figure.add_axes((left / width, bottom / height, 1 - (left + right) / width, 1 - (bottom + top) / height))
    axes.spines[["left", "right", "top"]].set_visible(False)
    axes.spines["bottom"].set_color(_COLOURS["soft"])
    axes.grid(axis="y", color=_COLOURS["hair"], linewidth=0.8)
    axes.set_axisbelow(True)
    return axes


def _line(axes: "Axes", curve: Curve, colour: str, linewidth: float, dots: bool = False) -> None:
    axes.plot(
        [step for step, _ in curve],
        [value for _, value in curve],
        color=_COLOURS[colour],
        linewidth=linewidth,
        marker="o" if dots or len(curve) == 1 else "",  # one point has no line
        markersize=6,
        markeredgecolor=_COLOURS["paper"],
        clip_on=False,
    )


def _limits(axes: "Axes", points: Curve) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    last = max(step for step, _ in points)
    axes.set_xlim(0, max(last, 1))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=max(2, int(axes.bbox.width // 70)), integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:,.0f}"))
    if axes.get_yscale() == "linear":
        axes.yaxis.set_major_locator(MaxNLocator(nbins=max(2, int(axes.bbox.height // 45)), steps=[1, 2, 5, 10]))
    else:
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_locator(NullLocator())
    axes.autoscale_view()  # now, for labels are placed by where the curves end
    axes.tick_params(length=0, pad=6, labelsize=SIZE, labelcolor=_COLOURS["soft"])
    axes.tick_params(axis="x", length=4, color=_COLOURS["soft"])


def _end_labels(axes: "Axes", ends: dict[str, tuple[Curve, str]]) -> None:
    placed: list[tuple[float, str, str]] = []  # (height in pixels, text, colour), the lowest first
    for name, (curve, colour) in ends.items():
        if curve:
            height = float(axes.transData.transform((0, curve[-1][1]))[1])
            placed.append((height, f"{name} {curve[-1][1]:.2f}", colour))
    placed.sort()
    lowest = float("-inf")
    for height, text, colour in placed:
        lowest = max(height, lowest + _APART)
        axes.annotate(
            text,
            (axes.bbox.x1 + 10, lowest),
            xycoords="figure pixels",
            va="center",
            color=_COLOURS[colour],
            fontsize=SIZE,
            annotation_clip=False,
        )


def _svg(axes: "Axes", name: str) -> str:
    from matplotlib import rc_context

    file = io.StringIO()
    figure = axes.get_figure(root=True)
    assert figure is not None
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "rekur"}):
        figure.savefig(file, format="svg", transparent=True)
    text = file.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", text, flags=re.DOTALL)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*" height="[^"]*"', r"\1", text, count=1)
    text = re.sub(r"font-family: [^;]*; ?", "", text)
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", text)  # ids are the page's: one a drawing
    for variable, colour in _COLOURS.items():
        text = text.replace(colour, f"var(--{variable})")
    return text
