"""Functions written as LLVM's assembly: what is made once, and what must be made again."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from rekur.run.cpu.builder import Function, Module
from rekur.run.cpu.target import Library, host

RECORD = [("ptr", "ctx")]


def number(f: Function, index: int) -> str:
    return f.field("%ctx", index, "i64")


def element(f: Function, index: int) -> str:
    """An integer of memory that the function itself may change."""
    return f.let(f"load i64, ptr {f.let(f'getelementptr i64, ptr %ctx, i64 {index}')}")


def put(f: Function, value: str, index: int) -> None:
    f.do(f"store i64 {value}, ptr {f.let(f'getelementptr i64, ptr %ctx, i64 {index}')}")


def run(m: Module, *values: int) -> list[int]:
    record = np.array(values, dtype=np.int64)
    library = Library(str(m), host())
    library.function("of", [ctypes.c_void_p])(record.ctypes.data)
    return list(map(int, record))


def test_the_same_instruction_is_written_once():
    f = Module(8).function("of", RECORD)
    first = f.mul(number(f, 0), number(f, 1))
    assert f.mul(number(f, 0), number(f, 1)) == first
    assert f.mul(number(f, 1), number(f, 0)) != first
    assert str(f).count("load") == 2


def test_memory_is_read_again():
    m = Module(8)
    f = m.function("of", RECORD)
    before = element(f, 0)
    put(f, f.add(before, "1"), 0)
    put(f, element(f, 0), 1)
    assert run(m, 7, 0) == [8, 8]


@pytest.mark.parametrize("test", [0, 1])
def test_what_a_branch_has_made_stays_in_it(test: int):
    """Nor does it reach what follows a loop that may not run; what was made before reaches both."""
    m = Module(8)
    f = m.function("of", RECORD)
    x, y = number(f, 1), number(f, 2)
    known = f.add(x, y)
    made: list[str] = []

    def inside(times: str) -> None:
        made.append(f.mul(x, y))
        put(f, f.add(f.add(known, f.mul(x, y)), times), 3)

    f.when(f.let(f"icmp ne i64 {number(f, 0)}, 0"), lambda: inside("0"))
    f.loop("0", number(f, 0), "1", inside)
    put(f, f.mul(x, y), 4)
    put(f, f.add(x, y), 5)
    assert len({*made, f.mul(x, y)}) == 3
    assert str(f).count(f"add i64 {x}, {y}") == 1
    assert run(m, test, 5, 6, 0, 0, 0) == [test, 5, 6, 41 * test, 30, 11]


def test_a_block_of_ones_own_begins_with_nothing_known():
    f = Module(8).function("of", RECORD)
    before = f.mul(number(f, 0), "3")
    f.do("br label %next")
    f.begin("next")
    assert f.mul(number(f, 0), "3") != before
