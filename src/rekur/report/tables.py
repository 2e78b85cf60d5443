"""Tables of what a model gets right and wrong."""

from collections.abc import Sequence
from typing import Any

from rekur.report.elements import escaped, section
from rekur.report.history import Event, number
from rekur.report.wording import amount, decimal

_MOST = 400  # rows, and columns, of a table that are shown


def tables(events: Sequence[Event]) -> str:
    """The `table` events as a part of the page; nothing where there are none."""
    body = "".join(table(event) for event in events)
    return section("What it gets right and wrong", body) if body else ""


def table(event: Event) -> str:
    """One table: title, note, columns and rows as in a `table` event."""
    columns, rows = _list(event.get("columns")), [row for row in _list(event.get("rows")) if _list(row)]
    if not columns or not rows:
        return ""
    head = "".join(f'<th scope="col">{escaped(str(name))}</th>' for name in columns)
    body = "".join(_row(_list(row)[: len(columns)], bool(event.get("shaded"))) for row in rows)
    note = event.get("note")
    caption = f"<b>{escaped(str(event.get('title', '')))}</b>" + (f" {escaped(str(note))}" if note else "")
    return (
        f'<figure class="table"><figcaption>{caption}</figcaption>'
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></figure>\n"
    )


def _row(cells: Sequence[Any], shaded: bool) -> str:
    name, values = cells[0], cells[1:]
    whole = sum(number(value) or 0 for value in values) if shaded else 0
    shown = "".join(_cell(value, (number(value) or 0) / whole if whole else 0) for value in values)
    return f'<tr><th scope="row">{escaped(_said(name))}</th>{shown}</tr>'


def _cell(value: Any, share: float) -> str:
    kind = ' class="number"' if number(value) is not None else ""
    style = f' style="background: color-mix(in srgb, var(--accent) {70 * share:.0f}%, transparent)"' if share else ""
    return f"<td{kind}{style}>{escaped(_said(value))}</td>"


def _said(value: Any) -> str:
    known = number(value)
    if known is None:
        return str(value)
    return amount(known) if isinstance(value, int) else decimal(known)


def _list(value: Any) -> list[Any]:
    return value[:_MOST] if isinstance(value, list) else []
