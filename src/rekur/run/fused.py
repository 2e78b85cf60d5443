"""torch's own LSTM, GRU and RNN, for a cell whose structure *is* theirs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from rekur.cells import elman, elman_relu, gru_after, lstm
from rekur.errors import BackendError
from rekur.graph import Cell, Graph, same_structure
from rekur.run.call import Call, Head, Scan, Weights
from rekur.run.reference import Reference
from rekur.run.state import State
from rekur.run.twice import twice_differentiable


@dataclass(frozen=True)
class _Layout:
    """How torch packs the weights of a layer, gate under gate; None stands for a bias of zeros."""

    name: str
    """As torch calls the mode of the layer"""
    run: Callable[..., Any]
    cell: Cell
    weight_ih: tuple[str, ...]
    weight_hh: tuple[str, ...]
    bias_ih: tuple[str, ...]
    bias_hh: tuple[str | None, ...]

    @property
    def packed(self) -> tuple[tuple[str | None, ...], ...]:
        """In the order torch takes them."""
        return self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh


def _one_bias(name: str, run: Callable[..., Any], cell: Cell, *gates: str) -> _Layout:
    x, h, bias = (tuple(f"{g}.{part}" for g in gates) for part in ("x", "h", "bias"))
    return _Layout(name, run, cell, x, h, bias, (None,) * len(gates))


LAYOUTS = (
    _one_bias("LSTM", torch.lstm, lstm, "input", "forget", "candidate", "output"),
    _Layout(
        "GRU",
        torch.gru,
        gru_after,
        ("reset.x", "update.x", "candidate_x.x"),
        ("reset.h", "update.h", "candidate_h.h"),
        ("reset.bias", "update.bias", "candidate_x.bias"),
        (None, None, "candidate_h.bias"),
    ),
    _one_bias("RNN_TANH", torch.rnn_tanh, elman, "hidden"),
    _one_bias("RNN_RELU", torch.rnn_relu, elman_relu, "hidden"),
)


def recognise(graph: Graph) -> tuple[_Layout, dict[str, str]] | None:
    """torch's layer that this graph is, and torch-side weight name -> the graph's; None where it is none."""
    for layout in LAYOUTS:
        names = same_structure(layout.cell.graph, graph)
        if names is not None:
            return layout, names
    return None


class Fused:
    """One call of torch's layer over the whole sequence: oneDNN, cuDNN or MPS kernels underneath."""

    name = "fused"

    def __init__(self, graph: Graph) -> None:
        found = recognise(graph)
        if found is None:
            raise BackendError("it is not an LSTM, a GRU with the reset after the product, or a tanh or relu RNN")
        self._layout, self._names = found
        self.why = f"it is torch's {self._layout.name}"

    def refuses_call(self, call: Call) -> str | None:
        """It is one opaque call over whole sequences."""
        if call.symbols:
            return "torch's layer reads features, not symbols"
        if call.reset is not None:
            return "torch's layer knows no resets inside a sequence"
        if call.outputs or call.record:
            return "torch's layer shows no inner values"
        if len(call.lead) > 1:
            return "torch's layer knows no lattice"
        if call.mask is not None:
            return "torch's layer knows lengths, not any mask of real steps"
        return None

    def stepper(
        self, layers: Sequence[Weights], rows: int, symbols: Collection[str] = (), head: Head | None = None
    ) -> None:
        """It has no other way to take single steps."""

    def run(self, call: Call) -> Scan:
        """Pack the weights as torch has them, reverse where asked, call, unpack."""
        rows = None
        if call.lengths is not None and not bool((call.lengths > 0).all()):
            rows = (call.lengths > 0).nonzero().squeeze(1)
        states = [a.name for a in call.graph.of("state")]
        weights = [call.params[self._names[k]] for k in self._order()]
        x = next(iter(call.inputs.values()))
        bare = replace(call, params={}, inputs={}, state={}, initial={})  # `exact` is kept: it must keep no tensors

        def fast(x: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
            return self._torch(call, rows, x, rest[: len(states)], rest[len(states) :])

        def exact(x: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
            params = dict(zip((self._names[k] for k in self._order()), rest[len(states) :], strict=True))
            inputs = {bare.graph.of("input")[0].name: x}
            state = dict(zip(states, rest[: len(states)], strict=True))
            again = Reference(bare.graph).run(replace(bare, params=params, inputs=inputs, state=state))
            return (again.output, *again.state.values())

        y, *final = twice_differentiable(fast, exact, x, *(call.state[s] for s in states), *weights)
        return Scan(y, State(dict(zip(states, final, strict=True))), {}, {})

    def _order(self) -> tuple[str, ...]:
        return tuple(k for keys in self._layout.packed for k in keys if k is not None)

    def _packed(self, weights: tuple[Tensor, ...]) -> list[Tensor]:
        named = dict(zip(self._order(), weights, strict=True))
        zeros = torch.zeros_like(weights[-1])  # the last is a bias
        parts = [[zeros if k is None else named[k] for k in keys] for keys in self._layout.packed]
        flat = torch.cat([v.flatten() for keys in parts for v in keys])  # in one piece, as cuDNN wants them
        sizes = [sum(v.numel() for v in keys) for keys in parts]
        return [v.view(-1, *keys[0].shape[1:]) for v, keys in zip(torch.split(flat, sizes), parts, strict=True)]

    def _torch(
        self, call: Call, rows: Tensor | None, x: Tensor, state: tuple[Tensor, ...], weights: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        packed = self._packed(weights)
        lengths = call.lengths
        held = state
        if rows is not None:
            assert lengths is not None
            x, lengths, state = x[rows], lengths[rows], tuple(s[rows] for s in state)
        if call.reverse:
            x = _reversed(x, lengths)
        hidden = tuple(s[None] for s in state)
        hx: Any = hidden if len(hidden) > 1 else hidden[0]
        train = torch.is_grad_enabled()
        if lengths is None:
            y, *final = self._layout.run(x, hx, packed, True, 1, 0.0, train, False, True)
        else:
            sequence = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
            order = sequence.sorted_indices
            hx = tuple(h[:, order] for h in hidden)
            data, *final = self._layout.run(
                sequence.data, sequence.batch_sizes, hx if len(hx) > 1 else hx[0], packed, True, 1, 0.0, train, False
            )
            out = PackedSequence(data, sequence.batch_sizes, order, sequence.unsorted_indices)
            y = pad_packed_sequence(out, batch_first=True, total_length=call.steps)[0]
            final = [f[:, sequence.unsorted_indices] for f in final]
        if call.reverse:
            y = _reversed(y, lengths)
        ends = [f[0] for f in final]
        if rows is not None:
            y = y.new_zeros(call.lead[0], *y.shape[1:]).index_copy(0, rows, y)
            ends = [h.index_copy(0, rows, e) for h, e in zip(held, ends, strict=True)]
        return y, *ends


def _reversed(v: Tensor, lengths: Tensor | None) -> Tensor:
    """The real steps of each row in reverse order; what lies behind them stays where it is."""
    if lengths is None:
        return v.flip(1)
    t = torch.arange(v.shape[1], device=v.device)
    mirrored = lengths[:, None] - 1 - t
    index = torch.where(mirrored >= 0, mirrored, t)
    return v.gather(1, index[..., None].expand_as(v))
