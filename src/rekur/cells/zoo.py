"""The zoo as one table, by the names that a user types."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from rekur.cells.attention import attend
from rekur.cells.elman import elman, elman_relu, irnn
from rekur.cells.grid import lstm2d, row_lstm
from rekur.cells.gru import gru, gru_after
from rekur.cells.highway import highway
from rekur.cells.independent import indrnn
from rekur.cells.layer_norm import layer_norm_gru, layer_norm_lstm
from rekur.cells.linear import mingru, minlstm
from rekur.cells.lstm import cifg, lstm, lstm_1997, lstmp, peephole
from rekur.cells.mogrifier import mogrifier
from rekur.cells.mutants import mut1, mut2, mut3
from rekur.cells.one_gate import mgu, ugrnn
from rekur.errors import OptionError, suggest
from rekur.graph import Cell

ZOO: Mapping[str, Cell | Callable[..., Cell]] = MappingProxyType(
    {
        "elman": elman,
        "elman-relu": elman_relu,
        "irnn": irnn,
        "indrnn": indrnn,
        "lstm": lstm,
        "lstm-1997": lstm_1997,
        "cifg": cifg,
        "peephole": peephole,
        "lstm-projected": lstmp,
        "gru": gru,
        "gru-after": gru_after,
        "mgu": mgu,
        "ugrnn": ugrnn,
        "mut1": mut1,
        "mut2": mut2,
        "mut3": mut3,
        "highway": highway,
        "layer-norm-lstm": layer_norm_lstm,
        "layer-norm-gru": layer_norm_gru,
        "mogrifier": mogrifier,
        "mingru": mingru,
        "minlstm": minlstm,
        "attend": attend,
        "lstm2d": lstm2d,
        "row-lstm": row_lstm,
    }
)
"""Name -> a cell, or a family: a function of one whole number, which has a default, that returns a cell."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the catalogue."""

    usage: str
    """What to type: a name; of a family, ``highway[:depth]``."""
    summary: str
    source: str


def find(name: str) -> Cell:
    """The cell of the zoo called `name`; of a family, a size may follow a colon.

    >>> find("highway:2").name
    'rhn'

    Raises OptionError for a name that is not there, suggesting the nearest, and for a size that makes no sense.
    """
    base, colon, size = name.partition(":")
    entry = ZOO.get(base)
    if entry is None:
        raise OptionError(f"there is no cell {base!r}{suggest(base, ZOO)}; there are {', '.join(ZOO)}")
    if isinstance(entry, Cell):
        if colon:
            raise OptionError(f"cell {name!r}: {base!r} comes in one form; leave out {colon + size!r}")
        return entry
    if not colon:
        return entry()
    try:
        number = int(size)
    except ValueError:
        raise OptionError(f"cell {name!r}: {size!r} is not a whole number; say {base}:4") from None
    return entry(number)


def catalogue() -> list[Entry]:
    """Every cell of the zoo as its docstring describes it: the first line, and the paragraph ``Source: …``."""
    out = []
    for name, entry in ZOO.items():
        usage = name
        if not isinstance(entry, Cell):
            (parameter,) = inspect.signature(entry).parameters
            usage = f"{name}[:{parameter}]"
        paragraphs = [" ".join(p.split()) for p in find(name).doc.split("\n\n")]
        (source,) = (p.removeprefix("Source: ") for p in paragraphs if p.startswith("Source: "))
        out.append(Entry(usage, paragraphs[0], source))
    return out
