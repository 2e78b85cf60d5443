"""torch.nn.LSTMCell, GRUCell and RNNCell, computed by rekur's kernels: the same modules, arguments and results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from rekur.nn.binding import torch_layer
from rekur.nn.dropin import DropIn, kernel_of, refusal, states_of
from rekur.run import scan

_NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


class _Cells(DropIn, nn.RNNCellBase):
    def forward(self, input: Any, hx: Any = None) -> Any:
        """As torch's: see there."""
        states = states_of(hx)
        if refusal((input, *states)) or not self._fits(input, states, hx is None):
            return super().forward(input, hx)
        weights = self._weights()
        if refusal(weights):
            return super().forward(input, hx)
        cell, binding = torch_layer(self)
        batched = input.dim() == 2
        x = input[:, None] if batched else input[None, None]
        names = [a.name for a in cell.graph.of("state")]
        given = {k: v if batched else v[None] for k, v in zip(names, states, strict=False)}
        parameters = dict(zip(_NAMES, weights, strict=False))
        end = scan(kernel_of(cell), binding.weights(parameters), x, given or None).state
        ends = [v if batched else v[0] for v in end.values()]
        return tuple(ends) if isinstance(self, nn.LSTMCell) else ends[0]

    def _fits(self, input: Tensor, states: Sequence[Tensor], none: bool) -> bool:
        """Whether torch takes a call; where it does not, it says itself what is wrong."""
        if input.dim() not in (1, 2) or input.shape[-1] != self.input_size or not input.numel():
            return False
        if isinstance(self, nn.RNNCell) and self.nonlinearity not in ("tanh", "relu"):
            return False
        shape = (*input.shape[:-1], self.hidden_size)
        return none or [tuple(v.shape) for v in states] == [shape] * (2 if isinstance(self, nn.LSTMCell) else 1)

    def _weights(self) -> Sequence[Tensor]:
        return [getattr(self, name) for name in _NAMES[: 4 if self.bias else 2]]


class LSTMCell(_Cells, nn.LSTMCell):
    """torch.nn.LSTMCell computed by rekur's kernels where a call is in float32 on the CPU: see `LSTM`.

    >>> import torch
    >>> h, c = LSTMCell(8, 16)(torch.randn(3, 8))
    >>> h.shape, c.shape
    (torch.Size([3, 16]), torch.Size([3, 16]))
    """


class GRUCell(_Cells, nn.GRUCell):
    """torch.nn.GRUCell computed by rekur's kernels where a call is in float32 on the CPU: see `LSTM`.

    >>> import torch
    >>> GRUCell(8, 16)(torch.randn(3, 8)).shape
    torch.Size([3, 16])
    """


class RNNCell(_Cells, nn.RNNCell):
    """torch.nn.RNNCell computed by rekur's kernels where a call is in float32 on the CPU: see `LSTM`.

    >>> import torch
    >>> RNNCell(8, 16, nonlinearity="relu")(torch.randn(8), torch.zeros(16)).shape
    torch.Size([16])
    """
