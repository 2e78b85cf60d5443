"""The lattice cells on images of unequal size, one of them empty, against a plain double loop over pixels."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor

from rekur.run import compile, scan
from tests.pure.cell_formulas import CASES
from tests.torch.cells_by_hand import SIZES, Problem, differences, leaves, with_gradients

IMAGES = ((4, 3), (2, 5), (0, 0), (3, 1))  # rows and columns of each
ROWS, COLUMNS = 4, 5
PIXELS = [(b, r, c) for b, (rows, columns) in enumerate(IMAGES) for r in range(rows) for c in range(columns)]

Place = Callable[[int, int], tuple[int, int]]
"""(row, column) of a pixel -> (step, site) at which it is seen."""


def skewed(r: int, c: int) -> tuple[int, int]:
    return r + c, r


def upright(r: int, c: int) -> tuple[int, int]:
    return r, c


LAYOUT: Mapping[str, tuple[Place, int, int]] = {
    "lstm2d": (skewed, ROWS + COLUMNS - 1, ROWS),
    "row-lstm": (upright, ROWS, COLUMNS),
}
"""Cell -> its layout, steps, sites."""


def index(place: Place) -> tuple[Tensor, Tensor, Tensor]:
    """(image, step, site) of every pixel, to index a series with."""
    at = [(b, *place(r, c)) for b, r, c in PIXELS]
    b, t, site = torch.tensor(at).T
    return b, t, site


def through_scan(problem: Problem, name: str) -> dict[str, Tensor]:
    place, steps, sites = LAYOUT[name]
    at = index(place)
    live = torch.zeros(len(IMAGES), steps, sites, dtype=torch.bool)
    live[at] = True
    weights, state = leaves(problem.weights), leaves(problem.state)
    inputs = leaves({k: torch.where(live[..., None], v, torch.nan) for k, v in problem.inputs.items()})
    y, final, _, _ = scan(compile(problem.graph, "reference"), weights, inputs, state, live=live)
    assert not y[~live].any()
    cotangents = dict(problem.gradients)
    cotangents["output"] = torch.where(live[..., None], cotangents["output"], torch.nan)
    results = {"output": y, **{f"final {k}": v for k, v in final.items()}}
    return with_gradients(results, cotangents, {"weight": weights, "input": inputs, "state": state})


def by_hand(problem: Problem, name: str, walk: Callable[..., Mapping[str, Tensor]]) -> dict[str, Tensor]:
    place, _, _ = LAYOUT[name]
    weights, state, inputs = leaves(problem.weights), leaves(problem.state), leaves(problem.inputs)
    y = torch.zeros_like(problem.gradients["output"])
    final = {k: v.clone() for k, v in state.items()}
    for b, (rows, columns) in enumerate(IMAGES):
        done: dict[tuple[int, int], Mapping[str, Tensor]] = {}
        given = {site: {k: v[b, site] for k, v in state.items()} for site in range(LAYOUT[name][2])}
        for r in range(rows):
            for c in range(columns):
                t, site = place(r, c)
                reads = walk(done, given, r, c, columns)
                new = CASES[name](torch, weights, **{k: v[b, t, site] for k, v in inputs.items()}, **reads)
                done[r, c] = dict(zip(state, new, strict=True))
                y[b, t, site] = new[0]
                for k in final:  # the last pixel that a site sees stays
                    final[k][b, site] = done[r, c][k]
    results = {"output": y, **{f"final {k}": v for k, v in final.items()}}
    return with_gradients(results, problem.gradients, {"weight": weights, "input": inputs, "state": state})


NOTHING = torch.zeros(SIZES["H"], dtype=torch.float64)


def left_and_up(done, given, r, c, columns) -> dict[str, Tensor]:
    """The pixel to the left, or what was handed in for this row; the pixel above, or nothing."""
    left = done[r, c - 1] if c > 0 else given[r]
    up = done[r - 1, c] if r > 0 else {"h": NOTHING, "c": NOTHING}
    return {"h": left["h"], "c": left["c"], "h_up": up["h"], "c_up": up["c"]}


def three_above(done, given, r, c, columns) -> dict[str, Tensor]:
    """The three pixels above, or what was handed in for their columns; nothing outside of the image."""

    def above(column: int) -> Mapping[str, Tensor]:
        if not 0 <= column < columns:
            return {"h": NOTHING}
        found: Mapping[str, Tensor] = done[r - 1, column] if r > 0 else given[column]
        return found

    return {"h": above(c)["h"], "c": above(c)["c"], "h_left": above(c - 1)["h"], "h_right": above(c + 1)["h"]}


WALKS: Mapping[str, Callable[..., Mapping[str, Tensor]]] = {"lstm2d": left_and_up, "row-lstm": three_above}


@pytest.mark.parametrize("name", WALKS)
def test_a_lattice_is_a_double_loop(name: str):
    _, steps, sites = LAYOUT[name]
    problem = Problem(name, (len(IMAGES), sites), steps)
    got = through_scan(problem, name)
    assert differences(got, by_hand(problem, name, WALKS[name])) == set()
    for k in problem.inputs:
        assert got[f"gradient of input {k}"][index(LAYOUT[name][0])].any(-1).all()


def up_and_left(done, given, r, c, columns) -> dict[str, Tensor]:
    reads = left_and_up(done, given, r, c, columns)
    return {"h": reads["h_up"], "c": reads["c_up"], "h_up": reads["h"], "c_up": reads["c"]}


def no_gradient_from_above(done, given, r, c, columns) -> dict[str, Tensor]:
    return {k: v.detach() if k.endswith("_up") else v for k, v in left_and_up(done, given, r, c, columns).items()}


def mirrored(done, given, r, c, columns) -> dict[str, Tensor]:
    reads = three_above(done, given, r, c, columns)
    return {**reads, "h_left": reads["h_right"], "h_right": reads["h_left"]}


def beyond_the_edge(done, given, r, c, columns) -> dict[str, Tensor]:
    """Reads what was handed in for a column that the image does not have."""
    reads = three_above(done, given, r, c, columns)
    if c + 1 == columns < COLUMNS:
        reads["h_right"] = given[columns]["h"]
    return reads


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("lstm2d", up_and_left),
        ("lstm2d", no_gradient_from_above),
        ("row-lstm", mirrored),
        ("row-lstm", beyond_the_edge),
    ],
)
def test_a_wrong_lattice_is_found(name: str, wrong: Callable[..., Mapping[str, Tensor]]):
    _, steps, sites = LAYOUT[name]
    problem = Problem(name, (len(IMAGES), sites), steps)
    found = differences(through_scan(problem, name), by_hand(problem, name, wrong))
    assert ("output" in found) == (wrong is not no_gradient_from_above)
    assert "gradient of state h" in found
