"""Under torch.compile, which puts down the compiled backend as it is, and torch.func, which sees plain operations."""

from __future__ import annotations

from collections.abc import Callable
from shutil import which
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounterWithBackend
from torch.func import functional_call, grad, jvp, vmap

from rekur.errors import BackendError
from rekur.nn import Recurrent
from rekur.run import State
from tests.compare import TIGHT, Named, differ

DOUBLE, SINGLE = torch.float64, torch.float32
# torch's own layer, the reference, and the compiled backend where it runs
CELLS = pytest.mark.parametrize(("cell", "dtype"), [("lstm", DOUBLE), ("gru", DOUBLE), ("gru", SINGLE)], ids=str)


class Model(nn.Module):
    def __init__(self, cell: str, dtype: torch.dtype, backend: str = "auto") -> None:
        super().__init__()
        self.before = nn.Linear(3, 4, dtype=dtype)
        self.recurrent = Recurrent(cell, 4, 5, dtype=dtype, backend=backend)

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        y, state = self.recurrent(self.before(x).tanh(), state)
        return y.cos(), state


def results(model: Callable[..., Any], parameters: dict[str, nn.Parameter], x: Tensor) -> Named:
    y, state = model(x)
    loss = y.sum() + state["0.h"].sum()
    found = dict(zip(parameters, torch.autograd.grad(loss, [*parameters.values()]), strict=True))
    return {"y": y.detach(), **state.detach(), **found}


@pytest.mark.filterwarnings("ignore")  # the compiler's own
@CELLS
def test_a_compiled_model_is_the_model(cell: str, dtype: torch.dtype):
    torch._dynamo.reset()
    model = Model(cell, dtype)
    parameters = dict(model.named_parameters())
    x = X[:, :2].to(dtype)
    want = results(model, parameters, x)
    assert differ(results(torch.compile(model, backend="aot_eager"), parameters, x), want, WITHIN[dtype]) == {}


# ---- in one graph: what has an operator registered ------------------------------------------------------------

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # the compiler's own


class Pass(nn.Module):
    """A layer between plain operations, and a loss that sees all of what comes out."""

    def __init__(self, cell: str, **how: Any) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(1)
        self.recurrent = Recurrent(cell, 3, 5, generator=draw, **how)

    def forward(self, x: Tensor, state: State | None = None, **options: Any) -> tuple[Tensor, State, Tensor]:
        y, state = self.recurrent(x.tanh(), state, **options)
        loss: Tensor = y.square().sum() + torch.stack([v.sin().sum() for v in state.values()]).sum()
        return y.cos(), state, loss

    def results(self, run: Callable[..., Any], x: Tensor, *state: State, **options: Any) -> Named:
        x = x.clone().requires_grad_()
        y, final, loss = run(x, *state, **options)
        named = {"x": x, **dict(self.named_parameters())}
        found = dict(zip(named, torch.autograd.grad(loss, list(named.values())), strict=True))
        return {"y": y.detach(), **final.detach(), **found}


def compiled(model: nn.Module, backend: Any = "aot_eager", fullgraph: bool = True) -> Callable[..., Any]:
    torch._dynamo.reset()
    made: Callable[..., Any] = torch.compile(model, backend=backend, fullgraph=fullgraph)
    return made


@pytest.mark.parametrize(
    ("cell", "how"),
    [("gru", {}), ("lstm", {"bidirectional": True})],
    ids=["gru", "LSTM in both directions"],
)
def test_a_scan_is_part_of_the_graph(cell: str, how: dict[str, Any]):
    """In training and inference, with lengths and resets and without; an LSTM takes the compiled code, too."""
    model = Pass(cell, **how)
    run = compiled(model)
    x = torch.randn(3, 4, 3, generator=torch.Generator().manual_seed(2))
    reset = torch.tensor([[0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0]]).bool()
    for options in ({}, {"lengths": torch.tensor([4, 0, 2]), "reset": reset}):
        assert differ(model.results(run, x, **options), model.results(model, x, **options), 1e-5) == {}
        with torch.no_grad():
            got, want = run(x, **options), model(x, **options)
        assert differ({"y": got[0], **got[1]}, {"y": want[0], **want[1]}, 1e-5) == {}


def test_a_state_is_handed_on_in_the_graph():
    model = Pass("lstm", backend="cpu")
    run = compiled(model)
    x = torch.randn(3, 4, 3)
    _, state, _ = run(x)
    assert isinstance(state, State)
    state = state.detach()
    assert differ(model.results(run, x, state), model.results(model, x, state), 1e-6) == {}


