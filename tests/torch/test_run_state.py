"""`State`: named tensors that are carried, cut, picked, reset, moved, saved, and taken apart as a tree."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest
import torch
from torch.utils import _pytree as pytree

from rekur.errors import CheckpointError, ShapeError
from rekur.run import State
from tests.compare import differ


def example() -> State:
    draw = torch.Generator().manual_seed(0)
    return State({"0.h": torch.randn(4, 3, generator=draw), "0.m": torch.randn(4, 2, 3, generator=draw)})


def test_a_mapping():
    h, c = torch.zeros(2, 3), torch.ones(2, 3)
    state = State({"h": h}, c=c)
    assert state["h"] is h
    assert dict(**state) == {"h": h, "c": c}
    assert (list(state), len(state), "c" in state) == (["h", "c"], 2, True)
    assert repr(state) == "State(h=(2, 3), c=(2, 3))"
    with pytest.raises(KeyError, match=r"there is no state '0\.hh'; did you mean '0\.h'"):
        example()["0.hh"]


def test_it_cannot_be_written_to():
    source = {"h": torch.zeros(2)}
    state = State(source)
    source["c"] = torch.zeros(2)
    assert list(state) == ["h"]
    with pytest.raises(TypeError):
        state["h"] = torch.ones(2)  # type: ignore[index]


def test_cut_from_the_gradient():
    w = torch.ones(4, 3, requires_grad=True)
    state = State(h=w * 2)
    cut = state.detach()
    assert state["h"].requires_grad
    assert not cut["h"].requires_grad
    assert torch.equal(cut["h"], state["h"])


@pytest.mark.parametrize("rows", [torch.tensor([2, 0, 0]), torch.tensor([True, False, True, True])])
def test_rows_are_picked(rows: torch.Tensor):
    state = example()
    assert differ(state.select(rows), {k: v[rows] for k, v in state.items()}, within=0.0) == {}


def test_rows_are_reset():
    state, rows = example(), torch.tensor([True, False, False, True])
    zero = state.reset(rows)
    for k, v in state.items():
        assert torch.equal(zero[k][1:3], v[1:3])
        assert not zero[k][[0, 3]].any()
    learnt = state.reset(rows, {"0.h": torch.full((3,), 0.5)})
    assert learnt["0.h"][[0, 3]].eq(0.5).all()
    assert torch.equal(learnt["0.m"], zero["0.m"])
    broken = State(h=torch.full((2, 3), torch.nan, requires_grad=True)).reset(torch.tensor([True, True]))
    assert not broken["h"].any()


@pytest.mark.parametrize("rows", [torch.tensor([1, 0, 0, 1]), torch.tensor([True]), torch.ones(4, 1).bool()])
def test_what_is_no_mask_of_rows(rows: torch.Tensor):
    with pytest.raises(ShapeError, match=r"reset wants a mask \(4,\) of bool, got"):
        example().reset(rows)


def test_a_reset_names_states_that_are_there():
    with pytest.raises(ShapeError, match=r"no state '0\.c'.* did you mean"):
        example().reset(torch.ones(4).bool(), {"0.c": torch.zeros(3)})


def test_another_dtype():
    state = example().to(torch.float64)
    assert {v.dtype for v in state.values()} == {torch.float64}
    assert example().to("meta")["0.h"].device.type == "meta"


def test_one_layer_of_a_stack():
    state = State({f"{k}.h": torch.full((1,), float(i)) for i, k in enumerate(["1", "10", "1.reverse", "0"])})
    assert state.under("1")["h"] == 0
    assert dict(state.under("10")) == {"h": torch.tensor([1.0])}
    assert dict(state.under("2")) == {}


def test_saved_and_loaded(tmp_path: Path):
    both = torch.randn(2, 4, 3, requires_grad=True)
    cases = [
        example(),
        State(),
        State(h=both[0], c=both[1]),  # of one storage
        State(h=both[0], c=both[0]),  # one tensor twice
        State(h=both[:, :, 0], c=both[0].T),
        State({k: v.bfloat16() for k, v in example().items()}),
    ]
    for state in cases:
        state.save(tmp_path / "state.safetensors")
        again = State.load(tmp_path / "state.safetensors")
        assert {k: v.dtype for k, v in again.items()} == {k: v.dtype for k, v in state.items()}
        assert all(torch.equal(again[k], v) for k, v in state.items())
        assert not any(v.requires_grad for v in again.values())


def test_a_file_that_is_no_state(tmp_path: Path):
    with pytest.raises(CheckpointError, match=r"missing\.safetensors is not a saved state: No such file"):
        State.load(tmp_path / "missing.safetensors")
    (tmp_path / "torn.safetensors").write_bytes(b"\x10\x00")
    with pytest.raises(CheckpointError, match=r"torn\.safetensors is not a saved state"):
        State.load(tmp_path / "torn.safetensors")


def test_a_tree_of_tensors():
    state = example()
    flat, shape = pytree.tree_flatten({"carry": state, "n": 1})
    assert len(flat) == 3
    again = pytree.tree_unflatten(flat, shape)["carry"]
    assert isinstance(again, State)
    assert all(again[k] is v for k, v in state.items())
    doubled = pytree.tree_map(lambda v: v * 2, state)
    assert isinstance(doubled, State)
    assert differ(doubled, {k: v * 2 for k, v in state.items()}) == {}


def test_copied_and_pickled():
    state = example()
    for again in (copy.deepcopy(state), pickle.loads(pickle.dumps(state))):
        assert isinstance(again, State)
        assert differ(again, state, within=0.0) == {}
        assert again["0.h"].data_ptr() != state["0.h"].data_ptr()


class Once:
    """Says when its tensors are made."""

    made = 0

    def unpack(self) -> dict[str, torch.Tensor]:
        self.made += 1
        return {"h": torch.arange(3.0), "c": torch.ones(2)}


@pytest.mark.parametrize(
    "ask",
    [
        lambda s: s["h"],
        list,
        len,
        repr,
        lambda s: s.detach(),
        lambda s: "c" in s,
        pytree.tree_flatten,
        copy.deepcopy,
        lambda s: pickle.loads(pickle.dumps(s)),
    ],
)
def test_tensors_are_made_when_somebody_asks(ask):
    once = Once()
    state = State.later(once)
    assert (state.packed, once.made) == (once, 0)
    ask(state)
    assert (state.packed, once.made) == (None, 1)
    assert list(state) == ["h", "c"]
    state["h"].add_(1.0)
    assert state["h"].tolist() == [1.0, 2.0, 3.0]
    assert copy.deepcopy(state)["h"].tolist() == [1.0, 2.0, 3.0]
    assert once.made == 1
    with pytest.raises(KeyError, match="no state 'b'"):
        state["b"]
