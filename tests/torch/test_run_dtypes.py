"""Other dtypes: each scan runs in the dtype of its weights, and gives that out; autocast changes nothing in it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from rekur.errors import ShapeError
from rekur.nn import Recurrent
from rekur.run import compile, scan
from tests.compare import differ, leaves, with_gradients
from tests.torch.one_by_one import EXACT, MEMORY, Problem, lengths_only

LIVE = torch.ones(6, 6, dtype=torch.bool)
LENGTHS = (6, 0, 4, 1, 6, 3)
LOW = pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)


def in_dtype(p: Problem, dtype: torch.dtype, backend: str) -> dict[str, Tensor]:
    of = {kind: leaves({k: v.to(dtype) for k, v in named.items()}) for kind, named in p.values.items()}
    y, final, _, _ = scan(
        compile(p.graph, backend), of["weight"], of["input"], of["state"], constants=of["constant"], lengths=LENGTHS,
        memory_lengths={"S": MEMORY} if of["constant"] else None, initial=of["initial"],
    )  # fmt: skip
    results = {"output": y, **{f"final {k}": v for k, v in final.items()}}
    return dict(with_gradients(results, {k: v.to(dtype) for k, v in p.cotangents.items()}, of))


@LOW
@pytest.mark.parametrize(("name", "backend"), EXACT)
def test_low_precision_is_near_the_truth(name: str, backend: str, dtype: torch.dtype):
    """Within some roundings of the dtype, relative to the largest value; and as the dtype of everything."""
    p = lengths_only(Problem(name, LIVE), LENGTHS)
    exact, got = in_dtype(p, torch.float64, backend), in_dtype(p, dtype, backend)
    assert {v.dtype for v in got.values()} == {dtype}
    off = [v["output"] <= 0 for v in (exact, got)]
    if any(n.op == "relu" for n in p.graph.nodes) and not torch.equal(*off):  # rounding has turned a unit on or off
        assert name == "indrnn"
        exact = {k: v for k, v in exact.items() if not k.startswith("gradient")}
    some = 32 * torch.finfo(dtype).eps
    wrong = {k: v for k, v in exact.items() if not (got[k].double() - v).abs().max() <= some * (v.abs().max() + 0.1)}
    assert wrong == {}


@pytest.mark.parametrize(("name", "backend"), EXACT)
def test_float32_is_nearer(name: str, backend: str):
    p = lengths_only(Problem(name, LIVE), LENGTHS)
    exact, got = in_dtype(p, torch.float64, backend), in_dtype(p, torch.float32, backend)
    assert differ({k: v.double() for k, v in got.items()}, exact, within=2e-5) == {}


@pytest.mark.parametrize("backend", ["fused", "reference"])
def test_autocast_leaves_a_scan_in_the_dtype_of_its_weights(backend: str):
    p = Problem("lstm", LIVE)
    weights = {k: v.float() for k, v in p.values["weight"].items()}
    x = p.values["input"]["x"].float()
    kernel = compile(p.graph, backend)
    want = scan(kernel, weights, x)
    with torch.autocast("cpu", torch.bfloat16):
        got = scan(kernel, weights, x)
        assert torch.is_autocast_enabled("cpu")
        low = scan(kernel, weights, x.bfloat16(), {k: v.bfloat16() for k, v in want.state.items()})
    assert differ({"y": got.output, **got.state}, {"y": want.output, **want.state}, within=0.0) == {}
    assert {v.dtype for v in (low.output, *low.state.values())} == {torch.float32}
    exact = scan(kernel, weights, x.bfloat16().float(), {k: v.bfloat16().float() for k, v in want.state.items()})
    assert differ({"y": low.output}, {"y": exact.output}, within=0.0) == {}
    with pytest.raises(ShapeError, match=r"'x' is torch\.bfloat16, the weights are torch\.float32"):
        scan(kernel, weights, x.bfloat16())


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_model_under_autocast_gets_gradients_in_its_dtypes(cell: str):
    layer = torch.nn.Linear(3, 3)
    recurrent = Recurrent(cell, 3, 4, 2, bidirectional=True)
    with torch.autocast("cpu", torch.bfloat16):
        hidden = layer(torch.ones(2, 5, 3))
        assert hidden.dtype == torch.bfloat16
        y, state = recurrent(hidden)
        loss = y.sum()
    loss.backward()
    assert {y.dtype, *(v.dtype for v in state.values())} == {torch.float32}
    parameters = [*layer.parameters(), *recurrent.parameters()]
    assert all(p.grad is not None and p.grad.dtype == torch.float32 and p.grad.any() for p in parameters)


@pytest.mark.parametrize("cell", ["lstm", "gru", "attend"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16], ids=str)
def test_a_module_is_converted(cell: str, dtype: torch.dtype):
    layer = Recurrent(cell, 3, 4, 2, sizes={"A": 2, "D": 3} if cell == "attend" else None)
    constants = {"memory": torch.ones(2, 5, 3, dtype=dtype)} if cell == "attend" else None
    options = {"constants": constants, "memory_lengths": {"S": [5, 2]} if constants else None}
    y, state = layer.to(dtype)(torch.ones(2, 6, 3, dtype=dtype), **options)
    y.sum().backward()
    assert {y.dtype, *(v.dtype for v in state.values()), *(p.grad.dtype for p in layer.parameters())} == {dtype}  # type: ignore[union-attr]
    with pytest.raises(ShapeError, match=r"the input 'x' is torch\.float32, the weights are"):
        layer(torch.ones(2, 6, 3), **options)


def test_made_in_a_dtype():
    assert {p.dtype for p in Recurrent("lstm", 3, 4, dtype=torch.float64).parameters()} == {torch.float64}
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        layer = Recurrent("lstm", 3, 4)
        y, _ = layer(torch.ones(1, 2, 3))
        assert y.dtype == torch.float64
    finally:
        torch.set_default_dtype(before)


def test_numbers_and_initial_values_follow_the_weights():
    """`1 - z`, and what a state starts from, in a graph that was traced without a dtype."""
    for dtype in (torch.float64, torch.bfloat16):
        layer = Recurrent("gru", 3, 4, dtype=dtype)
        one = layer.scan(torch.ones(1, 2, 3, dtype=dtype), outputs=("update",), reset=torch.ones(1, 2).bool())
        assert {v.dtype for v in (one.output, *one.state.values(), *one.outputs.values())} == {dtype}
