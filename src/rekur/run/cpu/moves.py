"""Values on their way between the tensors of a call and the arrays of compiled code, which have their own order.

A move is a row of integers that code reads. Tensors are `(B, …, *axes)`: groups of rows, and rows of lines along the
last axis. A table has, for each of their rows, that of the array, and -1 for one that has no place there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from rekur.run.cpu.builder import Function, Module
from rekur.run.cpu.driver import ENTRY
from rekur.run.cpu.external import SIGNATURES, call_external, symbol
from rekur.run.cpu.record import Record

FIELDS = (
    "tensor", "array", "table", "groups", "rows", "group", "row", "lines", "size", "stride", "pad", "spread",
)  # fmt: skip
"""Addresses of tensor (0: there is none), array and table; how many groups, and rows of each; floats from one group
of the tensor to the next, and from one row; lines of a row, and floats of a line; floats from one row of the array to
the next, and from one line; whether the one float of a row has a place in every lane of a vector there."""


class Move(NamedTuple):
    """What is the same for all calls of a cell."""

    tensor: int
    """Which of the tensors that go in, or come out"""
    array: str
    table: str
    later: bool = False
    """Whether the array begins with the state before the first step, and the tensor with that after it"""


def arrive(m: Module) -> None:
    """array[table[r]] = tensor[r] for the rows that have a place there; zeros where there is no tensor."""
    f = m.function(symbol("arrive", m.lanes), SIGNATURES["arrive"])

    def one(move: dict[str, str]) -> None:
        given = f.let(f"icmp ne i64 {move['tensor']}, 0")
        spread = f.let(f"icmp ne i64 {move['spread']}, 0")

        def row(source: str, place: str) -> None:
            def line(i: str) -> None:
                src, dst = f.at(source, f.mul(i, move["size"])), f.at(target, f.mul(i, move["pad"]))
                f.when(given, lambda: _copy(f, move["size"], src, dst))
                f.when(f.let(f"xor i1 {given}, true"), lambda: _clear(f, move["size"], dst))

            def scalar() -> None:
                f.when(given, lambda: f.store(f.splat(f.load_scalar(source)), target))
                f.when(f.let(f"xor i1 {given}, true"), lambda: f.store(f.constant(0.0), target))

            target = f.at(_pointer(f, move["array"]), f.mul(place, move["stride"]))
            f.when(spread, scalar)
            f.when(f.let(f"xor i1 {spread}, true"), lambda: f.loop("0", move["lines"], "1", line))

        def live(source: str, place: str) -> None:
            f.when(f.let(f"icmp sge i64 {place}, 0"), lambda: row(source, place))

        _each_row(f, move, live)

    _each_move(f, one)


def depart(m: Module) -> None:
    """tensor[r] = array[table[r]], and zeros for a row that has no place there; nothing where there is no tensor."""
    f = m.function(symbol("depart", m.lanes), SIGNATURES["depart"])

    def one(move: dict[str, str]) -> None:
        def row(target: str, place: str) -> None:
            live = f.let(f"icmp sge i64 {place}, 0")
            source = f.at(_pointer(f, move["array"]), f.mul(place, move["stride"]))

            def line(i: str) -> None:
                src, dst = f.at(source, f.mul(i, move["pad"])), f.at(target, f.mul(i, move["size"]))
                f.when(live, lambda: _copy(f, move["size"], src, dst))
                f.when(f.let(f"xor i1 {live}, true"), lambda: _clear(f, move["size"], dst))

            f.loop("0", move["lines"], "1", line)

        wanted = f.let(f"icmp ne i64 {move['tensor']}, 0")
        f.when(wanted, lambda: _each_row(f, move, row))

    _each_move(f, one)


def _each_move(f: Function, body: Callable[[dict[str, str]], None]) -> None:
    def one(i: str) -> None:
        start = f.let(f"getelementptr i64, ptr %moves, i64 {f.mul(i, str(len(FIELDS)))}")
        body({name: f.field(start, k, "i64") for k, name in enumerate(FIELDS)})

    f.loop("0", "%count", "1", one)


def _pointer(f: Function, address: str) -> str:
    return f.let(f"inttoptr i64 {address} to ptr")


def _each_row(f: Function, move: dict[str, str], body: Callable[[str, str], None]) -> None:
    """body(address of the row of the tensor, row of the array) for this thread's rows of the tensor."""
    for name in ("smin", "smax"):
        f.module.declare("i64", f"llvm.{name}.i64", "i64", "i64")
    rows = move["rows"]
    total = f.mul(move["groups"], rows)
    first, last = (f.let(f"udiv i64 {f.mul(total, k)}, %threads") for k in ("%tid", f.add("%tid", "1")))
    table = _pointer(f, move["table"])

    def group(g: str) -> None:
        before = f.mul(g, rows)
        own = [f.let(f"sub i64 {k}, {before}") for k in (first, last)]
        start = f.let(f"call i64 @llvm.smax.i64(i64 {own[0]}, i64 0)")
        stop = f.let(f"call i64 @llvm.smin.i64(i64 {own[1]}, i64 {rows})")
        tensor = f.at(_pointer(f, move["tensor"]), f.mul(g, move["group"]))

        def one(r: str) -> None:
            at = f.let(f"getelementptr i64, ptr {table}, i64 {f.add(before, r)}")
            body(f.at(tensor, f.mul(r, move["row"])), f.let(f"load i64, ptr {at}"))

        f.loop(start, stop, "1", one)

    f.loop("0", move["groups"], "1", group)


def _copy(f: Function, size: str, source: str, target: str) -> None:
    """A line, whole vectors first: nothing beyond it is touched."""
    _along(
        f, size, lambda i: f.store(f.load(f.at(source, i)), f.at(target, i)),
        lambda i: f.do(f"store float {f.load_scalar(f.at(source, i))}, ptr {f.at(target, i)}"),
    )  # fmt: skip


def _clear(f: Function, size: str, target: str) -> None:
    _along(
        f, size, lambda i: f.store(f.constant(0.0), f.at(target, i)),
        lambda i: f.do(f"store float 0.0, ptr {f.at(target, i)}"),
    )  # fmt: skip


def _along(f: Function, size: str, vector: Callable[[str], None], single: Callable[[str], None]) -> None:
    lanes = f.module.lanes
    whole = f.mul(f.let(f"udiv i64 {size}, {lanes}"), str(lanes))
    f.loop("0", whole, str(lanes), vector)
    f.loop(whole, size, "1", single)


def call_with_moves(module: Module, record: Record, name: str) -> None:
    """call(ctx, tid): what comes in, a loop over time, which begins by waiting for all threads, and what goes out."""
    f = module.function("call", ENTRY)
    threads = f.field("%ctx", record.name("threads"), "i64")

    def move(way: str, direction: str) -> None:
        moves = f.field("%ctx", record.array(f"{name} {direction}"), "ptr")
        call_external(
            f, way, moves, f.field("%ctx", record.name(f"{name} {direction} count"), "i64"), "%tid", threads
        )

    move("arrive", "arriving")
    f.call(name, "ptr %ctx", "i64 %tid")
    move("depart", "leaving")
