"""Lattices: a skewed image in its four directions against a plain double loop over pixels; masks; sites."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from rekur.cells import Cell, cell, gate, lstm2d, neighbour, sigmoid, tanh
from rekur.run import Scan, compile, scan
from tests.compare import Named, differ, leaves, silent, with_gradients
from tests.pure.cell_formulas import CASES
from tests.torch.one_by_one import FUSED, SIZES, Problem, one_by_one, poisoned, through_scan

IMAGES = ((4, 3), (2, 5), (3, 1), (0, 0), (1, 1))  # rows and columns of each
ROWS, COLUMNS = 4, 5
STEPS = ROWS + COLUMNS - 1


@cell
def from_below(x, h, c):
    """lstm2d with the row below in place of the one above, under the same names."""
    read = {"left": h, "up": neighbour(h, 1)}
    i, f, u, o = (gate(name, sigmoid, x, **read) for name in ("input", "forget_left", "forget_up", "output"))
    g = gate("candidate", tanh, x, **read)
    c = f * c + u * neighbour(c, 1) + i * g
    return o * tanh(c), c


Place = Callable[[int, int], int]
"""(row, column) of a pixel -> the step at which it is seen."""


def later_rows_later(r: int, c: int) -> int:
    return c + r


def later_rows_earlier(r: int, c: int) -> int:
    return c + ROWS - 1 - r


DIRECTIONS: dict[str, tuple[Cell, Place, bool]] = {
    "down and right": (lstm2d, later_rows_later, False),
    "up and left": (from_below, later_rows_later, True),
    "up and right": (from_below, later_rows_earlier, False),
    "down and left": (lstm2d, later_rows_earlier, True),
}
DIRECTION = pytest.mark.parametrize("direction", DIRECTIONS)


class Images:
    """Images of unequal size, one empty, and what is handed in for each of their rows."""

    def __init__(self) -> None:
        p = Problem("lstm2d", torch.ones(len(IMAGES), STEPS, ROWS, dtype=torch.bool))
        draw = torch.Generator().manual_seed(2)

        def random(*shape: int) -> Tensor:
            return torch.randn(shape, generator=draw, dtype=torch.float64)

        self.values = {
            "weight": p.values["weight"],
            "input": {"pixels": random(len(IMAGES), ROWS, COLUMNS, SIZES["I"])},
            "state": p.values["state"],
        }
        self.cotangents = {k: v for k, v in p.cotangents.items() if k != "output"}
        self.cotangents["output"] = random(len(IMAGES), ROWS, COLUMNS, SIZES["H"])

    def by_scan(self, direction: str) -> Named:
        of_cell, place, reverse = DIRECTIONS[direction]
        of = {kind: leaves(named) for kind, named in self.values.items()}
        at = torch.tensor([(b, r, c, place(r, c)) for b in range(len(IMAGES)) for r, c in pixels(b)])
        b, r, c, t = at.T
        live = torch.zeros(len(IMAGES), STEPS, ROWS, dtype=torch.bool)
        live[b, t, r] = True
        empty = torch.full((*live.shape, SIZES["I"]), torch.nan, dtype=torch.float64)
        skewed = empty.index_put((b, t, r), of["input"]["pixels"][b, r, c])
        y, final, _, _ = scan(compile(of_cell), of["weight"], skewed, of["state"], live=live, reverse=reverse)
        image = torch.zeros_like(self.cotangents["output"]).index_put((b, r, c), y[b, t, r])
        return with_gradients(named(image, final), self.cotangents, of)

    def by_loop(self, direction: str) -> Named:
        of = {kind: leaves(named) for kind, named in self.values.items()}
        vertical, horizontal = direction.split(" and ")
        up, left = (-1 if vertical == "down" else 1), (-1 if horizontal == "right" else 1)
        image = torch.zeros_like(self.cotangents["output"])
        final = {k: v.clone() for k, v in of["state"].items()}
        nothing = torch.zeros(SIZES["H"], dtype=torch.float64)
        for b in range(len(IMAGES)):
            done: dict[tuple[int, int], tuple[Tensor, ...]] = {}
            for r, c in sorted(pixels(b), key=lambda p: (-up * p[0], -left * p[1])):
                h, c_left = done.get((r, c + left)) or tuple(v[b, r] for v in of["state"].values())
                h_up, c_up = done.get((r + up, c)) or (nothing, nothing)
                x = of["input"]["pixels"][b, r, c]
                new = CASES["lstm2d"](torch, of["weight"], x, h, c_left, h_up, c_up)
                done[r, c] = new
                image[b, r, c] = new[0]
                for k, v in zip(final, new, strict=True):
                    final[k][b, r] = v
        return with_gradients(named(image, final), self.cotangents, of)


def pixels(b: int) -> list[tuple[int, int]]:
    rows, columns = IMAGES[b]
    return [(r, c) for r in range(rows) for c in range(columns)]


def named(y: Tensor, final: Named) -> Named:
    return {"output": y, **{f"final {k}": v for k, v in final.items()}}


@DIRECTION
def test_a_skewed_image_is_a_double_loop(direction: str):
    images = Images()
    want = images.by_loop(direction)
    assert silent(want) == set()
    assert differ(images.by_scan(direction), want) == {}


def test_a_wrong_direction_is_found():
    images = Images()
    want = images.by_loop("down and right")
    for direction in DIRECTIONS:
        found = differ(images.by_scan(direction), want)
        assert bool(found) is (direction != "down and right")
        assert not found or "output" in found


# ---- masks and sites ------------------------------------------------------------------------------------------

LIVE = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [0, 0, 0, 0], [0, 1, 0, 1]], dtype=torch.bool)
RESET = torch.tensor([[1, 0, 1, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 1, 0, 1]], dtype=torch.bool)
BOTH = pytest.mark.parametrize("reverse", [False, True], ids=["forwards", "backwards"])
LATTICE = pytest.mark.parametrize("name", ["lstm2d", "row-lstm"])


def wide(mask: Tensor) -> Tensor:
    return mask[..., None].expand(*mask.shape, 3)


@BOTH
@LATTICE
def test_a_mask_without_the_lattice_counts_for_all_sites(name: str, reverse: bool):
    p = Problem(name, wide(LIVE), wide(RESET), reverse)
    want = through_scan(p)
    assert silent(want) == set()
    assert differ(through_scan(p, live=LIVE, reset=RESET), want, within=0.0) == {}
    p = replace(p, live=wide(torch.arange(4) < torch.tensor([[4], [2], [0], [1]])))
    assert differ(through_scan(p, live=None, lengths=[4, 2, 0, 1]), through_scan(p), within=0.0) == {}


@BOTH
@pytest.mark.parametrize("name", [*FUSED, "gru", "attend"])
def test_sites_without_neighbours_are_rows(name: str, reverse: bool):
    """A cell that reads no neighbour, on a lattice: each site is a sequence of its own."""
    p = Problem(name, wide(LIVE).clone(), wide(RESET).clone(), reverse)
    flat = Problem(name, LIVE.repeat_interleave(3, 0), RESET.repeat_interleave(3, 0), reverse)
    for kind, values in p.values.items():
        for k, v in values.items():
            if kind in ("weight", "initial"):
                flat.values[kind][k] = v
            else:
                flat.values[kind][k] = v.movedim(2, 1).flatten(0, 1) if kind == "input" else v.flatten(0, 1)
    for k, v in p.cotangents.items():
        flat.cotangents[k] = v.movedim(2, 1).flatten(0, 1) if k == "output" else v.flatten(0, 1)
    got, want = dict(through_scan(p)), one_by_one(flat)
    for k, v in got.items():
        if k in ("output", "gradient of input x"):
            got[k] = v.movedim(2, 1).flatten(0, 1)
        elif v.shape != want[k].shape:
            got[k] = v.flatten(0, 1)
    assert differ(got, want) == {}


@LATTICE
def test_chunks_of_a_lattice_are_the_whole(name: str):
    p = Problem(name, torch.ones(2, 5, 3, dtype=torch.bool))

    def run(*ends: int) -> Named:
        of = {kind: leaves(values) for kind, values in p.values.items()}
        state, parts = of["state"], []
        for start, end in zip((0, *ends), (*ends, 5), strict=True):
            x = {k: v[:, start:end] for k, v in of["input"].items()}
            one = scan(compile(p.graph), of["weight"], x, state)
            state = dict(one.state)
            parts.append(one.output)
        return with_gradients(named(torch.cat(parts, 1), state), p.cotangents, of)

    assert differ(run(2, 3), run()) == {}


@pytest.mark.parametrize("sites", [1, 2])
@LATTICE
def test_a_narrow_lattice(name: str, sites: int):
    """At the edges everything read outside is zero; a lattice of one site is a chain."""
    p = Problem(name, torch.ones(2, 3, sites, dtype=torch.bool))
    wider = Problem(name, torch.ones(2, 3, sites + 2, dtype=torch.bool))
    live = torch.zeros_like(wider.live)
    live[:, :, 1 : 1 + sites] = True
    for kind in ("input", "state"):
        for k, v in p.values[kind].items():
            whole = torch.full_like(wider.values[kind][k], torch.nan)
            whole[..., 1 : 1 + sites, :] = v
            wider.values[kind][k] = whole
    wider.values["weight"].update(p.values["weight"])
    one, other = (
        scan(compile(q.graph), q.values["weight"], q.values["input"], q.values["state"], live=mask)
        for q, mask in ((p, None), (wider, live))
    )
    assert differ({"output": other.output[:, :, 1 : 1 + sites]}, {"output": one.output}) == {}
    assert all(torch.equal(v[:, 1 : 1 + sites], one.state[k]) for k, v in other.state.items())


def test_padding_sites_hold_nan():
    """In the state handed in and in the gradients that arrive, as in the inputs."""
    p = Problem("row-lstm", torch.ones(2, 3, 4, dtype=torch.bool))
    live = p.live.clone()
    live[1, :, 2:] = False
    exists = live.any(1)

    def run(poison: bool) -> Named:
        of = {kind: leaves(values) for kind, values in p.values.items()}
        if poison:
            of["input"] = leaves({k: poisoned(v, live) for k, v in of["input"].items()})
            of["state"] = leaves({k: poisoned(v, exists) for k, v in of["state"].items()})
        one: Scan = scan(compile(p.graph), of["weight"], of["input"], of["state"], live=live)
        final = {k: torch.where(exists[..., None], v, 0.0) for k, v in one.state.items()}
        cotangents = dict(p.cotangents)
        if poison:
            cotangents["output"] = poisoned(cotangents["output"], live)
        return with_gradients(named(one.output, final), cotangents, of)

    assert differ(run(True), run(False), within=0.0) == {}
