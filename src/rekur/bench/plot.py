"""Results as a picture: the ratio to the peer, and the share of the floor, over the hidden size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rekur.bench.point import CELLS, HIDDEN, MODES, TIME
from rekur.bench.result import Result, Row
from rekur.bench.table import TITLES
from rekur.errors import DataError, OptionError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PEERS = {"lstm": "torch", "gru": "torch", "elman": "torch", "own": "eager"}
_COLOURS = {1: "#c6a5d8", 8: "#7fb3d5", 16: "#2ca25f", 32: "#2171b5", 64: "#08306b"}
_KINDS = (".png", ".svg", ".pdf")
_TICKS = (0.25, 0.5, 1, 2, 4, 8, 16, 32, 64)


def check_plot(path: Path) -> None:
    """OptionError where a plot cannot be drawn there: said before an hour of measuring, not after."""
    if path.suffix not in _KINDS:
        raise OptionError(f"{str(path)!r}: a plot's file ends in {', '.join(_KINDS)}")
    if not path.parent.is_dir():
        raise OptionError(f"there is no folder {str(path.parent)!r} to put the plot in")
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise OptionError("a plot needs matplotlib, which is not here: pip install 'rekur[report]'") from None


def draw(result: Result, path: Path) -> None:
    """Write the picture: one column a cell; its layers in training, in inference, and against the floor."""
    from matplotlib.figure import Figure

    rows = [row for row in result.rows if row.point.part == "layer" and row.peer == _PEERS[row.point.cell]]
    if not rows:
        raise DataError("there is nothing to plot: no layer was measured against torch or an eager loop")
    figure = Figure(figsize=(12, 8.2), layout="constrained")
    grid = figure.subplots(3, len(CELLS), sharex=True, sharey="row")
    for i, cell in enumerate(CELLS):
        for axes, mode in zip(grid[:2, i], MODES, strict=True):
            _ratios(axes, [row for row in rows if (row.point.cell, row.point.mode) == (cell, mode)])
        _shares(grid[2, i], [row for row in rows if (row.point.cell, row.point.mode) == (cell, "training")])
        peer = "its eager loop" if _PEERS[cell] == "eager" else "torch.nn"
        grid[0, i].set_title(f"{TITLES[cell]} against {peer}", fontsize=11)
        grid[2, i].set_xlabel("hidden size")
    for axes, mode in zip(grid[:2, 0], MODES, strict=True):
        _scale(axes, [row for row in rows if row.point.mode == mode])
    for axes, label in zip(
        grid[:, 0], ("training: times faster", "inference: times faster", "training: share of the floor"), strict=True
    ):
        axes.set_ylabel(label)
    for batch, colour in _COLOURS.items():
        grid[0, 0].plot([], [], color=colour, marker="o", label=f"batch {batch}")
    grid[0, 0].plot([], [], **{**_marks(1, 50), "color": "gray"}, label="50 steps instead of 100")
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=6, frameon=False)
    m = result.machine
    figure.suptitle(
        f"{m['processor']}, {m['threads']} thread{'s' * (m['threads'] != 1)}, torch {m['torch']}, rekur {m['rekur']}",
        fontsize=10,
    )
    figure.align_ylabels(grid[:, 0])
    figure.savefig(path, dpi=150)


def _ratios(axes: Axes, rows: Sequence[Row]) -> None:
    _style(axes)
    for batch, time, these in _lines(rows):
        middle = [row.ratio.median for row in these]
        below = [row.ratio.median - row.ratio.low for row in these]
        above = [row.ratio.high - row.ratio.median for row in these]
        axes.errorbar(_places(these), middle, (below, above), elinewidth=1, **_marks(batch, time))
    axes.axhspan(1e-3, 1, color="#d62728", alpha=0.08, linewidth=0)
    axes.axhline(1, color="#d62728", linewidth=1)


def _scale(axes: Axes, rows: Sequence[Row]) -> None:
    """One scale for a line of drawings, with what is slower than the peer in red."""
    low, high = min([0.7, *(row.ratio.low for row in rows)]), max([2.5, *(row.ratio.high for row in rows)])
    axes.set_yscale("log", base=2)
    axes.set_yticks(_TICKS, [f"{tick:g}×" for tick in _TICKS])
    axes.minorticks_off()
    axes.set_ylim(low / 1.1, high * 1.1)


def _shares(axes: Axes, rows: Sequence[Row]) -> None:
    _style(axes)
    for batch, time, these in _lines(rows):
        axes.plot(_places(these), [row.share or 0 for row in these], **_marks(batch, time))
    axes.set_ylim(0, 1.05)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "25 %", "50 %", "75 %", "100 %"])


def _style(axes: Axes) -> None:
    axes.spines[["right", "top"]].set_visible(False)
    axes.grid(axis="y", color="#e4e4e4", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_xticks(range(len(HIDDEN)), [str(h) for h in HIDDEN])
    axes.set_xlim(-0.3, len(HIDDEN) - 0.7)
    axes.tick_params(length=0)


def _lines(rows: Sequence[Row]) -> Iterator[tuple[int, int, list[Row]]]:
    """Batch, time, and the rows of both in the order of their hidden size."""
    for batch, time in sorted({(row.point.batch, row.point.time) for row in rows}):
        these = [row for row in rows if (row.point.batch, row.point.time) == (batch, time)]
        yield batch, time, sorted(these, key=lambda row: row.point.hidden)


def _places(rows: Sequence[Row]) -> list[float]:
    """Where points stand: batches beside one another, so that none hides another."""
    aside = {batch: (i - 2) * 0.07 for i, batch in enumerate(_COLOURS)}
    return [HIDDEN.index(row.point.hidden) + aside[row.point.batch] for row in rows]


def _marks(batch: int, time: int) -> dict[str, Any]:
    whole = time == max(TIME)
    colour = _COLOURS[batch]
    return {
        "color": colour, "marker": "o", "markersize": 5, "markerfacecolor": colour if whole else "white",
        "linewidth": 1.5 if whole else 0.8, "linestyle": "-" if whole else ":",
    }  # fmt: skip
