"""What a classifier or a tagger says step by step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from rekur.errors import OptionError, ShapeError
from rekur.inspect.names import xarray
from rekur.inspect.taking import Array, looking
from rekur.nn import SequenceModel

if TYPE_CHECKING:
    from xarray import DataArray

_AT_ONCE = 64  # beginnings that are read side by side


@dataclass(frozen=True, eq=False)
class Told:
    """What a model says of a sequence."""

    values: DataArray
    """(time, label): after each step the probability of each label; without labels, what the head puts out"""
    note: str = ""
    """What it comes to, for people"""


def tell(
    model: SequenceModel, x: Tensor | Array, labels: Sequence[str] = (), *, steps: int | None = None, note: str = ""
) -> Told:
    """What a model says at each of the first `steps`, by default all of them.

    Of a model with an output at every step, a tagger, that output, the whole sequence read. Of a model that pools, a
    classifier, what it would say had the sequence ended there: each beginning is read by itself, so that it is right
    for every pooling and both directions, and takes the time of T sequences.

    Args:
        x: one sequence as the model reads it, without the axis of the batch: `(T,)`, `(T, I)`, `(T, 1 + L)`.
        labels: of the outputs; with them, outputs are turned into probabilities.

    Raises OptionError where there are not as many labels as outputs, ShapeError for an empty sequence.

    >>> from rekur.cells import gru
    >>> from rekur.nn import Plan
    >>> model = SequenceModel(Plan(gru, 0, 8, symbols=5, outputs=2, pooling="max"))
    >>> told = tell(model, torch.tensor([3, 1, 4]), ["good", "bad"])
    >>> told.values.dims, told.values.shape
    (('time', 'label'), (3, 2))
    """
    x = x if isinstance(x, Tensor) else torch.from_numpy(np.ascontiguousarray(x))
    if not len(x):
        raise ShapeError("the sequence is empty: nothing can be said of it")
    x = x.to(next(model.parameters()).device)
    x = x if x.is_floating_point() else x.long()
    steps = min(len(x), steps or len(x))
    with looking(model):
        if model.plan.pooling is None:
            y = model(x[None])[0][0, :steps]
        else:
            ends = [torch.arange(at + 1, min(at + _AT_ONCE, steps) + 1) for at in range(0, steps, _AT_ONCE)]
            y = torch.cat([model(x[: some[-1]].expand(len(some), *[-1] * x.dim()), lengths=some)[0] for some in ends])
    names = list(labels) or [f"output {i}" for i in range(y.shape[1])]
    if len(names) != y.shape[1]:
        raise OptionError(f"there are {len(names)} labels, and the model has {y.shape[1]} outputs")
    values = (y.softmax(-1) if labels else y).cpu().numpy()
    coordinates = {"time": np.arange(steps), "label": names}
    return Told(xarray().DataArray(values, dims=("time", "label"), coords=coordinates, name="told"), note)
