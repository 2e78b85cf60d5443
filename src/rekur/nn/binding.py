"""`Binding`: where the weights of a graph live in somebody else's parameters, with their identity kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn

from rekur.cells import lstmp
from rekur.errors import OptionError
from rekur.graph import Cell
from rekur.run.fused import LAYOUTS


@dataclass(frozen=True, slots=True)
class Part:
    """Some rows of a parameter: those of one gate, of which each has H, or all."""

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
        self._parameters = tuple(dict.fromkeys(p.parameter for of in parts.values() for p in of))

    def __getitem__(self, weight: str) -> tuple[Part, ...]:
        return self._parts[weight]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)

    def weights(self, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The graph's weights as views and sums of the parameters; gradients flow back into those."""
        h = self._hidden_size
        gates = {k: torch.split(parameters[k], h) for k in self._parameters}  # each gets its gradient in one piece
        zeros = next(iter(gates.values()))[0].new_zeros(h)
        out = {}
        for weight, parts in self.items():
            pieces = [gates[p.parameter][(p.rows.start or 0) // h] for p in parts]
            out[weight] = sum(pieces[1:], pieces[0]) if pieces else zeros
        return out


def torch_layer(module: nn.RNNBase | nn.RNNCellBase, layer: int = 0, reverse: bool = False) -> tuple[Cell, Binding]:
    """The cell that a layer of torch.nn.LSTM, GRU or RNN computes, and where its weights are in the module.

    torch.nn.LSTMCell, GRUCell and RNNCell have one layer. Raises OptionError for another module, and for a layer that
    the module has not.
    """
    if not isinstance(module, nn.RNNBase | nn.RNNCellBase):
        raise OptionError(
            f"torch_layer reads torch.nn.LSTM, GRU or RNN, or a cell of one, got {type(module).__name__}"
        )
    layers, both = (module.num_layers, module.bidirectional) if isinstance(module, nn.RNNBase) else (1, False)
    if not 0 <= layer < layers or (reverse and not both):
        raise OptionError(f"{module} has no layer {layer}" + (" in reverse" if reverse else ""))
    if isinstance(module, nn.RNNBase):
        suffix = f"_l{layer}" + ("_reverse" if reverse else "")
        return bound(module.mode, module.hidden_size, module.bias, module.proj_size > 0, suffix)
    return bound(mode_of_cell(module), module.hidden_size, module.bias, False, "")


def mode_of_cell(module: nn.RNNCellBase) -> str:
    """As torch calls the mode of a layer of such cells."""
    if isinstance(module, nn.RNNCell):
        return f"RNN_{module.nonlinearity.upper()}"
    return "LSTM" if isinstance(module, nn.LSTMCell) else "GRU"


@cache
def bound(mode: str, hidden_size: int, bias: bool, projected: bool, suffix: str) -> tuple[Cell, Binding]:
    """`torch_layer` for a layer of a mode, whose parameters end in a suffix."""
    layout = next((a for a in LAYOUTS if a.name == mode), None)
    if layout is None:
        raise OptionError(f"torch.nn has no layer of mode {mode!r}; there are {', '.join(a.name for a in LAYOUTS)}")
    h = hidden_size
    parts: dict[str, tuple[Part, ...]] = {}

    def bind(parameter: str, keys: tuple[str | None, ...], instead: tuple[str | None, ...]) -> None:
        for i, (key, other) in enumerate(zip(keys, instead, strict=True)):
            weight = key or other  # a second bias that the cell has not is added to the one it has
            assert weight is not None
            parts[weight] = (*parts.get(weight, ()), Part(parameter + suffix, slice(i * h, (i + 1) * h)))

    bind("weight_ih", layout.weight_ih, layout.weight_ih)
    bind("weight_hh", layout.weight_hh, layout.weight_hh)
    if bias:
        bind("bias_ih", layout.bias_ih, layout.bias_ih)
        bind("bias_hh", layout.bias_hh, layout.bias_ih)
    else:
        parts |= {k: () for k in (*layout.bias_ih, *layout.bias_hh) if k is not None}
    if projected:
        parts["projection.hidden"] = (Part("weight_hr" + suffix, slice(None)),)
    cell = lstmp if projected else layout.cell
    return cell, Binding({k: parts[k] for k in cell.graph.parameters}, h)
