"""The compiled backend on lattices whose sites read each other: masks, edges, resets, images of unequal size."""
# mypy: allow-untyped-defs

from __future__ import annotations

import pytest
import torch

from rekur.cells import affine, cell, find, neighbour, spread, sum_over, tanh
from rekur.run.reference import Reference
from tests.compare import Named, leaves, with_gradients, worse
from tests.pure.random_cells import SIZES as SMALL
from tests.pure.random_cells import random_cell
from tests.torch.cpu_cases import (
    EPSILON,
    Case,
    compile_quickly,
    held,
    results,
    run,
    same,
    use_threads,
    wave,
    with_memory,
)
from tests.torch.one_by_one import poisoned

SIZES = {"I": 7, "H": 17, "D": 3, "S": 4, "A": 5}
REVERSE = pytest.mark.parametrize("reverse", [False, True], ids=["forwards", "backwards"])
ZOO = pytest.mark.parametrize("name", ["lstm2d", "row-lstm"])


@cell(label="D", memory="S D")
def conditioned(x, h, *, label, memory):
    """Constants of each site: added to a product, in the hoisted part, and at every step."""
    seen = tanh(affine("seen", x, label=label))
    score = sum_over(tanh(affine("query", x, size="D")) * memory, "D")
    read = sum_over(spread(score, "S", "D") * memory, "S")
    old = affine("hidden", left=neighbour(h, -2), right=neighbour(h, 1), h=h, label=label, bias=False)
    return tanh(old * seen + affine("read", read=read) + sum_over(h) * sum_over(label))


@REVERSE
@pytest.mark.parametrize("sites", [1, 2, 7])
@ZOO
def test_all_sites_live(name: str, sites: int, reverse: bool):
    assert held(Case(find(name).graph, SIZES, 3, 5, sites=sites, reverse=reverse)) == {}


@REVERSE
@pytest.mark.parametrize("resets", [False, True], ids=["whole", "resets"])
@ZOO
def test_masks(name: str, resets: bool, reverse: bool):
    gaps = Case(find(name).graph, SIZES, 3, 6, sites=7, gaps=True, resets=resets, reverse=reverse)
    lengths = Case(find(name).graph, SIZES, 3, 6, [2, 0, 6], sites=7, resets=resets, reverse=reverse)
    assert held(gaps) == held(lengths) == {}


@pytest.mark.parametrize("seed", range(150))
def test_random_cells(seed: int, monkeypatch: pytest.MonkeyPatch):
    compile_quickly(monkeypatch)
    graph = random_cell(seed, lattice=True).graph
    batch = [1, 2, 5][seed % 3]
    case = Case(
        graph, SMALL, batch, steps=[1, 2, 5][seed // 3 % 3], sites=[1, 3, 6][seed // 9 % 3], gaps=seed % 5 > 0,
        resets=seed % 4 > 0, reverse=seed % 2 > 0, outputs=tuple(graph.outputs)[: seed % 8 == 1], seed=seed,
        memory={"S": [3, 1, 4, 1, 2][:batch]} if seed % 7 and with_memory(graph) else {},
    )  # fmt: skip
    assert held(case) == {}


@REVERSE
@pytest.mark.parametrize("memory", [{}, {"S": (4, 0, 2)}], ids=["whole", "ragged"])
def test_constants_of_sites(memory: dict[str, tuple[int, ...]], reverse: bool):
    case = Case(conditioned.graph, SIZES, 3, 6, sites=5, gaps=True, resets=True, memory=memory, reverse=reverse)
    assert held(case) == {}


def test_chunks_of_the_way_back():
    assert held(Case(find("lstm2d").graph, SIZES, 7, 9, sites=33, gaps=True, resets=True)) == {}


@REVERSE
def test_sites_that_are_never_live_hold_nan(reverse: bool):
    case = Case(find("row-lstm").graph, SIZES, 3, 6, sites=7, gaps=True, resets=True, reverse=reverse)
    exists = case.live.any(1)
    assert not bool(exists.all())

    def poison(poisoned_too: bool) -> Named:
        of = {kind: leaves(named) for kind, named in case.values.items()}
        of["input"] = leaves({k: poisoned(v, case.live) for k, v in of["input"].items()})
        if poisoned_too:
            of["state"] = leaves({k: poisoned(v, exists) for k, v in of["state"].items()})
        found = run(case, of)
        ends = {f"final {k}": torch.where(exists[..., None], v, 0.0) for k, v in found.state.items()}
        all_of = {"output": found.output} | ends
        return with_gradients(all_of, {k: wave(v) for k, v in all_of.items()}, of)

    assert same(poison(True), poison(False)) == set()


@pytest.mark.parametrize("batch", [1, 2, 5])
@pytest.mark.parametrize("name", ["lstm2d", "conditioned"])
def test_any_number_of_threads(name: str, batch: int, monkeypatch: pytest.MonkeyPatch):
    """Images are dealt out where there are enough, else all share every site."""
    graph = conditioned.graph if name == "conditioned" else find(name).graph
    case = Case(graph, {**SIZES, "H": 129}, batch, 6, sites=7, gaps=True, resets=True)
    one = results(case)
    assert held(case) == {}
    for threads in (2, 3):
        use_threads(monkeypatch, threads)
        assert same(results(case), one) == set()


@ZOO
def test_inference_gives_the_same_bits(name: str):
    case = Case(find(name).graph, SIZES, 2, 6, sites=5, gaps=True)
    training = results(case)
    with torch.no_grad():
        found = run(case, case.values)
    got = {"output": found.output, **{f"final {k}": v for k, v in found.state.items()}}
    live = case.live[..., None]
    assert same({k: torch.where(live, v, 0.0) if k == "output" else v for k, v in got.items()},
                {k: training[k] for k in got}) == set()  # fmt: skip


def test_gradients_of_gradients():
    case = Case(find("lstm2d").graph, SIZES, 2, 3, sites=3, gaps=True)

    def twice(make, dtype: torch.dtype) -> Named:
        of = {kind: leaves({k: v.to(dtype) for k, v in named.items()}) for kind, named in case.values.items()}
        found = run(case, of, make)
        (x,) = of["input"].values()
        (first,) = torch.autograd.grad(found.output.square().sum(), x, create_graph=True)
        return with_gradients({"first": first}, {"first": wave(first)}, {k: of[k] for k in ("weight", "state")})

    from rekur.run.cpu.backend import Cpu

    exact, rounded = twice(Reference, torch.float64), twice(Reference, torch.float32)
    assert worse(twice(Cpu, torch.float32), rounded, exact, EPSILON) == {}
