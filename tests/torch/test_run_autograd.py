"""Beyond one backward pass: gradients of gradients, the same graph twice, what is kept, shared and written over."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from rekur.cells import Cell, cell, find, gate, named, tanh
from rekur.run import Scan, compile, scan
from tests.compare import Named, differ, leaves, silent
from tests.torch.one_by_one import EXACT, FUSED, Problem

LENGTHS = (3, 0, 2)
LIVE = torch.arange(3) < torch.tensor(LENGTHS)[:, None]
SMALL = {"I": 2, "H": 3, "P": 2, "A": 2, "D": 2, "S": 3}
BOTH = pytest.mark.parametrize("reverse", [False, True], ids=["forwards", "backwards"])
Given = Mapping[str, Mapping[str, Tensor]]


def run(p: Problem, of: Given, backend: str, **options: Any) -> Scan:
    memory = {"S": (3, 2, 0)} if of["constant"] else {}
    return scan(
        compile(p.graph, backend), of["weight"], of["input"], of["state"], constants=of["constant"],
        lengths=LENGTHS, memory_lengths=memory, **options,
    )  # fmt: skip


def everything(one: Scan) -> dict[str, Tensor]:
    return {"output": one.output, **one.state, **one.outputs}


@pytest.mark.parametrize(("name", "backend"), EXACT)
def test_gradients_of_gradients(name: str, backend: str):
    """By differences of the first ones."""
    p = Problem(name, LIVE, sizes=SMALL)
    of = {kind: leaves(values) for kind, values in p.values.items() if kind != "initial"}
    keys = [(kind, k) for kind, values in of.items() for k in values]

    def function(*flat: Tensor) -> tuple[Tensor, ...]:
        again: dict[str, dict[str, Tensor]] = {kind: {} for kind in of}
        for (kind, k), v in zip(keys, flat, strict=True):
            again[kind][k] = v
        return tuple(everything(run(p, again, backend)).values())

    assert torch.autograd.gradgradcheck(function, [of[kind][k] for kind, k in keys], fast_mode=True)


def second_gradients(p: Problem, backend: str, reverse: bool) -> Named:
    """Of the sum of squares of the first ones, as a gradient penalty has it."""
    of = {kind: leaves(values) for kind, values in p.values.items() if kind != "initial"}
    results = everything(run(p, of, backend, reverse=reverse))
    loss = torch.stack([torch.sin(v).sum() for v in results.values()]).sum()
    flat = {f"{kind} {k}": v for kind, values in of.items() for k, v in values.items()}
    first = torch.autograd.grad(loss, list(flat.values()), create_graph=True)
    penalty = loss + torch.stack([g.square().sum() for g in first]).sum()
    second = torch.autograd.grad(penalty, list(flat.values()))
    return {f"1 {k}": g.detach() for k, g in zip(flat, first, strict=True)} | dict(zip(flat, second, strict=True))


@BOTH
@pytest.mark.parametrize("name", FUSED)
def test_gradients_of_gradients_through_torchs_layers(name: str, reverse: bool):
    p = Problem(name, LIVE)
    want = second_gradients(p, "reference", reverse)
    assert silent(want) == set()
    assert differ(second_gradients(p, "fused", reverse), want) == {}


@pytest.mark.parametrize(("name", "backend"), EXACT)
def test_the_same_graph_twice(name: str, backend: str):
    p = Problem(name, LIVE)
    of = {kind: leaves(values) for kind, values in p.values.items() if kind != "initial"}
    roots = list(everything(run(p, of, backend)).values())
    flat = {f"{kind} {k}": v for kind, values in of.items() for k, v in values.items()}

    def gradients(scale: float, retain: bool) -> Named:
        given = [torch.full_like(v, scale) for v in roots]
        found = torch.autograd.grad(
            roots, list(flat.values()), given, retain_graph=retain, allow_unused=True, materialize_grads=True
        )
        return dict(zip(flat, found, strict=True))

    first = gradients(1.0, True)
    assert differ(gradients(1.0, True), first) == {}
    assert differ(gradients(-2.0, True), {k: -2 * v for k, v in first.items()}) == {}
    assert differ(gradients(1.0, False), first) == {}
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        gradients(1.0, False)


# ---- what is shared ------------------------------------------------------------------------------------------


@cell(h="I")
def delay(x, h):
    """Puts its input out."""
    return named("now", x)


@cell
def keeper(x, h, c):
    """Never changes its second state."""
    return gate("hidden", tanh, x, h, c), c


@cell
def twin(x, h, c):
    """Two states, one value."""
    new = gate("hidden", tanh, x, h)
    return new, new


def storages(values: Mapping[str, Tensor]) -> dict[int, str]:
    return {v.untyped_storage().data_ptr(): k for k, v in values.items() if v.numel()}


CASES = [*EXACT, (delay, "reference"), (keeper, "reference"), (twin, "reference")]


@pytest.mark.parametrize(("of", "backend"), CASES, ids=lambda v: getattr(v, "name", v))
@pytest.mark.parametrize("lengths", [None, LENGTHS, (0, 0, 0)], ids=str)
def test_nothing_that_comes_out_is_what_went_in(of: Cell | str, backend: str, lengths: tuple[int, ...] | None):
    def random(*lead: int, axes: tuple[str, ...]) -> Tensor:
        return torch.randn(*lead, *(SMALL[a] for a in axes))

    graph = find(of).graph if isinstance(of, str) else of.graph
    weights = {k: random(axes=p.axes) for k, p in graph.parameters.items()}
    x = {a.name: random(3, 3, axes=a.axes) for a in graph.of("input")}
    state = {a.name: random(3, axes=a.axes) for a in graph.of("state")}
    fixed = {a.name: random(3, axes=a.axes) for a in graph.of("constant")}
    asked = () if backend == "fused" else tuple(graph.names)
    out = scan(compile(graph, backend), weights, x, state, constants=fixed, lengths=lengths, outputs=asked)
    given = storages({**weights, **x, **state, **fixed})
    for results in ({"output": out.output, **out.state}, out.outputs):
        assert given.keys().isdisjoint(storages(results))
        assert len(storages(results)) == len(results)


# ---- what is written over, and what is kept ------------------------------------------------------------------


@pytest.mark.parametrize(("name", "backend"), EXACT)
def test_a_weight_that_is_written_over_before_the_backward_pass(name: str, backend: str):
    p = Problem(name, LIVE)
    for k in p.graph.parameters:
        if k.endswith(".bias") and backend != "fused":
            continue  # a sum needs none of its terms again: the gradient stays right
        of = {kind: leaves(values) for kind, values in p.values.items()}
        y = run(p, of, backend).output
        with torch.no_grad():
            of["weight"][k].mul_(2)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            y.sum().backward()


class Saved:
    """Stands for a tensor that autograd keeps."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


