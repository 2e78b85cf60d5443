"""One hierarchy of errors. A message says what went wrong, with which names and sizes, and what to do."""

from collections.abc import Iterable
from difflib import get_close_matches


class RekurError(Exception):
    """The base of every error that a user of rekur can cause and mend."""


class CellError(RekurError):
    """A cell is not written in the cell language; the message ends with the author's line."""


class GraphError(RekurError):
    """A step graph, or its text, is not valid."""


class ShapeError(RekurError):
    """Arrays do not fit what the graph or the layer expects of them."""


class BackendError(RekurError):
    """A backend that was asked for by name cannot do what was asked of it."""


class DataError(RekurError):
    """A data source is missing, empty, or cannot be read as what it should be."""


class OptionError(RekurError):
    """An option or a name that the user gave is not one that exists, or its value makes no sense."""


class CheckpointError(RekurError):
    """A run folder or a checkpoint is missing, damaged, newer than this rekur, or not one at all."""


class TrainingError(RekurError):
    """Training cannot go on; what was saved before stays."""


def suggest(name: str, known: Iterable[str]) -> str:
    """The tail of a message about an unknown name: the nearest one that exists, or nothing.

    >>> suggest("lsmt", ["lstm", "gru"])
    "; did you mean 'lstm'?"
    >>> suggest("zebra", ["lstm", "gru"])
    ''
    """
    near = get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
