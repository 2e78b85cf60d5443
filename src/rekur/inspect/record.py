"""What is inside a model while it reads: gates, states and every other named value, step by step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from rekur.errors import suggest
from rekur.inspect.names import parts
from rekur.inspect.taking import Array, Model, Taking, Text
from rekur.run import State

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from xarray import DataArray


class Record(Mapping[str, "DataArray"]):
    """Values by the names that the graph has for them; each is an `xarray.DataArray`.

    ``record["forget"]`` has the axes (layer, batch, time, unit), its layers are called as in a state: ``0``,
    ``0.reverse``, ``1`` …; ``record["1.forget"]`` is of the second layer alone, (batch, time, unit), and
    ``record["1.forget.17"]`` of one unit, (batch, time). Where the layers that have a value have it in different
    sizes, there is the value of each layer only. ``time`` is a coordinate, the number of the step; with texts,
    ``text`` is another. Further axes of a cell keep their letters. After the end of a row, values are NaN, which
    xarray's means and quantiles pass over.

    KeyError for a name that is not there, with the nearest.
    """

    def __init__(self, arrays: Mapping[str, DataArray], state: State) -> None:
        self._arrays = dict(arrays)
        self.state = state
        """After the last step of each row; what a stream goes on from"""

    def __getitem__(self, name: str) -> DataArray:
        if (found := self._arrays.get(name)) is not None:
            return found
        layer, value, unit = parts(name)
        array = None
        if layer is not None and f"{layer}.{value}" in self._arrays:
            array = self._arrays[f"{layer}.{value}"]
        elif layer is None and value in self._arrays:
            array = self._arrays[value]
        elif value in self._arrays and layer in self._arrays[value].layer:
            array = self._arrays[value].sel(layer=layer, drop=True)
        if array is None:
            raise KeyError(f"there is no {name!r} in the record{suggest(name, self._known())}")
        if unit is not None:
            if not 0 <= unit < array.sizes.get("unit", 0):
                raise KeyError(f"there is no {name!r} in the record: {value} has {array.sizes.get('unit', 0)} units")
            array = array.isel(unit=unit)
        return array.rename(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def __repr__(self) -> str:
        sizes = (
            f"{name} ({', '.join(f'{d} {n}' for d, n in array.sizes.items())})"
            for name, array in self._arrays.items()
        )
        return f"Record({'; '.join(sizes)})"

    def layers(self) -> Iterator[tuple[str, DataArray]]:
        """Each value of each layer by its full name, as ``1.forget`` (batch, time, unit), the lowest layer first."""
        full = [name for name in self._known() if parts(name)[0] is not None]
        for name in sorted(full, key=lambda name: [*map(int, name.split(".")[:1]), ".reverse." in name]):
            yield name, self[name]

    def plot(self, names: Sequence[str] | None = None, *, row: int = 0, steps: int = 160) -> Figure:
        """Heat maps of the values of one row; see `rekur.inspect.plot.plot`."""
        from rekur.inspect.plot import plot

        return plot(self, names, row=row, steps=steps)

    def _repr_html_(self) -> str:
        from rekur.inspect.plot import html

        return html(self)

    def _known(self) -> list[str]:
        layers = [f"{layer}.{k}" for k, v in self._arrays.items() if "layer" in v.dims for layer in v.layer.values]
        return [*self._arrays, *layers]


def observe(
    model: Model,
    x: Tensor | Array,
    names: Sequence[str],
    state: Mapping[str, Tensor] | None = None,
    lengths: Tensor | Sequence[int] | None = None,
    *,
    text: Text | None = None,
    time: int = 256,
    **options: Any,
) -> Record:
    """The named values at every step of sequences, whole; for arguments and errors see `observed`.

    It holds what is asked for and, of the rest, `time` steps at once.

    >>> import torch
    >>> from rekur.nn import Recurrent
    >>> record = observe(Recurrent("lstm", 3, 8, num_layers=2), torch.randn(1, 5, 3), ["forget", "c"], text="hello")
    >>> record
    Record(forget (layer 2, batch 1, time 5, unit 8); c (layer 2, batch 1, time 5, unit 8))
    >>> record["1.forget"].dims, record["1.c.7"].sel(time=4).text.item()
    (('batch', 'time', 'unit'), 'o')
    """
    taking = Taking(model, x, names, lengths, text, options)
    whole: dict[str, Array] = {}
    for at, chunk, after in taking.chunks(state, time):
        state = after
        for name, (first, *more) in chunk.items():
            if name not in whole:
                shape = (taking.rows, taking.steps, *first.shape[2:])
                whole[name] = np.empty((1 + len(more), *shape), first.numpy().dtype)
            for into, found in zip(whole[name], (first, *more), strict=True):
                into[:, at : at + found.shape[1]] = found.numpy()
    return Record(taking.named(0, whole), State(state or {}))


def observed(
    model: Model,
    x: Tensor | Array,
    names: Sequence[str],
    state: Mapping[str, Tensor] | None = None,
    lengths: Tensor | Sequence[int] | None = None,
    *,
    text: Text | None = None,
    time: int = 256,
    **options: Any,
) -> Iterator[Record]:
    """The named values, chunk by chunk of `time` steps: a text of any length in little memory.

    The values come out of the kernels' own buffers, and no others than those asked for. The model is in evaluation
    meanwhile, and there is no gradient. A bidirectional model has no state to go on from: it is read in one chunk.

    Args:
        model: a `SequenceModel`, of which the stack is looked at, or a `Recurrent`.
        x: as the model reads it: symbols `(B, T)`, features `(B, T, I)`, words with their characters `(B, T, 1 + L)`.
        names: of gates, states and other named values of the cells: ``forget`` of every layer that has it,
            ``1.forget`` of the second, ``0.reverse.forget`` of the first one's way back.
        state: what the sequences start from, as `Recurrent` gives it.
        lengths: real steps of each row, `(B,)`.
        text: labels of the steps: of one row its characters (a string) or its words (a list), of several rows a list
            of such; a row ends where its length says.
        options: what `Recurrent.forward` has besides: constants and memory_lengths.

    Raises ShapeError for names that no layer has and for what does not fit, RekurError where xarray is missing.

    >>> import torch
    >>> from rekur.nn import Recurrent
    >>> layer = Recurrent("gru", 3, 8)
    >>> [record["update"].sizes["time"] for record in observed(layer, torch.randn(1, 600, 3), ["update"])]
    [256, 256, 88]
    """
    taking = Taking(model, x, names, lengths, text, options)

    def stream() -> Iterator[Record]:
        for at, chunk, after in taking.chunks(state, time):
            arrays = {
                k: first.numpy()[None] if not more else np.stack([first.numpy(), *(v.numpy() for v in more)])
                for k, (first, *more) in chunk.items()
            }
            yield Record(taking.named(at, arrays), after)

    return stream()
