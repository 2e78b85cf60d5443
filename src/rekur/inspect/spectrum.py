"""What a step does to small changes of its state: spectral radii of recurrent weights and of the step's Jacobian."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from rekur.graph import Graph, recurrent_weights, walk
from rekur.inspect.arrays import named_axes
from rekur.inspect.unfold import Chain, Unfolded, unfold
from rekur.nn import Recurrent, SequenceModel
from rekur.nn.layer import Layer

if TYPE_CHECKING:
    from xarray import DataArray


def recurrent_radii(model: SequenceModel | Recurrent) -> DataArray:
    """The spectral radius of every weight that a layer multiplies a state by: layer, weight.

    It is the largest |λ| of the eigenvalues. A matrix that is not square has none: NaN, as where a layer has no such
    weight. A vector that is taken unit by unit is a diagonal matrix.

    >>> layer = Recurrent("elman", 3, 4)
    >>> with torch.no_grad():
    ...     _ = layer.layers[0].weights["hidden.h"].copy_(torch.diag(torch.tensor([0.5, -0.8, 0.1, 0.0])))
    >>> recurrent_radii(layer).sel(layer="0", weight="hidden.h").round(3).item()
    0.8
    """
    found = {prefix: _radii(layer) for prefix, layer in layers_of(model).items()}
    weights = list(dict.fromkeys(name for of in found.values() for name in of))
    values = [[of.get(name, torch.nan) for name in weights] for of in found.values()]
    return named_axes(values, ("layer", "weight"), {"layer": list(found), "weight": weights})


def step_jacobian(chain: Chain, row: int, time: int) -> Tensor:
    """∂s_t/∂s_{t-1} of one row at one step, `(S, S)`, where s is all states of the layer side by side.

    It goes through the step alone: what the state before does to later inputs is not in it.
    """
    entering = chain.entering(time)
    size = sum(value[0].numel() for value in entering.values())
    # each row of the batch asks for the gradient of another unit, so one step gives them all
    state = {k: v[row : row + 1].detach().expand(size, *v.shape[1:]).clone() for k, v in entering.items()}
    read = chain.read[row : row + 1, time : time + 1].detach()
    with torch.enable_grad():
        for value in state.values():
            value.requires_grad_()
        after = chain.step(read.expand(size, *read.shape[1:]), state)
        flat = torch.cat([after[k].flatten(1) for k in state], 1)
        parts = torch.autograd.grad(flat.diagonal().sum(), list(state.values()), allow_unused=True)
    known = [torch.zeros_like(v) if g is None else g for g, v in zip(parts, state.values(), strict=True)]
    return torch.cat([part.flatten(1) for part in known], 1)


def step_radii(model: SequenceModel | Recurrent, x: Tensor, *, places: int = 4) -> DataArray:
    """The spectral radius of the step's Jacobian ∂s_t/∂s_{t-1}: layer, place.

    The places are spread over rows and time of `x`. Above 1, a small change of the state grows in that step along
    some direction; below 1, one that is repeated dies out in all. Different steps have different directions, so what
    many of them do together is what `vanishing` measures.
    """
    return radii_of(unfold(model, x), places)


def radii_of(unfolded: Unfolded, places: int) -> DataArray:
    """`step_radii` of a model that is unfolded already."""
    counts = unfolded.live.sum(1).tolist()  # real steps come first
    spread = [(i % len(counts), (i + 1) / (places + 1)) for i in range(places)]
    chosen = [(row, int(share * counts[row])) for row, share in spread if counts[row]]
    values = [[_radius(step_jacobian(chain, row, at)) for row, at in chosen] for chain in unfolded.chains.values()]
    return named_axes(values, ("layer", "place"), {"layer": list(unfolded.chains)})


def layers_of(model: SequenceModel | Recurrent) -> dict[str, Layer]:
    """The layers by their names in states and records."""
    stack = model if isinstance(model, Recurrent) else model.recurrent
    found: dict[str, Layer] = {}
    for depth in range(len(stack.layers)):
        for layers, prefix in ((stack.layers, f"{depth}"), (stack.reverse_layers, f"{depth}.reverse")):
            if len(layers):
                layer = layers[depth]
                assert isinstance(layer, Layer)
                found[prefix] = layer
    return found


def _radii(layer: Layer) -> dict[str, float]:
    weights = layer.params()
    found = {}
    for name in (*recurrent_weights(layer.cell.graph), *_beside_states(layer.cell.graph)):
        value = weights[name].detach()
        if value.dim() == 1:
            found[name] = float(value.abs().max())
        else:
            found[name] = _radius(value) if value.shape[0] == value.shape[1] else torch.nan
    return found


def _beside_states(graph: Graph) -> list[str]:
    """Vectors of weights that multiply a state unit by unit, as IndRNN's and peepholes."""
    found = []
    for node in walk(graph.outputs.values()):
        if node.op == "mul":
            kinds = {arg.op: arg for arg in node.args}
            if "parameter" in kinds and "state" in kinds:
                found.append(kinds["parameter"].leaf.name)
    return found


def _radius(matrix: Tensor) -> float:
    return float(torch.linalg.eigvals(matrix.cpu().double()).abs().max())
