"""Noise inside of layers: against loops by hand, over chunks, rows and backends, and what the masks are."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from rekur.errors import OptionError, ShapeError
from rekur.nn import Layer, Noise, Recurrent
from rekur.nn.noise import Masks
from rekur.run import State
from tests.compare import differ, leaves, with_gradients
from tests.torch import noise_by_hand
from tests.torch.noise_by_hand import shows

LENGTHS = (5, 0, 3)
RESET = torch.tensor([[0, 1, 0, 0, 1], [0, 0, 1, 0, 0], [1, 0, 0, 1, 0]], dtype=torch.bool)
X = torch.randn(3, 5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
KINDS: dict[str, dict[str, Any]] = {
    "input": {"input_dropout": 0.4},
    "state": {"recurrent_dropout": 0.4},
    "zoneout": {"zoneout": 0.3},
    "zoneout of one state": {"zoneout": {"h": 0.6}},
    "weights": {"weight_drop": 0.4},
    "between": {"dropout": 0.4},
    "initial": {"learn_initial_state": True},
    "all": {
        "input_dropout": 0.2, "recurrent_dropout": 0.3, "zoneout": 0.2, "weight_drop": 0.2, "dropout": 0.2,
        "learn_initial_state": True,
    },
}  # fmt: skip
KIND = pytest.mark.parametrize("kind", KINDS)
OVER_TIME = [k for k in KINDS if k not in ("weights", "between", "all")]


def stack(name: str, *, layers: int = 2, dtype: torch.dtype = torch.float64, **options: Any) -> Recurrent:
    of = Recurrent(name, 3, 6, layers, dtype=dtype, generator=torch.Generator().manual_seed(1), **options)
    for k, p in of.named_parameters():
        if ".initial." in k:
            torch.nn.init.normal_(p, generator=torch.Generator().manual_seed(len(k)))
    return of


def found(of: Recurrent, how: Callable[[Tensor], Any]) -> Any:
    x = leaves({"x": X})
    y, final = how(x["x"])
    results = {"output": y} | {k: v for k, v in final.items() if k != "noise"}
    cotangents = {k: torch.cos(torch.arange(v.numel()).reshape(v.shape)).double() for k, v in results.items()}
    return with_gradients(results, cotangents, {"input": x, "weight": dict(of.named_parameters())})


# ---- by hand -----------------------------------------------------------------------------------------------------


@KIND
@pytest.mark.parametrize("name", noise_by_hand.STEPS)
def test_in_training_and_in_evaluation_as_by_hand(name: str, kind: str):
    """With lengths and resets: outputs, states, all gradients; and another key, or none, makes a difference."""
    of = stack(name, **KINDS[kind])
    options: dict[str, Any] = {"lengths": LENGTHS, "reset": RESET}
    torch.manual_seed(3)
    got = found(of, lambda x: of(x, **options))

    def by_hand(change: int = 0) -> Any:
        torch.manual_seed(3)
        keys = torch.randint(1, 2**31 - 1, (3,)) if of.noise.masks else torch.zeros(3, dtype=torch.int64)
        masks = Masks(keys + change, torch.zeros_like(keys))
        return found(of, lambda x: noise_by_hand.stack(of, x, masks=masks, **options))

    assert differ(got, by_hand()) == {}
    if of.noise.masks:
        assert {"output", "1.h", "gradient of input x"} <= set(differ(got, by_hand(change=1)))
    of.eval()
    quiet = found(of, lambda x: of(x, **options))
    assert differ(quiet, found(of, lambda x: noise_by_hand.stack(of, x, **options))) == {}
    assert ("output" in differ(quiet, got)) == (kind != "initial")
    assert "noise" not in of(X)[1]


def test_evaluation_is_the_plain_cell():
    plain, of = stack("lstm"), stack("lstm", input_dropout=0.5, recurrent_dropout=0.5, weight_drop=0.5).eval()
    assert of.state_dict().keys() == plain.state_dict().keys()
    assert torch.equal(of(X)[0], plain(X)[0])
    assert of._layer(0).kernel.graph is of.cell.graph


# ---- a sequence keeps its masks ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("backend", "dtype", "within"), [("cpu", torch.float32, 1e-5), ("reference", None, 1e-11)])
@pytest.mark.parametrize("kind", OVER_TIME)
def test_chunk_by_chunk_is_the_whole(kind: str, backend: str, dtype: torch.dtype | None, within: float):
    of = stack("lstm", backend=backend, dtype=dtype or torch.float64, **KINDS[kind])
    x = X.to(dtype or torch.float64)
    torch.manual_seed(5)
    whole, end = of(x, reset=RESET)
    torch.manual_seed(5)
    state: Any = None
    ys = []
    for a, b in ((0, 2), (2, 2), (2, 5)):
        y, state = of(x[:, a:b], state, reset=RESET[:, a:b])
        ys.append(y)
    assert differ({"y": torch.cat(ys, 1), **state}, {"y": whole, **end}, within) == {}
    torch.manual_seed(6)
    assert of.noise.masks == ("y" in differ({"y": of(x, reset=RESET)[0]}, {"y": whole}, within))


def test_steps_in_training_are_the_whole():
    of = stack("gru", recurrent_dropout=0.3, zoneout=0.3)
    torch.manual_seed(5)
    whole, end = of(X)
    torch.manual_seed(5)
    state: Any = None
    ys = []
    for t in range(5):
        y, state = of.step(X[:, t], state)
        ys.append(y)
    assert differ({"y": torch.stack(ys, 1), **state}, {"y": whole, **end}) == {}


def test_gradients_flow_from_chunk_to_chunk():
    of = stack("lstm", recurrent_dropout=0.3, zoneout=0.3, learn_initial_state=True)

    def chunks(x: Tensor) -> tuple[Tensor, Any]:
        torch.manual_seed(5)
        first, state = of(x[:, :2])
        second, end = of(x[:, 2:], state)
        return torch.cat([first, second], 1), end

    def whole(x: Tensor) -> Any:
        torch.manual_seed(5)
        return of(x)

    assert differ(found(of, chunks), found(of, whole)) == {}
    assert differ(found(of, lambda x: chunks(x.detach())), found(of, whole)).keys() == {"gradient of input x"}


def test_rows_of_unequal_length_go_on_where_they_were():
    """A row is the same whatever is beside it: padded in a batch, then continued, or alone in one piece."""
    of = stack("lstm", recurrent_dropout=0.3, zoneout=0.3, input_dropout=0.2)
    first, state = of(X, lengths=LENGTHS)
    assert state["noise"][:, 1].tolist() == list(LENGTHS)
    again, end = of(X.flip(1), state)
    for b, count in enumerate(LENGTHS):
        fresh = State({k: torch.zeros_like(v[:1]) for k, v in state.items() if k != "noise"})
        key = torch.stack([state["noise"][b : b + 1, 0], torch.zeros(1, dtype=torch.int64)], 1)
        row = torch.cat([X[b : b + 1, :count], X.flip(1)[b : b + 1]], 1)
        y, alone = of(row, State({**fresh, "noise": key}))
        assert differ({"y": y[0]}, {"y": torch.cat([first[b, :count], again[b]])}) == {}
        assert differ(dict(alone), dict(end.select(torch.tensor([b])))) == {}


def test_a_state_on_disk_keeps_its_masks(tmp_path: Path):
    of = stack("lstm", recurrent_dropout=0.5, zoneout=0.5)
    _, state = of(X)
    state.save(tmp_path / "state.safetensors")
    again = State.load(tmp_path / "state.safetensors")
    assert torch.equal(of(X, again)[0], of(X, state)[0])
    assert not torch.equal(of(X, again.reset(torch.ones(3, dtype=torch.bool)))[0], of(X)[0])  # each draws its own


def test_a_reset_state_has_new_masks():
    of = stack("lstm", recurrent_dropout=0.5, learn_initial_state=True)
    _, state = of(X)
    rows = torch.tensor([True, False, True])
    new = state.reset(rows, of.initial_state())
    assert new["noise"].eq(0).all(1).tolist() == rows.tolist()
    assert torch.equal(new["0.h"][0], of.get_parameter("layers.0.initial.h"))
    _, after = of(X, new)
    assert after["noise"][:, 0].eq(state["noise"][:, 0]).tolist() == [False, True, False]
    assert after["noise"][:, 1].tolist() == [5, 10, 5]
    picked = of(X[[2, 0]], new.select(torch.tensor([2, 0])))[1]
    assert picked["noise"][:, 1].tolist() == [5, 5]
    kept = state.to(torch.float32)["noise"]
    assert torch.equal(kept, state["noise"])  # a key is no number to round


def test_a_state_from_evaluation_goes_into_training_and_back():
    of = stack("lstm", zoneout=0.5)
    _, state = of.eval()(X)
    _, state = of.train()(X, state)
    assert state["noise"][:, 1].tolist() == [5, 5, 5]
    _, state = of.eval()(X, state)
    assert "noise" not in state
    with torch.no_grad(), of.prepared():
        first, state = of.train().step(X[:, 0])  # such steps are as in evaluation
        second, state = of.step(X[:, 1], {**state, "noise": torch.ones(3, 2, dtype=torch.int64)})
    assert differ({"y": torch.stack([first, second], 1)}, {"y": of.eval()(X[:, :2])[0].detach()}) == {}


@pytest.mark.parametrize("kind", ["between", "all"])
def test_every_backend_drops_the_same(kind: str):
    """Though their outputs lie differently in memory."""
    seen = {}
    for backend in ("cpu", "reference"):
        of = stack("lstm", layers=3, dtype=torch.float32, backend=backend, **KINDS[kind])
        torch.manual_seed(7)
        seen[backend] = {"y": of(X.float(), lengths=LENGTHS)[0].detach()}
    assert differ(seen["cpu"], seen["reference"], 1e-5) == {}
    if kind == "between":
        of = stack("lstm", layers=3, dtype=torch.float32, backend="fused", dropout=0.4)
        torch.manual_seed(7)
        assert differ({"y": of(X.float(), lengths=LENGTHS)[0].detach()}, seen["cpu"], 1e-5) == {}
        assert differ({"y": of(X.float(), lengths=LENGTHS)[0].detach()}, seen["cpu"], 1e-5) != {}


# ---- modules, directions, mistakes -------------------------------------------------------------------------------


@pytest.mark.parametrize("both", [False, True], ids=["forwards", "both"])
def test_modules_travel(both: bool):
    of = stack("lstm", bidirectional=both, **KINDS["all"])
    assert {"layers.0.initial.h", "layers.1.initial.c"} < of.state_dict().keys()
    torch.manual_seed(1)
    want = of(X)[0]
    want.sum().backward()
    fresh = stack("lstm", bidirectional=both, **KINDS["all"])
    fresh.load_state_dict(of.state_dict())
    for again in (copy.deepcopy(of), pickle.loads(pickle.dumps(of)), fresh):
        torch.manual_seed(1)
        assert torch.equal(again(X)[0], want)
        assert again.explain() == of.explain()


def test_both_directions_have_masks_of_their_own():
    of = Recurrent(shows, 30, 30, bidirectional=True, recurrent_dropout=0.5)
    record = of.scan(torch.ones(4, 5, 30), record=("seen",)).record
    assert torch.equal(record["0.seen"][:, 1], record["0.seen"][:, 4])
    assert not torch.equal(record["0.seen"][:, 2], record["0.reverse.seen"][:, 2])


def test_a_layer_by_itself():
    layer = Layer(shows, {"I": 30, "H": 30}, noise=Noise(input_dropout=0.5))
    x = torch.ones(2, 4, 30)
    read = layer(x, record=("read",)).record["read"]
    assert torch.equal(read, read[:, :1].expand_as(read))
    assert not torch.equal(layer({"x": x}, record=("read",)).record["read"], read)
    assert torch.equal(layer.eval()(x, record=("read",)).record["read"], x)
    with pytest.raises(ShapeError, match="shows: the input 'x' must be a series, a tensor"):
        layer.train()([1.0])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"input_dropout": 1.0}, "input_dropout must lie in 0 ≤ p < 1, got 1.0"),
        ({"recurrent_dropout": -0.5}, "recurrent_dropout must lie in 0 ≤ p < 1, got -0.5"),
        ({"weight_drop": "much"}, "weight_drop must lie in 0 ≤ p < 1, got 'much'"),
        ({"zoneout": True}, "zoneout must lie in 0 ≤ p < 1, got True"),
        ({"zoneout": {"h": 2}}, r"zoneout\['h'\] must lie in 0 ≤ p < 1, got 2"),
        ({"zoneout": {"hh": 0.5}}, "zoneout: lstm has no state 'hh'; it has h, c; did you mean 'h'"),
        ({"cell": "mingru", "recurrent_dropout": 0.1}, "recurrent_dropout: mingru multiplies its state by no matrix"),
        ({"cell": "mingru", "weight_drop": 0.1}, "weight_drop: mingru .* use zoneout, input_dropout or dropout"),
    ],
)
def test_options_that_make_no_sense(arguments: dict[str, Any], says: str):
    with pytest.raises(OptionError, match=says):
        Recurrent(**{"cell": "lstm", "input_size": 3, "hidden_size": 4, **arguments})


def test_calls_that_do_not_fit():
    of = stack("lstm", input_dropout=0.5)
    with pytest.raises(ShapeError, match="input_dropout drops features, and the input 'x' is symbols; embed them"):
        of(torch.zeros(3, 5, dtype=torch.int64))
    _, state = of(X)
    for wrong in (state["noise"][:2], state["noise"].float()):
        with pytest.raises(ShapeError, match=r"the state's 'noise' must be \(3, 2\) of int64, got \("):
            of(X, State({**state, "noise": wrong}))
