"""What a model expected of a text at every place, and what came: surprise, and the likeliest next symbols."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rekur.errors import DataError, OptionError
from rekur.inspect.names import xarray
from rekur.inspect.taking import looking
from rekur.nn import SequenceModel

if TYPE_CHECKING:
    from xarray import DataArray

_SHOWN = 600  # characters that a notebook shows
_STRONGEST = 8.0  # bits that are coloured most


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a model expected of a text, symbol by symbol, each given all that come before it.

    Arrays have the axis `time`, whose labels are the places of the symbols in the text: from 1, since nothing
    comes before the first one. Along `rank` are the symbols that the model found likeliest, the first one first.
    """

    text: Sequence[str]
    """The symbols, from the one before the first that is predicted to the last"""
    surprise: DataArray
    """(time,) −log₂ p of the symbol that came, in bits; the mean is the cross entropy"""
    expected: DataArray
    """(time,) the entropy of what the model expected, −Σ p log₂ p: the surprise that it saw coming"""
    rank: DataArray
    """(time,) how many symbols the model found at least as likely as the one that came: 1 if it guessed right"""
    likely: DataArray
    """(time, rank) the symbols that the model found likeliest"""
    probability: DataArray
    """(time, rank) and what it gave them"""

    @property
    def bits(self) -> float:
        """The mean surprise, in bits a symbol."""
        return float(self.surprise.mean())

    def __len__(self) -> int:
        return int(self.surprise.sizes["time"])

    def part(self, first: int, last: int) -> Prediction:
        """The same of the places from `first` to before `last`."""
        start = int(self.surprise.time[0])
        here = slice(max(first, start) - start, max(last, start) - start)
        if not 0 <= here.start < here.stop <= len(self):
            raise OptionError(f"places {first} to {last} are not within {start} to {start + len(self)}")
        arrays = {name: getattr(self, name)[here] for name in _ARRAYS}
        return Prediction(self.text[here.start : here.stop + 1], **arrays)

    def plot(self, **options: Any) -> Any:
        """Draw the surprise along the text, as xarray draws; it needs matplotlib."""
        return self.surprise.plot(**options)

    def _repr_html_(self) -> str:
        marks = [f"<span>{escape(self.text[0])}</span>"]
        rows = zip(self.text[1 : _SHOWN + 1], self.surprise.values, self.likely.values, strict=False)
        for symbol, bits, likely in rows:
            strength = min(float(bits) / _STRONGEST, 1) / 2
            title = escape(f"{bits:.1f} bits; expected: {' '.join(map(repr, likely))}")
            style = f"background: rgba(200, 70, 40, {strength:.2f})"
            marks.append(f'<span style="{style}" title="{title}">{escape(symbol)}</span>')
        more = f"; the first {_SHOWN} are shown" if len(self) > _SHOWN else ""
        caption = f"{len(self):,} symbols, {self.bits:.3f} bits each{more}"
        return f'<p>{caption}</p><pre style="white-space: pre-wrap">{"".join(marks)}</pre>'


_ARRAYS = ("surprise", "expected", "rank", "likely", "probability")


def foreseen(
    model: SequenceModel,
    symbols: npt.NDArray[np.integer[Any]],
    names: Sequence[str],
    *,
    text: Sequence[str] | None = None,
    top: int = 5,
    time: int = 256,
) -> Iterator[Prediction]:
    """What a model expects of a text, chunk by chunk, the state carried from one to the next.

    Args:
        model: it reads symbols and puts out one logit for each.
        symbols: (N,) the text as numbers.
        names: by number: what a symbol is called.
        text: (N,) the symbols as they are to be shown; by default their names.
        top: how many of the likeliest symbols are kept.
        time: steps of a chunk, which do not change the result.

    Raises:
        DataError: fewer than two symbols.
        OptionError: the model does not put out symbols, or a number makes no sense.

    >>> from rekur.cells import lstm
    >>> from rekur.nn import Plan
    >>> model = SequenceModel(Plan(lstm, 4, 8, symbols=3, outputs=3))
    >>> [len(part) for part in foreseen(model, np.array([0, 1, 2, 1, 0, 1]), "abc", time=2)]
    [2, 2, 1]
    """
    shown = _checked(model, symbols, names, text, top, time)
    at = 0
    for values in _chunks(model, symbols, np.array(list(names)), top, time):
        steps = len(values["surprise"])
        yield _prediction(shown[at : at + steps + 1], at + 1, values)
        at += steps


