"""torch's LSTM, GRU and RNN by value, with their own parameters: outputs, final states and every gradient."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from rekur.errors import BackendError, OptionError
from rekur.nn import torch_layer
from rekur.run import compile, scan
from tests.compare import Named, differ, leaves, silent, with_gradients, worse

ROWS, STEPS, INPUT, HIDDEN, LAYERS = 5, 9, 3, 7, 2
LENGTHS = (9, 1, 4, 8, 2)
MODULES: dict[str, Callable[..., nn.RNNBase]] = {
    "lstm": nn.LSTM,
    "gru": nn.GRU,
    "tanh": nn.RNN,
    "relu": lambda *size, **options: nn.RNN(*size, nonlinearity="relu", **options),
    "projected": lambda *size, **options: nn.LSTM(*size, proj_size=4, **options),
}
KIND = pytest.mark.parametrize("kind", MODULES)
BIAS = pytest.mark.parametrize("bias", [True, False], ids=["bias", "no-bias"])
DIRECTIONS = pytest.mark.parametrize("both", [False, True], ids=["forwards", "both"])
RAGGED = pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["dense", "packed"])


class Problem:
    """One module of torch with asymmetric random parameters, and what goes through it."""

    def __init__(self, kind: str, bias: bool, both: bool, lengths: tuple[int, ...] | None) -> None:
        draw = torch.Generator().manual_seed(len(kind))
        self.module = MODULES[kind](INPUT, HIDDEN, LAYERS, bias=bias, bidirectional=both, batch_first=True).double()
        self.lengths = lengths
        for p in self.module.parameters():
            p.data = torch.randn(p.shape, generator=draw, dtype=torch.float64) * 0.5
        self.chains = LAYERS * (1 + both)
        out = self.module.proj_size or HIDDEN

        def random(*shape: int) -> Tensor:
            return torch.randn(shape, generator=draw, dtype=torch.float64)

        self.values = {"x": random(ROWS, STEPS, INPUT), "h": random(self.chains, ROWS, out)}
        self.cotangents = {"output": random(ROWS, STEPS, out * (1 + both)), "final h": random(self.chains, ROWS, out)}
        if self.module.mode == "LSTM":
            self.values["c"] = random(self.chains, ROWS, HIDDEN)
            self.cotangents["final c"] = random(self.chains, ROWS, HIDDEN)

    def run(self, how: Callable[..., Named], dtype: torch.dtype = torch.float64) -> Named:
        """Results and all gradients of `how`, in a dtype."""
        self.module.to(dtype)
        x, *states = leaves({k: v.to(dtype) for k, v in self.values.items()}).values()
        names = list(self.values)[1:]
        results = how(x, dict(zip(names, states, strict=True)))
        cotangents = {k: v.to(dtype) for k, v in self.cotangents.items()}
        of: dict[str, Named] = {"parameter": dict(self.module.named_parameters()), "input": {"x": x}}
        return with_gradients(results, cotangents, of | {"state": dict(zip(names, states, strict=True))})

    def by_torch(self, x: Tensor, state: dict[str, Tensor]) -> Named:
        """The module itself, over a packed sequence where there are lengths."""
        hx = tuple(state.values()) if len(state) > 1 else state["h"]
        if self.lengths is None:
            y, end = self.module(x, hx)
        else:
            lengths = torch.tensor(self.lengths)
            packed, end = self.module(pack_padded_sequence(x, lengths, True, enforce_sorted=False), hx)
            y, _ = pad_packed_sequence(packed, batch_first=True, total_length=STEPS)
        ends = end if isinstance(end, tuple) else (end,)
        return {"output": y, **{f"final {k}": v for k, v in zip(state, ends, strict=True)}}

    def by_rekur(self, backend: str, spoil: Callable[[dict[str, Tensor]], object] = id) -> Callable[..., Named]:
        """Layer after layer through `scan`, the weights found by `torch_layer`, and spoilt for a test of the test."""

        def how(x: Tensor, state: dict[str, Tensor]) -> Named:
            ends: dict[str, list[Tensor]] = {k: [] for k in state}
            chain = 0
            for layer in range(LAYERS):
                ys = []
                for reverse in (False, True)[: self.chains // LAYERS]:
                    cell, binding = torch_layer(self.module, layer, reverse)
                    given = {k: v[chain] for k, v in state.items()}
                    weights = binding.weights(dict(self.module.named_parameters()))
                    spoil(weights)
                    one = scan(compile(cell, backend), weights, x, given, lengths=self.lengths, reverse=reverse)
                    ys.append(one.output)
                    for k, v in one.state.items():
                        ends[k].append(v)
                    chain += 1
                x = torch.cat(ys, -1)
            return {"output": x, **{f"final {k}": torch.stack(v) for k, v in ends.items()}}

        return how


def backends(kind: str) -> tuple[str, ...]:
    return ("reference", "auto") if kind == "projected" else ("reference", "fused", "auto")


@RAGGED
@DIRECTIONS
@BIAS
@KIND
def test_the_same_as_torch(kind: str, bias: bool, both: bool, lengths: tuple[int, ...] | None):
    problem = Problem(kind, bias, both, lengths)
    want = problem.run(problem.by_torch)
    assert silent(want) == set()
    for backend in backends(kind):
        assert differ(problem.run(problem.by_rekur(backend)), want) == {}


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")  # of torch's own layer
@RAGGED
@DIRECTIONS
@BIAS
@KIND
def test_in_float32_as_good_as_torch(kind: str, bias: bool, both: bool, lengths: tuple[int, ...] | None):
    problem = Problem(kind, bias, both, lengths)
    exact = problem.run(problem.by_torch)
    rounded = problem.run(problem.by_torch, torch.float32)
    for backend in backends(kind):
        assert worse(problem.run(problem.by_rekur(backend), torch.float32), rounded, exact, epsilon=3e-7) == {}


@KIND
def test_the_modules_own_parameters_get_the_gradient(kind: str):
    problem = Problem(kind, True, False, None)
    before = dict(problem.module.named_parameters())
    cell, binding = torch_layer(problem.module)
    weights = binding.weights(before)
    scan(compile(cell), weights, problem.values["x"]).output.sum().backward()
    after = dict(problem.module.named_parameters())
    assert all(after[k] is p for k, p in before.items())
    first = {k: p for k, p in after.items() if k.endswith("_l0")}
    assert all(p.grad is not None and p.grad.any() for p in first.values())
    assert all(p.grad is None for k, p in after.items() if k not in first)
    with torch.no_grad():  # and what an optimiser writes is what the next call reads
        after["weight_hh_l0"].zero_()
    again = binding.weights(after)
    assert not any(v.any() for k, v in again.items() if k.endswith(".h"))


@KIND
def test_a_binding_covers_every_weight_once(kind: str):
    module = MODULES[kind](INPUT, HIDDEN)
    cell, binding = torch_layer(module)
    assert set(binding) == set(cell.graph.parameters)
    assert len(binding) == len(cell.graph.parameters)
    rows = [(part.parameter, r) for parts in binding.values() for part in parts for r in range(99)[part.rows]]
    parameters = dict(module.named_parameters())
    rows = [(k, r) for k, r in rows if r < len(parameters[k])]
    assert sorted(rows) == sorted((k, r) for k, p in parameters.items() for r in range(len(p)))


def test_a_swapped_gate_is_found():
    problem = Problem("lstm", True, False, LENGTHS)

    def swap(weights: dict[str, Tensor]) -> None:
        weights["input.h"], weights["forget.h"] = weights["forget.h"], weights["input.h"]

    found = differ(problem.run(problem.by_rekur("auto", swap)), problem.run(problem.by_torch))
    assert {"output", "gradient of parameter weight_hh_l0", "gradient of input x"} <= found.keys()


def test_layers_that_a_module_has_not():
    for layer, reverse in ((2, False), (-1, False), (0, True)):
        with pytest.raises(OptionError, match=f"has no layer {layer}"):
            torch_layer(nn.LSTM(3, 5, 2), layer, reverse)
    with pytest.raises(OptionError, match="has no layer 0 in reverse"):
        torch_layer(nn.LSTMCell(3, 5), reverse=True)
    with pytest.raises(OptionError, match="or a cell of one, got Linear"):
        torch_layer(nn.Linear(3, 5))  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="no layer of mode 'RNN_SINE'"):
        torch_layer(nn.RNNCell(3, 5, nonlinearity="sine"))


def test_a_projected_layer_is_not_fused():
    cell, _ = torch_layer(nn.LSTM(3, 5, proj_size=2))
    with pytest.raises(BackendError, match="lstmp cannot run on fused: it is not an LSTM"):
        compile(cell, "fused")
