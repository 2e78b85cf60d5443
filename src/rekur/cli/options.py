"""What commands share: reading their options from the command line."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, TypeVar

import tyro

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