def foresee(
    model: SequenceModel,
    symbols: npt.NDArray[np.integer[Any]],
    names: Sequence[str],
    *,
    text: Sequence[str] | None = None,
    top: int = 5,
    time: int = 256,
    progress: Callable[[int], object] = lambda steps: None,
) -> Prediction:
    """What `foreseen` gives, which has the same arguments, whole; `progress` is told of every chunk's steps.

    >>> from rekur.cells import lstm
    >>> from rekur.nn import Plan
    >>> model = SequenceModel(Plan(lstm, 4, 8, symbols=3, outputs=3))
    >>> prediction = foresee(model, np.array([0, 1, 2, 1]), "abc")
    >>> prediction.likely.shape, bool(prediction.surprise.sel(time=2) > 0)
    ((3, 3), True)
    """
    shown = _checked(model, symbols, names, text, top, time)
    parts = list[dict[str, npt.NDArray[Any]]]()
    for values in _chunks(model, symbols, np.array(list(names)), top, time):
        parts.append(values)
        progress(len(values["surprise"]))
    return _prediction(shown, 1, {name: np.concatenate([part[name] for part in parts]) for name in _ARRAYS})


def _checked(
    model: SequenceModel,
    symbols: npt.NDArray[np.integer[Any]],
    names: Sequence[str],
    text: Sequence[str] | None,
    top: int,
    time: int,
) -> Sequence[str]:
    """The text as it is shown."""
    plan = model.plan
    if plan.symbols is None or plan.outputs != plan.symbols or plan.pooling is not None or plan.bidirectional:
        raise OptionError(
            "only a model that goes on with a text can be surprised by it: one direction, and as many outputs as "
            f"symbols; got symbols={plan.symbols}, outputs={plan.outputs}, pooling={plan.pooling!r}, "
            f"bidirectional={plan.bidirectional}"
        )
    if len(names) != plan.symbols:
        raise OptionError(f"there are {len(names)} names for {plan.symbols} symbols")
    for name, number in (("top", top), ("time", time)):
        if number < 1:
            raise OptionError(f"{name} is {number}; it must be 1 or more")
    if len(symbols) < 2:
        raise DataError(f"the text is too short to foresee anything of it: {len(symbols)} symbols; give 2 or more")
    shown = [names[symbol] for symbol in symbols.tolist()] if text is None else text
    if len(shown) != len(symbols):
        raise OptionError(f"the text has {len(shown)} symbols to show and {len(symbols)} to read")
    return shown


def _chunks(
    model: SequenceModel, symbols: npt.NDArray[np.integer[Any]], names: npt.NDArray[np.str_], top: int, time: int
) -> Iterator[dict[str, npt.NDArray[Any]]]:
    device = next(model.parameters()).device
    state: Mapping[str, Tensor] | None = None
    for at in range(0, len(symbols) - 1, time):
        read = torch.from_numpy(symbols[at : at + time + 1].astype(np.int64)).to(device)
        with looking(model):
            logits, state = model(read[None, :-1], state)
        logs = logits[0].double().log_softmax(-1) / np.log(2)  # (T, V), in bits
        came = logs.gather(-1, read[1:, None])  # (T, 1)
        best = logs.topk(min(top, len(names)), -1)
        yield {
            "surprise": (-came[:, 0]).float().cpu().numpy(),
            "expected": -(logs.exp2() * logs).nan_to_num(0).sum(-1).float().cpu().numpy(),  # 0·log 0 is 0
            "rank": (logs >= came).sum(-1).cpu().numpy(),
            "likely": names[best.indices.cpu().numpy()],
            "probability": best.values.exp2().float().cpu().numpy(),
        }


def _prediction(text: Sequence[str], first: int, values: Mapping[str, npt.NDArray[Any]]) -> Prediction:
    make = xarray().DataArray
    arrays = {}
    for name, array in values.items():
        coordinates = {"time": np.arange(first, first + len(array))}
        if array.ndim == 2:
            coordinates["rank"] = np.arange(1, array.shape[1] + 1)
        units = {"units": "bits"} if name in ("surprise", "expected") else {}
        arrays[name] = make(array, coordinates, ("time", "rank")[: array.ndim], name, units)
    return Prediction(text, **arrays)
