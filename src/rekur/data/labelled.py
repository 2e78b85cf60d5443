"""Labelled texts and labelled series of numbers, from tables whose columns have names."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rekur.data.examples import Examples, OnBad, Sieve
from rekur.data.sources import show
from rekur.data.tables import Row, Table, by_name, read_table
from rekur.errors import DataError

Series = npt.NDArray[np.float32]

_TEXT = (
    "text", "sentence", "review", "content", "body", "comment", "message", "tweet", "document", "description",
    "title", "question", "utterance", "phrase",
)  # fmt: skip
_LABEL = (
    "label", "class", "category", "target", "sentiment", "topic", "tag", "intent", "rating", "stars", "polarity", "y",
)  # fmt: skip
_ID = ("id", "sequence", "sequence_id", "series", "series_id", "group", "case", "session", "unit")
_LOOK = 1000  # rows that are looked at to guess a column


def read_labelled(
    path: Path | str, *, text: str | None = None, label: str | None = None, on_bad: OnBad = "skip"
) -> Examples[str, str]:
    """Labelled texts from a CSV, TSV, JSONL or Parquet file; see `read_table` for the formats.

    A row without a label, with an empty text, with another number of columns than the first line, or that is not
    UTF-8 is broken.

    Args:
        path: the file.
        text, label: the columns. Where they are not given they are guessed, by usual names or else by what is in
            them (the longest texts; the fewest different values), and `notes` say so.
        on_bad: `skip` passes over what is broken and keeps account of it in `rejected`; `stop` raises.

    Raises:
        DataError: the file cannot be read, has no such rows, or a column cannot be guessed.
        OptionError: there is no such column.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "films.csv"
    >>> _ = path.write_text("review,sentiment\\nWhat a film!,pos\\n,neg\\nNever again,neg\\n")
    >>> films = read_labelled(path)
    >>> films.inputs, films.labels
    (('What a film!', 'Never again'), ('pos', 'neg'))
    >>> print(films.summary())
    films.csv: 2 examples
    texts are in column 'review' and labels in column 'sentiment', as guessed from the columns' names
    passed over 1 that are broken:
      films.csv:3: the text in column 'review' is empty
    """
    path, sieve = Path(path), Sieve(on_bad)
    table = read_table(path, sieve)
    notes = []
    if text is None or label is None:
        text_name, label_name = by_name(table, _TEXT), by_name(table, _LABEL)
        sure = (text or text_name) and (label or label_name)
        text = text or text_name or _longest(table, label or label_name)
        label = label or label_name or _fewest(table, text)
        how = "as guessed from the columns' names" if sure else "as guessed from what is in the columns"
        notes.append(f"texts are in column {text!r} and labels in column {label!r}, {how}")
        if not sure:
            _no_header(table, label)
    text, label = table.column(text, "texts"), table.column(label, "labels")
    texts, labels = [], []
    for line, values in table.rows:
        written, named = values.get(text), _label(values.get(label))
        if not isinstance(written, str):
            kind = "missing" if written is None else f"no text but {written!r}"
            sieve.drop(path, line, f"the text in column {text!r} is {kind}")
        elif not written.strip():
            sieve.drop(path, line, f"the text in column {text!r} is empty")
        elif not named:
            sieve.drop(path, line, f"it has no label in column {label!r}")
        else:
            texts.append(written)
            labels.append(named)
    return sieve.examples(path.name, [path], tuple(texts), tuple(labels), notes)


def read_series(
    path: Path | str,
    *,
    features: Sequence[str] | None = None,
    label: str | None = None,
    sequence: str | None = None,
    on_bad: OnBad = "skip",
) -> Examples[Series, str]:
    """Labelled series of numbers, each `(T, I)` with a T of its own.

    They are either one a row, in columns of lists (JSONL, Parquet): `[0.5, 0.7]`, or `[[0.5, 1], [0.7, 2]]` for
    two features; or one step a row, where the rows of a series have the same value in the column `sequence`,
    follow each other in time, and agree in their label.

    Args:
        path: the file.
        features: the columns with numbers, or with lists of them; by default all that hold nothing else.
        label: the column with labels; guessed like that of `read_labelled`.
        sequence: for one step a row, the column that says which series a row is of; guessed by usual names.
        on_bad: see `read_labelled`. A series one of whose rows is broken is broken; a row that cannot be told to
            be of any series is left out by itself.

    Raises:
        DataError: the file cannot be read, has no such rows, or a column cannot be guessed.
        OptionError: there is no such column.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "gestures.csv"
    >>> _ = path.write_text("id,x,y,label\\n1,0.5,1,wave\\n1,0.7,2,wave\\n2,0,0,rest\\n")
    >>> gestures = read_series(path)
    >>> [x.tolist() for x in gestures.inputs[1:]], gestures.labels
    ([[[0.0, 0.0]]], ('wave', 'rest'))
    """
    path, sieve = Path(path), Sieve(on_bad)
    table = read_table(path, sieve)
    lists = [name for name in features or table.columns if _holds(table, name, list)]
    given = None not in (features, label) and (lists or sequence is not None)
    if not lists and sequence is None:
        sequence = by_name(table, _ID) or _cannot(table, "the column that says which series a row is of", "sequence")
    used = {name for name in (*lists, sequence) if name}
    label = label or (None if "y" in used else by_name(table, _LABEL[:-1])) or _fewest(table, *used)
    names = list(features or lists or (c for c in table.columns if c not in {label, sequence} and _numeric(table, c)))
    for name in names:
        table.column(name, "features")
    table.column(label, "labels")
    if not names:
        _cannot(table, "the columns with numbers", "features")
    where = "lists" if lists else f"rows, one series for each value in column {sequence!r}"
    notes = (
        [] if given else [f"features {', '.join(map(repr, names))} as {where}, labels in column {label!r}: guessed"]
    )
    groups = [[row] for row in table.rows] if lists else _grouped(table, str(sequence), sieve)
    inputs, labels = [], []
    for rows in groups:
        try:
            value = np.concatenate([_features(row, names, bool(lists)) for row in rows])
            kinds = {_label(row.values.get(label)) for row in rows}
            if kinds & {""}:
                raise DataError(f"it has no label in column {label!r}")
            if len(kinds) > 1:
                raise DataError(f"the rows of its series have different labels: {', '.join(sorted(kinds))}")
        except DataError as error:
            sieve.drop(path, rows[0].line, str(error))
        else:
            inputs.append(value)
            labels.append(kinds.pop())
    return sieve.examples(path.name, [path], tuple(inputs), tuple(labels), notes)


def _features(row: Row, names: Sequence[str], lists: bool) -> Series:
    """`(T, I)`: lists side by side, or one step."""
    parts = []
    for name in names:
        try:
            part = np.asarray(row.values.get(name), np.float32)
        except (TypeError, ValueError):
            part = np.full(1, np.nan, np.float32)
        if part.ndim > 2 or not (np.isfinite(part).all() and part.size):
            raise DataError(
                f"line {row.line}: {row.values.get(name)!r:.60} in column {name!r} is not a finite number"
            )
        parts.append(part.reshape(len(part) if lists else 1, -1))
    if len({len(part) for part in parts}) > 1:
        raise DataError(f"line {row.line}: its lists have different lengths")
    return np.concatenate(parts, 1)


def _grouped(table: Table, name: str, sieve: Sieve) -> list[list[Row]]:
    table.column(name, "series")
    groups: dict[str, list[Row]] = {}
    for row in table.rows:
        if of := _label(row.values.get(name)):
            groups.setdefault(of, []).append(row)
        else:
            sieve.drop(table.path, row.line, f"it does not say which series it is of, in column {name!r}")
    return list(groups.values())


def _label(value: Any) -> str:
    if value is None or value != value or isinstance(value, list | dict):  # NaN is not itself
        return ""
    return str(value).strip()


def _values(table: Table, name: str) -> list[Any]:
    return [value for row in table.rows[:_LOOK] if (value := row.values.get(name)) not in (None, "")]


def _holds(table: Table, name: str, kind: type) -> bool:
    return bool(values := _values(table, name)) and isinstance(values[0], kind)


def _numeric(table: Table, name: str) -> bool:
    """Whether most of a column's values are numbers: a broken one is told by its line later."""
    values = _values(table, name)
    return bool(values) and 2 * sum(map(_is_number, values)) > len(values)


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return not isinstance(value, bool)


