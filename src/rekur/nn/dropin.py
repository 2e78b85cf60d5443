"""torch.nn.LSTM, GRU and RNN, computed by rekur's kernels: the same modules, parameters, arguments and results.

What a call must be like is torch's to say: one that does not fit goes to torch's own `forward`, which raises its own
error. So does one that rekur's kernels do not compute, and torch's compute it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import cache
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn.functional import dropout
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from rekur.graph import Cell
from rekur.nn.binding import torch_layer
from rekur.run import Kernel, compile, scan
from rekur.run.cpu.backend import Cpu


@cache
def kernel_of(cell: Cell) -> Kernel:
    """The compiled kernel of a cell, which all layers of it have in common."""
    return compile(cell, "cpu")


def refusal(tensors: Sequence[object]) -> str | None:
    """Why torch's kernels do a call with these inputs and weights, None where rekur's do it."""
    for v in tensors:
        if not isinstance(v, Tensor):
            return "there is no tensor where one should be"
        if not Cpu.takes(v):
            return f"rekur's compute in float32 on the CPU, not in {v.dtype} on {v.device}"
    if torch.is_autocast_enabled("cpu"):
        return "autocast chooses what they compute in"
    if torch._C._are_functorch_transforms_active():
        return "torch.func transforms torch's operations only"
    if torch._C._get_tracing_state() is not None:
        return "torch.jit records torch's operations only"
    if forward_ad._current_level >= 0:
        return "only they have forward-mode gradients"
    return None


def states_of(hx: Any) -> tuple[Any, ...]:
    """What a call is handed as state: none, one, or h and c."""
    return () if hx is None else tuple(hx) if isinstance(hx, tuple | list) else (hx,)


class DropIn(nn.Module):
    """What those layers and cells have in common that are torch's, and computed by rekur's kernels."""

    def explain(self) -> str:
        """In a line, what runs a call of it as its weights are now, and why.

        >>> LSTM(3, 5).explain()
        'lstm runs on cpu (compiled for this processor)'
        >>> LSTM(3, 5, dtype=torch.float64).explain()
        "torch's kernels run it: rekur's compute in float32 on the CPU, not in torch.float64 on cpu"
        """
        if reason := self.refusal():
            return f"torch's kernels run it: {reason}"
        return kernel_of(torch_layer(cast(nn.RNNBase, self))[0]).explain()

    def refusal(self) -> str | None:
        """Why torch's own kernels would run a call now, None where rekur's would."""
        return refusal(self._weights())

    @abstractmethod
    def _weights(self) -> Sequence[Tensor | None]: ...


class _Layers(DropIn, nn.RNNBase):
    def forward(self, input: Any, hx: Any = None) -> Any:
        """As torch's: see there."""
        x: Tensor = input.data if isinstance(input, PackedSequence) else input
        states = states_of(hx)
        if refusal((x, *states)) or not self._fits(input, states, hx is None):
            return super().forward(input, hx)
        weights = self._weights()
        if refusal(weights):
            return super().forward(input, hx)
        parameters = {k: v for k, v in zip(self._flat_weights_names, weights, strict=True) if v is not None}
        y: Tensor | PackedSequence
        if isinstance(input, PackedSequence):
            y, ends = self._packed(input, states, parameters)
        elif x.dim() == 2:
            one, ends = self._stack(x[None], [v[:, None] for v in states], parameters)
            y, ends = one[0], [v[:, 0] for v in ends]
        elif self.batch_first:
            y, ends = self._stack(x, states, parameters)
        else:
            one, ends = self._stack(x.transpose(0, 1), states, parameters)
            y = one.transpose(0, 1).contiguous()  # people view it as they may view torch's
        return y, tuple(ends) if self.mode == "LSTM" else ends[0]

    def _fits(self, input: Tensor | PackedSequence, states: Sequence[Tensor], none: bool) -> bool:
        """Whether torch takes a call; where it does not, it says itself what is wrong."""
        x: Tensor = input.data if isinstance(input, PackedSequence) else input
        dims = (2,) if isinstance(input, PackedSequence) else (2, 3)
        if x.dim() not in dims or x.shape[-1] != self.input_size or not x.numel():
            return False
        rows = [x.shape[0 if self.batch_first else 1]] if x.dim() == 3 else []
        if isinstance(input, PackedSequence):
            rows = [int(input.batch_sizes[0])]
        sizes = (self.proj_size or self.hidden_size, self.hidden_size)[: 2 if self.mode == "LSTM" else 1]
        chains = self.num_layers * (2 if self.bidirectional else 1)
        return none or [tuple(v.shape) for v in states] == [(chains, *rows, size) for size in sizes]

    def _packed(
        self, input: PackedSequence, states: Sequence[Tensor], parameters: dict[str, Tensor]
    ) -> tuple[PackedSequence, list[Tensor]]:
        order, back = input.sorted_indices, input.unsorted_indices
        x, lengths = pad_packed_sequence(PackedSequence(input.data, input.batch_sizes), batch_first=True)
        y, ends = self._stack(x, [v if order is None else v[:, order] for v in states], parameters, lengths)
        data = pack_padded_sequence(y, lengths, batch_first=True).data
        return PackedSequence(data, input.batch_sizes, order, back), [v if back is None else v[:, back] for v in ends]

    def _stack(
        self,
        x: Tensor,
        states: Sequence[Tensor],
        parameters: dict[str, Tensor],
        lengths: Tensor | None = None,
    ) -> tuple[Tensor, list[Tensor]]:
        """All layers over `(B, T, feature)`; states `(layers · directions, B, ·)`."""
        handed = [v.unbind() for v in states]
        ends: list[list[Tensor]] = []
        for depth in range(self.num_layers):
            if depth and self.dropout and self.training:
                x = _dropped(x, self.dropout, lengths)
            ys = []
            for reverse in (False, True)[: 2 if self.bidirectional else 1]:
                cell, binding = torch_layer(self, depth, reverse)
                names = [a.name for a in cell.graph.of("state")]
                state = {k: v[len(ends)] for k, v in zip(names, handed, strict=True)} if handed else None
                weights = binding.weights(parameters)
                one = scan(kernel_of(cell), weights, x, state, lengths=lengths, reverse=reverse)
                ys.append(one.output)
                ends.append([*one.state.values()])
            x = torch.cat(ys, -1) if len(ys) > 1 else ys[0]
        return x, [torch.stack(v) for v in zip(*ends, strict=True)]

    def _weights(self) -> Sequence[Tensor | None]:
        self._update_flat_weights()  # as torch does: a parametrisation is computed as often as there
        return self._flat_weights


