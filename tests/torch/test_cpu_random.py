"""Random cells over the whole vocabulary: the compiled backend held to the reference in float64.

A seed that fails is in the name of the test; ``pytest tests/torch/test_cpu_random.py --seeds 70:71`` runs it again,
``--seeds 0:600`` as many as you like.
"""

from __future__ import annotations

import random

import pytest
import torch

from rekur.run.reference import Reference
from tests.compare import Named, worse
from tests.pure.random_cells import SIZES, random_cell
from tests.torch.cpu_cases import EPSILON, Case, results

KINDS = ("weight", "input", "state", "initial", "constant")


def case(seed: int) -> Case:
    """A random cell, and all that can be asked of a scan of it."""
    graph, rd = random_cell(seed).graph, random.Random(seed)
    batch, steps = rd.choice([1, 2, 7]), rd.choice([1, 2, 5, 17])
    lengths = [steps, *(rd.randint(0, steps) for _ in range(batch - 1))] if rd.random() < 0.5 else None
    if lengths:
        rd.shuffle(lengths)
    named = [k for k in graph.names if k not in graph.outputs] + list(graph.outputs)
    outputs = tuple(rd.sample(named, min(2, len(named)))) if rd.random() < 0.3 else ()
    fixed = (rd.choice(KINDS),) if rd.random() < 0.3 else ()
    sizes = {**SIZES, "H": rd.choice([1, 7, 17, 33])}
    return Case(graph, sizes, batch, steps, lengths, rd.random() < 0.4, rd.random() < 0.4, outputs, fixed, seed)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", metafunc.config.getoption("seeds"))


def test_random_cells(seed: int):
    one = case(seed)
    exact, rounded, got = results(one, Reference, torch.float64), results(one, Reference), results(one)
    if worse(got, rounded, exact, EPSILON):
        # at a kink, or where a variance vanishes, what the reference errs by is luck: take the most of several draws
        rounded = farthest(exact, [results(one, Reference, nudge=i) for i in range(1, 9)])
    assert worse(got, rounded, exact, EPSILON) == {}, one


def farthest(exact: Named, draws: list[Named]) -> Named:
    """For each name the draw that is farthest from what is exact."""
    out = {}
    for name, want in exact.items():
        errors = [(draw[name].double() - want).abs().amax() if want.numel() else want.sum() for draw in draws]
        out[name] = draws[int(torch.stack(errors).argmax())][name]
    return out


def test_all_of_it_is_asked_for():
    """Of 100 seeds, some ask for each thing that a scan has, and for each alone."""
    cases = [case(seed) for seed in range(100)]
    for kind in KINDS:
        assert any(kind in c.fixed for c in cases)
    for some in (
        lambda c: c.lengths and 0 in c.lengths,
        lambda c: c.resets,
        lambda c: c.reverse,
        lambda c: c.outputs,
    ):
        assert 10 < sum(bool(some(c)) for c in cases) < 60
    ops = {n.op for c in cases for n in c.graph.nodes}
    assert ops >= {"matvec", "sum", "max", "softmax", "standardise", "where", "maximum", "stop", "exp", "log", "sqrt"}
