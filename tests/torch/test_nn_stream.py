"""Single steps of a stream, with weights laid out once: the same as a scan over all steps."""

import threading

import pytest
import torch

from rekur import Recurrent
from rekur.errors import ShapeError


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


def test_what_does_not_fit_is_said_and_threads_go() -> None:
    layer = Recurrent("lstm", 300, 300, backend="cpu")
    with pytest.raises(ShapeError, match="bidirectional"), Recurrent("lstm", 2, 2, bidirectional=True).prepared():
        pass
    before = threading.active_count()
    with torch.no_grad(), layer.prepared():
        _, state = layer.step(torch.zeros(1, 300))
        layer.step(torch.zeros(1, 300), state)
        with pytest.raises(ShapeError, match=r"wants x \(1, 300\) of torch.float32, got \(1, 7\) of"):
            layer.step(torch.zeros(1, 7), state)
    assert threading.active_count() == before
