"""The same bits whatever the number of threads, however a sequence is cut, and whoever else is in the batch."""

from __future__ import annotations

import ctypes
import gc
import threading
import weakref
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from rekur.cells import find
from rekur.run.cpu import team, threads
from tests.compare import Named, leaves
from tests.torch.cpu_cases import Case, results, run, same, use_threads
from tests.torch.test_cpu_random import case as random_case

SIZES = {"I": 7, "P": 5, "A": 66, "D": 130, "S": 3}
CELLS = ("lstm", "gru", "lstm-projected", "layer-norm-lstm", "mogrifier", "mingru", "attend")
SHARED = Case(find("lstm").graph, {**SIZES, "H": 150}, 5, 7, (7, 3, 0, 5, 7), resets=True, reverse=True)
"""Rows that all threads do together, some units each: three panels for the widest vectors"""
APART = Case(find("lstm").graph, {**SIZES, "H": 33}, 40, 15, resets=True)
"""Rows that are one thread's, in two chunks of steps"""
RAGGED = replace(APART, lengths=(*range(15, 0, -3), *range(15), *[9] * 20))
CASES = [replace(one, graph=find(name).graph) for name in CELLS for one in (SHARED, APART)]


def with_threads(one: Case, count: int, patch: pytest.MonkeyPatch) -> Named:
    with patch.context() as inner:
        use_threads(inner, count)
        return results(one)


@pytest.mark.parametrize("one", [*CASES, RAGGED, *map(random_case, (5, 8, 21))], ids=str)
def test_any_number_of_threads(one: Case, monkeypatch: pytest.MonkeyPatch):
    want = with_threads(one, 1, monkeypatch)
    for count in (2, 3):
        assert same(with_threads(one, count, monkeypatch), want) == set()


@pytest.mark.parametrize("one", [SHARED, RAGGED], ids=["shared", "ragged"])
def test_threads_of_our_own(one: Case, monkeypatch: pytest.MonkeyPatch):
    """Where torch has none that can be had: the same bits."""
    want = with_threads(one, 1, monkeypatch)
    monkeypatch.setattr(team, "team", lambda: None)
    assert same(with_threads(one, 3, monkeypatch), want) == set()


def test_a_team_that_is_too_small_is_not_used(monkeypatch: pytest.MonkeyPatch):
    """As inside another parallel region of torch, where a thread is alone."""
    there = team.team()
    assert there is not None
    ran: list[int] = []
    run = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)(lambda record, tid: ran.append(tid))
    address = ctypes.cast(run, ctypes.c_void_p).value
    assert address is not None
    assert there.entry(2, address, 0)()
    assert sorted(ran) == [0, 1]
    limit = ctypes.CDLL(None).omp_set_max_active_levels
    limit(0)
    try:
        assert not there.entry(2, address, 0)()
        assert len(ran) == 2
    finally:
        limit(1)


def test_threads_are_at_work(monkeypatch: pytest.MonkeyPatch):
    """The tests above say something: every thread enters, and one that does nothing is missed."""
    entered: list[int] = []

    def some(count: int, run: Callable[[int], None]) -> None:
        entered.extend(range(count))
        threads.together(count, run)

    monkeypatch.setattr(team, "team", lambda: None)
    monkeypatch.setattr(team, "together", some)
    with_threads(SHARED, 3, monkeypatch)
    assert entered == [0, 1, 2] * 2  # forth and back


def values(one: Case) -> Named:
    """What a case gives forwards."""
    return {k: v for k, v in results(one).items() if not k.startswith("gradient")}


def some_rows(one: Case, rows: list[int]) -> Case:
    """These rows of a case only."""
    lengths = None if one.lengths is None else [one.lengths[r] for r in rows]
    out = replace(one, batch=len(rows), lengths=lengths)
    for kind, named in one.values.items():
        per_row = kind in ("input", "state", "constant")
        out.values[kind].update({k: v[rows] if per_row else v for k, v in named.items()})
    if one.reset is not None:
        object.__setattr__(out, "reset", one.reset[rows])
    return out


