"""Arrays with named axes, from what torch and numpy have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rekur.inspect.names import xarray

if TYPE_CHECKING:
    from xarray import DataArray


def named_axes(
    values: npt.ArrayLike, axes: Sequence[str], labels: Mapping[str, Sequence[Any] | npt.NDArray[Any]] | None = None
) -> DataArray:
    """An array whose axes have names, and labels where there are any; RekurError where xarray is missing.

    >>> named_axes([[1.0, 2.0]], ("layer", "time"), {"layer": ["0"]}).sel(layer="0").values.tolist()
    [1.0, 2.0]
    """
    array: DataArray = xarray().DataArray(np.asarray(values), dims=tuple(axes), coords=dict(labels or {}))
    return array
