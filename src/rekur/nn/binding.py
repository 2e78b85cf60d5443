"""`Binding`: where the weights of a graph live in somebody else's parameters, with their identity kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from rekur.cells import lstmp
from rekur.errors import OptionError
from rekur.graph import Cell
from rekur.run.fused import LAYOUTS


@dataclass(frozen=True, slots=True)
class Part:
    """Some rows of a parameter."""

    parameter: str
    rows: slice


class Binding(Mapping[str, tuple[Part, ...]]):
    """Graph weight -> the parts whose sum it is; a weight without parts is a bias of zeros.

    >>> import torch
    >>> cell, binding = torch_layer(torch.nn.LSTM(3, 5))
    >>> binding["forget.bias"]
    (Part(parameter='bias_ih_l0', rows=slice(5, 10, None)), Part(parameter='bias_hh_l0', rows=slice(5, 10, None)))
    """

    def __init__(self, parts: Mapping[str, tuple[Part, ...]], hidden_size: int) -> None:
        self._parts = dict(parts)
        self._hidden_size = hidden_size

    def __getitem__(self, weight: str) -> tuple[Part, ...]:
        return self._parts[weight]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)

    def weights(self, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The graph's weights as views and sums of the parameters; gradients flow back into those."""
        zeros = next(iter(parameters.values())).new_zeros(self._hidden_size)
        out = {}
        for weight, parts in self.items():
            pieces = [parameters[p.parameter][p.rows] for p in parts]
            out[weight] = sum(pieces[1:], pieces[0]) if pieces else zeros
        return out


def torch_layer(module: nn.RNNBase, layer: int = 0, reverse: bool = False) -> tuple[Cell, Binding]:
    """The cell that a layer of torch.nn.LSTM, GRU or RNN computes, and where its weights are in the module.

    Raises OptionError for another module, and for a layer that the module has not.
    """
    if not isinstance(module, nn.RNNBase):
        raise OptionError(f"torch_layer reads torch.nn.LSTM, GRU or RNN, got {type(module).__name__}")
    if not 0 <= layer < module.num_layers or (reverse and not module.bidirectional):
        raise OptionError(f"{module} has no layer {layer}" + (" in reverse" if reverse else ""))
    layout = next(a for a in LAYOUTS if a.name == module.mode)
    suffix = f"_l{layer}" + ("_reverse" if reverse else "")
    h = module.hidden_size
    parts: dict[str, tuple[Part, ...]] = {}

    def bind(parameter: str, keys: tuple[str | None, ...], instead: tuple[str | None, ...]) -> None:
        for i, (key, other) in enumerate(zip(keys, instead, strict=True)):
            weight = key or other  # a second bias that the cell has not is added to the one it has
            assert weight is not None
            parts[weight] = (*parts.get(weight, ()), Part(parameter + suffix, slice(i * h, (i + 1) * h)))

    bind("weight_ih", layout.weight_ih, layout.weight_ih)
    bind("weight_hh", layout.weight_hh, layout.weight_hh)
    if module.bias:
        bind("bias_ih", layout.bias_ih, layout.bias_ih)
        bind("bias_hh", layout.bias_hh, layout.bias_ih)
    else:
        parts |= {k: () for k in (*layout.bias_ih, *layout.bias_hh) if k is not None}
    if module.proj_size:
        parts["projection.hidden"] = (Part("weight_hr" + suffix, slice(None)),)
        return lstmp, Binding(parts, h)
    return layout.cell, Binding(parts, h)
