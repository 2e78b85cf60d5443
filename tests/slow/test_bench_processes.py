"""The parts of rekur bench that start processes or compilers."""

from pathlib import Path
from shutil import which

import pytest

from rekur.bench import Point, fresh
from rekur.bench.peers import EXTRA, OURS, make
from rekur.bench.problem import Problem
from rekur.bench.sides import check
from rekur.errors import RekurError


def test_memory_is_that_of_a_process_of_its_own():
    point = Point("memory", "lstm", "training", 64, 16, 50)
    for side in ("ours", "torch"):
        whole, growth = fresh.measure("memory", side, point)
        assert whole > 100 * 2**20  # torch itself
        # in torch's layout, an input, four gates and two states a step, and as much again in gradients
        assert 4 * 64 * 16 * 50 * 2 < growth < whole / 2


def test_cells_that_are_compiled_are_new_ones():
    times = fresh.measure("compile", "ours", Point("compile", "own", "training", 16, 1, 1))
    assert len(times) == 4
    assert min(times) > 0
    for make_cell in fresh.NEW.values():
        assert len({make_cell(1 + i / 64).structure for i in range(4)}) == 4


def test_a_process_that_fails_says_why(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(RekurError, match=r"memory ours nothing 8 1 1 .* failed: .*KeyError: 'nothing'"):
        fresh.measure("memory", "ours", Point("memory", "nothing", "training", 8, 1, 1))
    monkeypatch.setattr(fresh, "_STATUS", Path("nowhere"))
    with pytest.raises(RekurError, match="memory is read from nowhere, which this system has not"):
        fresh.memory(Point("memory", "lstm", "training", 8, 1, 1), "ours")


@pytest.mark.skipif(not which("g++"), reason="torch's compiler needs one of C++")
@pytest.mark.filterwarnings("default")  # torch's compiler has its own
@pytest.mark.parametrize("name", ["compile", "scan"])
def test_torchs_compiler_computes_what_rekur_does(name: str):
    problem = Problem(Point("layer", "own", "inference", 8, 2, 3))
    assert EXTRA[name].races(problem.point)
    check(make(OURS["layer"], problem).results(), EXTRA[name].side(problem).results(), EXTRA[name].tolerance)
