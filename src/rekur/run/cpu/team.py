"""Entering compiled code with several threads: those of torch, where it has an OpenMP runtime, else our own.

torch's threads spin for some milliseconds after each of its operations. Threads of our own would find the processors
taken by them, and start milliseconds late; in a parallel region of the same runtime the very same threads go on.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from functools import cache, partial

import llvmlite.binding as llvm

from rekur.run.cpu.target import Library, host
from rekur.run.cpu.threads import together

_ENTRY = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)
_TEXT = """
declare i32 @omp_get_num_threads()
declare i32 @omp_get_thread_num()

define void @enter(ptr %job) {
entry:
  %wanted.at = getelementptr i64, ptr %job, i64 2
  %wanted = load i64, ptr %wanted.at
  %count = call i32 @omp_get_num_threads()
  %there = sext i32 %count to i64
  %right = icmp eq i64 %there, %wanted
  br i1 %right, label %run, label %refuse
run:
  %function = load ptr, ptr %job
  %record.at = getelementptr i64, ptr %job, i64 1
  %record = load ptr, ptr %record.at
  %number = call i32 @omp_get_thread_num()
  %tid = sext i32 %number to i64
  call void %function(ptr %record, i64 %tid)
  ret void
refuse:
  %refused = getelementptr i64, ptr %job, i64 3
  store i64 1, ptr %refused
  ret void
}
"""
_forked: list[int] = []
os.register_at_fork(after_in_child=lambda: _forked.append(os.getpid()))


class Team:
    """The OpenMP runtime that torch has loaded, and what its threads are to do."""

    def __init__(self, runtime: ctypes.CDLL) -> None:
        self._parallel = runtime.GOMP_parallel
        self._parallel.argtypes = ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint
        self._parallel.restype = None
        for name in ("omp_get_num_threads", "omp_get_thread_num"):
            address = ctypes.cast(getattr(runtime, name), ctypes.c_void_p).value
            assert address is not None
            llvm.add_symbol(name, address)
        self._library = Library(_TEXT, host())
        self._enter = self._library.address("enter")

    def entry(self, count: int, function: int, record: int) -> Callable[[], bool]:
        """Have threads 0 … count - 1 enter the function at an address; whether there were as many."""
        job = (ctypes.c_int64 * 4)(function, record, count, 0)
        parallel, enter, at = self._parallel, self._enter, ctypes.addressof(job)

        def run() -> bool:
            parallel(enter, at, count, 0)
            if not job[3]:
                return True
            job[3] = 0
            return False

        return run


@cache
def team() -> Team | None:
    """torch's threads, None where they cannot be had."""
    if sys.platform != "linux":
        return None
    runtime = ctypes.CDLL(None)
    return Team(runtime) if all(hasattr(runtime, n) for n in ("GOMP_parallel", "omp_get_thread_num")) else None


def enter(count: int, function: int, record: int) -> None:
    """The function at an address, once for each of `count` threads, on a record; each may wait for the others."""
    entry(count, function, record)()


def entry(count: int, function: int, record: int) -> Callable[[], None]:
    """The same as a call without arguments, for those who enter again and again; one at a time."""
    run = callable_at(function)
    if count == 1:
        return partial(run, record, 0)
    there = team()
    shared = None if there is None else there.entry(count, function, record)

    def enter_all() -> None:
        # a fork leaves torch's threads in the parent, and their runtime does not notice
        if shared is None or _forked or not shared():
            together(count, lambda tid: run(record, tid))

    return enter_all


@cache
def callable_at(function: int) -> Callable[[int, int], None]:
    """The function at an address; the interpreter lock is let go while it runs."""
    return _ENTRY(function)
