"""torch's defaults of dtype and device are the user's: they say nothing of memory that compiled code works in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
import torch

from rekur.cells import find
from rekur.run.cpu import kernel, order
from tests.compare import Named, leaves
from tests.torch.cpu_cases import Case, run, same, with_memory

AXES = {"I": 3, "P": 5, "A": 6, "D": 4, "S": 3, "H": 9}


@contextmanager
def another_dtype() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@contextmanager
def another_device() -> Iterator[None]:
    with torch.device("meta"):
        yield


def gradients(one: Case) -> Named:
    of = {kind: leaves(named) for kind, named in one.values.items()}
    found = run(one, of)
    ends = [found.output, *found.state.values()]
    flat = [v for named in of.values() for v in named.values()]
    back = torch.autograd.grad([v.sum() for v in ends], flat, allow_unused=True, materialize_grads=True)
    return {str(i): v.detach() for i, v in enumerate([*ends, *back])}


@pytest.mark.parametrize("other", [another_dtype, another_device])
@pytest.mark.parametrize("name", ["lstm", "layer-norm-lstm", "attend", "lstm2d"])
@pytest.mark.parametrize("gaps", [False, True], ids=["whole", "gaps"])
def test_defaults_say_nothing(
    other: Callable[[], AbstractContextManager[None]], name: str, gaps: bool, monkeypatch: pytest.MonkeyPatch
):
    graph = find(name).graph
    sites = 3 if name == "lstm2d" else 0
    memory = {"S": (3, 1, 2, 3)} if with_memory(graph) else {}
    one = Case(graph, AXES, 4, 5, resets=gaps, sites=sites, gaps=gaps, reverse=gaps, memory=memory)
    want = gradients(one)
    monkeypatch.setattr(kernel, "FRAMES", 0)  # what calls share is made anew
    order._whole.cache_clear()
    with other():
        got = gradients(one)
    order._whole.cache_clear()
    assert all(v.dtype == torch.float32 and v.device.type == "cpu" for v in got.values())
    assert same(got, want) == set()
