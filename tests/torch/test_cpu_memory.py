"""The compiled backend on ragged memories: whatever their dead positions hold, results are those of the live ones."""
# mypy: allow-untyped-defs

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from rekur.cells import (
    Cell,
    affine,
    attend,
    cell,
    gate,
    max_over,
    one_hot,
    spread,
    stop,
    sum_over,
    tanh,
    weight,
    where,
)
from rekur.graph import walk
from rekur.graph.derive import derive
from rekur.run.cpu.ragged import MASK, ragged, ragged_axes
from rekur.run.reference import Reference
from tests.compare import differ
from tests.pure.random_cells import SIZES as SMALL
from tests.pure.random_cells import random_cell
from tests.torch.cpu_cases import Case, compile_quickly, held, results, same, use_threads, with_memory
from tests.torch.test_run_memory import coverage, logarithms, reductions, two_memories

SIZES = {"I": 7, "H": 17, "A": 4, "D": 3, "S": 6, "R": 19}
SEEDS = [s for s in range(500) if with_memory(random_cell(s).graph)][:150]
COUNTS = {"S": (6, 0, 1, 4, 3), "R": (1, 19, 2, 17, 3)}
REVERSE = pytest.mark.parametrize("reverse", [False, True], ids=["forwards", "backwards"])


@cell(memory="S D", share="S")
def weighted(x, h, share, *, memory):
    """Weights that have the ragged axis: on either side of a product, and in each place of a state."""
    asked = affine("asked", x, h, size="S")
    own = weight("own", "S") * asked
    pooled = affine("pooled", share=share, own=own, size="H")
    hit = sum_over(one_hot(sum_over(memory, "D"), "S") * own, "S")
    level = max_over(spread(sum_over(weight("flat", "S"), "S"), "S"), "S")
    return gate("hidden", tanh, x, pooled=tanh(pooled) * hit + level), tanh(asked + 0.5 * share)


CELLS = [attend, reductions, coverage, two_memories, logarithms, weighted]


def ragged_case(of: Cell, **options: object) -> Case:
    memory = {a: n for a, n in COUNTS.items() if any(a in c.axes for c in of.graph.of("constant"))}
    return Case(of.graph, SIZES, 5, 4, memory=memory, **options)  # type: ignore[arg-type]


@REVERSE
@pytest.mark.parametrize("of", CELLS, ids=lambda c: c.name)
def test_ragged_memories(of: Cell, reverse: bool):
    case = ragged_case(of, resets=True, reverse=reverse, outputs=tuple(of.graph.names))
    if of in (reductions, logarithms, weighted):  # of nothing: the mean is no number, the largest is -∞
        case.memory.update({"S": (6, 2, 1, 4, 3)})  # type: ignore[attr-defined]
        case.values["constant"].update({k: v.abs() + 0.1 for k, v in case.values["constant"].items()})
    assert held(case) == {}


@pytest.mark.parametrize("sites", [0, 3], ids=["chain", "lattice"])
def test_with_lengths_and_gaps(sites: int):
    assert held(ragged_case(attend, sites=sites, gaps=True, resets=True)) == {}
    assert held(ragged_case(attend, sites=sites, lengths=[4, 1, 0, 2, 4])) == {}


@pytest.mark.parametrize("seed", SEEDS)
def test_random_cells(seed: int, monkeypatch: pytest.MonkeyPatch):
    compile_quickly(monkeypatch)
    graph = random_cell(seed).graph
    batch = [1, 2, 5][seed % 3]
    case = Case(
        graph, SMALL, batch, steps=[1, 2, 5][seed // 3 % 3], gaps=seed % 4 > 1, resets=seed % 4 > 0,
        reverse=seed % 2 > 0, outputs=tuple(graph.outputs)[: seed % 8 == 1], seed=seed,
        memory={"S": [3, 1, 4, 1, 2][:batch]},
    )  # fmt: skip
    assert held(case) == {}


def test_a_memory_without_a_position():
    case = Case(attend.graph, {**SIZES, "S": 0}, 2, 3, memory={"S": (0, 0)})
    assert held(case) == {}


def test_full_memories_give_the_same_as_none_asked_for():
    whole, asked = ragged_case(attend), Case(attend.graph, SIZES, 5, 4)
    whole.memory.update({"S": [6] * 5})  # type: ignore[attr-defined]
    got, want = results(whole), results(asked)
    assert all(torch.allclose(got[k], want[k], rtol=1e-5, atol=1e-6) for k in want)


def test_a_hoisted_part_without_a_gradient():
    @cell(memory="S D")
    def switched(x, h, *, memory):
        level = sum_over(sum_over(memory, "S"), "D")
        return gate("hidden", tanh, h) * where(sum_over(stop(x)) > 0.0, 1.0, 0.5) * level

    assert held(ragged_case(switched)) == {}


def test_no_name_of_an_author_is_taken():
    @cell(memory="S D")
    def masks(x, h, *, memory):
        pooled = sum_over(affine("mask", S=memory, size="A"), "S")  # with a weight "mask.S"
        return gate("hidden", tanh, x, h, mask=pooled)

    assert held(ragged_case(masks)) == {}


@pytest.mark.parametrize("counts", [(6, 2, 1), (0, 5)])
def test_any_number_of_threads(counts: Sequence[int], monkeypatch: pytest.MonkeyPatch):
    """Few rows, that all threads share, and as many as they need."""
    memory = [n for n in counts for _ in range(8 if len(counts) == 2 else 1)]
    case = Case(attend.graph, {**SIZES, "H": 129}, len(memory), 4, memory={"S": memory})
    one = results(case)
    for threads in (2, 3):
        use_threads(monkeypatch, threads)
        assert same(results(case), one) == set()


# ---- the masked graph


@pytest.mark.parametrize("of", [attend, reductions, coverage, weighted], ids=lambda c: c.name)
def test_masking_twice_changes_nothing(of: Cell):
    once = ragged(of.graph, ["S"])
    again = ragged(once, ["S"])
    assert again.outputs == once.outputs
    assert again.arguments == once.arguments
    assert ragged_axes(once) == ("S",)
    assert ragged_axes(of.graph) == ()


def test_what_a_backward_step_shares_stays_shared():
    """Or the kernels would compute it anew on the way back."""
    once = ragged(attend.graph, ["S"])
    back = derive(once)
    masked = ragged(back, ["S"])
    shared = set(walk(once.outputs.values()))
    assert {n for n in walk(masked.outputs.values()) if n in shared} == {n for n in back.nodes if n in shared}
    assert any(n.op == "outer" and n.args[0].op == "where" for n in masked.nodes)


def test_the_masked_graph_means_the_same():
    """On the reference, without any word of a ragged axis."""
    case = ragged_case(coverage)
    live = torch.arange(SIZES["S"]) < torch.tensor(COUNTS["S"])[:, None]
    masked = Case(ragged(coverage.graph, ["S"]), SIZES, 5, 4)
    for kind, values in case.values.items():
        masked.values[kind].update(values)
    masked.values["constant"][f"{MASK}S"] = live.float()
    got, want = results(masked, Reference, torch.float64), results(case, Reference, torch.float64)
    assert differ({"output": got["output"]}, {"output": want["output"]}) == {}
