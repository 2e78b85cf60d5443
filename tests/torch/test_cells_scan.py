"""Every cell of the zoo in time, against its formula row by row and step by step: values and all gradients.

Lengths with 0, boundaries inside sequences, both directions, a ragged memory with an empty one; NaN wherever
nothing may be read, in the incoming gradient too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from rekur.cells import find
from rekur.run import compile, scan
from tests.pure.cell_formulas import CASES, READS, Weights
from tests.torch.cells_by_hand import Problem, differences, leaves, with_gradients

STEPS = 6
LENGTHS = (6, 3, 0, 4, 1)
MEMORY = (7, 2, 4, 0, 1)  # positions of each row that there are
BATCH = len(LENGTHS)
LIVE = torch.arange(STEPS) < torch.tensor(LENGTHS)[:, None]
RESET = torch.zeros(BATCH, STEPS, dtype=torch.bool)
RESET[0, [2, 5]] = RESET[1, 0] = RESET[3, 1] = RESET[3, 2] = RESET[1, 5] = True
CHAINS = [name for name in CASES if name not in READS]

Change = Callable[[dict[str, Any]], object]


def through_scan(problem: Problem, reverse: bool, change: Change = lambda call: None) -> dict[str, Tensor]:
    """What rekur gives. `change` spoils what `scan` is told, for the tests of the comparison."""
    weights, state, initial = leaves(problem.weights), leaves(problem.state), leaves(problem.initial)
    inputs = leaves({k: torch.where(LIVE[..., None], v, torch.nan) for k, v in problem.inputs.items()})
    places = torch.arange(7) < torch.tensor(MEMORY)[:, None]
    constants = leaves({k: torch.where(places[..., None], v, torch.nan) for k, v in problem.constants.items()})
    call: dict[str, Any] = {
        "params": dict(weights), "x": inputs, "state": state, "initial": initial, "constants": constants,
        "lengths": LENGTHS, "reset": RESET, "reverse": reverse,
        "memory_lengths": {"S": MEMORY} if constants else None,
    }  # fmt: skip
    change(call)
    y, final, _, _ = scan(compile(problem.graph, "reference"), **call)
    results = {"output": y, **{f"final {k}": v for k, v in final.items()}}
    cotangents = dict(problem.gradients)
    cotangents["output"] = torch.where(LIVE[..., None], cotangents["output"], torch.nan)
    of = {"weight": weights, "input": inputs, "state": state, "initial": initial, "constant": constants}
    return with_gradients(results, cotangents, of)


def by_hand(problem: Problem, name: str, reverse: bool) -> dict[str, Tensor]:
    """The same from the formula, one row at a time and without masks."""
    weights, state, initial = leaves(problem.weights), leaves(problem.state), leaves(problem.initial)
    inputs, constants = leaves(problem.inputs), leaves(problem.constants)
    read = Weights(weights)
    y = torch.zeros_like(problem.gradients["output"])
    final: dict[str, list[Tensor]] = {k: [] for k in state}
    for b, length in enumerate(LENGTHS):
        held = {k: v[b] for k, v in state.items()}
        fixed = {k: v[b, : MEMORY[b]] for k, v in constants.items()}
        for t in reversed(range(length)) if reverse else range(length):
            boundary = RESET[b, t] if not reverse else t + 1 < length and RESET[b, t + 1]
            if boundary:
                held = dict(initial)
            new = CASES[name](torch, read, **{k: v[b, t] for k, v in inputs.items()}, **held, **fixed)
            held = dict(zip(state, new, strict=True))
            y[b, t] = new[0]
        for k, v in held.items():
            final[k].append(v)
    assert read.read == set(weights)
    results = {"output": y, **{f"final {k}": torch.stack(v) for k, v in final.items()}}
    of = {"weight": weights, "input": inputs, "state": state, "initial": initial, "constant": constants}
    return with_gradients(results, problem.gradients, of)


@pytest.mark.parametrize("reverse", [False, True], ids=["forwards", "backwards"])
@pytest.mark.parametrize("name", CHAINS)
def test_a_cell_in_time_is_its_formula(name: str, reverse: bool):
    problem = Problem(name, (BATCH,), STEPS)
    got = through_scan(problem, reverse)
    assert differences(got, by_hand(problem, name, reverse)) == set()
    for k in problem.inputs:
        assert not got[f"gradient of input {k}"][~LIVE].any()


# ---- what the comparison must find --------------------------------------------------------------------------


def swap_gates(call: dict[str, Any]) -> None:
    w = call["params"]
    w["forget.h"], w["input.h"] = w["input.h"], w["forget.h"]


def transpose(call: dict[str, Any]) -> None:
    call["params"]["candidate.h"] = call["params"]["candidate.h"].T


def drop_gradient(call: dict[str, Any]) -> None:
    call["params"]["forget.h"] = call["params"]["forget.h"].detach()


def lose_a_reset(call: dict[str, Any]) -> None:
    call["reset"] = RESET & (torch.arange(STEPS) != 5)


def reset_to_the_state(call: dict[str, Any]) -> None:
    call["initial"] = {k: v[0] for k, v in call["state"].items()}


def one_step_more(call: dict[str, Any]) -> None:
    call["lengths"] = (6, 3, 0, 4, 2)


def turn_round(call: dict[str, Any]) -> None:
    call["reverse"] = True


@pytest.mark.parametrize(
    "spoil", [swap_gates, transpose, drop_gradient, lose_a_reset, reset_to_the_state, one_step_more, turn_round]
)
def test_a_wrong_result_is_found(spoil: Change):
    problem = Problem("lstm", (BATCH,), STEPS)
    found = differences(through_scan(problem, False, spoil), by_hand(problem, "lstm", False))
    if spoil is drop_gradient:
        assert found == {"gradient of weight forget.h"}
    else:
        assert {"output", "gradient of weight forget.h", "gradient of input x"} <= found


def test_another_length_of_memory_is_found():
    problem = Problem("attend", (BATCH,), STEPS)
    wrong = through_scan(problem, False, lambda call: call.update(memory_lengths={"S": (6, 2, 4, 0, 1)}))
    found = differences(wrong, by_hand(problem, "attend", False))
    assert {"output", "final context", "gradient of constant memory"} <= found


@pytest.mark.parametrize("name", CHAINS)
def test_memory_is_the_only_constant(name: str):
    """What `through_scan` relies on when it poisons constants."""
    assert [a.axes for a in find(name).graph.of("constant")] == ([("S", "D")] if name == "attend" else [])
