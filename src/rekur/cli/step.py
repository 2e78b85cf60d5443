"""`rekur step`: one step of a cell with all its numbers, or a run through a short text."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from rekur.cells import load
from rekur.cli.draw import write
from rekur.cli.options import parse
from rekur.errors import OptionError

_LONGEST = 40  # characters of a text that is run through


@dataclass(frozen=True)
class StepOptions:
    """Work through one step of a cell, equation by equation; or run it through a short text.

    The matrix W multiplies the row vector [states, inputs] from the right; its columns are those of the gates side
    by side, as in: rekur step elman x=1,0 h=0,1 "W=[[1.5,-2],[0,1],[-1,0.5],[2,0]]". A weight can also be given by
    its own name. What is not given is made up.
    """

    cell: Annotated[str, Positional, arg(metavar="CELL")]
    """A cell: lstm, or one of your own: my_cells.py:name."""
    values: Annotated[tuple[str, ...], Positional, arg(metavar="[NAME=VALUE …]", help_behavior_hint="")] = ()
    """What the cell reads, and its weights."""
    text: Annotated[str, arg(metavar="TEXT", help_behavior_hint="")] = ""
    """Run through these characters, each a vector with a single 1, and show every gate."""
    hidden: int = 2
    """Units, where no value says how many."""
    seed: int = 0
    """Of what is made up."""
    digits: int = 2
    """Digits after the point."""
    latex: bool = False
    """Print LaTeX."""
    out: Annotated[Path | None, arg(aliases=("-o",), metavar="FILE", help_behavior_hint="")] = None
    """Draw it instead, into FILE.svg or FILE.png."""
    dark: bool = False
    """Draw light on dark."""


def run(arguments: list[str]) -> int:
    """Print the step, or draw it."""
    options = parse(StepOptions, "step", arguments)
    from rekur.draw import Through, WorkedStep, assignments, completed, one_hot, run_through, worked_step

    for name, number, most in (("hidden", options.hidden, 16), ("digits", options.digits, 12)):
        if not 1 <= number <= most:
            raise OptionError(f"{name} is {number}; it must be from 1 to {most}")
    graph = load(options.cell).graph
    given = assignments(options.values)
    sizes = dict.fromkeys(graph.axes, options.hidden)
    done: WorkedStep | Through
    if options.text:
        if len(options.text) > _LONGEST:
            raise OptionError(f"the text has {len(options.text)} characters; a run through is for up to {_LONGEST}")
        inputs = one_hot(options.text)
        reads = [a.name for a in graph.of("input")]
        for name in given:
            if name in reads:
                raise OptionError(f"{name} is what the text gives: leave out {name}=…, or --text")
        whole = completed(graph, {**given, **dict.fromkeys(reads, inputs[0])}, seed=options.seed, size=options.hidden)
        weights = {k: v for k, v in whole.items() if k not in reads}
        done = run_through(graph, weights, inputs, list(options.text), digits=options.digits, sizes=sizes)
    else:
        values = completed(graph, given, seed=options.seed, size=options.hidden)
        done = worked_step(graph, values, digits=options.digits, sizes=sizes)
    if options.out:
        write(done.scene(), options.out, dark=options.dark)
        print(options.out)
    else:
        print(done.latex() if options.latex else done.text())
    return 0
