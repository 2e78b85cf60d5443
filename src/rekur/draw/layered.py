"""Boxes in layers from left to right, few crossings, edges smooth (Sugiyama, Tagawa and Toda, 1981).

An edge may carry a label, which has a place of its own among the boxes; so nothing ever lies on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from rekur.draw.scene import Point

Size = tuple[float, float]
_GAP, _APART, _SWEEPS, _STRAIGHT = 34.0, 10.0, 12, 12.0


@dataclass(frozen=True, slots=True)
class Link:
    """An edge from box to box, and how much room its label takes just before the target."""

    source: str
    target: str
    label: Size = (0.0, 0.0)


@dataclass(frozen=True)
class Layout:
    """Where everything is; links in the order in which they were given."""

    middles: Mapping[str, Point]
    paths: Sequence[list[Point]]
    labels: Sequence[Point]


def layered(sizes: Mapping[str, Size], links: Sequence[Link], last: Sequence[str] = ()) -> Layout:
    """Lay the boxes out.

    A box stands one layer after the latest that it reads; what reads nothing, just before its first reader. Boxes in
    `last` stand at the right end.
    """
    return _Layers(sizes, links, last).layout()


def _bend(name: str) -> bool:
    """Whether it is a place on an edge, and no box."""
    return name.startswith("\n")


class _Layers:
    def __init__(self, sizes: Mapping[str, Size], links: Sequence[Link], last: Sequence[str]) -> None:
        self.sizes: dict[str, Size] = dict(sizes)
        self.links = links
        self.layer = self._depths(sizes, links, last)
        self.ways: list[list[str]] = []
        self.below: dict[str, list[str]] = {}  # what stands before it along an edge
        self.above: dict[str, list[str]] = {}
        self._bend_points()
        rows: dict[int, list[str]] = {}
        for name, layer in self.layer.items():
            rows.setdefault(layer, []).append(name)
        self.rows = [rows[i] for i in sorted(rows)]

    def _depths(self, sizes: Mapping[str, Size], links: Sequence[Link], last: Sequence[str]) -> dict[str, int]:
        """Even layers hold boxes, odd ones the labels of what leads to the next."""
        depth = dict.fromkeys(sizes, 0)
        for _ in sizes:
            for link in links:
                depth[link.target] = max(depth[link.target], depth[link.source] + 2)
        first: dict[str, int] = {}
        for link in links:
            first[link.source] = min(first.get(link.source, 10**9), depth[link.target])
        read = {link.target for link in links}
        end = max(depth.values(), default=0)
        for name in sizes:
            if name not in read and name in first:
                depth[name] = first[name] - 2
            if name in last:
                depth[name] = end
        return depth

    def _bend_points(self) -> None:
        for k, link in enumerate(self.links):
            way = [link.source]
            for layer in range(self.layer[link.source] + 1, self.layer[link.target]):
                name = f"\n{k} {layer}"  # no box is called so
                self.layer[name] = layer
                label = layer == self.layer[link.target] - 1
                self.sizes[name] = link.label if label else (0.0, 0.0)
                way.append(name)
            way.append(link.target)
            self.ways.append(way)
            for a, b in pairwise(way):
                self.above.setdefault(a, []).append(b)
                self.below.setdefault(b, []).append(a)

    # ---- order within layers ------------------------------------------------------------------------------------

    def _ordered(self) -> None:
        best, fewest = [list(r) for r in self.rows], self._crossings()
        for sweep in range(_SWEEPS):
            forward = sweep % 2 == 0
            rows = self.rows[1:] if forward else self.rows[-2::-1]
            beside = self.below if forward else self.above
            for row in rows:
                place = self._places()
                middle = {
                    n: sum(place[m] for m in beside[n]) / len(beside[n]) if beside.get(n) else place[n] for n in row
                }
                row.sort(key=middle.__getitem__)
            crossings = self._crossings()
            if crossings < fewest:
                best, fewest = [list(r) for r in self.rows], crossings
        self.rows = best

    def _places(self) -> dict[str, float]:
        return {n: (i + 0.5) / len(row) for row in self.rows for i, n in enumerate(row)}

    def _crossings(self) -> int:
        place = self._places()
        total = 0
        for row in self.rows:
            pairs = sorted((place[a], place[b]) for a in row for b in self.above.get(a, []))
            total += sum(p[0] < q[0] and p[1] > q[1] for i, p in enumerate(pairs) for q in pairs[i + 1 :])
        return total

    # ---- places ---------------------------------------------------------------------------------------------------

    def layout(self) -> Layout:
        """Everything in its place."""
        self._ordered()
        y = self._heights()
        xs, lefts, rights = {}, [], []
        at = 0.0
        for row in self.rows:
            wide = max(self.sizes[n][0] for n in row)
            lefts.append(at)
            rights.append(at + wide)
            for n in row:
                xs[n] = at + wide / 2
            at += wide + _GAP
        column = {n: i for i, row in enumerate(self.rows) for n in row}
        paths, labels = [], []
        for way in self.ways:
            source, target = way[0], way[-1]
            points: list[Point] = [
                (xs[source] + self.sizes[source][0] / 2, y[source]),
                (rights[column[source]], y[source]),
            ]
            for n in way[1:-1]:
                points += [(lefts[column[n]], y[n]), (rights[column[n]], y[n])]
            port = y[target] + self._port(way)
            points += [(lefts[column[target]], port), (xs[target] - self.sizes[target][0] / 2, port)]
            paths.append([p for p, q in zip(points, [None, *points], strict=False) if p != q])
            labels.append((xs[way[-2]], y[way[-2]]))
        return Layout({n: (xs[n], y[n]) for n in self.layer if not _bend(n)}, paths, labels)

    def _port(self, way: Sequence[str]) -> float:
        """How far from the middle of its target an edge arrives: in the order of what comes."""
        order = {n: i for row in self.rows for i, n in enumerate(row)}
        arriving = sorted(self.below[way[-1]], key=order.__getitem__)
        step = min(14.0, self.sizes[way[-1]][1] / (len(arriving) + 1))
        return (arriving.index(way[-2]) - (len(arriving) - 1) / 2) * step

    def _heights(self) -> dict[str, float]:
        y = {}
        for row in self.rows:
            at = 0.0
            for n in row:
                y[n] = at + self.sizes[n][1] / 2
                at += self.sizes[n][1] + _APART
        for sweep in range(6 * _SWEEPS):
            rows = self.rows if sweep % 2 else self.rows[::-1]
            for row in rows:
                wanted = []
                for n in row:
                    beside = [*self.below.get(n, []), *self.above.get(n, [])]
                    pull = [_STRAIGHT if _bend(m) and _bend(n) else 1.0 for m in beside]
                    mean = sum(p * y[m] for p, m in zip(pull, beside, strict=True)) / sum(pull) if beside else y[n]
                    wanted.append(mean)
                y.update(zip(row, self._apart(row, wanted), strict=True))
        return y

    def _apart(self, row: Sequence[str], wanted: Sequence[float]) -> list[float]:
        """The heights nearest to the wanted ones at which nothing overlaps: regression with an order kept."""
        offset, offsets = 0.0, []
        for i, n in enumerate(row):
            if i:
                offset += (self.sizes[row[i - 1]][1] + self.sizes[n][1]) / 2 + _APART
            offsets.append(offset)
        blocks: list[tuple[float, int]] = []  # mean, count
        for w, o in zip(wanted, offsets, strict=True):
            mean, count = w - o, 1
            while blocks and blocks[-1][0] > mean:
                before, more = blocks.pop()
                mean, count = (mean * count + before * more) / (count + more), count + more
            blocks.append((mean, count))
        flat = [mean for mean, count in blocks for _ in range(count)]
        return [m + o for m, o in zip(flat, offsets, strict=True)]
