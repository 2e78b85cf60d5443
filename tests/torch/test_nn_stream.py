"""Single steps of a stream, with weights laid out once: the same as a scan over all steps."""

from collections.abc import Callable

import pytest
import torch

from rekur import Recurrent
from rekur.cells import find
from rekur.errors import ShapeError
from rekur.nn import Plan, SequenceModel


def steps(layer: Recurrent, x: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    state, ys = None, []
    for t in range(x.shape[1]):
        y, state = layer.step(x[:, t], state)
        ys.append(y)
    return torch.stack(ys, 1), dict(state or {})


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("cell", "size"), [("lstm", 7), ("gru", 300), ("highway:2", 33), ("layer-norm-lstm", 17)])
def test_steps_are_the_scan(cell: str, size: int, threads: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        layer = Recurrent(cell, size, size, 2, backend="cpu")
        x = torch.randn(3, 5, size)
        with torch.no_grad():
            whole, end = layer(x)
            with layer.prepared():
                y, state = steps(layer, x)
        assert torch.equal(y, whole)
        assert all(torch.equal(state[k], end[k]) for k in end)
    finally:
        torch.set_num_threads(before)


def test_another_number_of_rows_and_a_state_from_elsewhere() -> None:
    layer = Recurrent("lstm", 4, 6, backend="cpu")
    x = torch.randn(5, 8, 4)
    with torch.no_grad(), layer.prepared():
        whole, _ = layer(x)
        _, half = layer(x[:, :7])
        assert torch.equal(layer.step(x[:, 7], half)[0], whole[:, 7])
        few = half.select(torch.tensor([4, 1]))
        assert torch.equal(layer.step(x[[4, 1], 7], few)[0], whole[[4, 1], 7])


@pytest.mark.parametrize("backend", ["fused", "reference"])
def test_a_backend_without_such_a_way_steps_by_its_scan(backend: str) -> None:
    layer = Recurrent("lstm", 4, 6, 2, backend=backend).double()
    x = torch.randn(2, 4, 4, dtype=torch.float64)
    with torch.no_grad(), layer.prepared():
        y, _ = steps(layer, x)
    assert torch.allclose(y, layer(x)[0], atol=1e-12)


def test_weights_change_outside_only_and_gradients_flow() -> None:
    layer = Recurrent("gru", 3, 4, backend="cpu")
    x, (_, state) = torch.randn(1, 3), layer(torch.randn(1, 2, 3))
    with layer.prepared():
        y, _ = layer.step(x, state)  # gradients are on: nothing is laid out
        assert y.requires_grad
        with torch.no_grad():
            first, _ = layer.step(x, state)
    with torch.no_grad():
        for p in layer.parameters():
            p.zero_()
        with layer.prepared():
            again, _ = layer.step(x, state)
    assert not torch.equal(first, again)


def test_what_does_not_fit_is_said() -> None:
    layer = Recurrent("lstm", 300, 300, backend="cpu")
    with pytest.raises(ShapeError, match="bidirectional"), Recurrent("lstm", 2, 2, bidirectional=True).prepared():
        pass
    with torch.no_grad(), layer.prepared():
        _, state = layer.step(torch.zeros(1, 300))
        layer.step(torch.zeros(1, 300), state)
        with pytest.raises(ShapeError, match=r"wants x \(1, 300\) of torch.float32, got \(1, 7\) of"):
            layer.step(torch.zeros(1, 7), state)


def model(head: torch.nn.Module | None = None, backend: str = "cpu", input_size: int = 6) -> SequenceModel:
    made = SequenceModel(Plan(find("lstm"), input_size, 40, 2, symbols=9, outputs=70), backend=backend)
    assert made.head is not None
    torch.nn.init.normal_(made.head.bias)
    if head is not None:
        setattr(made, "head", head)  # noqa: B010 - another kind than the model's own
    return made


HEADS: dict[str, Callable[[], torch.nn.Module | None]] = {
    "its own": lambda: None,
    "without bias": lambda: torch.nn.Linear(40, 3, bias=False),
    "of another kind": lambda: torch.nn.Sequential(torch.nn.Linear(40, 70), torch.nn.Tanh()),
    "in place of none": torch.nn.Identity,
}


@pytest.mark.parametrize("input_size", [6, 0])
@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("head", HEADS)
def test_steps_of_a_model_are_the_model(head: str, backend: str, input_size: int) -> None:
    made = model(HEADS[head](), backend, input_size)
    for rows in (1, 3, 17):
        x = torch.randint(9, (rows, 6))
        with torch.no_grad(), made.prepared():
            whole, final = made(x)
            y, state = made.step(x[:, 0])
            for t in range(1, 6):
                y, state = made.step(x[:, t].int() if t == 2 else x[:, t], state)
                assert torch.allclose(y, whole[:, t], rtol=1e-5, atol=1e-5)
                assert y.is_contiguous()
        assert not torch.allclose(y, whole[:, 0], rtol=1e-5, atol=1e-5)
        assert all(torch.allclose(state[k], v, atol=1e-6) for k, v in final.items())


def test_what_a_model_cannot_step_on_is_said() -> None:
    made = model()
    with torch.no_grad(), made.prepared():
        _, state = made.step(torch.tensor([1, 2]))
        for bad, says in (
            (torch.tensor([1, 9]), r"symbols must lie in 0..8, got 1..9"),
            (torch.tensor([1, -1]), r"symbols must lie in 0..8, got -1..1"),
            (torch.tensor([1.0, 2.0]), r"the input must be symbols"),
            (torch.tensor([[1], [2]]), r"the input must be symbols"),
            (torch.tensor([1]), r"the step wants h \(1, 40\)"),
        ):
            with pytest.raises(ShapeError, match=says):
                made.step(bad, state)
        with pytest.raises(ShapeError, match=r"the state lacks 1\.c"):
            made.step(torch.tensor([1, 2]), {k: v for k, v in state.items() if k != "1.c"})
        made.step(torch.tensor([1, 2]), state)


def test_gradients_flow_through_the_head() -> None:
    made = model()
    with made.prepared():
        with torch.no_grad():
            _, state = made.step(torch.tensor([1]))
            y, _ = made.step(torch.tensor([2]), state)
        again, _ = made.step(torch.tensor([2]), state)
    assert not y.requires_grad
    again.sum().backward()
    assert made.head is not None
    assert made.head.weight.grad is not None
    assert torch.allclose(y, again, atol=1e-6)