def _dropped(x: Tensor, p: float, lengths: Tensor | None) -> Tensor:
    """`x` `(B, T, feature)` with dropout over the values in torch's order, so that it draws what torch draws."""
    if lengths is None:
        return dropout(x.transpose(0, 1).contiguous(), p).transpose(0, 1)
    packed = pack_padded_sequence(x, lengths, batch_first=True)
    dropped = PackedSequence(dropout(packed.data, p), packed.batch_sizes)
    return pad_packed_sequence(dropped, batch_first=True)[0]


class LSTM(_Layers, nn.LSTM):
    """torch.nn.LSTM computed by rekur's kernels where a call is in float32 on the CPU; elsewhere by torch's own.

    It is a torch.nn.LSTM: arguments, shapes, parameters, `state_dict`, errors and results are torch's, and on one
    seed its dropout draws what torch's draws. Results agree to the rounding of float32. The equations are those of
    `rekur.cells.lstm`, and of `lstmp` with `proj_size`.

    Autocast, torch.func, torch.jit and forward-mode gradients leave a call to torch's kernels; `explain` says so.

    >>> import torch
    >>> layer = LSTM(8, 16, num_layers=2, batch_first=True)
    >>> y, (h, c) = layer(torch.randn(3, 5, 8))
    >>> y.shape, h.shape, isinstance(layer, torch.nn.LSTM)
    (torch.Size([3, 5, 16]), torch.Size([2, 3, 16]), True)
    """


class GRU(_Layers, nn.GRU):
    """torch.nn.GRU computed by rekur's kernels where a call is in float32 on the CPU: see `LSTM`.

    The equations are those of `rekur.cells.gru_after`.

    >>> import torch
    >>> y, h = GRU(8, 16, bidirectional=True)(torch.randn(5, 3, 8))
    >>> y.shape, h.shape
    (torch.Size([5, 3, 32]), torch.Size([2, 3, 16]))
    """


class RNN(_Layers, nn.RNN):
    """torch.nn.RNN computed by rekur's kernels where a call is in float32 on the CPU: see `LSTM`.

    The equations are those of `rekur.cells.elman`, and of `elman_relu` with `nonlinearity="relu"`.

    >>> import torch
    >>> y, h = RNN(8, 16, nonlinearity="relu")(torch.randn(5, 8))
    >>> y.shape, h.shape
    (torch.Size([5, 16]), torch.Size([1, 16]))
    """