def test_other_sizes_need_no_other_graph():
    """From the third on: torch takes the first sizes for constants."""
    model, counter = Pass("gru"), CompileCounterWithBackend("aot_eager")
    run = compiled(model, counter)
    for batch, steps in ((3, 4), (4, 6), (2, 9), (7, 3), (5, 5)):
        x, lengths = torch.randn(batch, steps, 3), torch.arange(batch) % (steps + 1)
        assert differ(model.results(run, x, lengths=lengths), model.results(model, x, lengths=lengths), 1e-6) == {}
    assert counter.frame_count <= 3


def test_checks_of_values_are_made_when_the_graph_runs():
    model = Pass("gru")
    run = compiled(model)
    x = torch.randn(3, 4, 3)
    run(x, lengths=torch.tensor([4, 0, 2]))
    with pytest.raises(RuntimeError, match=r"lengths must lie in 0\.\.4"):
        run(x, lengths=torch.tensor([4, 0, 5]))


def test_what_does_not_fit_is_said():
    with pytest.raises(RuntimeError, match=r"ShapeError.*the state 'h' has 2 rows"):
        compiled(Pass("gru"))(torch.randn(3, 4, 3), {"0.h": torch.zeros(2, 5)})


def test_the_same_graph_twice_and_gradients_of_gradients():
    """The second is refused, by torch."""
    model = Pass("gru")
    x = torch.randn(3, 4, 3, requires_grad=True)
    _, _, loss = compiled(model)(x)
    first, again = (torch.autograd.grad(loss, x, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, again)
    with pytest.raises(RuntimeError, match="does not currently support double backward"):
        torch.autograd.grad(torch.autograd.grad(loss, x, create_graph=True)[0].sum(), x)


@pytest.mark.skipif(not which("g++"), reason="torch's compiler needs one of C++")
@pytest.mark.filterwarnings("default")
def test_down_to_native_code():
    model = Pass("gru")
    x, lengths = torch.randn(3, 4, 3), torch.tensor([4, 0, 2])
    run = compiled(model, "inductor")
    assert differ(model.results(run, x, lengths=lengths), model.results(model, x, lengths=lengths), 1e-5) == {}


# ---- through transforms ---------------------------------------------------------------------------------------

X = torch.randn(2, 4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
WITHIN = {DOUBLE: TIGHT, SINGLE: 1e-5}


@CELLS
def test_functional_gradients_are_those_of_autograd(cell: str, dtype: torch.dtype):
    model, inputs = Model(cell, dtype), X.to(dtype)
    parameters = dict(model.named_parameters())

    def loss(values: Named, x: Tensor) -> Tensor:
        y, state = functional_call(model, dict(values), (x,))
        total: Tensor = y.sum() + state["0.h"].sum()
        return total

    want = dict(zip(parameters, torch.autograd.grad(loss(parameters, inputs), [*parameters.values()]), strict=True))
    detached = {k: v.detach() for k, v in parameters.items()}
    assert differ(grad(loss)(detached, inputs), want, WITHIN[dtype]) == {}
    each = vmap(grad(loss), in_dims=(None, 0))(detached, inputs[:, None])
    assert differ({k: v.sum(0) for k, v in each.items()}, want, WITHIN[dtype]) == {}


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # torch's own, on its first forward mode
@CELLS
def test_forward_mode_agrees_with_backward_mode(cell: str, dtype: torch.dtype):
    model, inputs = Model(cell, dtype), X.to(dtype)
    x, direction = inputs.clone().requires_grad_(), torch.cos(inputs)
    both: Any = jvp(lambda x: model(x)[0], (inputs,), (direction,))
    y, ahead = both
    (back,) = torch.autograd.grad(model(x)[0], x, torch.sin(y.detach()))
    product = {"product": (back * direction).sum()}
    assert differ({"product": (ahead * torch.sin(y)).sum().detach()}, product, WITHIN[dtype]) == {}


@CELLS
def test_a_state_is_a_tree_of_tensors(cell: str, dtype: torch.dtype):
    model, inputs = Model(cell, dtype), X.to(dtype)
    _, state = model(inputs)
    state = State({k: v.detach() for k, v in state.items()})
    gradient = grad(lambda s: model(inputs, s)[0].sum())(state)
    assert isinstance(gradient, State)
    leaves = {k: v.clone().requires_grad_() for k, v in state.items()}
    want = torch.autograd.grad(model(inputs, State(leaves))[0].sum(), list(leaves.values()))
    assert differ(gradient, dict(zip(leaves, want, strict=True)), WITHIN[dtype]) == {}


def test_a_fast_backend_by_name_refuses_to_be_transformed():
    model = Model("lstm", DOUBLE, "fused")
    with pytest.raises(BackendError, match=r"fused: torch\.func transforms plain operations only"):
        grad(lambda x: model(x)[0].sum())(X)
