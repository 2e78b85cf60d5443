"""Single steps on the compiled backend: the bits of the scan for any cell, and what may happen around them."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from rekur.cells import affine, cell, find, sigmoid, tanh
from rekur.errors import ShapeError
from rekur.nn import Recurrent
from rekur.run import State
from rekur.run.cpu import stepper

WIDE = 140
"""Units of which two threads do some each, for any width of vectors"""


@pytest.fixture(autouse=True)
def threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two, however little there is to do."""
    monkeypatch.setattr(stepper, "_WORTH", 0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)


@pytest.fixture
def layer() -> Iterator[Recurrent]:
    made = Recurrent("lstm", 5, WIDE, backend="cpu")
    with torch.no_grad(), made.prepared():
        yield made


def start(rows: int = 1) -> tuple[Tensor, State]:
    draw = torch.Generator().manual_seed(3)
    h, c = (torch.randn(rows, WIDE, generator=draw) for _ in range(2))
    return torch.randn(rows, 5, generator=draw), State({"0.h": h, "0.c": c})


@pytest.mark.parametrize(
    "cell", ["lstm", "gru", "lstm-projected", "layer-norm-lstm", "mogrifier", "mingru", "highway:2"]
)
def test_steps_are_the_bits_of_the_scan(cell: str):
    sizes = {"P": 70} if "P" in find(cell).graph.axes else {}
    layer = Recurrent(cell, 5, WIDE, 2, backend="cpu", sizes=sizes)
    for rows in (1, 3, 17):
        x = torch.randn(rows, 9, 5)
        with torch.no_grad(), layer.prepared():
            whole, final = layer(x)
            _, state = layer(x[:, :1])
            for t in range(1, 9):
                y, state = layer.step(x[:, t], state)
                assert torch.equal(y, whole[:, t])
        assert all(torch.equal(state[k], v) for k, v in final.items())


