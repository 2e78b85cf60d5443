"""Whole scans of the compiled backend in memory that is poisoned: no margin is touched, nothing is read unwritten.

This module is also a program, which runs scans whose arrays end where they may not be touched.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from rekur.cells import find
from rekur.run.cpu import arena, job, kernel
from rekur.run.cpu.arena import Arena, Layout
from rekur.run.cpu.frame import Frame
from rekur.run.cpu.kernel import Compiled
from rekur.run.cpu.pages import Pages
from rekur.run.cpu.target import AVX2, Target, host
from tests.compare import Named
from tests.torch.cpu_cases import Case, compile_for, results, same
from tests.torch.guard_pages import alone, inside
from tests.torch.test_cpu_random import case as random_case

SIZES = {"I": 5, "P": 3, "A": 4, "D": 6, "S": 3}
MARGIN = 333  # odd, so that what lies between is not aligned as torch aligns memory
POISON = 0x7FC0BEEF  # a NaN that no operation makes


class Apart(Arena):
    """Each array of an arena in memory of its own, which `place` makes of what the arena has there."""

    place: Callable[[Tensor], Tensor]
    known: dict[int, tuple[Tensor, dict[str, Tensor]]]
    """Address of an arena -> it, so that no other gets the address, and its arrays, which the way back meets again"""

    def __init__(self, layout: Layout, memory: Tensor) -> None:
        super().__init__(layout, memory)
        if memory.data_ptr() not in self.known:
            cut = {k: memory[layout.find(k) :][:size] for k, size in layout.sizes.items()}
            self.known[memory.data_ptr()] = memory, {k: type(self).place(v) for k, v in cut.items()}
        self.arrays = self.known[memory.data_ptr()][1]

    def _find(self, array: str) -> tuple[Tensor, int]:
        whole, shift = self.layout.inside.get(array, (array, 0))
        return self.arrays[whole], shift

    def view(self, array: str, size: Sequence[int], stride: Sequence[int], shift: int = 0) -> Tensor:
        memory, start = self._find(array)
        return memory.as_strided(size, stride, memory.storage_offset() + start + shift)

    def enter(self, record: NDArray[np.int64]) -> None:
        for field, array, shift in self.layout.points:
            memory, start = self._find(array)
            record[field] = memory.data_ptr() + 4 * (start + shift)


def set_apart(monkeypatch: pytest.MonkeyPatch, place: Callable[[Tensor], Tensor]) -> None:
    """Have every array of a call apart, and uninitialised memory hold NaN."""
    monkeypatch.setattr(kernel, "Arena", type("Made", (Apart,), {"place": staticmethod(place), "known": {}}))
    monkeypatch.setattr(
        kernel, "empty", lambda size: torch.full((size + 1,), torch.nan)[:size]
    )  # none without address
    monkeypatch.setattr(job, "handed_out", lambda like, shape: place(torch.full(shape, torch.nan)))


class Margins:
    """Memory with poison before and after it."""

    def __init__(self) -> None:
        self.blocks: list[Tensor] = []

    def __call__(self, v: Tensor) -> Tensor:
        block = torch.full((v.numel() + 2 * MARGIN,), POISON, dtype=torch.int32).view(torch.float32)
        self.blocks.append(block)
        return block[MARGIN : MARGIN + v.numel()].view(v.shape).copy_(v)

    def touched(self) -> int:
        """How many arrays were left."""
        return sum(
            bool((b.view(torch.int32)[[*range(MARGIN), *range(-MARGIN, 0)]] != POISON).any()) for b in self.blocks
        )


def cases() -> list[Case]:
    sizes = {"lstm": 17, "gru": 7, "layer-norm-lstm": 33, "attend": 64}
    out = []
    for k, (name, h) in enumerate(sizes.items()):
        graph = find(name).graph
        out.append(Case(graph, {**SIZES, "H": h}, 3, 6, (6, 0, 4), k % 2 == 0, k > 1, seed=k))
        out.append(Case(graph, {**SIZES, "H": h}, 130, 5, seed=k))  # in two chunks of steps
    lattice = Case(find("lstm2d").graph, {**SIZES, "H": 17}, 3, 6, resets=True, sites=5, gaps=True)
    ragged = Case(find("attend").graph, {**SIZES, "H": 7}, 3, 6, gaps=True, memory={"S": (3, 0, 2)})
    lengths = (6, 0, 4)
    symbols = [
        Case(find(k).graph, {**SIZES, "H": 17}, 3, 6, lengths, symbols={"x": torch.int64})
        for k in ("lstm", "layer-norm-lstm")
    ]
    return [*out, *map(random_case, (3, 11)), lattice, ragged, *symbols]


@pytest.fixture(scope="module")
def plain() -> list[tuple[Case, Named]]:
    return [(one, results(one)) for one in cases()]


def test_margins_and_uninitialised_memory(plain: list[tuple[Case, Named]], monkeypatch: pytest.MonkeyPatch):
    for one, want in plain:
        margins = Margins()
        set_apart(monkeypatch, margins)
        got = results(one)
        assert len(margins.blocks) > 10
        assert same(got, want) == set(), one
        assert margins.touched() == 0, one


def test_large_memory_is_used_again(monkeypatch: pytest.MonkeyPatch):
    """And what the call before has left in it changes nothing."""
    one = cases()[0]
    want = results(one)
    pages, new = Pages(), list[bool]()
    take = pages.take

    def soiled(size: int) -> tuple[Tensor, bool]:
        memory, fresh = take(size)
        new.append(fresh)
        return memory if fresh else memory.fill_(torch.nan), fresh

    monkeypatch.setattr(arena, "_FRESH", 4)
    monkeypatch.setattr(arena, "pages", pages)
    monkeypatch.setattr(pages, "take", soiled)
    for _ in range(2):
        assert same(results(one), want) == set()
    pieces = len(new) // 2  # each time two on the way forth, two on the way back, and what is handed out
    assert pieces >= 4 + len(want)
    assert new[0]
    assert not any(new[pieces:])
    assert not bool(arena.zeros(1000).any())


def test_no_more_memory_is_kept_than_was_in_use():
    pages = Pages()
    large, small = pages.take(1 << 20)[0], pages.take(1 << 19)[0]
    most = large.nbytes + small.nbytes
    assert pages.held == most
    del large
    assert pages.held == most
    between, new = pages.take(1 << 19)  # takes the large one, which it fits in
    assert not new
    assert pages.held == most
    other, new = pages.take(1 << 20)
    assert new
    assert pages.held == most + other.nbytes
    del between, small, other
    assert pages.held == most + (1 << 22)
    pages.take(1 << 23)
    assert pages.held == 1 << 25


def test_a_write_beyond_an_array_is_found(monkeypatch: pytest.MonkeyPatch):
    margins = Margins()
    set_apart(monkeypatch, margins)
    monkeypatch.setattr(Frame, "pad", lambda self, axis: self.sizes[axis])
    results(Case(find("gru").graph, {"I": 2, "H": 3}, 4, 3))
    assert margins.touched() > 0


def test_reading_what_was_not_written_is_found(monkeypatch: pytest.MonkeyPatch):
    one = Case(find("gru").graph, {"I": 2, "H": 3}, 4, 3, resets=True)
    want = results(one)
    compile_for(monkeypatch, host())
    set_apart(monkeypatch, torch.clone)
    assert same(results(one), want) == set()
    once = Compiled.frame

    def without_clearing(self: Compiled, *args: Any) -> Frame:
        self.code.cleared.clear()
        self._frames.clear()
        return once(self, *args)

    monkeypatch.setattr(Compiled, "frame", without_clearing)
    assert "gradient of initial h" in same(results(one), want)


def test_between_pages_that_cannot_be_touched():
    done = alone("tests.torch.test_cpu_bounds", *TARGETS)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


TARGETS = {"host": host(), "avx2": AVX2, "narrow": Target("x86-64", "", 4, 16)}


def main(targets: list[str]) -> int:
    """Everything that the code is given or makes lies in such memory, and the results are the same bits."""
    torch.set_num_threads(1)
    wrong = []
    for name in targets:
        with pytest.MonkeyPatch.context() as patch:
            compile_for(patch, TARGETS[name])
            for one in cases() if name == "host" else cases()[4:5]:
                want = results(one)
                for at_end in (True, False):
                    place = partial(inside, at_end=at_end)
                    for named in one.values.values():
                        named |= {k: place(v) for k, v in named.items()}
                    with patch.context() as apart:
                        set_apart(apart, place)
                        wrong += [f"{name}: {one}: {k}" for k in same(results(one), want)]
    print(*wrong, sep="\n", end="")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
