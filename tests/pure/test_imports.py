"""The house's order: imports go one way, siblings keep apart, and what needs no torch imports none."""

import ast
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import rekur

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "rekur"
FILES = sorted(SOURCE.rglob("*.py"))

ORDER = (  # a unit imports from earlier rows and from itself; units in one row are siblings
    {"errors"},
    {"graph"},
    {"cells", "draw"},
    {"run"},
    {"nn"},
    {"interop", "data", "inspect"},
    {"train"},
    {"report"},
    {"tasks", "search", "bench"},
    {"cli", "lab", "serve"},
    {"__main__"},
)
RANK = {unit: rank for rank, row in enumerate(ORDER) for unit in row}
WITHOUT_TORCH = {"errors", "graph", "cells", "draw"}
MOST_LINES = 300


def module_name(path: Path, source: Path) -> str:
    parts = path.relative_to(source.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path, source: Path) -> Iterator[tuple[int, str]]:
    """(line, absolute dotted name) of all that a file imports, wherever in it; `from a import b` is `a.b`."""
    package = module_name(path, source)
    if path.name != "__init__.py":
        package = package.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            yield from ((node.lineno, f"{origin}.{alias.name}") for alias in node.names)


def violations(source: Path) -> list[str]:
    """Every import inside the package that goes against the order. `__init__.py` is the face: it is free to
    point anywhere, and nothing behind it reads it except for the version.
    """
    found = []
    for path in sorted(source.rglob("*.py")):
        unit = (*module_name(path, source).split("."), "")[1]
        if not unit:
            continue
        if unit not in RANK:
            found.append(f"{path.relative_to(source)}: {unit} has no place in the order")
            continue
        for line, name in imports(path, source):
            root, target = (*name.split("."), "")[:2]
            if root != "rekur" or target in {unit, "__version__"}:
                continue
            if RANK.get(target, len(ORDER)) >= RANK[unit]:
                found.append(f"{path.relative_to(source)}:{line}: {unit} must not import {name}")
    return found


def python(code: str) -> str:
    """What `code` prints in a fresh interpreter."""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_imports_go_one_way():
    assert {module_name(path, SOURCE) for path in FILES} >= {"rekur", "rekur.errors", "rekur.graph"}
    assert violations(SOURCE) == []


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("graph/trace.py", "from rekur.run import scan"),
        ("graph/trace.py", "import rekur.run.scan"),
        ("graph/trace.py", "from ..run.scan import scan"),
        ("graph/trace.py", "from .. import run"),
        ("graph/__init__.py", "from ..nn import Plan"),
        ("graph/trace.py", "def late():\n    from rekur.nn import Plan"),
        (
            "graph/trace.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from rekur.nn import Plan",
        ),
        ("errors.py", "from rekur.graph import Graph"),
        ("cells/lstm.py", "from rekur.draw import scene"),
        ("cli/deep/er.py", "from ...lab import page"),
        ("train/loop.py", "import rekur"),
        ("train/loop.py", "from rekur import Recurrent"),
        ("train/loop.py", "from rekur import unheard_of"),
        ("stray/new.py", ""),
    ],
)
def test_the_checker_finds_a_violation(tmp_path: Path, path: str, code: str):
    file = tmp_path / "rekur" / path
    file.parent.mkdir(parents=True)
    file.write_text(code + "\n", encoding="utf-8")
    (found,) = violations(tmp_path / "rekur")
    assert found.startswith(path)


def test_the_checker_lets_the_order_pass(tmp_path: Path):
    source = tmp_path / "rekur"
    (source / "nn").mkdir(parents=True)
    (source / "__init__.py").write_text("from rekur.cli import main\n", encoding="utf-8")
    (source / "nn" / "layer.py").write_text(
        "import rekur.graph\nfrom rekur import __version__, cells\nfrom . import plan\nfrom .. import run",
        encoding="utf-8",
    )
    assert violations(source) == []


def test_help_and_drawing_import_no_torch():
    names = [module_name(path, SOURCE) for path in FILES]
    names = [name for name in names if name == "rekur" or name.split(".")[1] in WITHOUT_TORCH]
    assert {"rekur", "rekur.errors", "rekur.graph"} <= set(names)
    loaded = python(f"import sys, {', '.join(names)}\nprint(*sys.modules)").split()
    assert set(names) <= set(loaded)
    assert {name for name in loaded if name.partition(".")[0] in {"torch", "llvmlite"}} == set()


@pytest.mark.parametrize(
    "command",
    [
        "",
        "train",
        "train charlm",
        "train classify",
        "train icecream",
        "train memory",
        "sample",
        "eval",
        "predict",
        "inspect",
        "runs",
        "report",
        "data",
        "data get",
        "cells",
        "draw",
        "step",
        "bench",
        "demo",
    ],
)
def test_help_of_the_command_line_loads_no_torch(command: str):
    arguments = [*command.split(), "--help"]
    code = f"import sys\nfrom rekur.cli import main\nassert main({arguments}) == 0\nprint('loaded:', *sys.modules)"
    out, loaded = python(code).split("loaded: ")
    assert out.startswith(f"usage: rekur {command}".rstrip())
    assert {name for name in loaded.split() if name.partition(".")[0] in {"torch", "llvmlite"}} == set()


@pytest.mark.parametrize(
    "command", ["cells gru", "step gru", "draw gru -o gru.svg", "draw gru --kind circuit -o c.svg"]
)
def test_what_needs_no_numbers_of_torch_loads_no_torch(command: str, tmp_path: Path):
    runs = f"main(['runs', {str(tmp_path)!r}])"
    code = f"import os, sys\nfrom rekur.cli import main\nos.chdir({str(tmp_path)!r})\n{runs}\nmain({command.split()})"
    assert "torch" not in python(code + "\nprint('loaded:', *sys.modules)").rpartition("loaded: ")[2].split()


def test_pure_tests_do_without_torch():
    files = sorted(Path(__file__).parent.rglob("*.py"))
    assert Path(__file__) in files
    offenders = [
        f"{path.name}:{line}"
        for path in files
        for line, name in imports(path, ROOT / "tests")
        if name.partition(".")[0] == "torch"
    ]
    assert offenders == []


def test_no_file_asks_to_be_split():
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert SOURCE / "errors.py" in lines
    assert {str(path.relative_to(SOURCE)): n for path, n in lines.items() if n > MOST_LINES} == {}


def test_every_public_name_resolves_and_type_checkers_see_the_same():
    assert "RekurError" in rekur.__all__
    assert set(rekur.__all__) <= set(dir(rekur))
    for name in rekur.__all__:
        assert getattr(rekur, name) is not None
    typed = {name for _, name in imports(SOURCE / "__init__.py", SOURCE) if name.startswith("rekur.")}
    assert typed - {"rekur.errors.suggest"} == {f"{home}.{name}" for name, home in rekur._HOME.items()}


def test_an_unknown_public_name_is_an_attribute_error_that_suggests():
    with pytest.raises(AttributeError, match="no attribute 'Rekurerror'; did you mean 'RekurError'"):
        _ = rekur.Rekurerror  # type: ignore[attr-defined]
