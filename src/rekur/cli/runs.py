"""`rekur runs`: what there is, and what came of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from rekur.cli.options import parse
from rekur.errors import CheckpointError, suggest
from rekur.train.display import duration, printable
from rekur.train.runs import list_runs


@dataclass(frozen=True)
class RunsOptions:
    """List the runs in a folder with their results."""

    root: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="ROOT")] = Path("runs")
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
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    table.add_column("run", no_wrap=True)
    table.add_column("status", no_wrap=True)
    for title in ("best loss, bits", "steps", "time", "MB"):
        table.add_column(title, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            printable(str(root / row.name)),
            row.status,
            "" if row.bits is None else f"{row.bits:.4f}",
            "" if row.steps is None else f"{row.steps:,}",
            "" if row.seconds is None else duration(row.seconds),
            f"{row.size / 1e6:,.1f}",
        )
    console = Console(highlight=False)
    console.print(table, width=None if console.is_terminal else 500, crop=console.is_terminal)
    for row in rows:
        if row.note:
            console.print(f"{root / row.name}: {row.note}", markup=False, soft_wrap=True)
    return 0
