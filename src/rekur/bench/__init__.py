"""Benchmarks: rekur's layers, steps and samples against what a user would pick instead."""

from rekur.bench.floor import Floor, measure_floor
from rekur.bench.measure import machine, measure
from rekur.bench.peers import EXTRA, PEERS, choose
from rekur.bench.point import Point, every_point, select, short_points
from rekur.bench.result import Failure, Result, Row
from rekur.bench.sides import Mismatch

__all__ = [
    "EXTRA", "PEERS", "Failure", "Floor", "Mismatch", "Point", "Result", "Row", "choose", "every_point", "machine",
    "measure", "measure_floor", "select", "short_points",
]  # fmt: skip
