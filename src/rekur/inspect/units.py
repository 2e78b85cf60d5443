"""Which units of a network can be read: a measure, for what "about 5 %" was an estimate by eye.

Karpathy, Johnson and Fei-Fei, "Visualizing and Understanding Recurrent Networks", 2015, look at the memory cells of
character models and find some that follow quotation marks, line lengths, brackets; "about 5 %" is what they say of
cells that can be interpreted. Here the share is measured, against what else might explain it.

**The statement.** A unit is *readable* if there is a property p of the text such that the unit's value after reading
a character tells p better than each of three rivals, on text on which nothing was fitted. One scale for all
(`rekur.inspect.scores`): R² on held-out text, the unit's value cut into 32 bins by rank.

**The null hypotheses.** For every unit u, more exactly each of its states (of an LSTM c and h), and property p:

* H_a(u, p): u tells p no better than the best table of the last k characters, k = 1 … 5 with back-off (it is also
  fitted on `more` text, which the network learnt from, since the network knows that too). Then in each block of text
  the table's loss less the unit's has a mean of at most 0.
* H_b(u, p): u tells p no better than the best unit of an untrained network of the same plan, *by more than one
  untrained network's best beats another's*. The difference has a mean of at most m_p (`trials.luck`). Without m_p,
  of two untrained networks one would "beat" the other half of the time: much text tells them apart for certain.
* H_c(u, p): u has nothing to do with p but that both drift slowly along the text. Then its R² is like that with the
  property moved along the text, away from its place.

**The error that is bounded.** With probability 1 − alpha not a single unit is called readable of a property for which
one of the three holds. alpha is shared: a fifth to H_a and two fifths to H_b (text and luck with networks, a fifth
each) and two fifths to H_c. Each is corrected for all units, states and properties tried, by the distribution of the
maximum (`trials.critical`, `trials.bars`), which takes into account that units hang together.

**What may be missed.** Not to be wrong once is strict, and blocks of one text differ much: of a large network much is
left out that more text might show. `Units.apparent` is how many units are above all three rivals on this text as it
is; the shares count those of them that are certain.

**What is random.** Neighbouring characters are not independent, so the text is cut into up to 50 blocks, and blocks
are what is flipped and drawn. The interval of the share is of blocks drawn with replacement: it says how the share
would differ on other text of the same kind and length, not how it would differ for another network trained alike.

**What it does not say.** That a unit beats its rivals may be certain and yet of little weight, so the share is given
by how well it tells the property too. A unit may follow something that nobody asked for; it then counts as not
readable. So the share is one of these properties, and a lower bound. What a unit tells need not be what it works out,
for properties hang together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rekur.errors import OptionError, ShapeError
from rekur.inspect import trials
from rekur.inspect.arrays import named_axes
from rekur.inspect.passages import Example, Passage, examples, passage, telling
from rekur.inspect.properties import Property, values
from rekur.inspect.readable import Share, owners, ranked, shares_of
from rekur.inspect.scores import Floats, Target, bins, losses, shifted_scores, table_losses, whole_blocks

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from xarray import DataArray

_SHOWN = 2000  # characters of the excerpt
_BYTES = 3_000_000  # of its values, at most
_TOGETHER = 32  # columns turned at a time
_SHIFTS = 60  # K
_PLACES = 4000  # looked at for what is moved along the text: fewer characters make the maxima larger, not smaller

States = NDArray[np.float16] | Iterable[NDArray[np.floating]]
"""(N, U) values, a row a character; or pieces (n, U) of them, in the order of the text"""


@dataclass(frozen=True, eq=False)
class Units:
    """What the units of a network follow. U columns, one for each unit and state; P properties."""

    names: tuple[str, ...]
    """(U,) as ``0.c.17``: layer, state, place"""
    units: tuple[str, ...]
    """(U,) the unit that a column belongs to, as ``0.17``: states of equal size in a layer are one unit's"""
    properties: tuple[Property, ...]
    left_out: dict[str, str]
    """Property -> why it could not be asked for"""
    r2: Floats
    """(U, P) R² on held-out text"""
    beats: NDArray[np.bool_]
    """(3, U, P) whether the table, the untrained network and chance are beaten"""
    table: Floats
    """(P,) R² of the best table of the last characters"""
    orders: tuple[int, ...]
    """(P,) at how many characters it looks"""
    untrained: Floats
    """(P,) R² of the best unit of the untrained network"""
    luck: Floats
    """(P,) by how much that must be beaten"""
    chance: Floats
    """(P,) R² that the best unit reaches where the property is out of place"""
    shares: tuple[Share, ...]
    """Readable units, from each of `readable.THRESHOLDS` on"""
    excerpt: Passage
    """All columns on a piece of the text"""
    examples: tuple[Example, ...]
    """The best columns on text, one a property"""
    characters: int
    """Of the text, as far as it was used"""
    more: int
    """Characters that the table learnt from besides"""
    blocks: int
    alpha: float

    @property
    def readable(self) -> NDArray[np.bool_]:
        """(U, P) the columns that beat all three."""
        return np.asarray(self.beats.all(0))

    @property
    def rival(self) -> Floats:
        """(P,) the R² that the strongest rival reaches, luck and chance included."""
        return np.maximum(np.maximum(self.table, self.untrained + self.luck), self.chance)

    @property
    def apparent(self) -> int:
        """Units that tell a property better than every rival on this text, certain or not."""
        return len({self.units[u] for u in np.flatnonzero((self.r2 > self.rival).any(1))})

    @property
    def scores(self) -> DataArray:
        """(unit, property) R² on held-out text, with names on the axes."""
        labels = {"unit": list(self.names), "property": [one.name for one in self.properties]}
        return named_axes(self.r2, ("unit", "property"), labels).rename("R²")

    def plot(self) -> Figure:
        """For each property its best unit and the strongest rival; see `rekur.inspect.plot.rivals`."""
        from rekur.inspect.plot import rivals

        return rivals(self)

    def _repr_html_(self) -> str:
        from rekur.inspect.plot import image

        found = self.shares[0]
        rows = (f"{self.names[u]} {self.properties[p].name} {self.r2[u, p]:.2f}" for u, p in self.best())
        return f"<p>{found.count} of {found.of} units can be read</p><pre>{escape(chr(10).join(rows))}</pre>" + image(
            self.plot()
        )

    def best(self) -> list[tuple[int, int]]:
        """(column, property) of every readable column with the property that it tells best, the best first."""
        return ranked(self.r2, self.readable)