@pytest.mark.parametrize("cell", ["lstm", "gru", "layer-norm-lstm", "elman"])
def test_steps_on_symbols_are_the_bits_of_the_scan(cell: str):
    """Of either dtype, and on features in between."""
    layer = Recurrent(cell, 50, WIDE, 2, backend="cpu")
    for rows in (1, 3, 17):
        x = torch.randint(50, (rows, 9))
        with torch.no_grad(), layer.prepared():
            whole, final = layer(x)
            _, state = layer(x[:, :1])
            for t in range(1, 9):
                assert torch.allclose(layer.step(one_hot(x[:, t], 50).float(), state)[0], whole[:, t], atol=1e-5)
                now = x[:, t].int() if t % 2 else x[:, t]
                y, state = layer.step(now, state)
                assert torch.equal(y, whole[:, t])
        assert all(torch.equal(state[k], v) for k, v in final.items())


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_fork_goes_on_by_itself(layer: Recurrent):
    """torch's threads stay in the parent; the child takes the same step with others."""
    x, state = start()
    want, _ = layer.step(x, state)
    child = os.fork()
    if not child:
        os._exit(7 if torch.equal(layer.step(x, state)[0], want) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert torch.equal(layer.step(x, state)[0], want)


def test_threads_of_the_user_take_turns(layer: Recurrent):
    x, state = start()
    want = [layer.step(k * x, state)[0] for k in range(2)]
    wrong: list[int] = []

    def often(k: int) -> None:
        with torch.no_grad():
            wrong.extend(k for _ in range(200) if not torch.equal(layer.step(k * x, state)[0], want[k]))

    users = [threading.Thread(target=often, args=(k,), daemon=True) for k in range(2)]
    for user in users:
        user.start()
    for user in users:
        user.join(60)
        assert not user.is_alive()
    assert wrong == []


def test_what_does_not_fit_is_not_spread_or_converted(layer: Recurrent):
    x, state = start(2)
    with pytest.raises(ShapeError, match=r"wants h \(2, 140\) of torch.float32, got \(1, 140\)"):
        layer.step(x, {k: v[:1] for k, v in state.items()})
    with pytest.raises(ShapeError, match=r"wants c \(2, 140\) of torch.float32, got \(2, 140\) of torch.float64"):
        layer.step(x, {**state, "0.c": state["0.c"].double()})
    with pytest.raises(ShapeError, match=r"wants x .* got \(2, 5\) of torch.int64"):
        layer.step(x.long(), state)
    for symbol in (5, -1, 2**40):
        with pytest.raises(ShapeError, match=rf"lstm: the symbols 'x' must lie in 0..4, got .*{symbol}"):
            layer.step(torch.tensor([2, symbol]), state)
    with pytest.raises(ShapeError, match=r"the step wants h \(1, 140\)"):
        layer.step(torch.tensor([2]), state)
    with pytest.raises(ShapeError, match=r"symbols are of int64 or int32, and the input 'x' is torch.bool"):
        layer.step(torch.tensor([True, False]), state)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert layer.step(x.bfloat16(), state)[0].dtype == torch.float32


def test_prepared_within_prepared(layer: Recurrent):
    x, state = start()
    want, _ = layer.step(x, state)
    with layer.prepared():
        assert torch.equal(layer.step(x, state)[0], want)
    assert torch.equal(layer.step(x, state)[0], want)


def test_what_the_cell_reads_elsewhere_cannot_be_symbols():
    layer = Recurrent("mogrifier", 5, 7, backend="cpu")
    with torch.no_grad(), layer.prepared(), pytest.raises(ShapeError, match="'x' cannot be symbols"):
        layer.step(torch.tensor([1]), {"0.h": torch.zeros(1, 7), "0.c": torch.zeros(1, 7)})


def test_what_was_handed_out_stays(layer: Recurrent):
    """Outputs and states, looked at or not, through any number of steps after them."""
    x, state = start(2)
    kept, want = [], []
    for t in range(6):
        want.append([v.clone() for v in Recurrent.forward(layer, x[:, None], state)[1].values()])
        y, state = layer.step(x, state)
        if t % 2:
            assert torch.equal(state["0.c"], want[-1][1])
        kept.append((y, state))
    for (y, state), (h, c) in zip(kept, want, strict=True):
        assert torch.equal(y, h)
        assert all(torch.equal(state[k], v) and state[k].is_contiguous() for k, v in {"0.h": h, "0.c": c}.items())


def test_a_state_that_was_written_into_is_read_as_it_is(layer: Recurrent):
    x, state = start(2)
    y, state = layer.step(x, state)
    state["0.h"][1] = 0.25
    state["0.c"].mul_(3.0)
    want, _ = layer(x[:, None], dict(state))
    assert torch.equal(layer.step(x, state)[0], want[:, 0])
    assert not torch.equal(y, want[:, 0])


def test_a_state_of_another_stack_is_looked_at(layer: Recurrent):
    """Also one that nobody has looked at; it is left as it was."""
    x, state = start()
    other = Recurrent("lstm", 5, WIDE, 2, backend="cpu")
    with other.prepared():
        _, theirs = other.step(x, {**state, "1.h": state["0.h"], "1.c": state["0.c"]})
        assert theirs.packed is not None
        with pytest.raises(ShapeError, match=r"this stack has no state '1.h'"):
            layer.step(x, theirs)
    with torch.no_grad(), Recurrent("lstm", 5, WIDE, backend="cpu").prepared():
        _, given = layer.step(x, state)
    with layer.prepared():
        want, _ = layer(x[:, None], given)
        assert torch.equal(layer.step(x, given)[0], want[:, 0])


@cell(n="")
def counted(x, h, n):
    """A state without axes, beside one of another size."""
    g = sigmoid(affine("gate", x, h))
    return g * h + n * tanh(affine("new", x)), n * 0.9


def test_a_state_that_is_one_number():
    layer = Recurrent(counted, 5, WIDE, 2, backend="cpu")
    x = torch.randn(3, 6, 5)
    with torch.no_grad(), layer.prepared():
        whole, final = layer(x)
        _, state = layer(x[:, :1])
        for t in range(1, 6):
            y, state = layer.step(x[:, t], state)
            assert torch.equal(y, whole[:, t])
            if t == 3:
                state = State(dict(state))
    assert all(torch.equal(state[k], v) for k, v in final.items())


def test_a_stepper_is_forgotten_with_what_it_belongs_to(layer: Recurrent):
    x, state = start()
    layer.step(x, state)
    assert layer._stream is not None
    one = weakref.ref(layer._stream._stepper)
    assert isinstance(one(), stepper.Stepper)
    layer._stream.close()
    assert one() is None
