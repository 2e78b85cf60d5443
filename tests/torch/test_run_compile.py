"""Under torch.compile and torch.func, which see through plain operations and not through fast backends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
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
