"""What is recorded of a model is what a loop in numpy computes, at every step; chunks are the whole."""

import sys

import numpy as np
import pytest
import torch

from rekur.cells import cell, gate, lstm, named, sigmoid, tanh
from rekur.errors import OptionError, RekurError, ShapeError
from rekur.inspect import Record, gates_of, observe, observed, saturation
from rekur.inspect.taking import looking
from rekur.nn import Plan, Recurrent, SequenceModel
from tests.compare import differ

GATES = ["forget", "input", "candidate", "output"]
ALL = [*GATES, "h", "c"]
LENGTHS = [7, 0, 4]


def logistic(v):
    return 1 / (1 + np.exp(-v))


def by_hand(weights, prefix, x, lengths, backwards):
    """name -> (B, T, H) of one LSTM layer, NaN after each row's end; and its output, zero there."""
    w = {k.removeprefix(prefix): v.double().numpy() for k, v in weights.items() if k.startswith(prefix)}
    rows, steps, _ = x.shape
    units = w["forget.bias"].shape[0]
    out = {name: np.full((rows, steps, units), np.nan) for name in ALL}
    for b in range(rows):
        h, c = np.zeros(units), np.zeros(units)
        order = range(lengths[b])
        for t in reversed(order) if backwards else order:
            pre = {g: w[f"{g}.x"] @ x[b, t] + w[f"{g}.h"] @ h + w[f"{g}.bias"] for g in GATES}
            found = {g: (np.tanh if g == "candidate" else logistic)(v) for g, v in pre.items()}
            c = found["forget"] * c + found["input"] * found["candidate"]
            h = found["output"] * np.tanh(c)
            for name, v in {**found, "h": h, "c": c}.items():
                out[name][b, t] = v
    return out, np.nan_to_num(out["h"])


def as_tensors(values):
    """For the comparison, which wants finite numbers: after the end there is 9, which no value is."""
    return {k: torch.as_tensor(np.nan_to_num(np.asarray(v, dtype=np.float64), nan=9.0)) for k, v in values.items()}


def stack(**options):
    generator = torch.Generator().manual_seed(5)
    options = {"num_layers": 2, "generator": generator, "dtype": torch.float64, **options}
    layer = Recurrent("lstm", 3, 5, **options)
    x = torch.randn(3, 7, 3, generator=generator, dtype=torch.float64)
    return layer, x


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("lengths", [None, LENGTHS])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_every_value_at_every_step_is_that_of_a_loop_in_numpy(bidirectional, lengths, dtype):
    layer, x = stack(bidirectional=bidirectional)
    layer.to(dtype)
    record = observe(layer, x.to(dtype), ALL, lengths=lengths)
    weights, read = layer.state_dict(), x.to(dtype).double().numpy()
    want: dict[str, np.ndarray] = {}
    for depth in range(2):
        outs = []
        for name, kind in (("", "layers"), (".reverse", "reverse_layers"))[: 1 + bidirectional]:
            prefix = f"{kind}.{depth}.weights."
            found, out = by_hand(weights, prefix, read, lengths or [7] * 3, backwards=bool(name))
            want |= {f"{depth}{name}.{k}": v for k, v in found.items()}
            outs.append(out)
        read = np.concatenate(outs, -1)
    got = as_tensors({name: record[name] for name in want})
    within = 1e-11 if dtype == torch.float64 else 1e-5
    assert differ(got, as_tensors(want), within) == {}
    assert {*dict(record.layers())} == {*want}
    # the comparison finds two gates that have changed places, and a step that is one too late
    swapped = {**got, "0.forget": got["0.input"], "1.c": got["1.c"].roll(1, 1)}
    assert {*differ(swapped, as_tensors(want), within)} == {"0.forget", "1.c"}


def test_names_select_layers_directions_and_units():
    layer, x = stack(bidirectional=True)
    record = observe(layer, x, ["c", "1.reverse.forget"])
    assert record["c"].dims == ("layer", "batch", "time", "unit")
    assert record["c"].layer.values.tolist() == ["0", "0.reverse", "1", "1.reverse"]
    assert record["forget"].layer.values.tolist() == ["1.reverse"]
    assert record["0.reverse.c"].identical(record["c"].sel(layer="0.reverse", drop=True).rename("0.reverse.c"))
    assert record["1.reverse.forget.4"].dims == ("batch", "time")
    assert np.array_equal(record["1.reverse.forget.4"], record["forget"].sel(layer="1.reverse", unit=4))
    assert list(record) == ["c", "forget"]
    assert record.get("d") is None
    for name, message in [("0.forgt", "'0.forgt' in the record"), ("c.5", "c has 5 units"), ("2.c", "did you mean")]:
        with pytest.raises(KeyError, match=message):
            record[name]


def test_layers_of_different_sizes_keep_apart_and_several_cells_too():
    layer = Recurrent(["lstm", "gru"], 3, [4, 6])
    record = observe(layer, torch.randn(2, 5, 3), ["h", "update", "forget"])
    assert list(record) == ["0.h", "1.h", "update", "forget"]
    assert record["1.h"].sizes == {"batch": 2, "time": 5, "unit": 6}
    assert record["1.h"].name == "1.h"


