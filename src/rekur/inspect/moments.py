"""How gradients flow in a model at one moment of its training, and in several models side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from torch import Tensor

from rekur.inspect.arrays import named_axes
from rekur.inspect.decay import Decay
from rekur.inspect.flow import flow_of, vanishing_of
from rekur.inspect.spectrum import radii_of, recurrent_radii
from rekur.inspect.unfold import unfold
from rekur.nn import Recurrent, SequenceModel

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from xarray import DataArray


class Batch(NamedTuple):
    """What a model is asked, as `gradient_flow` takes it."""

    x: Tensor
    targets: Tensor
    lengths: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Moment:
    """A model at one moment."""

    cell: str
    step: int
    """Of training"""
    loss: float
    """The mean over rows, in the model's own measure"""
    rows: DataArray
    """`vanishing`: layer, batch, distance"""
    over_time: DataArray
    """The length of the gradient of the whole loss, mean over rows: state, time"""
    weights: DataArray
    """`recurrent_radii`: layer, weight"""
    jacobians: DataArray
    """`step_radii`: layer, place"""

    @classmethod
    def of(cls, model: SequenceModel | Recurrent, batch: Batch, *, step: int = 0, places: int = 3) -> Moment:
        """Unfold a model over a batch, and measure all of it.

        >>> import torch
        >>> layer = Recurrent("gru", 3, 4, 2)
        >>> moment = Moment.of(layer, Batch(torch.randn(2, 9, 3), torch.zeros(2, 9, 4)))
        >>> moment.cell, list(moment.decays), moment.curve.dims
        ('gru', ['0', '1'], ('layer', 'distance'))
        """
        unfolded = unfold(model, batch.x, None, batch.lengths)
        whole = flow_of(unfolded, batch.targets, "every")
        over = whole.norms
        known = ~np.isnan(over.values).all(1)  # (state, time): some row has this step
        mean = np.where(known, np.nansum(over.values, 1) / np.maximum(1, (~np.isnan(over.values)).sum(1)), np.nan)
        return cls(
            cell=next(iter(unfolded.chains.values())).layer.cell.name,
            step=step,
            loss=float(whole.losses.mean()),
            rows=vanishing_of(unfolded, batch.targets),
            over_time=named_axes(mean, ("state", "time"), {"state": over["state"].values}),
            weights=recurrent_radii(model),
            jacobians=radii_of(unfolded, places),
        )

    @property
    def layers(self) -> list[str]:
        """Their names."""
        return [str(name) for name in self.rows["layer"].values]

    @property
    def curve(self) -> DataArray:
        """The mean over rows as far as all rows go that go anywhere: layer, distance."""
        asked = self.rows.isel(batch=~np.isnan(self.rows.values).all((0, 2)))
        return asked.mean("batch", skipna=False)

    @property
    def decays(self) -> dict[str, Decay]:
        """By layer."""
        return {name: Decay.of(self.curve.sel(layer=name).values) for name in self.layers}

    @property
    def when(self) -> str:
        """After how much training."""
        return f"after {self.step:,} step{'s' * (self.step != 1)}" if self.step else "before training"

    @property
    def layer(self) -> str:
        """In which the gradient changes most on its way back."""
        decays = self.decays
        return max(decays, key=lambda name: abs(np.log(max(decays[name].left, 1e-300))))

    @property
    def worst(self) -> Decay:
        """Of that layer."""
        return self.decays[self.layer]

    def sentence(self) -> str:
        """What vanishes or explodes in it, and where: the layer in which the gradient changes most."""
        where = f"of layer {self.layer} " if len(self.layers) > 1 else ""
        cause = ""
        if (radius := float(self.jacobians.sel(layer=self.layer).mean())) == radius:
            cause = f" (spectral radius of a step's Jacobian: {radius:.2f})"
        return self.worst.sentence(f"the gradient in the states {where}".rstrip()) + cause


@dataclass(frozen=True, eq=False)
class Flows:
    """A run's model over its training, and other cells beside it."""

    own: Sequence[Moment]
    """At the steps that are there: before the first, and those of kept checkpoints"""
    beside: Mapping[str, Sequence[Moment]] = field(default_factory=dict)
    """By cell, on the same data with the same size and optimiser: before training, and over a short training"""
    parameters: Mapping[str, int] = field(default_factory=dict)
    """By cell"""
    seconds: float = 0.0
    """That training and measuring the cells beside took"""
    unit: str = "steps"
    """What a step is: characters, words"""

    def sentences(self) -> list[str]:
        """What is seen, a line for each model: the run's own as it is last, the others before and after training."""
        said = []
        if self.own:
            last = self.own[-1]
            said.append(f"This model, {last.cell}, {last.when}: {last.sentence()}.")
        for cell, moments in self.beside.items():
            both = dict.fromkeys((moments[0], moments[-1]))
            said += [f"{cell}, {moment.when}: {moment.sentence()}." for moment in both]
        return said

    @property
    def last(self) -> dict[str, Moment]:
        """Each model as it is last, by what it is called and after how much training."""
        found = {f"{one.cell}, this model, {one.when}": one for one in self.own[-1:]}
        return found | {f"{cell} beside it, {of[-1].when}": of[-1] for cell, of in self.beside.items()}

    def plot(self) -> Figure:
        """Curves by layer, of each model as it is last; see `rekur.inspect.plot.curves`."""
        from rekur.inspect.plot import curves

        return curves(self.last, self.unit)

    def _repr_html_(self) -> str:
        from rekur.inspect.plot import image

        return "".join(f"<p>{escape(one)}</p>" for one in self.sentences()) + image(self.plot())

    def brief(self) -> list[str]:
        """What is left of a gradient, a short line for each model as it is last."""
        return [f"{name}: {moment.worst.brief(self.unit)}" for name, moment in self.last.items()]
