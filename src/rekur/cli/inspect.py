"""`rekur inspect`: what is inside a trained model, on one page."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from rekur.cli.options import Run, parse
from rekur.data import Unseen
from rekur.tasks.config import CACHE
from rekur.train.display import duration, printable

if TYPE_CHECKING:
    from rekur.tasks.inspection import Progress


@dataclass(frozen=True)
class InspectOptions:
    """Look inside a trained model: what it expects and where it loses most, and what its units do.

    All of it goes into one page, inspection.html in the run's folder, that needs nothing beside it. A model of text
    is looked at character by character, a classifier or a tagger word by word.
    """

    run: Run
    """A run's folder, whose best checkpoint is taken, or a checkpoint."""
    files: Annotated[
        tuple[str, ...],
        Positional,
        arg(metavar="[FILE|NAME …]", help_behavior_hint="(default: the run's own data, the part held out)"),
    ] = ()
    """What to look at the model with: texts, or files as the task reads them."""
    unseen: Unseen = "error"
    """What becomes of characters in a text that the model never saw."""
    length: int = 200_000
    """Characters of a text to read at most, from the beginning."""
    property: Annotated[
        tuple[str, ...], arg(metavar="NAME=EXPRESSION …", help_behavior_hint="(such as: upper=c.isupper())")
    ] = ()
    """Properties of the text that units may follow, besides the usual ones: a line of Python each, for which c is the
    character, i its place in text, line the line so far and column the length of that."""
    seconds: float = 25.0
    """That other cells learn beside it, to compare their gradients; 0: none."""
    out: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: RUN/inspection.html)")] = None
    """Where the page goes."""
    cache: Path = CACHE
    """A folder for encoded texts."""


def run(arguments: list[str]) -> int:
    """Write the page, and say the most important of it."""
    options = parse(InspectOptions, "inspect", arguments)
    from rekur.tasks.inspection import inspect_run

    began = time.monotonic()
    with _progress() as progress:
        seen = inspect_run(
            options.run, options.files, unseen=options.unseen, length=options.length, properties=options.property,
            seconds=options.seconds, cache=options.cache, progress=progress,
        )  # fmt: skip
        page = seen.write(options.out)
    print(printable(f"{seen.source}: {seen.amount}, by {seen.path}"))
    for name, line in seen.summary():
        print(printable(f"{name:12}{line}"))
    here = page.relative_to(Path.cwd()) if page.is_relative_to(Path.cwd()) else page
    print(f"{here}: {page.stat().st_size / 1e6:.1f} MB, in {duration(time.monotonic() - began)}")
    return 0


@contextmanager
def _progress() -> "Iterator[Progress]":
    """A bar on a terminal, with what is done now; nothing elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task("reading the run", total=1)
        yield lambda what, share: bars.update(task, description=what, completed=share)
