"""Where on a grid the parts of a cell stand: inputs at the bottom, gates above them, state lines along the top."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

Cell = tuple[int, int]
"""Column from the left, row from the bottom"""


@dataclass(frozen=True, slots=True)
class Item:
    """What is to be placed, and where it may stand."""

    name: str
    rows: tuple[int, ...]
    """The rows that it may take"""
    edge: int = 0
    """-1: left of everything, 1: right of everything"""


@dataclass(frozen=True, slots=True)
class Wire:
    """A connection from one item to another; `weight` says how much its length matters."""

    source: str
    target: str
    weight: float = 1.0


_BACKWARD, _BLOCKED, _BEND, _CLASH, _CROSS, _DISORDER, _COLUMN, _ROW = 40.0, 8.0, 2.0, 5.0, 2.0, 0.4, 0.6, 1.2


def place(items: Sequence[Item], wires: Sequence[Wire]) -> dict[str, Cell]:
    """A cell of the grid for each item, so that wires are short and straight, and lead to the right or up and down.

    `items` are in the order of computation. It starts from that order and improves by annealing, whose random
    numbers have a fixed seed: the same graph is always placed in the same way. Empty rows and columns are left out.
    """
    search = _Search(items, wires)
    search.anneal(random.Random(1), min(1500 + 160 * len(items), 120_000 // len(wires) + 1000))
    return _closed_up(search.cells)


def _closed_up(cells: Mapping[str, Cell]) -> dict[str, Cell]:
    columns = {c: i for i, c in enumerate(sorted({c for c, _ in cells.values()}))}
    rows = {r: i for i, r in enumerate(sorted({r for _, r in cells.values()}))}
    return {name: (columns[c], rows[r]) for name, (c, r) in cells.items()}


def _within(taken: int, low: int, high: int) -> int:
    """How many of the bits between two others are set."""
    return (taken & ((1 << high) - (1 << low + 1))).bit_count()


class _Search:
    def __init__(self, items: Sequence[Item], wires: Sequence[Wire]) -> None:
        self.items = {i.name: i for i in items}
        self.inner = [i.name for i in items if not i.edge]
        self.wires = wires
        self.cells: dict[str, Cell] = {}
        self._start(items)

    def _start(self, items: Iterable[Item]) -> None:
        """In the order of computation, each as far left as it can stand."""
        taken: set[Cell] = set()
        reads: dict[str, list[str]] = {}
        for w in self.wires:
            reads.setdefault(w.target, []).append(w.source)
        for item in items:
            if item.edge:
                continue
            least = max((self.cells[s][0] for s in reads.get(item.name, []) if s in self.cells), default=1)
            row = item.rows[0]
            column = next(c for c in range(least, least + 1000) if (c, row) not in taken)
            self.cells[item.name] = column, row
            taken.add((column, row))
        for item in sorted(items, key=lambda i: len(i.rows)):  # who has no choice comes first
            if item.edge:
                row = next((r for r in item.rows if (item.edge, r) not in taken), max(item.rows))
                while (item.edge, row) in taken:
                    row += 1
                taken.add((item.edge, row))
                self.cells[item.name] = 0, row
        self._edges()

    def _edges(self) -> None:
        columns = [self.cells[name][0] for name in self.inner]
        side = {-1: min(columns) - 1, 1: max(columns) + 1}
        for item in self.items.values():
            if item.edge:
                self.cells[item.name] = side[item.edge], self.cells[item.name][1]

    # ---- what a placement costs -------------------------------------------------------------------------------

    def cost(self, limit: float) -> float:
        """What the placement costs; or something above `limit`, where it costs more than that."""
        cells = self.cells
        rows: dict[int, int] = {}  # row -> its taken columns, a bit each
        columns: dict[int, int] = {}
        for c, r in cells.values():
            rows[r] = rows.get(r, 0) | 1 << c
            columns[c] = columns.get(c, 0) | 1 << r
        total = _COLUMN * max(columns) + _ROW * len(rows)
        across: list[tuple[int, int, int, str]] = []
        along: list[tuple[int, int, int, str]] = []
        met: dict[tuple[str, str], str] = {}  # side of an item -> whose value passes there

        def meets(w: Wire, out: str, into: str) -> float:
            """What it costs that two wires meet an item at one side."""
            clash = met.get((w.source, out), w.source) != w.source
            return _CLASH * (clash + (met.get((w.target, into), "") not in ("", w.source)))

        def take(w: Wire, out: str, into: str) -> None:
            met[w.source, out], met[w.target, into] = w.source, w.source

        bent = []
        for w in self.wires:
            (ac, ar), (bc, br) = cells[w.source], cells[w.target]
            dx, dy = bc - ac, br - ar
            total += w.weight * (abs(dx) + abs(dy))
            if dx < 0:
                total += _BACKWARD - _BACKWARD * dx / 4
            if dx and dy:
                bent.append((w, ac, ar, bc, br))
                continue
            if dx == 0:
                low, high = (ar, br) if ar < br else (br, ar)
                total += _BLOCKED * _within(columns[ac], low, high)
                along.append((ac, low, high, w.source))
                sides = ("top", "bottom") if dy > 0 else ("bottom", "top")
            else:
                left, right = (ac, bc) if dx > 0 else (bc, ac)
                total += _BLOCKED * _within(rows[ar], left, right)
                across.append((ar, left, right, w.source))
                sides = ("right", "left") if dx > 0 else ("left", "right")
            total += meets(w, *sides)
            take(w, *sides)
        if total > limit:
            return total
        for w, ac, ar, bc, br in bent:
            left, right = (ac, bc) if ac < bc else (bc, ac)
            low, high = (ar, br) if ar < br else (br, ar)
            up = ("top", "bottom") if br > ar else ("bottom", "top")
            first = _within(rows[ar], left, right) + (rows[ar] >> bc & 1) + _within(columns[bc], low, high)
            second = _within(rows[br], left, right) + (rows[br] >> ac & 1) + _within(columns[ac], low, high)
            costs = _BLOCKED * first + meets(w, "right", up[1]), _BLOCKED * second + meets(w, up[0], "left")
            total += _BEND + min(costs)
            level = costs[0] <= costs[1]
            take(w, *(("right", up[1]) if level else (up[0], "left")))
            across.append((ar if level else br, left, right, w.source))
            along.append((bc if level else ac, low, high, w.source))
        if total > limit:
            return total
        for column, low, high, a in along:
            for row, left, right, b in across:
                if a != b and left < column < right and low < row < high:
                    total += _CROSS
        last: dict[int, int] = {}
        for name in self.inner:  # what stands in one row stands in the author's order, if nothing speaks against it
            column, row = cells[name]
            total += _DISORDER * (column < last.get(row, column))
            last[row] = max(column, last.get(row, column))
        return total

    # ---- annealing ----------------------------------------------------------------------------------------------

    def anneal(self, rd: random.Random, steps: int) -> None:
        now = best = self.cost(math.inf)
        kept = dict(self.cells)
        for step in range(steps):
            heat = 4.0 * (0.01 ** (step / steps))
            before = dict(self.cells)
            self._move(rd)
            limit = now - heat * math.log(1.0 - rd.random())  # Metropolis: what may be accepted this time
            after = self.cost(limit)
            if after <= limit:
                now = after
                if now < best - 1e-9:
                    best, kept = now, dict(self.cells)
            else:
                self.cells = before
        self.cells = kept

    def _move(self, rd: random.Random) -> None:
        name = rd.choice(list(self.items))
        item, cells = self.items[name], self.cells
        column, row = cells[name]
        if item.edge:
            new = column, rd.choice(item.rows)
        else:
            new = max(1, column + rd.choice((-3, -2, -1, -1, 0, 0, 1, 1, 2, 3))), rd.choice(item.rows)
            if rd.random() < 0.15:  # make room: everything from there on goes one to the right
                for other in self.inner:
                    c, r = cells[other]
                    if c >= new[0]:
                        cells[other] = c + 1, r
                column, row = cells[name]
        there = next((n for n, cell in cells.items() if cell == new and n != name), None)
        if there is not None:
            if self.items[there].edge != item.edge or row not in self.items[there].rows:
                return
            cells[there] = column, row
        cells[name] = new
        if not item.edge:
            self._close()
            self._edges()

    def _close(self) -> None:
        """Leave out empty columns."""
        used = sorted({self.cells[n][0] for n in self.inner})
        new = {c: i + 1 for i, c in enumerate(used)}
        for n in self.inner:
            self.cells[n] = new[self.cells[n][0]], self.cells[n][1]
