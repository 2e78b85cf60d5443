"""Rows with named columns, from CSV, TSV, JSONL and Parquet.

Text formats are read by Python's own readers: what is broken is then known by its line, and the rest goes on.
"""

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rekur.data.examples import Sieve, bad_bytes
from rekur.data.sources import not_utf8, show
from rekur.errors import DataError, OptionError, suggest

if TYPE_CHECKING:
    from polars import DataFrame

_SUFFIXES = (".csv", ".tsv", ".tab", ".jsonl", ".parquet")
_DELIMITERS = ",;\t|"


class Row(NamedTuple):
    """A row: the number of its (first) line, and its values by column; None where it has none."""

    line: int
    values: dict[str, Any]


@dataclass(frozen=True)
class Table:
    """The rows of a file that are whole, and the names of its columns."""

    path: Path
    columns: tuple[str, ...]
    rows: list[Row]

    def column(self, name: str, what: str) -> str:
        """The name, if there is such a column; OptionError where there is not."""
        if name not in self.columns:
            known = ", ".join(map(repr, self.columns))
            hint = suggest(name, self.columns)
            raise OptionError(f"{show(self.path)} has no column {name!r} for {what}{hint}; it has {known}")
        return name


def read_table(path: Path, sieve: Sieve) -> Table:
    """Read a file by its suffix: `.csv`, `.tsv`, `.jsonl`, `.parquet`, or Orange's `.tab`.

    CSV may be cut by comma, semicolon, tab or bar, as its header is, and quotes as spreadsheets do; TSV has no
    quoting. The first line names the columns. Rows that cannot be read go into `sieve`.

    Raises DataError for what is no such file, OptionError for another suffix.
    """
    suffix = path.suffix.lower()
    if suffix not in _SUFFIXES:
        raise OptionError(f"{show(path)}: tables end in {', '.join(_SUFFIXES)}; rename it, or convert it to one")
    try:
        if suffix == ".parquet":
            frame = read_parquet(path)
            rows = [Row(number, values) for number, values in enumerate(frame.iter_rows(named=True), 1)]
            return Table(path, tuple(frame.columns), rows)
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            return _jsonl(path, file, sieve) if suffix == ".jsonl" else _separated(path, file, sieve)
    except OSError as error:
        raise DataError(f"{show(path)} cannot be read: {error.strerror}") from None


def _separated(path: Path, file: Any, sieve: Sieve) -> Table:
    head = file.readline()
    if bad_bytes(head) or "\0" in head:
        raise not_utf8(path, "does not begin with a line of UTF-8", "UTF-16" if "\0" in head else "LATIN1")
    if not head.strip():
        raise DataError(f"{show(path)} begins with an empty line; its first line names the columns")
    quoted = path.suffix.lower() == ".csv"
    delimiter = max(_DELIMITERS, key=lambda d: len(next(csv.reader([head], delimiter=d)))) if quoted else "\t"
    file.seek(0)
    options: dict[str, Any] = {"strict": True} if quoted else {"quoting": csv.QUOTE_NONE, "quotechar": None}
    limit = csv.field_size_limit(1 << 30)  # the module's own limit is a page of text, and it is global
    try:
        records = _records(csv.reader(file, delimiter=delimiter, **options))
        names = next(records)[1]
        if isinstance(names, str):
            raise DataError(f"{show(path)} has a broken first line: {names}")
        columns = tuple(name.strip() for name in names)
        if len(set(columns)) < len(columns) or "" in columns:
            raise DataError(
                f"{show(path)}: the first line names the columns, and these repeat or are empty: {columns}"
            )
        rows = []
        for number, (line, record) in enumerate(records):
            if path.suffix.lower() == ".tab" and number < 2:  # Orange's types and roles of the columns
                continue
            if isinstance(record, str):
                sieve.drop(path, line, record)
            elif len(record) != len(columns):
                if record:  # a line with nothing on it is no row
                    counts = f"{len(record)} column{'s' * (len(record) > 1)}, the first line has {len(columns)}"
                    sieve.drop(path, line, f"it has {counts}")
            elif reason := next(filter(None, map(bad_bytes, record)), ""):
                sieve.drop(path, line, reason)
            else:
                rows.append(Row(line, dict(zip(columns, record, strict=True))))
    finally:
        csv.field_size_limit(limit)
    return Table(path, columns, rows)


def _records(reader: Any) -> Iterator[tuple[int, list[str] | str]]:
    """Each record with the line that it begins on, or why there is none."""
    while True:
        line = reader.line_num + 1
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            last = f", which takes it to line {reader.line_num}" if reader.line_num > line else ""
            yield line, f"its quotes are broken{last}: {error}"
        else:
            yield line, record


def _jsonl(path: Path, file: Any, sieve: Sieve) -> Table:
    rows: list[Row] = []
    columns: dict[str, None] = {}
    for line, text in enumerate(file, 1):
        if not text.strip():
            continue
        if reason := bad_bytes(text):
            sieve.drop(path, line, reason)
            continue
        try:
            values = json.loads(text)
        except ValueError as error:
            sieve.drop(path, line, f"it is not JSON: {error}")
            continue
        if isinstance(values, dict):
            rows.append(Row(line, values))
            columns |= dict.fromkeys(values)
        else:
            sieve.drop(path, line, 'it is no JSON object, as {"text": …, "label": …}')
    return Table(path, tuple(columns), rows)


def read_parquet(path: Path) -> "DataFrame":
    """A Parquet file as a data frame of polars; DataError where polars is not here, or the file is no Parquet."""
    try:
        import polars
    except ImportError:
        raise DataError(f"{show(path)}: Parquet takes polars, which is not here: pip install 'rekur[data]'") from None
    try:
        return polars.read_parquet(path)
    except polars.exceptions.PolarsError as error:
        raise DataError(f"{show(path)} is not Parquet: {error}") from None


def by_name(table: Table, known: Sequence[str]) -> str | None:
    """The first of the known names that is a column's, whatever its case."""
    names = {name.lower(): name for name in reversed(table.columns)}
    return next((names[name] for name in known if name in names), None)
