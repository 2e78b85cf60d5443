"""The gradients in weights: sums over rows and time, made after the loop from what it handed over."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from rekur.errors import BackendError
from rekur.graph import Node
from rekur.run.cpu.columns import Column
from rekur.run.cpu.lower import Place


@dataclass(frozen=True)
class Share:
    """A part of a weight's gradient: ``Σ d ⊗ v`` of a matrix, ``Σ d`` of a vector (`v` is None); or of the columns
    of a matrix, each ``Σ d`` of the rows whose symbols, `by`, say so.
    """

    weight: str
    axes: tuple[str, ...]
    """Of the sum; that for columns is the transpose of the gradient"""
    d: Place
    v: Place | None
    by: str = ""

    @property
    def array(self) -> str:
        """Where it is added up, with the other parts that are sums of the same form."""
        return f"{'columns of ' if self.by else ''}gradient {self.weight}"

    @property
    def of(self) -> tuple[str, ...]:
        """The axes of the weight."""
        return self.axes[::-1] if self.by else self.axes


def shares(
    weights: Mapping[str, Node],
    places: Mapping[Node, Place],
    wanted: dict[Node, list[Place]],
    chunk: Callable[[tuple[str, ...]], Place],
    columns: Mapping[str, Column],
    changing: Collection[str] = (),
) -> list[Share]:
    """The parts of each weight's gradient; what they read and the loop only passes by is wanted in a chunk.

    :param changing: arrays that are written again before the sums are made.
    """

    def handed(n: Node) -> Place:
        known: list[Place] = [*wanted.get(n, []), *([places[n]] if n in places else [])]
        for place in known:
            if place.rows in ("time", "pool", "chunk") and place.array not in changing:
                return place
        wanted.setdefault(n, []).append(chunk(n.axes))
        return wanted[n][-1]

    out = []
    for weight, total in weights.items():
        if weight in columns:
            column = columns[weight]
            out.append(Share(column.weight.name, column.weight.axes[::-1], handed(total), None, column.indices))
            continue
        todo = [total]
        while todo:
            n = todo.pop()
            if n.op == "add":
                todo += n.args
            elif n.op == "outer":
                d, v = n.args
                if d.axes[:-1] != v.axes[:-1] or (d.axes[-1], v.axes[-1]) != n.axes:
                    raise BackendError(f"the gradient of {weight!r} mixes axes in an order that has no kernel")
                out.append(Share(weight, n.axes, handed(d), handed(v)))
            elif n.op == "collect":
                out.append(Share(weight, n.axes, handed(n.args[0]), None))
            else:
                raise BackendError(f"the gradient of {weight!r} is not a sum over rows ({n.op})")
    return out


def products(shares: Iterable[Share]) -> frozenset[str]:
    """The arrays that only products add to: the first of them needs nothing there before."""
    found = [*shares]
    return frozenset(s.array for s in found) - {s.array for s in found if s.v is None}
