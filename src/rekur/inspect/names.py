"""What values are called: layer, name in the graph, unit; and what their axes are called."""

from __future__ import annotations

from types import ModuleType

from rekur.errors import RekurError
from rekur.graph import Graph


def parts(name: str) -> tuple[str | None, str, int | None]:
    """What a name is of: the layer, the value, the unit.

    >>> parts("forget"), parts("1.forget"), parts("0.reverse.c.17")
    ((None, 'forget', None), ('1', 'forget', None), ('0.reverse', 'c', 17))
    """
    layer: str | None = None
    head, _, tail = name.partition(".")
    if head.isdecimal() and tail:
        layer, name = head, tail
        if tail.startswith("reverse."):
            layer, name = f"{head}.reverse", tail.removeprefix("reverse.")
    value, _, last = name.rpartition(".")
    return (layer, value, int(last)) if value and last.isdecimal() else (layer, name, None)


def dims(graph: Graph, value: str) -> tuple[str, ...]:
    """What the axes of a value are called after batch and time: ``unit`` for H, and for the axis of a state that has
    no other; further ones have the letters of the cell.

    >>> from rekur.cells import lstmp
    >>> dims(lstmp.graph, "h"), dims(lstmp.graph, "c")
    (('unit',), ('unit',))
    """
    axes = graph.named(value).axes
    units = {"H", *(state.axes[0] for state in graph.of("state") if len(state.axes) == 1)}
    unit = "H" if "H" in axes else next((axis for axis in axes if axis in units), "")
    return tuple("unit" if axis == unit else axis for axis in axes)


def xarray() -> ModuleType:
    """The library of the arrays; RekurError where it is not here."""
    try:
        import xarray
    except ImportError:
        raise RekurError(
            "to look into a model needs xarray, which is not here: pip install 'rekur[inspect]'"
        ) from None
    return xarray