@pytest.mark.parametrize("time", [1, 3, 7, 100])
def test_chunks_are_the_whole_bit_for_bit(time):
    layer, x = stack(dtype=torch.float32)
    x, text = x.float(), ["abcdefg", "", "wxyz"]
    start = layer(x)[1]
    whole = observe(layer, x, ALL, start, LENGTHS, text=text)
    chunks = list(observed(layer, x, ALL, start, LENGTHS, text=text, time=time))
    assert [chunk["c"].sizes["time"] for chunk in chunks] == [min(time, 7 - at) for at in range(0, 7, time)]
    import xarray

    for name in ALL:
        assert xarray.concat([chunk[name] for chunk in chunks], "time").identical(whole[name])
    for name, v in chunks[-1].state.items():
        assert torch.equal(v, whole.state[name])
    again = observe(layer, x, ALL, start, LENGTHS, text=text, time=2)
    assert all(again[name].identical(whole[name]) for name in ALL)
    assert whole["c"].text.values[2].tolist() == ["w", "x", "y", "z", "", "", ""]
    # it can tell: without the state that is carried, the second chunk is another
    assert (
        not observe(layer, x[:, 3:], ALL)["c"]
        .drop_vars("time")
        .equals(whole["c"][:, :, 3:].drop_vars(["time", "text"]))
    )


def test_a_model_is_read_as_it_reads_in_evaluation_and_left_as_it_was():
    model = SequenceModel(Plan(lstm, 4, 6, dropout=0.5, num_layers=2, symbols=9, outputs=9))
    model.train()
    model.recurrent.eval()
    x = np.random.default_rng(0).integers(9, size=(2, 11)).astype(np.uint8)
    record = observe(model, x, ["h"])
    assert (model.training, model.recurrent.training, torch.is_grad_enabled()) == (True, False, True)
    model.eval()
    y, _ = model.recurrent(model.read(torch.from_numpy(x.astype("int64"))))
    assert torch.equal(torch.from_numpy(record["1.h"].values), y)
    model.train()
    with pytest.raises(ValueError, match="inside"), looking(model):
        raise ValueError("inside")
    assert model.training


def test_further_axes_keep_their_letters():
    from rekur.cells import attend

    layer = Recurrent(attend, 3, 5, sizes={"D": 4, "A": 3})
    memory = torch.randn(2, 6, 4)
    names = [name for name in layer.graphs["0"].names if "S" in layer.graphs["0"].named(name).axes]
    record = observe(layer, torch.randn(2, 7, 3), names, constants={"memory": memory})
    assert names
    assert all(record[name].sizes["S"] == 6 for name in names)


def test_mistakes_are_named():
    layer, x = stack()
    with pytest.raises(ShapeError, match="no value named 'forgt'; did you mean 'forget'"):
        observed(layer, x, ["forgt"])  # at once, not when the first chunk is wanted
    with pytest.raises(OptionError, match="a list of names"):
        observe(layer, x, "h")
    with pytest.raises(ShapeError, match=r"one row is x\[None\]"):
        observe(layer, torch.zeros(5, dtype=torch.int64), ["h"])
    with pytest.raises(OptionError, match="time is 0"):
        observe(layer, x, ["h"], time=0)
    with pytest.raises(ShapeError, match="text must label 7, 7, 7 steps, got 2"):
        observe(layer, x, ["h"], text=["ab"])


def test_without_xarray_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "xarray", None)
    layer, x = stack()
    with pytest.raises(RekurError, match=r"rekur\[inspect\]"):
        observe(layer, x, ["h"])


@cell
def coupled(x, h):
    f = gate("forget", sigmoid, x, h)
    i = named("input", 1 - f)
    named("both", f * i)
    named("twice", f + f)
    return f * h + i * gate("candidate", tanh, x, h)


def test_gates_are_what_cannot_leave_0_and_1():
    assert gates_of(coupled.graph) == ["forget", "input", "both"]
    assert gates_of(Recurrent(["lstm", "gru", "elman"], 2, 3)) == ["forget", "input", "output", "reset", "update"]
    assert gates_of(Recurrent("elman", 2, 3)) == []


def test_saturation_is_that_of_a_plain_loop_over_real_steps_only():
    layer, x = stack(dtype=torch.float32)
    with torch.no_grad():
        for weights in layer.parameters():
            weights.mul_(6)  # so that there is something to count
    record = observe(layer, x.float(), ["forget", "output"], lengths=LENGTHS)
    got = saturation(observed(layer, x.float(), ["forget", "output"], lengths=LENGTHS, time=2))
    assert got.equals(saturation(record))
    wrong = 0
    for depth in "01":
        for name in ("forget", "output"):
            for unit in range(5):
                seen = [float(record[f"{depth}.{name}"][b, t, unit]) for b, n in enumerate(LENGTHS) for t in range(n)]
                shares = got.sel(layer=depth, gate=name, unit=unit)
                assert shares.sel(end="shut") == sum(v < 0.1 for v in seen) / 11
                assert shares.sel(end="open") == sum(v > 0.9 for v in seen) / 11
                wrong += float(shares.sel(end="open")) != sum(v > 0.8 for v in seen) / 11
    assert wrong  # another threshold would have been found out
    assert 0 < float(got.sel(end="shut").mean()) < 1


def test_saturation_of_unlike_layers_has_nan_where_there_is_nothing():
    got = saturation(observe(Recurrent(["lstm", "gru"], 3, [4, 6]), torch.randn(2, 5, 3), ["forget", "update"]))
    assert got.sizes == {"end": 2, "layer": 2, "gate": 2, "unit": 6}
    assert np.isnan(got.sel(layer="1", gate="forget")).all()
    assert np.isnan(got.sel(layer="0", gate="forget")).sum() == 2 * 2
    with pytest.raises(OptionError, match="nothing to count"):
        saturation(Record({}, got))  # type: ignore[arg-type]
