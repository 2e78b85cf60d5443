"""`rekur runs`: what there is, and what came of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from rekur.cli.options import parse
from rekur.errors import CheckpointError, suggest
from rekur.train.display import duration, printable
from rekur.train.runs import RunRow, list_runs


@dataclass(frozen=True)
class RunsOptions:
    """List the runs in a folder with their results."""

    root: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="[ROOT]")] = Path("runs")
    """The folder of runs."""


def run(arguments: list[str]) -> int:
    """Print a table."""
    root = parse(RunsOptions, "runs", arguments).root
    if not root.is_dir() and root != RunsOptions.root:
        near = [entry.name for entry in root.parent.iterdir()] if root.parent.is_dir() else []
        raise CheckpointError(f"there is no folder {str(root)!r}{suggest(root.name, near)}")
    rows = list_runs(root)
    if not rows:
        print(f"no runs in {root} yet; `rekur train charlm` begins one")
        return 0
    table = [("run", "status", "best loss, bits", "steps", "time", "MB"), *(_cells(root, row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for name, status, *numbers in table:
        left = f"{name:{widths[0]}}   {status:{widths[1]}}"
        print(left, *(f"{text:>{width}}" for text, width in zip(numbers, widths[2:], strict=True)), sep="   ")
    if any(row.bits is None and row.best_loss is not None for row in rows):
        print("a loss in brackets is a mean of squared errors, not in bits")
    for row in rows:
        if row.note:
            print(printable(f"{root / row.name}: {row.note}"))
    return 0


def _loss(row: RunRow) -> str:
    if row.best_loss is None:
        return ""
    return f"({row.best_loss:.4g})" if row.bits is None else f"{row.bits:.4f}"


def _cells(root: Path, row: RunRow) -> tuple[str, ...]:
    return (
        printable(str(root / row.name)),
        printable(row.status),
        _loss(row),
        "" if row.steps is None else f"{row.steps:,}",
        "" if row.seconds is None else duration(row.seconds),
        f"{row.size / 1e6:,.1f}",
    )