def guess_text(table: Table) -> str:
    """The column with texts, by usual names or else the one with the longest; DataError where there is none."""
    return by_name(table, _TEXT) or _longest(table, None)


def _longest(table: Table, other: str | None) -> str:
    length = {
        name: sum(map(len, values)) / len(values)
        for name in table.columns
        if name != other and (values := [v for v in _values(table, name) if isinstance(v, str)])
    }
    return max(length, key=lambda name: length[name]) if length else _cannot(table, "the column with texts", "text")


def _fewest(table: Table, *others: str) -> str:
    kinds = {
        name: len(set(map(str, values)))
        for name in table.columns
        if name not in others and (values := _values(table, name)) and not _holds(table, name, list)
    }
    fits = {name: count for name, count in kinds.items() if 1 < count <= max(2, len(table.rows[:_LOOK]) // 2)}
    return min(fits, key=lambda name: fits[name]) if fits else _cannot(table, "the column with labels", "label")


def _no_header(table: Table, label: str) -> None:
    if label in {_label(value) for value in _values(table, label)}:
        raise DataError(
            f"{show(table.path)}: the first line is to name the columns, and looks like data ({label!r} is a label "
            "in the rows below); put a line like text,label before it"
        )


def _cannot(table: Table, what: str, option: str) -> str:
    columns = ", ".join(map(repr, table.columns)) or "none"
    raise DataError(f"{show(table.path)}: cannot guess {what} among its columns {columns}; say it: {option}")