def measure(
    text: str,
    states: States,
    untrained: States,
    properties: Sequence[Property],
    names: Sequence[str],
    *,
    more: str = "",
    alpha: float = 0.05,
    seed: int = 0,
    progress: Callable[[float], None] = lambda share: None,
) -> Units:
    """Which units of a network follow which property of a text.

    Args:
        text: N characters, which the network has not learnt from.
        states: (N, U) the values of its states after each of them, or an iterator over pieces of that.
        untrained: the same of an untrained network of the same plan; of several side by side if there are.
        properties: what units may follow; those that are constant on the text are left out, and it is said.
        names: (U,) of the columns of `states`, as ``0.c.17``.
        more: text that the table of the last characters may learn from besides: some of what the network learnt from.
        alpha: how likely a single false find may be.
        seed: of the drawn signs, shifts and blocks.
        progress: is told the share of work that is done.

    Raises DataError for a text that is too short, ShapeError where the states do not fit it, OptionError for
    properties that make no sense.
    """
    generator = np.random.default_rng(seed)
    n, blocks = whole_blocks(len(text))
    kept, raw, left_out = _asked(properties, text, n)
    target = Target.of(raw)
    mean, scale = raw[:, :n].mean(1, dtype=np.float64), raw[:, :n].std(1, dtype=np.float64)
    further = [(values(prop, more) - m) / s for prop, m, s in zip(kept, mean, scale, strict=True)]
    told, orders = table_losses(text, more, target, np.stack(further).astype(np.float64))
    progress(0.1)

    moved, thin = _moved(target, generator)
    largest = np.full(moved.shape[1], -np.inf)
    columns = _whole(states, len(text), len(names), "states")
    own = np.empty((blocks, len(names), len(kept)))
    cut = int(np.searchsorted(thin, n // 2))
    for at, codes in enumerate(_coded(columns, n)):
        own[:, at] = losses(codes, target)
        np.maximum(largest, shifted_scores(codes[thin], moved, cut), out=largest)
        progress(0.1 + 0.6 * (at + 1) / len(names))
    del moved
    blank = _whole(untrained, len(text), None, "states of the untrained network")
    if blank.shape[1] < 8:  # luck is estimated from the best five
        raise ShapeError(f"the untrained network has {blank.shape[1]} values: with fewer than 8 its luck is unknown")
    other = np.empty((blocks, blank.shape[1], len(kept)))
    for at, codes in enumerate(_coded(blank, n)):
        other[:, at] = losses(codes, target)
        progress(0.7 + 0.25 * (at + 1) / blank.shape[1])
    del blank

    squares = target.squares  # (blocks, P)
    whole = squares.sum(0)
    r2, r2_other = 1 - own.sum(0) / whole, 1 - other.sum(0) / whole
    champion = r2_other.argmax(0)
    luck = trials.luck(r2_other, alpha / 5)
    chance = trials.bars(largest.reshape(-1, len(kept)), 0.4 * alpha)
    against_table = told[:, None] - own
    rival = other[:, champion, np.arange(len(kept))] - luck * whole / blocks
    differences = (against_table, rival[:, None] - own)
    limits = [trials.critical(d, alpha / 5, generator) for d in differences]
    t = [trials.statistics(d) for d in differences]
    beats = np.stack([*(one > limit for one, limit in zip(t, limits, strict=True)), r2 > chance])
    readable = np.asarray(beats.all(0))
    units = owners(names)
    shares = shares_of(units, readable, r2, own, squares, differences, limits, chance, generator)
    best = ranked(r2, readable)
    shown = min(_SHOWN, _BYTES // len(names))
    begin = telling(text[:n], target.y[sorted({p for _, p in best}) or slice(None)], shown)
    progress(1.0)
    return Units(
        tuple(names), units, kept, left_out, r2, beats, 1 - told.sum(0) / whole, tuple(orders), r2_other.max(0), luck,
        chance, shares, passage(text, begin, shown, columns),
        examples(text[:n], columns, raw[:, :n], best), n, len(more), blocks, alpha,
    )  # fmt: skip


def _asked(
    properties: Sequence[Property], text: str, n: int
) -> tuple[tuple[Property, ...], NDArray[np.float32], dict[str, str]]:
    """The properties that are not constant on the first n characters, their values (P, N), and why the others are
    left out.
    """
    kept: dict[str, tuple[Property, NDArray[np.float32]]] = {}
    left_out: dict[str, str] = {}
    for prop in properties:
        if prop.name in kept or prop.name in left_out:
            raise OptionError(f"there are two properties {prop.name!r}; give one of them another name")
        found = values(prop, text)
        if (found[:n] == found[0]).all():
            left_out[prop.name] = f"it is {found[0]:g} at every character of this text"
        else:
            kept[prop.name] = prop, found
    if not kept:
        why = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
        raise OptionError(f"there is no property to ask for{': ' if why else ''}{why}")
    return tuple(prop for prop, _ in kept.values()), np.stack([found for _, found in kept.values()]), left_out


def _whole(states: States, rows: int, columns: int | None, what: str) -> NDArray[np.float16]:
    """All rows as float16, which 32 bins do not see the difference of."""
    if isinstance(states, np.ndarray):
        out = states.astype(np.float16, copy=False)
        found = len(out)
    else:
        out, found = np.empty((0, 0), np.float16), 0
        for piece in states:
            if not found:
                out = np.empty((rows, piece.shape[1]), np.float16)
            if found + len(piece) <= rows:
                out[found : found + len(piece)] = piece
            found += len(piece)
    if found != rows or out.ndim != 2 or columns not in (None, out.shape[1]):
        raise ShapeError(
            f"the {what} have shape ({found}, {out.shape[-1]}); the text has {rows} characters"
            + ("" if columns is None else f", and there are {columns} names")
        )
    if not np.isfinite(out).all():
        raise ShapeError(f"the {what} are not all finite in float16")
    return out


def _coded(columns: NDArray[np.float16], n: int) -> Iterable[NDArray[np.uint8]]:
    """The bins of each column, one after the other."""
    for at in range(0, columns.shape[1], _TOGETHER):
        for column in np.ascontiguousarray(columns[:n, at : at + _TOGETHER].T):
            yield bins(column)


def _moved(target: Target, generator: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The properties at some thousands of characters, each moved along the text by a twentieth at least, in a ring:
    (n, K · P), and the places looked at, (n,).
    """
    n = target.y.shape[1]
    places = np.arange(0, n, max(1, n // _PLACES))
    by = generator.integers(n // 20, n - n // 20, _SHIFTS)
    moved = np.concatenate([target.y[:, (places - one) % n] for one in by]).T
    moved -= moved.mean(0)
    scale = moved.std(0)
    return (moved / np.where(scale > 0, scale, 1)).astype(np.float32), places
