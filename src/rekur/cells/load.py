"""A cell by what a user types: a name of the zoo, or a file of one's own and a name in it."""

from __future__ import annotations

import inspect
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FunctionType, ModuleType

from rekur.cells.zoo import find
from rekur.errors import CellError, OptionError, suggest
from rekur.graph import Cell


def load(spec: str) -> Cell:
    """The cell that `spec` means: a name as `find` takes it, or ``path/to/file.py:name``.

    The file is run; modules beside it can be imported by it. `name` is a cell in it, or a function that returns
    one and can be called without arguments.

    >>> load("gru").name
    'gru'

    Raises OptionError where there is no such file, name or cell, and CellError where the file itself fails.
    """
    path, _, name = spec.rpartition(":")
    if path.endswith(".py"):
        return _from_file(Path(path), name)
    if spec.endswith(".py"):
        return _from_file(Path(spec), "")
    return find(spec)


def _from_file(path: Path, name: str) -> Cell:
    if not path.is_file():
        raise OptionError(f"there is no file {str(path)!r} to take a cell from")
    module = ModuleType(f"rekur_cells_in_{path.stem}")
    module.__file__ = str(path)
    with _running(module, path):
        exec(compile(path.read_bytes(), str(path), "exec"), vars(module))
    values = vars(module)
    if name not in values:
        cells = [k for k, v in values.items() if isinstance(v, Cell)]
        near = suggest(name, cells) or f"; say {path}:NAME, its cells are: {', '.join(cells) or 'none'}"
        raise OptionError(f"there is no cell {name!r} in {path}{near}")
    value = values[name]
    if inspect.isfunction(value):
        if required := _required(value):
            raise OptionError(
                f"{name!r} in {path} is a function that needs {', '.join(required)}: put @cell over it if it is a "
                "step; if it returns a cell, give its arguments defaults"
            )
        with _running(module, path):
            value = value()
    if not isinstance(value, Cell):
        kind = type(value).__name__
        raise OptionError(f"{name!r} in {path} is of type {kind}, not a cell: a step under @cell is one")
    return value


def _required(function: FunctionType) -> list[str]:
    """The arguments without which it cannot be called."""
    parameters = inspect.signature(function).parameters.values()
    return [p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]


@contextmanager
def _running(module: ModuleType, path: Path) -> Iterator[None]:
    """While the user's code runs, it finds its own module and those beside its file; what it raises says where."""
    before = sys.path[:]
    sys.path.insert(0, str(path.parent.resolve()))
    sys.modules[module.__name__] = module  # dataclasses look their module up
    try:
        yield
    except CellError:
        raise  # it points at the author's line already
    except Exception as e:
        lines = [f for f in traceback.extract_tb(e.__traceback__) if f.filename == str(path)]
        place = f"\n  at {path}:{lines[-1].lineno}:  {lines[-1].line}" if lines else ""
        raise CellError(f"{path} cannot be run: {type(e).__name__}: {e}{place}") from e
    finally:
        sys.path[:] = before
        sys.modules.pop(module.__name__, None)
