"""A sequence and what a model makes of it, one under the other: SVG in the page's colours and typeface."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from rekur.report.elements import escaped, figure, section
from rekur.report.history import Event, number

_LEFT = 104  # pixels for the names
_LEAST, _MOST_WIDE = 4, 22  # width of a step
_WORDS, _LONG_WORDS = 14, 92  # the least, and the most, where there are words
_ROW, _UNIT, _GAP = 22, 11, 10  # heights: of a track, of a row of a matrix, between tracks
_MATRIX = 264  # the most height of a matrix, unless its rows would be thinner than two pixels
_LINES = 3  # a sequence that is too long for one line goes on in the next, so often
_SIZE = 12.5  # of text
_MOST = 4000  # steps, tracks and rows that are looked at: a page has room for far fewer


def tracks(events: Sequence[Event]) -> str:
    """The sequences of `tracks` events as a part of the page; nothing where there are none."""
    figures = []
    for event in events:
        known = [track for track in _list(event.get("tracks")) if _steps(track)]
        if known:
            caption = (
                f"<b>{escaped(str(event.get('title', '')))}</b> step by step, from left to right. Of states, a unit "
                "a row: dark is above zero, coloured below."
            )
            height = sum(_height(track) + _GAP for track in known) + _ROW
            figures.append(figure(caption, (1000, height), partial(_draw, known)))
    return section("What it does", "".join(figures)) if figures else ""


def _draw(known: list[Mapping[str, Any]], width: int, height: int) -> str:
    longest, room = max(map(_steps, known)), width - _LEFT
    words = [value for track in known for value in _list(track["values"]) if isinstance(value, str)]
    cell = min(max(room // longest, _LEAST), _MOST_WIDE)
    if words:
        cell = max(cell, min(max(map(_width, words)) + 6, _LONG_WORDS), _WORDS)
    steps = min(longest, room // cell)
    parts, top = [], 0
    for first in range(0, min(longest, _LINES * steps), steps):
        last = min(longest, first + steps)
        middle = _LEFT + cell / 2 - first * cell
        top += _ROW
        parts += [
            _text(middle + at * cell, top - 8, str(at + 1), "middle", "soft")
            for at in range(first, last, 1 if cell > 2 * _MOST_WIDE else 5 * -(-_WORDS // cell))
        ]
        for track in known:
            name = str(track.get("name", ""))
            parts.append(_text(0, top + min(_height(track), _ROW) / 2 + 4, name, "start", "ink"))
            parts += _track(_list(track["values"]), first, last, top, cell)
            top += _height(track) + _GAP
    return f'<svg viewBox="0 0 {width} {top}" xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>'


def _track(values: list[Any], first: int, last: int, top: int, cell: int) -> list[str]:
    found = [number(value) for value in values]
    most = max([1.0, *(abs(value) for value in found if value is not None)])
    parts = []
    for step, value in enumerate(values[first:last]):
        left, height = _LEFT + step * cell, found[first + step]
        if isinstance(value, list):
            unit = _unit(value)
            for row, one in enumerate(value[:_MOST]):
                strength = max(-1.0, min(1.0, number(one) or 0.0))
                colour = "ink" if strength > 0 else "accent"
                parts.append(_box(left, top + row * unit, cell - 1, unit - (unit > 3), colour, abs(strength)))
        elif height is not None:
            bar = round(abs(height) / most * _ROW, 1)
            parts.append(_box(left, top + _ROW - bar, cell - 1, bar, "ink" if height >= 0 else "accent", 0.75))
            parts.append(_box(left, top + _ROW, cell - 1, 1, "soft", 0.4))
        elif value:
            parts.append(_word(left + cell / 2, top + _ROW / 2 + 4, str(value), cell))
    return parts


def _word(x: float, y: float, word: str, cell: int) -> str:
    short = word
    while len(short) > 1 and _width(short) > cell:
        short = short[:-1]
    return f"<g><title>{escaped(word)}</title>{_text(x, y, short, 'middle', 'ink')}</g>"


def _width(word: str) -> int:
    """About the pixels of a word, rather too many."""
    return sum(10 if letter.isupper() or not letter.isascii() else 7 for letter in word)


def _unit(values: list[Any]) -> int:
    return max(2, min(_UNIT, _MATRIX // max(len(values[:_MOST]), 1)))


def _text(x: float, y: float, text: str, anchor: str, colour: str) -> str:
    style = f"font-size: {_SIZE}px; fill: var(--{colour})"
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" style="{style}">{escaped(text)}</text>'


def _box(x: float, y: float, width: float, height: float, colour: str, opacity: float) -> str:
    style = f"fill: var(--{colour}); fill-opacity: {opacity:.2f}"
    return f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" style="{style}"/>'


def _height(track: Mapping[str, Any]) -> int:
    first = _list(track["values"])[0]
    return len(first[:_MOST]) * _unit(first) if isinstance(first, list) else _ROW


def _steps(track: Any) -> int:
    return len(_list(track.get("values"))[:_MOST]) if isinstance(track, dict) else 0


def _list(value: Any) -> list[Any]:
    return value[:_MOST] if isinstance(value, list) else []
