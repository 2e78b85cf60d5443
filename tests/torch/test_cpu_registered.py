"""The compiled backend as registered operators: what torch's tracers put down does what a call does at once."""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from rekur.cells import ZOO, find
from rekur.errors import BackendError, ShapeError
from rekur.nn import Recurrent
from rekur.run import compile, scan
from rekur.run.cpu import job, kernel, order, registered
from tests.compare import differ
from tests.torch.cpu_cases import Case, results, run, same, with_memory

AXES = {"I": 3, "P": 5, "A": 6, "D": 4, "S": 3, "H": 9}
SYMBOLS = {"symbols": {"x": torch.int64}}
LATTICE = ("lstm2d", "row-lstm")
RAGGED = {"lengths": (5, 3, 0, 4), "resets": True, "reverse": True}
Seen = list[tuple[Any, tuple[Any, ...]]]


class Watch(TorchDispatchMode):
    """Sees every operation, and changes none."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Seen = []

    def __torch_dispatch__(self, op: Any, _: Any, args: Any = (), kwargs: Any = None) -> Any:
        if str(op).startswith("rekur."):
            self.seen.append((op, args))
        return op(*args, **(kwargs or {}))


def case(name: str, **how: Any) -> Case:
    graph = find(name).graph
    how |= {"memory": {"S": (3, 1, 0, 2)}} if with_memory(graph) else {}
    return Case(graph, AXES, 4, 5, sites=3 if name in LATTICE else 0, outputs=tuple(graph.names)[:2], **how)


def watched(one: Case) -> tuple[Mapping[str, Tensor], Seen]:
    watch = Watch()
    with watch:
        found = results(one)
    return found, watch.seen


def without_gradients(one: Case) -> Seen:
    watch = Watch()
    with watch:
        run(one, one.values)
    return watch.seen


@pytest.mark.parametrize("how", [{}, RAGGED], ids=["whole", "ragged"])
@pytest.mark.parametrize("name", ZOO)
def test_the_operator_gives_the_bits_of_a_call(name: str, how: Mapping[str, Any]):
    one = case(name, **how)
    found, seen = watched(one)
    assert [str(op) for op, _ in seen] == ["rekur.scan.default", "rekur.scan_backward.default"]
    assert same(found, results(one)) == set()


def test_the_operator_takes_symbols():
    for name, how in itertools.product(("lstm", "layer-norm-lstm", "attend", "lstm2d"), ({}, RAGGED)):
        one = case(name, symbols={"x": torch.int64}, **how)
        found, seen = watched(one)
        assert [str(op) for op, _ in seen] == ["rekur.scan.default", "rekur.scan_backward.default"]
        assert same(found, results(one)) == set()


def test_rows_without_any_live_step():
    """Which a call never gives to a backend, but a tracer does not know it."""
    for name in ("gru", "attend", *LATTICE):
        one = case(name, lengths=(0, 0, 0, 0))
        assert same(watched(one)[0], results(one)) == set()


def checked(seen: Seen) -> dict[str, set[str]]:
    """Operator -> what torch says is wrong with it."""
    out = {}
    for op, args in seen:
        wanted = op is torch.ops.rekur.scan.default and args[7]
        given = [[t.detach().requires_grad_(wanted and t.is_floating_point()) for t in v] if _tensors(v) else v
                 for v in args]  # fmt: skip
        found = torch.library.opcheck(op, tuple(given), raise_exception=False)
        out[str(op)] = {f"{k}: {v}" for k, v in found.items() if v != "SUCCESS"}
    return out


def _tensors(v: object) -> bool:
    return isinstance(v, list) and all(isinstance(t, Tensor) for t in v)


def zeroed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Zeros in what is kept where nothing is written, so that it can be compared."""
    monkeypatch.setattr(kernel, "empty", lambda size: torch.zeros(size, dtype=torch.float32))


@pytest.mark.parametrize(
    ("name", "how"), [("lstm", {}), ("gru", RAGGED), ("attend", RAGGED), ("lstm2d", RAGGED), ("gru", SYMBOLS)]
)
def test_torch_finds_nothing_wrong(name: str, how: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch):
    """Its schema, shapes by symbols, gradient, and that nothing given out is a part of anything else."""
    zeroed(monkeypatch)
    _, seen = watched(case(name, **how))
    more = without_gradients(case(name, **how))
    assert len(seen + more) == 3
    assert checked(seen + more) == {"rekur.scan.default": set(), "rekur.scan_backward.default": set()}


def test_torch_finds_a_wrong_shape(monkeypatch: pytest.MonkeyPatch):
    zeroed(monkeypatch)
    _, seen = watched(case("gru"))
    monkeypatch.setattr(registered, "_shapes", lambda *_: [(4, 5, 9)] * 3 + [(4, 5, 8)])
    found = checked(seen[:1])["rekur.scan.default"]
    assert any(what.startswith("test_faketensor") for what in found)


