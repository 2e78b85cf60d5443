"""What rows say together: groups with their geometric mean and worst point, and what rekur aims at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from rekur.bench.pairs import geometric_mean
from rekur.bench.peers import EXTRA, PEERS
from rekur.bench.point import every_point
from rekur.bench.result import Row


@dataclass(frozen=True)
class Group:
    """Rows of one part, cell and mode against one peer."""

    part: str
    cell: str
    mode: str
    peer: str
    rows: tuple[Row, ...]
    """At least one"""

    def count(self, verdict: str) -> int:
        """How many rows are `slower`, `even` or `faster`."""
        return sum(row.verdict == verdict for row in self.rows)


def groups(rows: Iterable[Row]) -> list[Group]:
    """The rows that have a peer, in the order they came."""
    found: dict[tuple[str, str, str, str], list[Row]] = {}
    for row in rows:
        if row.theirs:
            found.setdefault((row.point.part, row.point.cell, row.point.mode, row.peer), []).append(row)
    return [Group(*key, tuple(these)) for key, these in found.items()]


def mean(rows: Sequence[Row]) -> float:
    """The geometric mean of the median ratios."""
    return geometric_mean([row.ratio.median for row in rows])


def worst(rows: Iterable[Row]) -> Row:
    """The row whose interval ends lowest: what rekur is at the most there is the least of all."""
    return min(rows, key=lambda row: row.ratio.high)


@dataclass(frozen=True)
class Aim:
    """Something to reach, read from the rows it is about."""

    what: str
    about: Callable[[Row], bool]
    read: Callable[[Sequence[Row]], float]
    bound: float
    form: str = "{:.2f}×"
    at_most: bool = False

    @cached_property
    def points(self) -> int:
        """How many points it is about where everything is measured."""
        peers = ("", *PEERS, *EXTRA)
        return sum(any(self.about(Row(p, peer, "seconds", ())) for peer in peers) for p in every_point())

    def reached(self, value: float) -> bool:
        """Whether a value is enough."""
        return value <= self.bound if self.at_most else value >= self.bound


def _about(part: str, peer: str, cells: str = "", mode: str = "", sizes: str = "") -> Callable[[Row], bool]:
    def about(row: Row) -> bool:
        p = row.point
        right = p.part == part and row.peer in peer.split(" ") and mode in ("", p.mode)
        return right and (not cells or p.cell in cells.split()) and {*sizes.split()} <= {*p.labels}

    return about


def _least(rows: Sequence[Row]) -> float:
    return min(row.ratio.median for row in rows)


def _worst(rows: Sequence[Row]) -> float:
    return worst(rows).ratio.high


def _share(rows: Sequence[Row]) -> float:
    return max(row.share or 0.0 for row in rows)


def _seconds(rows: Sequence[Row]) -> float:
    return max(row.cost.median for row in rows)


_LSTM = _about("layer", "torch", "lstm", "training")
_OTHERS = _about("layer", "torch", "gru elman", "training")
_SMALL, _LARGE = (_about("layer", "eager", "own", "training", f"{sizes} t100") for sizes in ("h128 b16", "h512 b64"))
AIMS = (
    Aim("LSTM training against torch, mean", _LSTM, mean, 1.3),
    Aim("LSTM training against torch, worst", _LSTM, _worst, 1.0),
    Aim("GRU, Elman training against torch, mean", _OTHERS, mean, 2.5),
    Aim("GRU, Elman training against torch, worst", _OTHERS, _worst, 1.1),
    Aim("own cell against its loop, H128 B16", _SMALL, _least, 10.0),
    Aim("own cell against its loop, H512 B64", _LARGE, _least, 3.0),
    Aim("own cell training against jax, mean", _about("layer", "jax", "own", "training"), mean, 1.8),
    Aim("lengths: cost over dense × fill, worst", _about("lengths", "dense"), lambda rows: 1 / _worst(rows),
        1.15, at_most=True),
    Aim("LSTM-512, one step against torch", _about("step", "torch cell"), _least, 8.0),
    Aim("LSTM-512, one step against onnxruntime", _about("step", "onnx"), _least, 1.0),
    Aim("sampling 2×512 LSTM against a torch loop", _about("sample", "torch"), _least, 6.0),
    Aim("share of the product peak, LSTM training", _about("share", "torch"), _share, 0.8, "{:.0%}"),
    Aim("compiling a new cell", _about("compile", ""), _seconds, 0.5, "{:.2f} s", at_most=True),
    Aim("memory of training, torch's over ours", _about("memory", "torch"), _least, 1.0),
)  # fmt: skip
"""`mean` is the geometric mean of median ratios; `worst` is the upper end of the interval that ends lowest"""
