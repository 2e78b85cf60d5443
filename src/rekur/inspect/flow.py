"""How gradients flow: ∂loss/∂state of every layer at every step, and how it fades on its way back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from rekur.errors import ShapeError, suggest
from rekur.inspect.arrays import named_axes
from rekur.inspect.unfold import Unfolded, unfold
from rekur.nn import Recurrent, SequenceModel

if TYPE_CHECKING:
    from xarray import DataArray

NOT_ASKED = -1
"""The target of a step at which nothing is asked"""
At = Literal["every", "last", "first"]


class Flow(Mapping[str, "DataArray"]):
    """The gradient of a loss in every state: ``flow["0.c"]`` has the axes batch, time and unit.

    It is in the state as it leaves a step and is carried to the next: how much the loss would change if, between the
    two, a unit were moved. What of the step itself reads the new state, as ``h = o * tanh(c)`` reads c, is not in it;
    what layers above read at that step is. Steps that are not real hold NaN.
    """

    def __init__(self, gradients: Mapping[str, Tensor], losses: Tensor) -> None:
        self._gradients = dict(gradients)
        self.losses = named_axes(losses.detach().cpu().numpy(), ("batch",))
        """The loss of each row"""

    def __getitem__(self, state: str) -> DataArray:
        found = self._gradients.get(state)
        if found is None:
            raise KeyError(f"there is no state {state!r}{suggest(state, self._gradients)}")
        further = [f"axis{i}" for i in range(1, found.dim() - 2)]
        return named_axes(found.cpu().numpy(), ("batch", "time", "unit", *further))

    def __iter__(self) -> Iterator[str]:
        return iter(self._gradients)

    def __len__(self) -> int:
        return len(self._gradients)

    @property
    def norms(self) -> DataArray:
        """The length of each gradient: state, batch, time."""
        squares = self._squares()
        return named_axes(
            torch.stack(list(squares.values())).sqrt().numpy(), ("state", "batch", "time"), {"state": list(squares)}
        )

    @property
    def layers(self) -> DataArray:
        """The same of all states of a layer as one vector: layer, batch, time."""
        whole: dict[str, Tensor] = {}
        for name, squares in self._squares().items():
            layer = name.rpartition(".")[0]
            whole[layer] = whole[layer] + squares if layer in whole else squares
        return named_axes(
            torch.stack(list(whole.values())).sqrt().numpy(), ("layer", "batch", "time"), {"layer": list(whole)}
        )

    def _squares(self) -> dict[str, Tensor]:
        # in double precision: what is below 1e-19 has a square that single precision takes for zero
        return {name: g.cpu().double().square().flatten(2).sum(2) for name, g in self._gradients.items()}


def gradient_flow(
    model: SequenceModel | Recurrent,
    x: Tensor,
    targets: Tensor,
    *,
    state: Mapping[str, Tensor] | None = None,
    lengths: Tensor | Sequence[int] | None = None,
    at: At = "every",
) -> Flow:
    """The gradient of each row's loss in the states that the model goes through.

    :param x: as the model reads it: symbols `(B, T)` or features `(B, T, I)`.
    :param targets: classes, for cross entropy, or numbers, for the squared error summed over features: one a step,
        or one a row where the model pools. The class -1 says that nothing is asked.
    :param state: what the rows start from; by default what their sequences start from.
    :param lengths: real steps of each row; by default T.
    :param at: every: the mean over the steps that are asked, or the loss of what is pooled. last, first: the loss at
        the last or the first step that is asked, alone; a model that pools answers there as if its sequence ended.

    The model works as in evaluation and is left as it was. Raises ShapeError for targets that do not fit, and what
    the model raises.

    >>> layer = Recurrent("lstm", 3, 4)
    >>> flow = gradient_flow(layer, torch.randn(2, 5, 3), torch.zeros(2, 5, 4), at="last")
    >>> list(flow), flow["0.c"].dims, flow.norms.sel(state="0.c", time=4).values.tolist()
    (['0.h', '0.c'], ('batch', 'time', 'unit'), [0.0, 0.0])
    """
    return flow_of(unfold(model, x, state, lengths), targets, at)


def flow_of(unfolded: Unfolded, targets: Tensor, at: At) -> Flow:
    """`gradient_flow` of a model that is unfolded already."""
    losses = _losses(unfolded, targets, at)
    return Flow(unfolded.gradients(losses), losses)


def vanishing(
    model: SequenceModel | Recurrent,
    x: Tensor,
    targets: Tensor,
    *,
    lengths: Tensor | Sequence[int] | None = None,
) -> DataArray:
    """How the gradient of one step's loss fades on its way back: its length by layer, batch and distance.

    The loss is that of the last step at which something is asked, alone; the distance 0 is the state that leaves this
    step, 1 that which entered it. A layer from the last step to the first has no state at the end to come back from:
    its loss is that of the first step, and its distance is counted from there. What follows or lies beyond the
    beginning of a row is NaN. See `gradient_flow` for the arguments.

    >>> layer = Recurrent("elman", 3, 4)
    >>> curve = vanishing(layer, torch.randn(2, 5, 3), torch.zeros(2, 5, 4))
    >>> curve.dims, curve.sizes["distance"]
    (('layer', 'batch', 'distance'), 5)
    """
    return vanishing_of(unfold(model, x, None, lengths), targets)


def vanishing_of(unfolded: Unfolded, targets: Tensor) -> DataArray:
    """`vanishing` of a model that is unfolded already."""
    asked = _asked(unfolded, targets)
    time = asked.shape[1]
    back = torch.arange(time)
    found: dict[str, Tensor] = {}
    for reverse in (False, True):
        chosen = [prefix for prefix, chain in unfolded.chains.items() if chain.layer.reverse is reverse]
        if not chosen:
            continue
        layers = flow_of(unfolded, targets, "first" if reverse else "last").layers
        ends = _ends(asked, first=reverse).cpu()
        steps = ends[:, None] + back if reverse else ends[:, None] - back  # (B, distance)
        inside = (steps >= 0) & (steps < time) & asked.any(1).cpu()[:, None]
        for prefix in chosen:
            norms = torch.from_numpy(layers.sel(layer=prefix).values)
            found[prefix] = torch.where(inside, norms.gather(1, steps.clamp(0, time - 1)), torch.nan)
    names = [prefix for prefix in unfolded.chains if prefix in found]
    values = torch.stack([found[prefix] for prefix in names]).numpy()
    return named_axes(values, ("layer", "batch", "distance"), {"layer": names, "distance": back.numpy()})


def _losses(unfolded: Unfolded, targets: Tensor, at: At) -> Tensor:
    """The loss of each row, `(B,)`."""
    asked = _asked(unfolded, targets)
    if at == "every" and unfolded.pooled is not None:
        return torch.where(asked.any(1), _one_loss(unfolded.pooled, targets), 0)
    if unfolded.pooled is not None:
        targets = targets[:, None].expand(asked.shape[0], asked.shape[1], *targets.shape[1:])
    each = torch.where(asked, _one_loss(unfolded.outputs, targets), 0)
    if at == "every":
        return each.sum(1) / asked.sum(1).clamp(min=1)
    return each.gather(1, _ends(asked, first=at == "first")[:, None])[:, 0]


def _one_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    if targets.is_floating_point():
        return (outputs - targets.reshape(outputs.shape)).square().sum(-1)
    lead = outputs.shape[:-1]
    losses = nn.functional.cross_entropy(
        outputs.reshape(-1, outputs.shape[-1]), targets.reshape(-1), ignore_index=NOT_ASKED, reduction="none"
    )
    return losses.reshape(lead)


def _asked(unfolded: Unfolded, targets: Tensor) -> Tensor:
    """`(B, T)`: the real steps at which something is asked."""
    shape = tuple((unfolded.outputs if unfolded.pooled is None else unfolded.pooled).shape)
    numbers = targets.is_floating_point()
    fitting = {shape, shape[:-1]} if numbers and shape[-1] == 1 else {shape if numbers else shape[:-1]}
    if tuple(targets.shape) not in fitting:
        kind = "numbers" if numbers else "classes"
        raise ShapeError(
            f"the targets must be {kind} {max(fitting)}, as the model answers; got {tuple(targets.shape)}"
        )
    if numbers:
        return unfolded.live
    asked = targets != NOT_ASKED
    return unfolded.live & (asked if unfolded.pooled is None else asked[:, None])


def _ends(asked: Tensor, first: bool) -> Tensor:
    """`(B,)`: of each row the last step that is asked, or the first."""
    time = asked.shape[1]
    return asked.int().argmax(1) if first else time - 1 - asked.int().flip(1).argmax(1)