@pytest.mark.parametrize(("name", "backend"), EXACT)
def test_nothing_is_kept_after_the_backward_pass(name: str, backend: str):
    p = Problem(name, LIVE)
    of = {kind: leaves(values) for kind, values in p.values.items()}
    saved: weakref.WeakSet[Saved] = weakref.WeakSet()

    def pack(v: Tensor) -> Saved:
        box = Saved(v.detach())
        saved.add(box)
        return box

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda box: box.tensor):
        results = list(everything(run(p, of, backend)).values())
    assert len(saved) > 5
    torch.autograd.backward([v.sum() for v in results])
    gc.collect()
    assert not saved
    assert all(v.grad_fn is not None for v in results)  # they are still there


@pytest.mark.parametrize(("name", "backend"), [e for e in EXACT if "attend" not in e and "mogrifier" not in e])
def test_the_input_is_let_go(name: str, backend: str):
    p = Problem(name, LIVE)
    of = {kind: leaves(values) for kind, values in p.values.items()}
    memory = np.ones((3, 3, p.values["input"]["x"].shape[-1]))
    held = weakref.ref(memory)
    one = run(p, {**of, "input": {"x": torch.from_numpy(memory)}}, backend)
    del memory
    assert held() is not None or backend != "fused"
    one.output.sum().backward()
    gc.collect()
    assert held() is None
    assert one.output.grad_fn is not None


def test_a_graph_that_is_dropped_is_let_go():
    p = Problem("lstm", LIVE)
    memory = np.ones((3, 3, 3))
    held = weakref.ref(memory)
    of = {kind: leaves(values) for kind, values in p.values.items()}
    gc.disable()
    try:
        one = run(p, {**of, "input": {"x": torch.from_numpy(memory)}}, "fused")
        del memory, one
        assert held() is None  # without the collector: no cycle holds it
    finally:
        gc.enable()


@pytest.mark.parametrize(("name", "backend"), EXACT)
def test_only_the_gradients_asked_for(name: str, backend: str):
    """Frozen weights, or a frozen input: the others' gradients stay the same."""
    p = Problem(name, LIVE)
    every = {kind: leaves(values) for kind, values in p.values.items() if kind != "initial"}
    torch.autograd.backward([v.sum() for v in everything(run(p, every, backend)).values()])
    for kind in every:
        of: dict[str, Any] = {other: {k: v.detach() for k, v in every[other].items()} for other in every}
        of[kind] = leaves(every[kind])
        if not of[kind]:
            continue
        torch.autograd.backward([v.sum() for v in everything(run(p, of, backend)).values() if v.requires_grad])
        zero = torch.zeros(())
        got, want = (
            {k: v.grad if v.grad is not None else zero for k, v in group[kind].items()} for group in (of, every)
        )
        assert differ(got, want) == {}
