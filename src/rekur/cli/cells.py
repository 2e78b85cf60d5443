"""`rekur cells`: the zoo, and any cell in its equations."""

from dataclasses import dataclass
from typing import Annotated

import tyro

from rekur.cells import catalogue, load
from rekur.cli.options import parse
from rekur.errors import OptionError
from rekur.graph import equations, latex


@dataclass(frozen=True)
class CellsOptions:
    """List the recurrent cells, or show one: its equations and where it comes from."""

    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="[NAME]", help_behavior_hint="")] = ""
    """A cell of the list, or one of your own: my_cells.py:name."""
    latex: bool = False
    """Print the cell's equations in LaTeX."""


def run(arguments: list[str]) -> int:
    """Print the list, or the cell."""
    options = parse(CellsOptions, "cells", arguments)
    if options.latex and not options.name:
        raise OptionError("say which cell: rekur cells NAME --latex")
    if options.name:
        cell = load(options.name)
        if options.latex:
            print(latex(cell.graph))
            return 0
        print(f"{cell.doc}\n\n{equations(cell.graph)}".lstrip("\n"))
        return 0
    entries = catalogue()
    width = max(len(entry.usage) for entry in entries)
    for entry in entries:
        print(f"{entry.usage:{width}}  {entry.summary}")
    print("\n`rekur cells NAME` shows one; `rekur train charlm --cell NAME` trains it")
    return 0
