"""Wires between boxes on a grid: level and upright pieces, each on a line of its own, crossing as little as they can.

Between the columns and the rows of the grid lie channels of several lines. A wire is found by Dijkstra's search
with an estimate (A*), of the net that it belongs to, so that wires from one source share their way. Lines that no
wire takes are left out when `Lattice` says where they lie on paper.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

Spot = tuple[int, int]
"""The numbers of two lines: one from the left, one from the top"""

SIDES: Mapping[str, Spot] = {"right": (1, 0), "left": (-1, 0), "bottom": (0, 1), "top": (0, -1)}
_LEAVE = {"right": 0.0, "top": 0.6, "bottom": 1.2, "left": 9.0}
_ENTER = {"left": 0.0, "bottom": 0.4, "top": 0.6, "right": 12.0}
_BEND, _CROSS, _ANOTHER, _ASIDE = 4.0, 6.0, 6.0, 0.6
_END: Spot = (-1, -1)


@dataclass(frozen=True, slots=True)
class Port:
    """A box as the wires see it: its place, and at how many places of a side they meet it."""

    column: int
    row: int
    """From the top"""
    across: int = 1
    """Places along its top and bottom, an odd number"""
    along: int = 1
    """Places along its left and right, an odd number"""
    sides: tuple[str, ...] = ("left", "right", "top", "bottom")
    inwards: str = "left"
    """The side where wires arrive by preference"""


@dataclass
class Net:
    """All wires from one source. `ways` are their spots from source to target, in the order of `targets`."""

    source: str
    targets: Sequence[str]
    ways: dict[int, list[Spot]] = field(default_factory=dict)
    joints: set[Spot] = field(default_factory=set)


class Blocked(Exception):
    """A wire finds no way; try again with more lines, and this net first."""

    def __init__(self, net: Net) -> None:
        super().__init__(net.source)
        self.net = net


def route(ports: Mapping[str, Port], wires: Sequence[tuple[str, str]], first: Sequence[str] = ()) -> Lattice:
    """Ways for all `wires`, those of the sources in `first` before others.

    Equal pairs in `wires` are wires of their own.
    """
    targets: dict[str, list[str]] = {}
    for source, target in wires:
        targets.setdefault(source, []).append(target)

    def far(source: str, target: str) -> int:
        a, b = ports[source], ports[target]
        return abs(a.column - b.column) + abs(a.row - b.row)

    order = sorted(targets, key=lambda s: (s not in first, max(far(s, t) for t in targets[s]), len(targets[s])))
    failed = ""
    for attempt in range(12):
        lattice = Lattice(ports, 3 + attempt)
        try:
            for source in order:
                near = sorted(targets[source], key=lambda t: far(source, t))
                lattice.connect(Net(source, near))
        except Blocked as blocked:
            failed = blocked.net.source
            order.remove(failed)
            order.insert(0, failed)
            continue
        return lattice
    raise AssertionError(f"no way out of {failed}")


class Lattice:
    """The lines, which of them are taken by which net, and at last where they lie."""

    def __init__(self, ports: Mapping[str, Port], lines: int) -> None:
        self.ports = ports
        self.lines = lines
        self.nets: list[Net] = []
        columns = [
            max([3, *(p.across for p in ports.values() if p.column == c)])
            for c in range(1 + max(p.column for p in ports.values()))
        ]
        rows = [
            max([3, *(p.along for p in ports.values() if p.row == r)])
            for r in range(1 + max(p.row for p in ports.values()))
        ]
        self.through = columns, rows  # how many lines there are through each
        self.size = self.line(0, len(columns)) - 1, self.line(1, len(rows)) - 1
        self.aside = self._off_middle(0), self._off_middle(1)
        self.owner: dict[Spot, str] = {}  # a box's spots
        self.taken: tuple[dict[Spot, str], dict[Spot, str]] = ({}, {})  # level and upright pieces
        self.used_pins: set[tuple[Spot, str]] = set()  # with their side: a corner of a box has two
        for name, p in ports.items():
            x, y = self.line(0, p.column), self.line(1, p.row)
            wide, high = columns[p.column] // 2, rows[p.row] // 2
            for i in range(-wide, wide + 1):
                for j in range(-high, high + 1):
                    self.owner[x + i, y + j] = name

    def line(self, axis: int, place: int) -> int:
        """The number of the line through the middle of a column (axis 0) or a row."""
        through = self.through[axis]
        half = through[place] // 2 if place < len(through) else 1
        return sum(through[:place]) + self.lines * (place + 1) + half

    def _off_middle(self, axis: int) -> list[float]:
        """For each line, a small price for not lying in the middle of its channel, column or row."""
        channel = [0.02 * abs(i - (self.lines - 1) / 2) for i in range(self.lines)]
        out = list(channel)
        for count in self.through[axis]:
            out += [0.1 * (i != count // 2) for i in range(count)] + channel
        return out

    def free_pins(self, name: str) -> list[tuple[Spot, str, float]]:
        """The places where a box can be met, with their side and how far they are from the middle of it."""
        p = self.ports[name]
        x, y = self.line(0, p.column), self.line(1, p.row)
        wide, high = self.through[0][p.column] // 2, self.through[1][p.row] // 2
        found = []
        for side in p.sides:
            dx, dy = SIDES[side]
            half = (p.along if dx else p.across) // 2
            for o in sorted(range(-half, half + 1), key=abs):
                spot = (x + dx * wide, y + o) if dx else (x + o, y + dy * high)
                if (spot, side) not in self.used_pins:
                    found.append((spot, side, _ASIDE * abs(o)))
        return found

    # ---- one net --------------------------------------------------------------------------------------------

    def connect(self, net: Net) -> None:
        """Find the ways of a net and take them."""
        self.nets.append(net)
        before: dict[Spot, Spot | None] = {}  # the tree: spot -> the one nearer to the source
        for i, target in enumerate(net.targets):
            way = self._search(net, target, before)
            for a, b in pairwise(way):
                axis = 0 if a[1] == b[1] else 1
                for spot in (a, b):
                    self.taken[axis][spot] = net.source
                before.setdefault(b, a)
            if way[0] in before:
                net.joints.add(way[0])
            else:
                before[way[0]] = None
            self._meet(net.source, way[0], way[1])
            self._meet(target, way[-1], way[-2])
            whole = way
            while (at := before[whole[0]]) is not None:
                whole = [at, *whole]
            net.ways[i] = whole

    def _meet(self, name: str, pin: Spot, outside: Spot) -> None:
        if self.owner.get(pin) == name:
            step = (outside[0] - pin[0], outside[1] - pin[1])
            self.used_pins.add((pin, next(side for side, way in SIDES.items() if way == step)))

    def _search(self, net: Net, target: str, tree: Mapping[Spot, Spot | None]) -> list[Spot]:
        goals: dict[tuple[Spot, Spot], tuple[float, Spot]] = {}
        inwards = self.ports[target].inwards
        for pin, side, aside in self.free_pins(target):
            dx, dy = SIDES[side]
            price = aside + (0.0 if side == inwards else 1.0 + _ENTER[side])
            goals[(pin[0] + dx, pin[1] + dy), (-dx, -dy)] = price, pin
        port = self.ports[target]
        tx, ty = self.line(0, port.column), self.line(1, port.row)
        wide, high = self.through[0][port.column] // 2 + 1, self.through[1][port.row] // 2 + 1
        queue: list[tuple[float, int, float, Spot, Spot]] = []
        came: dict[tuple[Spot, Spot], tuple[Spot, Spot] | None] = {}
        best: dict[tuple[Spot, Spot], float] = {}
        roots: dict[tuple[Spot, Spot], Spot] = {}
        count = 0

        def push(spot: Spot, way: Spot, cost: float, origin: tuple[Spot, Spot] | None, root: Spot | None) -> None:
            nonlocal count
            state = spot, way
            if cost >= best.get(state, 1e9):
                return
            best[state], came[state] = cost, origin
            if root is not None:
                roots[state] = root
            count += 1
            guess = 0 if spot == _END else max(0, abs(spot[0] - tx) - wide) + max(0, abs(spot[1] - ty) - high)
            heapq.heappush(queue, (cost + guess, count, cost, spot, way))

        for pin, side, aside in self.free_pins(net.source):
            step = SIDES[side]
            out = pin[0] + step[0], pin[1] + step[1]
            if out not in tree and self._open(out, step, net, target):
                price = aside + _LEAVE[side] + (_ANOTHER if tree else 0.0)
                push(out, step, price + self._price(out, step, net), None, pin)
        for spot in tree:
            for step in SIDES.values():
                out = spot[0] + step[0], spot[1] + step[1]
                axis = 0 if step[0] else 1
                if self.owner.get(spot) is None and self.taken[axis].get(spot) in (None, net.source):
                    other = self.taken[1 - axis].get(spot)
                    if out not in tree and other in (None, net.source) and self._open(out, step, net, target):
                        push(out, step, 1.0 + self._price(out, step, net), None, spot)
        while queue:
            _, _, cost, spot, way = heapq.heappop(queue)
            state = spot, way
            if cost > best[state]:
                continue
            if spot == _END:
                return self._way(came, roots, came[state], goals)
            if state in goals:
                push(_END, way, cost + goals[state][0], state, None)
            for step in SIDES.values():
                if (step[0], step[1]) == (-way[0], -way[1]):
                    continue
                more = 1.0
                if step != way:
                    if self.taken[0].get(spot) or self.taken[1].get(spot):
                        continue  # no bend where another wire is crossed
                    more += _BEND
                out = spot[0] + step[0], spot[1] + step[1]
                if out not in tree and self._open(out, step, net, target):
                    push(out, step, cost + more + self._price(out, step, net), state, None)
        raise Blocked(net)

    def _open(self, spot: Spot, step: Spot, net: Net, target: str) -> bool:
        """Whether a wire may run over the spot in this direction."""
        x, y = spot
        if not (0 <= x < self.size[0] and 0 <= y < self.size[1]) or spot in self.owner:
            return False
        return (self.taken[0] if step[0] else self.taken[1]).get(spot) is None

    def _price(self, spot: Spot, step: Spot, net: Net) -> float:
        """Of crossing what is there, and of not lying in the middle of a channel."""
        other = (self.taken[1] if step[0] else self.taken[0]).get(spot)
        off = self.aside[1][spot[1]] if step[0] else self.aside[0][spot[0]]
        return off + (_CROSS if other is not None else 0.0)

    def _way(
        self,
        came: Mapping[tuple[Spot, Spot], tuple[Spot, Spot] | None],
        roots: Mapping[tuple[Spot, Spot], Spot],
        last: tuple[Spot, Spot] | None,
        goals: Mapping[tuple[Spot, Spot], tuple[float, Spot]],
    ) -> list[Spot]:
        assert last is not None
        out = [goals[last][1], last[0]]
        state = last
        while (origin := came[state]) is not None:
            state = origin
            out.append(state[0])
        return [roots[state], *reversed(out)]

    # ---- on paper ---------------------------------------------------------------------------------------------

    def positions(
        self, columns: Sequence[float], rows: Sequence[float], apart: float, margin: float, aside: float
    ) -> tuple[list[float], list[float]]:
        """Where each line lies: columns and rows as wide as said, wires `apart`, channels at least `margin` wide."""
        ways = [way for net in self.nets for way in net.ways.values()]
        upright = {a[0] for way in ways for a, b in pairwise(way) if a[0] == b[0]}
        level = {a[1] for way in ways for a, b in pairwise(way) if a[1] == b[1]}
        return (
            self._positions(0, columns, upright, apart, margin, aside),
            self._positions(1, rows, level, apart, margin, aside),
        )

    def _positions(
        self, axis: int, widths: Sequence[float], used: set[int], apart: float, margin: float, aside: float
    ) -> list[float]:
        out: list[float] = []
        at = 0.0
        for place in range(len(widths) + 1):
            start = len(out)
            mine = [start + i for i in range(self.lines) if start + i in used]
            gap = max(margin, apart * (len(mine) + 1)) if 0 < place < len(widths) else apart * (len(mine) + 1)
            for i in range(self.lines):
                before = sum(m < start + i for m in mine)
                out.append(at + gap * (before + 1) / (len(mine) + 1))
            at += gap
            if place < len(widths):
                half = self.through[axis][place] // 2
                out += [at + widths[place] / 2 + aside * i for i in range(-half, half + 1)]
                at += widths[place]
        return out
