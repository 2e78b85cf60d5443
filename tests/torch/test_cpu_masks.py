"""The compiled backend with masks that have gaps, and on lattices whose sites are rows of their own."""

from __future__ import annotations

import pytest
import torch

from rekur.cells import find
from rekur.run.cpu.backend import Cpu
from tests.pure.random_cells import SIZES as SMALL
from tests.pure.random_cells import random_cell
from tests.torch.cpu_cases import Case, compile_quickly, held, results, same, use_threads

SIZES = {"I": 7, "H": 17, "P": 3, "A": 5, "D": 6, "S": 4}
REVERSE = pytest.mark.parametrize("reverse", [False, True], ids=["forwards", "backwards"])
LATTICE = pytest.mark.parametrize("sites", [0, 3], ids=["chain", "lattice"])


@REVERSE
@LATTICE
@pytest.mark.parametrize("name", ["lstm", "gru", "attend", "layer-norm-lstm", "mingru"])
def test_masks_with_gaps(name: str, sites: int, reverse: bool):
    case = Case(find(name).graph, SIZES, 7, 9, sites=sites, gaps=True, resets=True, reverse=reverse)
    assert held(case) == {}


@REVERSE
@pytest.mark.parametrize("lengths", [None, [3, 0, 5]])
def test_sites_without_neighbours(lengths: list[int] | None, reverse: bool):
    case = Case(find("lstm").graph, SIZES, 3, 5, lengths, sites=4, reverse=reverse)
    assert held(case) == {}


@pytest.mark.parametrize("seed", range(150))
def test_random_cells(seed: int, monkeypatch: pytest.MonkeyPatch):
    compile_quickly(monkeypatch)
    graph = random_cell(seed).graph
    case = Case(
        graph, SMALL, batch=[1, 2, 7][seed % 3], steps=[1, 2, 5][seed // 3 % 3], gaps=True, resets=seed % 4 > 0,
        reverse=seed % 2 > 0, outputs=tuple(graph.outputs)[: seed % 8 == 1], seed=seed,
        sites=[3, 0, 0, 0, 0][seed % 5],
    )  # fmt: skip
    assert held(case) == {}


@REVERSE
def test_a_gap_is_not_there(reverse: bool):
    """A row with gaps is its live steps alone: the same bits as the row without them."""
    gaps = Case(find("gru").graph, SIZES, 3, 7, gaps=True, reverse=reverse)
    counts = gaps.live.sum(1)
    alone = Case(find("gru").graph, SIZES, 3, 7, counts.tolist(), reverse=reverse)
    for kind in ("weight", "state", "initial"):
        alone.values[kind].update(gaps.values[kind])
    x = alone.values["input"]["x"]
    for b, live in enumerate(gaps.live):
        x[b, : counts[b]] = gaps.values["input"]["x"][b, live]
    got, want = results(gaps), results(alone)
    for b, live in enumerate(gaps.live):
        assert torch.equal(got["output"][b, live], want["output"][b, : counts[b]])
    assert torch.equal(got["final h"], want["final h"])


@LATTICE
@pytest.mark.parametrize("batch", [3, 33])
def test_any_number_of_threads(batch: int, sites: int, monkeypatch: pytest.MonkeyPatch):
    case = Case(find("lstm").graph, {**SIZES, "H": 129}, batch, 5, sites=sites, gaps=True, resets=True)
    one = results(case)
    for threads in (2, 3):
        use_threads(monkeypatch, threads)
        assert same(results(case, Cpu), one) == set()
