"""What commands share: reading their options from the command line."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import tyro

if TYPE_CHECKING:
    from rekur.train import Checkpoint

Options = TypeVar("Options")

Run = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]


def parse(kind: type[Options], command: str, arguments: Sequence[str], help: str | None = None) -> Options:
    """The options of a command: a dataclass, whose docstrings are the help and whose dataclasses are its groups.

    `help` is what the command does, where the class's own docstring does not say it.

    After help, and after an option that is not understood, this ends with SystemExit.
    """
    return tyro.cli(
        kind, prog=f"rekur {command}", args=arguments, description=help, config=(tyro.conf.OmitArgPrefixes,)
    )


def named_run(arguments: Sequence[str]) -> "tuple[Path, Checkpoint] | None":
    """The checkpoint that a command is about: of the first argument that is a run or a checkpoint, if there is one.

    What a command can do, and with which options, depends on the run's task.
    """
    for path in map(Path, arguments):
        if (path / "meta.json").exists() or (path / "config.json").exists():
            from rekur.tasks.rebuild import find_checkpoint
            from rekur.train import load

            found = find_checkpoint(path)
            return found, load(found)
    return None


def supervised(saved: "Checkpoint") -> bool:
    """Whether a checkpoint is of a task that predicts from sequences."""
    from rekur.tasks.problem import SupervisedConfig
    from rekur.tasks.table import TASKS

    row = TASKS.get(str(saved.meta.get("task")))
    return row is not None and issubclass(row.config_class(), SupervisedConfig)