@pytest.mark.parametrize("name", CELLS[:-1])  # what `attend` computes once a sequence is torch's product
@pytest.mark.parametrize("reverse", [False, True], ids=["forwards", "backwards"])
def test_a_row_does_not_depend_on_the_others(name: str, reverse: bool):
    """Nor on the order of rows, nor on padding: alone and without it, the same bits come out."""
    lengths = (9, 4, 0, 9, 1, 6, 3)
    one = Case(find(name).graph, {**SIZES, "H": 33}, 7, 9, lengths, resets=True, reverse=reverse, seed=4)
    whole = values(one)
    mixed = values(some_rows(one, [5, 2, 0, 6, 1, 4, 3]))
    assert same(mixed, {k: v[[5, 2, 0, 6, 1, 4, 3]] for k, v in whole.items()}) == set()
    for row, count in enumerate(lengths):
        if count:
            alone = cut(some_rows(one, [row]), 0, count)
            want = {k: v[[row], :count] if k == "output" else v[[row]] for k, v in whole.items()}
            assert same(values(alone), want) == set()


def cut(one: Case, start: int, stop: int) -> Case:
    """These steps of a case only, all of which are live."""
    out = replace(one, steps=stop - start, lengths=None)
    for kind, named in one.values.items():
        out.values[kind].update({k: v[:, start:stop] if kind == "input" else v for k, v in named.items()})
    if one.reset is not None:
        object.__setattr__(out, "reset", one.reset[:, start:stop])
    return out


@pytest.mark.parametrize("name", CELLS)
def test_chunk_by_chunk_is_all_at_once(name: str):
    whole = Case(find(name).graph, {**SIZES, "H": 33}, 40, 15, resets=True, seed=6)
    want = values(whole)
    parts, held = [], dict(whole.values["state"])
    for start, stop in ((0, 1), (1, 9), (9, 15)):
        part = cut(whole, start, stop)
        part.values["state"].update(held)
        got = values(part)
        held = {k: got[f"final {k}"] for k in held}
        parts.append(got["output"])
    assert same({"output": torch.cat(parts, 1), **{f"final {k}": v for k, v in held.items()}}, want) == set()


def test_two_backward_passes_are_the_same_bits():
    """The second finds what the first needed as it was."""
    one = Case(find("lstm").graph, {**SIZES, "H": 33}, 5, 7, resets=True)
    of = {kind: leaves(named) for kind, named in one.values.items()}
    found = run(one, of)
    gradients = [
        torch.autograd.grad(found.output.square().sum(), list(of["weight"].values()), retain_graph=True)
        for _ in range(2)
    ]
    assert all(map(torch.equal, *gradients))


def test_threads_of_the_user_scan_at_once(monkeypatch: pytest.MonkeyPatch):
    """Each with two threads of its own."""
    use_threads(monkeypatch, 2)
    cases = [replace(SHARED, seed=seed) for seed in range(3)]
    want = [results(one) for one in cases]
    wrong: list[int] = []
    start = threading.Barrier(len(cases))

    def often(k: int) -> None:
        start.wait(60)
        wrong.extend(k for _ in range(20) if same(results(cases[k]), want[k]))

    users = [threading.Thread(target=often, args=(k,), daemon=True) for k in range(len(cases))]
    for user in users:
        user.start()
    for user in users:
        user.join(60)
        assert not user.is_alive()
    assert wrong == []


def test_a_signal_between_threads_strands_nobody_else():
    """One waits for another that never comes: it is left there with what it works on, and the next call goes well."""
    never = threading.Event()

    class Call:
        def __call__(self, i: int) -> None:
            if i == 0:
                raise KeyboardInterrupt
            never.wait()

    call = Call()
    held = weakref.ref(call)
    with pytest.raises(KeyboardInterrupt):
        threads.together(2, call)
    del call
    gc.collect()
    assert held() is not None
    entered: list[int] = []
    threads.together(3, entered.append)
    assert sorted(entered) == [0, 1, 2]
    never.set()
    threads._workers.stranded.clear()


def test_an_error_in_a_thread_is_the_callers():
    def fails(i: int) -> None:
        if i == 1:
            raise ValueError(i)

    with pytest.raises(ValueError, match="1"):
        threads.together(2, fails)
    threads._workers.stranded.clear()


def test_nothing_is_held_after_a_call():
    class Work:
        def __call__(self, i: int) -> None:
            pass

    work = Work()
    held = weakref.ref(work)
    threads.together(2, work)
    del work
    assert held() is None
