"""Measuring: every point against every peer that takes part, after both have been found to compute the same."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from rekur.bench import fresh
from rekur.bench.floor import Floor, work
from rekur.bench.pairs import alternate
from rekur.bench.peers import OURS, Peer, make
from rekur.bench.point import Point
from rekur.bench.problem import Problem
from rekur.bench.result import Failure, Result, Row
from rekur.bench.sides import check
from rekur.errors import RekurError
from rekur.train.environment import environment

_PROCESSES = 3  # of each kind: what they hold hardly varies


def machine(floor: Floor) -> dict[str, Any]:
    """Processor, threads, versions, what else was going on, and the floors."""
    load = {"load": round(os.getloadavg()[0], 2)} if hasattr(os, "getloadavg") else {}
    reading = {str(size): round(rate) for size, rate in floor.reading.items()}
    return {**environment(), **load, "product FLOP/s": round(floor.product), "reading bytes/s": reading}


def measure(
    points: Iterable[Point], peers: Mapping[str, Peer], result: Result, floor: Floor, seconds: float
) -> Iterator[Point]:
    """Add rows to `result`, or failures, and give each point as it is done.

    A peer that does not compute the same as ours is a failure, not a row: there is nothing to compare.

    :param seconds: how long to time a pair of sides, if that is enough for seven times each.
    """
    for point in points:
        with _noted(result, point, ""):
            if point.part in _APART:
                result.rows += _APART[point.part](point)
            else:
                _race(point, peers, result, floor, seconds)
        yield point


def _race(point: Point, peers: Mapping[str, Peer], result: Result, floor: Floor, seconds: float) -> None:
    problem = Problem(point)
    ours = make(OURS[point.part], problem)
    results = ours.results()
    least = None if point.part == "sample" else floor.seconds(work(problem.formula.cell.graph, point, problem.fill))
    for name, peer in peers.items():
        if peer.races(point):
            with _noted(result, point, name):
                theirs = peer.side(problem)
                apart = check(results, theirs.results(), peer.tolerance)
                pairs = alternate(ours, theirs, seconds)
                result.rows.append(
                    Row(
                        point, name, "seconds", pairs.ours, pairs.theirs, problem.fill if name == "dense" else 1.0,
                        apart, peer.tolerance, least,
                    )
                )  # fmt: skip


@contextmanager
def _noted(result: Result, point: Point, peer: str) -> Iterator[None]:
    """What goes wrong at one point, in rekur or in a peer, does not lose the others."""
    try:
        yield
    except (RekurError, RuntimeError) as e:
        result.failures.append(Failure(point, peer, f"{type(e).__name__}: {e}".splitlines()[0]))


def _compiling(point: Point) -> list[Row]:
    found = [fresh.measure("compile", "ours", point) for _ in range(_PROCESSES)]
    later = tuple(value for values in found for value in values[1:])
    first = tuple(values[0] for values in found)
    return [Row(point, "", "seconds", later), Row(replace(point, part="first"), "", "seconds", first)]


def _memory(point: Point) -> list[Row]:
    ours, theirs = ([fresh.measure("memory", side, point) for _ in range(_PROCESSES)] for side in ("ours", "torch"))

    def row(part: str, i: int) -> Row:
        values = [tuple(one[i] for one in side) for side in (ours, theirs)]
        return Row(replace(point, part=part), "torch", "bytes", values[0], values[1])

    return [row("memory", 0), row("growth", 1)]


_APART = {"compile": _compiling, "memory": _memory}
