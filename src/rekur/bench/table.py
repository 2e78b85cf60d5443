"""Results as tables in a terminal, losses as plain to see as gains."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from statistics import median

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from rekur.bench.peers import EXTRA, PEERS
from rekur.bench.point import Point
from rekur.bench.result import Result, Row
from rekur.bench.summary import AIMS, groups, mean, worst

TITLES = {"lstm": "LSTM", "gru": "GRU", "elman": "Elman", "own": "own cell"}
_PARTS = {
    "layer": "",
    "lengths": ", lengths",
    "share": ", first layer",
    "step": ", one step",
    "sample": ", characters",
    "compile": ", compiling",
    "first": ", compiling first",
    "memory": ", memory",
    "growth": ", memory added",
}
_COLUMNS = {":": 14, "rekur": 8, "peer:": 7, "peer's": 8, "ratio": 6, "95 %": 13, " :": 6, "floor": 5}
_BUSY = 1.0  # load, which also remembers what ended a minute ago
_STYLES = {"slower": "bold red", "even": "yellow", "faster": "green"}


def show(result: Result, console: Console) -> None:
    """Print everything: the machine, all rows, groups, aims, what failed, and what the columns mean."""
    console.print(_machine(result))
    if result.rows:
        for part in (_rows, _groups, _aims, _legend):
            console.print()
            console.print(part(result.rows))
    for failure in result.failures:
        name = " against ".join(filter(None, (failure.point.name, failure.peer)))
        console.print(Text.assemble(("FAILED ", "bold red"), f"{name}: {failure.reason}"))


def _machine(result: Result) -> Text:
    m = result.machine
    sizes = ", ".join(str(int(size) >> 20) for size in m["reading bytes/s"])
    rates = ", ".join(f"{rate / 1e9:.0f}" for rate in m["reading bytes/s"].values())
    lines = [
        f"{m['processor']}: {m['machine']}",
        f"{m['threads']} thread{'s' * (m['threads'] != 1)}; torch {m['torch']}, rekur {m['rekur']}",
        f"products: {m['product FLOP/s'] / 1e9:.0f} GFLOP/s; reading {sizes} MiB: {rates} GB/s",
    ]
    text = Text("\n".join(lines))
    if m.get("load", 0) > _BUSY:
        text.append(f"\nother work was going on when this began (load {m['load']}): trust no figure", "bold red")
    return text


def _table(*columns: str) -> Table:
    """A table whose columns stand to the left where their names end in a colon."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    for name in columns:
        left = name.endswith(":")
        table.add_column(name.removesuffix(":").strip(), justify="left" if left else "right", no_wrap=True)
    return table


def _rows(rows: Sequence[Row]) -> Group:
    """One table a heading, all with the same widths."""
    tables: list[Table | Text] = []
    for heading, these in groupby(rows, lambda row: heading_of(row.point)):
        table = _table(*_COLUMNS)
        table.title, table.title_justify, table.title_style = heading, "left", "bold"
        table.show_header = not tables
        for column, width in zip(table.columns, _COLUMNS.values(), strict=True):
            column.min_width = width
        last = ""
        for row in these:
            name = size(row.point)
            table.add_row("" if name == last else name, *_cells(row))
            last = name
        tables += [table, Text()]
    return Group(*tables[:-1])


def heading_of(point: Point) -> str:
    """What a group of points is called."""
    mode = "" if point.part in ("step", "sample", "compile", "first") else f" {point.mode}"
    return f"{TITLES[point.cell]}{mode}{_PARTS[point.part]}"


def size(point: Point) -> str:
    """The sizes of a point."""
    return f"H{point.hidden} B{point.batch} T{point.time}"


def _cells(row: Row) -> list[str | Text]:
    mine = _quantity(row.cost.median, row.unit)
    if not row.theirs:
        return [mine, "", "", "", f"{_quantity(row.cost.low, row.unit)}–{_quantity(row.cost.high, row.unit)}"]
    style = _STYLES[row.verdict]
    return [
        mine,
        row.peer,
        _quantity(row.fill * median(row.theirs), row.unit),
        Text(f"{row.ratio.median:.2f}", style),
        f"{row.ratio.low:.2f}–{row.ratio.high:.2f}",
        Text("" if row.verdict == "faster" else row.verdict, style),
        "" if row.share is None else f"{row.share:.0%}",
    ]


def _quantity(value: float, unit: str) -> str:
    if unit == "bytes":
        return f"{value / 2**20:.0f} MiB"
    for scale, name in ((1.0, "s"), (1e-3, "ms")):
        if value >= scale:
            return f"{value / scale:.3g} {name}" if value / scale < 1000 else f"{value / scale:.0f} {name}"
    return f"{value * 1e6:.3g} µs"


def _groups(rows: Sequence[Row]) -> Table:
    table = _table("groups:", "peer:", "of", "mean", "worst", "up to", "at:", "slower")
    for group in groups(rows):
        least, average, slower = worst(group.rows), mean(group.rows), group.count("slower")
        table.add_row(
            heading_of(least.point),
            group.peer,
            str(len(group.rows)),
            Text(f"{average:.2f}", "red" if average < 1 else "green"),
            Text(f"{least.ratio.median:.2f}", _STYLES[least.verdict]),
            f"{least.ratio.high:.2f}",
            size(least.point),
            Text(str(slower), "bold red" if slower else ""),
        )
    return table


def _aims(rows: Sequence[Row]) -> Table:
    table = _table("aims:", "of", "here", "aim", ":")
    for aim in AIMS:
        these = [row for row in rows if aim.about(row)]
        points = len({row.point for row in these})
        value, word = "", Text("not measured", "dim")
        if these:
            found = aim.read(these)
            value = aim.form.format(found)
            word = Text("reached", "green") if aim.reached(found) else Text("missed", "bold red")
            if points < aim.points:
                word.append(" so far")
        bound = f"{'≤' if aim.at_most else '≥'} {aim.form.format(aim.bound)}"
        table.add_row(aim.what, f"{points}/{aim.points}", value, bound, word)
    return table


def _legend(rows: Iterable[Row]) -> Text:
    known = {**PEERS, **EXTRA}
    raced = {row.peer for row in rows}
    return Text(
        "ratio: the peer's cost over rekur's, above 1 rekur is better; the median of pairs timed in turn, and the "
        "interval that holds the true one with a probability of 95 % or more. floor: the share of rekur's time that "
        "the products take at the peak measured, or the reading of weights. mean: the geometric mean of medians. "
        "worst: the point whose interval ends lowest, and where it ends.\n"
        + "\n".join(f"{name}: {peer.what}" for name, peer in known.items() if name in raced),
        "dim",
    )
