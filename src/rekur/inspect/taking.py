"""Values out of a model's kernels, chunk by chunk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from rekur.errors import OptionError, ShapeError
from rekur.inspect.names import dims, parts, xarray
from rekur.nn import Recurrent, SequenceModel
from rekur.nn.calls import check_names
from rekur.run import State

if TYPE_CHECKING:
    from xarray import DataArray

Model = SequenceModel | Recurrent
Array = npt.NDArray[Any]
Text = Sequence[str] | Sequence[Sequence[str]]


@contextmanager
def looking(model: nn.Module) -> Iterator[None]:
    """Within it, the model is in evaluation and there is no gradient; then every module is as it was.

    >>> model = nn.Sequential(nn.Dropout(0.5))
    >>> with looking(model):
    ...     model.training, torch.is_grad_enabled()
    (False, False)
    >>> model.training
    True
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in modes:
            module.training = training


Chunk = Mapping[str, Sequence[Tensor]]
"""Name -> the values of the layers under it, each `(B, T, …)`"""


class Taking:
    """What is asked of a model, checked before anything is run."""

    def __init__(
        self,
        model: Model,
        x: Tensor | Array,
        names: Sequence[str],
        lengths: Tensor | Sequence[int] | None,
        text: Text | None,
        options: Mapping[str, Any],
    ) -> None:
        self.xarray = xarray()
        self.model, self.options = model, options
        self.recurrent = model.recurrent if isinstance(model, SequenceModel) else model
        self.x = x if isinstance(x, Tensor) else torch.from_numpy(np.ascontiguousarray(x))
        if isinstance(names, str) or not names:
            raise OptionError(f"names must be a list of names, as ['h'], got {names!r}")
        if self.x.dim() < 2:
            raise ShapeError(f"the input must be (B, T) or (B, T, I), got {tuple(self.x.shape)}; one row is x[None]")
        self.rows, self.steps = self.x.shape[:2]
        self.names, self.lengths = list(names), None if lengths is None else torch.as_tensor(lengths).cpu()
        graphs = self.recurrent.graphs
        check_names(graphs, self.names)
        self.text = None if text is None else self._labels(text)
        self.dims: dict[str, tuple[str, ...]] = {}
        """Full name -> the axes after batch and time"""
        for prefix, graph in graphs.items():
            for value in dict.fromkeys([*graph.names, *graph.outputs]):
                self.dims[f"{prefix}.{value}"] = dims(graph, value)

    def chunks(self, state: Mapping[str, Tensor] | None, time: int) -> Iterator[tuple[int, Chunk, State]]:
        """(first step, values, state after it) of each."""
        if time < 1:
            raise OptionError(f"time is {time}; it must be 1 or more")
        if self.recurrent.bidirectional:
            time = max(self.steps, 1)
        device = next(self.model.parameters()).device
        for at in range(0, max(self.steps, 1), time):
            x = self.x[:, at : at + time].to(device)
            if not x.is_floating_point():
                x = x.long()
            left = None if self.lengths is None else (self.lengths - at).clamp(0, x.shape[1])
            with looking(self.model):
                if isinstance(self.model, SequenceModel):
                    x = self.model.read(x)
                scan = self.recurrent.scan(x, state, record=self.names, lengths=left, **self.options)
            state = scan.state
            found = {name: v.detach().cpu() for name, v in scan.record.items()}
            if left is not None:
                ended = torch.arange(x.shape[1]) >= left[:, None]
                fit = {name: ended.reshape(*ended.shape, *[1] * (v.dim() - 2)) for name, v in found.items()}
                found = {name: v.masked_fill(fit[name], torch.nan) for name, v in found.items()}
            yield at, self._grouped(found), scan.state

    def _grouped(self, found: Mapping[str, Tensor]) -> Chunk:
        """By bare name where the layers' values are alike, else by full name."""
        groups: dict[str, list[str]] = {}
        for name in sorted(found, key=[*self.dims].index):
            groups.setdefault(parts(name)[1], []).append(name)
        self.layers: dict[str, list[str]] = {}
        """Name of a group -> what its layers are called; no layer where it is of one"""
        chunk: dict[str, list[Tensor]] = {}
        for value, names in groups.items():
            if len({(found[name].shape, self.dims[name]) for name in names}) == 1:
                chunk[value] = [found[name] for name in names]
                self.layers[value] = names
            else:
                for name in names:
                    chunk[name], self.layers[name] = [found[name]], [name]
        order = {value: at for at, value in enumerate(parts(name)[1] for name in self.names)}
        return {name: chunk[name] for name in sorted(chunk, key=lambda name: order[parts(name)[1]])}

    def named(self, first: int, arrays: Mapping[str, Array]) -> dict[str, DataArray]:
        """Arrays `(layer, B, T, …)` from a step on, with their axes."""
        out = {}
        for name, array in arrays.items():
            names = self.layers[name]
            time = np.arange(first, first + array.shape[2])
            coordinates: dict[str, Any] = {"time": time}
            if self.text is not None:
                coordinates["text"] = (("batch", "time") if self.text.ndim == 2 else ("time",), self.text[..., time])
            axes = ("layer", "batch", "time", *self.dims[names[0]])
            if name in self.dims:
                axes, array = axes[1:], array[0]
            else:
                coordinates["layer"] = [parts(one)[0] for one in names]
            out[name] = self.xarray.DataArray(array, dims=axes, coords=coordinates, name=name)
        return out

    def _labels(self, text: Text) -> Array:
        one = self.rows == 1 and all(isinstance(label, str) for label in text) and len(text) == self.steps
        texts: Sequence[Sequence[str]] = [text] if one else text  # type: ignore[list-item]
        want = [self.steps] * self.rows if self.lengths is None else self.lengths.tolist()
        got = [len(labels) for labels in texts]
        if got != want and got != [self.steps] * self.rows:
            raise ShapeError(f"text must label {', '.join(map(str, want))} steps, got {', '.join(map(str, got))}")
        labels = np.array([[*labels, *[""] * (self.steps - len(labels))] for labels in texts])
        return labels[0] if self.rows == 1 else labels
