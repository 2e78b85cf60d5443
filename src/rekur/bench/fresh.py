"""What needs a process of its own: `python -m rekur.bench.fresh WHAT SIDE CELL HIDDEN BATCH TIME THREADS`.

`memory` trains a layer for three steps, and prints the most bytes that the process ever held, and how many of them
came with training. `compile` makes cells that no kernel exists for yet, and prints the seconds each took.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from rekur.bench.layers import BACKEND
from rekur.bench.peers import OURS, PEERS, make
from rekur.bench.point import Point
from rekur.bench.problem import Problem
from rekur.cells import cell, gate, sigmoid, tanh
from rekur.errors import RekurError
from rekur.graph import Cell
from rekur.nn import Recurrent

_CELLS = 3  # after the first
_STATUS = Path("/proc/self/status")


def new_lstm(factor: float) -> Cell:
    """An LSTM in which a number makes the difference."""

    @cell
    def changed(x: Any, h: Any, c: Any) -> Any:
        f = gate("forget", sigmoid, x, h, bias=1.0)
        i = gate("input", sigmoid, x, h)
        g = gate("candidate", tanh, x, h)
        o = gate("output", sigmoid, x, h)
        c = f * c + i * g * factor
        return o * tanh(c), c

    return changed


def new_own(factor: float) -> Cell:
    """A cell of one's own in which a number makes the difference."""

    @cell
    def changed(x: Any, h: Any) -> Any:
        z = gate("update", sigmoid, x, h, bias=-1.0)
        n = gate("candidate", tanh, x, h)
        return h + z * (n - h) * factor

    return changed


NEW: dict[str, Callable[[float], Cell]] = {"lstm": new_lstm, "own": new_own}


def compile_times(point: Point) -> list[float]:
    """Seconds from writing a cell to its first output, and to the first gradients with and without the input's.

    The first cell also pays for the functions that all cells share.
    """
    times = []
    x = torch.randn(point.batch, point.time, point.hidden)
    for i in range(_CELLS + 1):
        start = time.perf_counter()
        stack = Recurrent(NEW[point.cell](1 + i / 64), point.hidden, point.hidden, backend=BACKEND)
        with torch.no_grad():
            stack(x)
        for wanted in (False, True):
            stack(x.clone().requires_grad_(wanted))[0].sum().backward()
        times.append(time.perf_counter() - start)
    return times


def memory(point: Point, side: str) -> list[float]:
    """Bytes: the most that the process held, and how many more that is than before its first step of training."""
    if not _STATUS.exists():
        raise RekurError(f"memory is read from {_STATUS}, which this system has not")
    problem = Problem(point)
    run = make(OURS["layer"], problem) if side == "ours" else PEERS["torch"].side(problem)
    before = _status("VmRSS")
    for _ in range(3):
        run.run()
    most = _status("VmHWM")
    return [most, most - before]


def _status(name: str) -> float:
    for line in _STATUS.read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{name}:"):
            return float(line.split()[1]) * 1024
    raise RekurError(f"{_STATUS} has no {name}")


def measure(what: str, side: str, point: Point) -> list[float]:
    """What a process of its own prints; RekurError with its last words where it ends badly."""
    sizes = (point.cell, point.hidden, point.batch, point.time, torch.get_num_threads())
    command = [sys.executable, "-m", "rekur.bench.fresh", what, side, *map(str, sizes)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RekurError(f"{' '.join(command[1:])} failed: {done.stderr.strip().splitlines()[-1:]}")
    values: list[float] = json.loads(done.stdout)
    return values


def main() -> None:
    """Measure what the command line says, and print it as JSON."""
    what, side, name, *sizes = sys.argv[1:]
    hidden, batch, steps, threads = map(int, sizes)
    torch.set_num_threads(threads)
    point = Point("layer", name, "training", hidden, batch, steps)
    print(json.dumps(memory(point, side) if what == "memory" else compile_times(point)))


if __name__ == "__main__":
    main()
