"""Texts without labels, which a model is to tell about."""

from pathlib import Path
from typing import Any

from rekur.data.examples import Examples, OnBad, Sieve, bad_bytes
from rekur.data.labelled import guess_text
from rekur.data.sources import show
from rekur.data.tables import read_table
from rekur.errors import DataError


def read_texts(path: Path | str, *, text: str | None = None, on_bad: OnBad = "skip") -> Examples[str, None]:
    """Texts of a `.txt` file, a line each, or of the column `text` of a table (see `read_labelled`).

    Empty ones, and lines that are not UTF-8, are broken: `on_bad` says what becomes of them.

    Raises DataError where the file cannot be read or has no texts, OptionError where there is no such column.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "new.txt"
    >>> _ = path.write_text("What a film!\\n\\nNever again\\n")
    >>> read_texts(path).inputs
    ('What a film!', 'Never again')
    """
    path, sieve = Path(path), Sieve(on_bad)
    notes, found = [], []
    rows: list[tuple[int, Any]]
    if path.suffix.lower() == ".txt":
        try:
            lines = path.read_text(encoding="utf-8-sig", errors="surrogateescape").splitlines()
        except OSError as error:
            raise DataError(f"{show(path)} cannot be read: {error.strerror}") from None
        rows = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]  # an empty line is no text
    else:
        table = read_table(path, sieve)
        if text is None:
            text = guess_text(table)
            notes = [f"texts are in column {text!r}, as guessed"]
        text = table.column(text, "texts")
        rows = [(row.line, row.values.get(text)) for row in table.rows]
    for line, value in rows:
        if not isinstance(value, str) or not value.strip():
            sieve.drop(path, line, "there is no text")
        elif reason := bad_bytes(value):
            sieve.drop(path, line, reason)
        else:
            found.append(value)
    return sieve.examples(path.name, [path], tuple(found), (None,) * len(found), notes)
