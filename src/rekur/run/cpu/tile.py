"""Tiles of a matrix product: what is held in registers, and how rows are cut into them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rekur.run.cpu.builder import Function
from rekur.run.cpu.target import Target


@dataclass(frozen=True)
class Tile:
    """What fits the registers: `rows` × `vectors` accumulators, the vectors of a panel, a broadcast."""

    rows: int
    vectors: int

    @classmethod
    def of(cls, target: Target) -> Tile:
        """6×4 with 32 registers, 6×2 with 16."""
        return cls(6, 4) if target.registers >= 32 else cls(6, 2)


def accumulators(f: Function, pointer: str, stride: str, rows: int, vectors: int) -> list[str]:
    """The vectors of a tile, loaded row by row."""
    lanes = f.module.lanes
    starts = [f.at(pointer, f.mul(stride, str(i))) for i in range(rows)]
    return [f.load(f.at(s, str(j * lanes))) for s in starts for j in range(vectors)]


def put(f: Function, values: list[str], pointer: str, stride: str, rows: int, vectors: int) -> None:
    """Store the vectors of a tile."""
    lanes = f.module.lanes
    for i in range(rows):
        start = f.at(pointer, f.mul(stride, str(i)))
        for j in range(vectors):
            f.store(values[i * vectors + j], f.at(start, str(j * lanes)))


def call_tile(f: Function, height: str, heights: range, call: str, args: list[str]) -> None:
    """Call the tile of a height known only when it runs."""
    after = f.label("after")
    labels = {i: f.label("tile") for i in heights}
    cases = " ".join(f"i64 {i}, label %{label}" for i, label in labels.items())
    f.do(f"switch i64 {height}, label %{after} [ {cases} ]")
    for i, label in labels.items():
        f.begin(label)
        f.call(f"{call}_{i}", *args)
        f.do(f"br label %{after}")
    f.begin(after)


def each_tile(f: Function, rows: str, most: int, body: Callable[[str, str], None]) -> None:
    """Cut `rows` into tiles of nearly the same height, at most `most`."""
    count = f.let(f"udiv i64 {f.add(rows, str(most - 1))}, {most}")
    safe = f.let(f"call i64 @llvm.umax.i64(i64 {count}, i64 1)")
    low = f.let(f"udiv i64 {rows}, {safe}")
    taller = f.let(f"urem i64 {rows}, {safe}")

    def one(i: str, carried: list[str]) -> list[str]:
        is_taller = f.let(f"icmp slt i64 {i}, {taller}")
        height = f.let(f"select i1 {is_taller}, i64 {f.add(low, '1')}, i64 {low}")
        body(carried[0], height)
        return [f.add(carried[0], height)]

    f.fold("0", count, "1", [("i64", "0")], one)
