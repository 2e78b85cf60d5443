"""What README and docs show is executed, in the order in which a reader meets it.

A ```python block runs in its document's one namespace; the `$ command` lines of a ```console block run in the
shell. All work in one temporary folder, with rekur's command on the PATH. A comment right before a block
changes that: `<!-- not run: reason -->` leaves it out, `<!-- file: my_cells.py -->` also writes it to a file.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TOUR = ROOT / "docs" / "tour.py"

RUN = {"python", "console"}
SHOWN = {"text", "toml", "json", "html"}  # a fence of any other language is an error: nothing slips by unrun
BLOCK = re.compile(
    r"^(?:<!-- (?P<key>not run|file): (?P<value>.+?) -->\n+)?```(?P<language>.*)\n(?P<body>(?:.*\n)*?)```$",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, the line that the text starts on, and what its comment says."""

    language: str
    body: str
    line: int
    note: tuple[str | None, str | None]


def blocks(document: Path) -> Iterator[Block]:
    text = document.read_text(encoding="utf-8")
    found = list(BLOCK.finditer(text))
    assert len(re.findall("^```", text, re.MULTILINE)) == 2 * len(found), f"{document.name}: a fence is not closed"
    for match in found:
        line = text.count("\n", 0, match.start("body")) + 1
        block = Block(match["language"], match["body"], line, (match["key"], match["value"]))
        assert block.language in RUN | SHOWN, f"{document.name}:{line - 1}: unknown language {block.language!r}"
        yield block


def commands(body: str) -> list[str]:
    """The `$ command` lines, each with the lines that its backslashes continue."""
    return re.findall(r"^\$ ((?:.*\\\n)*.*)$", body, re.MULTILINE)


def shell(command: str, folder: Path) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", command],
        cwd=folder,
        env={**os.environ, "PATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"$ {command}\n{done.stdout}\nexit code {done.returncode}"


def execute(document: Path, folder: Path) -> int:
    """Run the document's blocks in `folder`; how many there were to run."""
    namespace: dict[str, Any] = {"__name__": document.stem}
    ran = 0
    for block in blocks(document):
        key, value = block.note
        if block.language not in RUN or key == "not run":
            continue
        ran += 1
        if key == "file":
            (folder / str(value)).write_text(block.body, encoding="utf-8")
        if block.language == "python":
            # Padded, so that a traceback and a cell's error point at the document's own line.
            exec(compile("\n" * (block.line - 1) + block.body, str(document), "exec"), namespace)
        else:
            lines = commands(block.body)
            assert lines, f"{document.name}:{block.line}: a console block without a '$ command' line"
            for command in lines:
                shell(command, folder)
    return ran


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_what_a_document_shows_runs(document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert execute(document, tmp_path) > 0


def test_the_tour_runs(tmp_path: Path):
    shell(f"python -W error {TOUR}", tmp_path)


GOOD = """\
# Title

<!-- file: mine.py -->
```python
answer = 42
```

```console
$ python -c 'import mine; \\
print(mine.answer)' > out.txt
42
$ test -s out.txt
```

```python
with open("out.txt") as file:
    assert int(file.read()) == answer, "another answer"
```

<!-- not run: it would fail -->
```console
$ false
```
"""


@pytest.fixture
def readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "README.md"


def test_a_good_document_passes_and_its_blocks_are_counted(readme: Path):
    readme.write_text(GOOD, encoding="utf-8")
    assert execute(readme, readme.parent) == 3


@pytest.mark.parametrize(
    ("good", "bad", "message"),
    [
        ("answer = 42", "answer = 42 / 0", "division by zero"),
        ("== answer", "== answer + 1", "another answer"),
        ("test -s out.txt", "test -s other.txt", "exit code 1"),
        ("test -s out.txt", "false | true", "exit code 1"),
        ("<!-- not run: it would fail -->\n", "", "exit code 1"),
        ("<!-- file: mine.py -->\n", "", "No module named 'mine'"),
        ("$ false\n```", "$ false", "not closed"),
        ("```console\n$ false", "```bash\nfalse", "unknown language 'bash'"),
        ("$ python", "python", "exit code 1"),
    ],
)
def test_a_document_that_does_not_hold_fails(readme: Path, good: str, bad: str, message: str):
    assert good in GOOD
    readme.write_text(GOOD.replace(good, bad), encoding="utf-8")
    with pytest.raises((AssertionError, ArithmeticError), match=message):
        execute(readme, readme.parent)


def test_an_error_points_at_the_document_s_own_line(readme: Path):
    readme.write_text("one\n\n```python\nx = 1\nx / 0\n```\n", encoding="utf-8")
    with pytest.raises(ZeroDivisionError) as caught:
        execute(readme, readme.parent)
    assert (caught.traceback[-1].path, caught.traceback[-1].lineno + 1) == (readme, 5)
