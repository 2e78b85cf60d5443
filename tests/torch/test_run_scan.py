"""The scan around a step: which steps are real, where a state starts anew, in both directions, for every cell.

Against a loop over one sequence at a time: values and all gradients in float64, NaN wherever nothing may be read.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from rekur.cells import find
from rekur.errors import BackendError
from rekur.run import Scan, compile, scan
from tests.compare import Named, differ, leaves, silent, with_gradients
from tests.torch.one_by_one import (
    CHAINS,
    EXACT,
    FUSED,
    LIVE,
    MEMORY,
    RESET,
    SIZES,
    Problem,
    lengths_only,
    one_by_one,
    poisoned,
    through_scan,
)

BOTH = pytest.mark.parametrize("reverse", [False, True], ids=["forwards", "backwards"])
UNREAD = {"gradient of state context", "gradient of initial context"}
"""`attend` puts this state out and never reads it."""
LENGTHS = (6, 0, 4, 1, 6, 3)


@BOTH
@pytest.mark.parametrize("name", CHAINS)
def test_real_steps_and_boundaries(name: str, reverse: bool):
    problem = Problem(name, LIVE, RESET, reverse, MEMORY)
    want = one_by_one(problem)
    assert silent(want) <= UNREAD
    assert differ(through_scan(problem), want) == {}


@BOTH
@pytest.mark.parametrize("name", FUSED)
@pytest.mark.parametrize("lengths", [LENGTHS, (6,) * 6, (3,) * 6, (0, 0, 0, 2, 0, 0)], ids=str)
def test_lengths_through_torchs_layers(name: str, reverse: bool, lengths: tuple[int, ...]):
    problem = lengths_only(Problem(name, LIVE, reverse=reverse), lengths)
    want = one_by_one(problem)
    for given in (lengths, torch.tensor(lengths), torch.tensor(lengths, dtype=torch.int32)):
        assert differ(through_scan(problem, "fused", live=None, lengths=given), want) == {}
    assert differ(through_scan(problem, "reference", live=None, lengths=lengths), want) == {}


@pytest.mark.parametrize("name", FUSED)
def test_torchs_layers_refuse_a_mask_that_is_no_lengths(name: str):
    problem = Problem(name, LIVE)
    with pytest.raises(BackendError, match="fused: torch's layer knows lengths"):
        through_scan(problem, "fused")
    assert differ(through_scan(problem, "auto"), one_by_one(problem)) == {}  # which takes another


ODD = [(1, 1, 1, 1), (2, 7, 17, 1), (3, 5, 1, 7), (7, 3, 33, 17), (1, 17, 7, 33)]


@pytest.mark.parametrize("shape", ODD, ids=str)
@pytest.mark.parametrize(("name", "backend"), EXACT)
def test_odd_sizes(name: str, backend: str, shape: tuple[int, int, int, int]):
    rows, steps, size, hidden = shape
    sizes = {"I": size, "H": hidden, "P": (hidden + 1) // 2, "A": 7, "D": size, "S": 3}
    problem = Problem(name, torch.ones(rows, steps, dtype=torch.bool), sizes=sizes)
    lengths = [steps - 2 * b % steps for b in range(rows)]
    for p in (problem, lengths_only(replace(problem, reverse=True), lengths)):
        assert differ(through_scan(p, backend, live=None, lengths=p.live.sum(1)), one_by_one(p)) == {}


# ---- the same in another arrangement ------------------------------------------------------------------------


def named(p: Problem, backend: str) -> tuple[str, ...]:
    return tuple(p.graph.names) if backend == "reference" else ()


def series_of(one: Scan) -> dict[str, Tensor]:
    return {"output": one.output, **{f"value {k}": v for k, v in one.outputs.items()}}


def chunk_by_chunk(p: Problem, backend: str, ends: tuple[int, ...], lengths: Tensor) -> Named:
    """The state carried from chunk to chunk, and the gradient all the way back; every named value too."""
    of = {kind: leaves(values) for kind, values in p.values.items()}
    state: Any = of["state"]
    parts = []
    for start, end in zip((0, *ends), (*ends, p.live.shape[1]), strict=True):
        x = {k: v[:, start:end] for k, v in of["input"].items()}
        one = scan(
            compile(p.graph, backend), of["weight"], x, state, constants=of["constant"], initial=of["initial"],
            reset=None if p.reset is None else p.reset[:, start:end], outputs=named(p, backend),
            lengths=(lengths - start).clamp(0, end - start), memory_lengths={"S": p.memory} if of["constant"] else {},
        )  # fmt: skip
        state = one.state
        parts.append(series_of(one))
    series = {k: torch.cat([part[k] for part in parts], 1) for k in parts[0]}
    cotangents = p.cotangents | {k: torch.cos(v.detach()) for k, v in series.items() if k != "output"}
    return with_gradients(series | {f"final {k}": v for k, v in state.items()}, cotangents, of)


@pytest.mark.parametrize(("name", "backend"), EXACT)
def test_chunks_are_the_whole(name: str, backend: str):
    lengths = torch.tensor(LENGTHS)
    problem = lengths_only(Problem(name, LIVE, memory=MEMORY), LENGTHS)
    problem = replace(problem, reset=RESET if backend == "reference" else None)
    whole = chunk_by_chunk(problem, backend, (), lengths)
    assert silent(whole) <= UNREAD | {f"gradient of initial {k}" for k in problem.values["initial"]}
    assert differ(chunk_by_chunk(problem, backend, (1, 2, 5), lengths), whole) == {}
    assert differ(chunk_by_chunk(problem, backend, (0, 3, 3), lengths), whole) == {}


@BOTH
@pytest.mark.parametrize(("name", "backend"), EXACT)
def test_a_padded_row_is_the_row_alone(name: str, backend: str, reverse: bool):
    """Also for every named value of the cell, and their gradients."""
    p = lengths_only(Problem(name, LIVE, memory=MEMORY), LENGTHS)
    names = named(p, backend)
    of = {kind: leaves(values) for kind, values in p.values.items()}

    def run(rows: slice, steps: int, fixed: dict[str, Tensor], **options: Any) -> Scan:
        x, state = {k: v[rows, :steps] for k, v in of["input"].items()}, {k: v[rows] for k, v in of["state"].items()}
        return scan(
            compile(p.graph, backend),
            of["weight"],
            x,
            state,
            constants=fixed,
            reverse=reverse,
            outputs=names,
            **options,
        )

    def results(series: dict[str, Tensor], final: Named) -> Named:
        cotangents = {k: poisoned(torch.cos(v.detach()), p.live) for k, v in series.items()}
        return with_gradients(series | {f"final {k}": v for k, v in final.items()}, p.cotangents | cotangents, of)

    memory = {"S": p.memory} if of["constant"] else {}
    together = run(slice(None), 6, of["constant"], lengths=LENGTHS, memory_lengths=memory)
    got = results(series_of(together), together.state)
    alone = []
    for b, length in enumerate(LENGTHS):
        fixed = {k: v[b : b + 1, : MEMORY[b]] for k, v in of["constant"].items()}
        alone.append(run(slice(b, b + 1), length, fixed))
    series = {k: torch.cat([padded(series_of(a)[k], v) for a in alone]) for k, v in series_of(together).items()}
    want = results(series, {k: torch.cat([a.state[k] for a in alone]) for k in of["state"]})
    assert silent(want) <= UNREAD | {f"gradient of initial {k}" for k in of["initial"]}
    assert differ(got, want) == {}


def padded(v: Tensor, like: Tensor) -> Tensor:
    """To the steps of `like`, and to its whole memory where it goes over one."""
    missing = [w for have, want in zip(v.shape[:0:-1], like.shape[:0:-1], strict=True) for w in (0, want - have)]
    return torch.nn.functional.pad(v, missing)


@pytest.mark.parametrize(("name", "backend"), EXACT)
@pytest.mark.parametrize(("rows", "steps"), [(3, 0), (0, 4), (0, 0)])
def test_nothing_to_do(name: str, backend: str, rows: int, steps: int):
    """No rows, or no steps: the state handed in comes out, and its gradient goes back."""
    p = Problem(name, torch.ones(rows, steps, dtype=torch.bool))
    of = {kind: leaves(values) for kind, values in p.values.items()}
    asked = named(p, backend)
    for reverse in (False, True):
        y, state, outputs, record = scan(
            compile(p.graph, backend), of["weight"], of["input"], of["state"], constants=of["constant"],
            reverse=reverse, outputs=asked, record=asked,
        )  # fmt: skip
        assert y.shape == (rows, steps, p.cotangents["output"].shape[2])
        assert set(outputs) == set(record) == set(asked)
        for k in asked:
            want = (rows, steps, *(SIZES[a] for a in find(name).graph.named(k).axes))
            assert outputs[k].shape == record[k].shape == want
        assert differ(state, {k: v.detach() for k, v in of["state"].items()}) == {}
        sums = torch.autograd.grad([v.sum() for v in state.values()], list(of["state"].values()))
        assert all(bool(g.eq(1).all()) for g in sums)


@pytest.mark.parametrize("name", CHAINS)
def test_no_real_step_in_the_batch(name: str):
    problem = Problem(name, torch.zeros(3, 4, dtype=torch.bool), torch.ones(3, 4, dtype=torch.bool))
    got = through_scan(problem)
    assert not got["output"].any()
    for k, v in problem.values["state"].items():
        assert torch.equal(got[f"final {k}"], v)
        assert torch.equal(got[f"gradient of state {k}"], problem.cotangents[f"final {k}"])