def test_torch_finds_what_is_part_of_something_else(monkeypatch: pytest.MonkeyPatch):
    """As where all that is handed out lies in one piece of memory."""
    parts = iter(torch.zeros(64, 4096))
    monkeypatch.setattr(job, "handed_out", lambda like, shape: next(parts)[: math.prod(shape)].view(shape))
    with pytest.raises(RuntimeError, match="may not alias"):
        watched(case("gru"))


# ---- tensors without values -----------------------------------------------------------------------------------


def test_tensors_without_values_pass_and_leave_nothing():
    order._whole.cache_clear()
    with FakeTensorMode():
        layer = Recurrent("gru", 3, 11, backend="cpu")
        x = torch.randn(2, 6, 3, requires_grad=True)
        y, state = layer(x, lengths=torch.tensor([6, 1]))
        torch.autograd.backward([y.sum(), state["0.h"].sum()])
        assert x.grad is not None
        assert (y.shape, state["0.h"].shape, x.grad.shape) == ((2, 6, 11), (2, 11), x.shape)
        with torch.no_grad(), layer.prepared():
            assert layer.step(x[:, 0], state)[0].shape == (2, 11)
    assert order._whole.cache_info().currsize == 0
    y, _ = Recurrent("gru", 3, 11, backend="cpu")(torch.randn(2, 6, 3))
    assert bool(y.isfinite().all())


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
@pytest.mark.parametrize(("cell", "strict"), [("lstm", False), ("gru", True)])
def test_an_exported_model_is_the_model(cell: str, strict: bool):
    """With any batch and number of steps, read from where it was saved; it checks lengths when it has them."""
    layer = Recurrent(cell, 3, 4, 2).eval()
    batch, steps = torch.export.Dim("batch", min=2), torch.export.Dim("steps", min=2)
    given = {"lengths": torch.tensor([6, 1])}
    shapes = {"x": {0: batch, 1: steps}, "lengths": {0: batch}}
    file = io.BytesIO()
    made = torch.export.export(layer, (torch.randn(2, 6, 3),), given, dynamic_shapes=shapes, strict=strict)
    torch.export.save(made, file)
    file.seek(0)
    program = torch.export.load(file)
    assert sum(n.target is torch.ops.rekur.scan.default for n in program.graph.nodes) == 2
    x, lengths = torch.randn(4, 9, 3), torch.tensor([9, 0, 5, 1])
    y, state = program.module()(x, lengths=lengths)
    want, final = layer(x, lengths=lengths)
    assert differ({"y": y, **state}, {"y": want.detach(), **final.detach()}, 1e-5) == {}
    with pytest.raises((ShapeError, RuntimeError), match=r"lengths must lie in 0\.\."):
        program.module()(x, lengths=lengths + 1)


# ---- rules ----------------------------------------------------------------------------------------------------


def one_call() -> tuple[Any, ...]:
    ((_, args),) = without_gradients(case("gru"))
    return args


def test_autocast_computes_in_the_dtype_of_the_code():
    tensors, *how = one_call()
    want = torch.ops.rekur.scan([t.bfloat16().float() for t in tensors], *how)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = torch.ops.rekur.scan([t.bfloat16() for t in tensors], *how)
    assert all(map(torch.equal, got, want))


def test_a_call_for_no_gradients_refuses_to_give_some():
    tensors, *how = one_call()
    with pytest.raises(BackendError, match="asked for no gradients"):
        torch.ops.rekur.scan([t.clone().requires_grad_() for t in tensors], *how)


def test_gradients_of_gradients_under_a_mode():
    """The operator has values there, so that it can go through the reference as a call does."""

    def second() -> Tensor:
        layer = Recurrent("gru", 3, 4, backend="cpu", generator=torch.Generator().manual_seed(1))
        x = torch.linspace(-1, 1, 18).reshape(2, 3, 3).requires_grad_()
        y, _ = layer(x, lengths=[3, 2])
        (first,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
        return torch.autograd.grad(first.square().sum(), x)[0]

    want = second()
    with Watch() as watch:
        got = second()
    assert [str(op) for op, _ in watch.seen] == ["rekur.scan.default", "rekur.scan_backward.default"]
    assert differ({"x": got}, {"x": want}, 1e-6) == {}


def test_gradients_of_gradients_of_no_values_are_refused():
    with FakeTensorMode():
        layer = Recurrent("gru", 3, 4, backend="cpu")
        y, _ = layer(torch.randn(2, 3, 3))
        with pytest.raises(BackendError, match="gradients of gradients are not traced"):
            torch.autograd.grad(y.sum(), list(layer.parameters()), create_graph=True)


def test_lengths_of_a_memory_are_checked_when_they_are_known():
    graph = find("attend").graph
    one = case("attend")
    of = one.values
    with Watch(), pytest.raises(RuntimeError, match=r"memory_lengths\['S'\] must lie in 0\.\.3"):
        scan(
            compile(graph, "cpu"), of["weight"], of["input"], of["state"], constants=of["constant"],
            memory_lengths={"S": [3, 4, 1, 1]},
        )  # fmt: skip
