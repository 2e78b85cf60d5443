"""The pieces of the page. Whatever goes in as text comes out escaped."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any

from rekur.report.wording import value, visible

_LENGTH = 1200  # characters of a listing shown
_INDENT = 16  # characters by which the rest of a long line is indented at most


def escaped(text: str) -> str:
    """Text for the inside of an element or of a quoted attribute."""
    return escape(visible(text), quote=True)


def document(title: str, body: str, foot: str, styles: Sequence[str] = ("style.css",)) -> str:
    """The whole page, which needs nothing beside it. The body is HTML; styles are files of this package."""
    style = "".join((files("rekur.report") / name).read_text(encoding="utf-8") for name in styles)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escaped(title)}</title>
<style>
{style}</style>
</head>
<body>
<main>
{body}
<footer class="note">{escaped(foot)}</footer>
</main>
</body>
</html>
"""


def section(title: str, body: str) -> str:
    """A part of the page under a heading."""
    return f"<section>\n<h2>{escaped(title)}</h2>\n{body}\n</section>\n"


def headline(figure: str, what: str) -> str:
    """A number in large type and what it is."""
    return f"<div><dt>{escaped(what)}</dt><dd>{escaped(figure)}</dd></div>"


def figure(caption: str, wide: tuple[int, int], draw: Callable[[int, int], str]) -> str:
    """A drawing for screens and paper, and the same drawn again for a phone: text does not scale with width.

    The caption is HTML.
    """
    drawings = f'<div class="wide">{draw(*wide)}</div><div class="narrow">{draw(360, min(wide[1], 280))}</div>'
    return f"<figure><figcaption>{caption}</figcaption>{drawings}</figure>"


def facts(table: Mapping[str, Any]) -> str:
    """Names and values; a table within the table is spread out, its names joined by dots. Nothing if empty."""
    rows = [f"<div><dt>{escaped(name)}</dt><dd>{escaped(value(found))}</dd></div>" for name, found in _flat(table)]
    return f'<dl class="facts">{"".join(rows)}</dl>' if rows else ""


def listing(text: str) -> str:
    """Preformatted text. Every line is an element, so that what does not fit hangs under the line's beginning."""
    shown = text if len(text) <= _LENGTH else f"{text[:_LENGTH]} …"
    lines = []
    for line in shown.expandtabs(4).split("\n"):
        indent = min(len(line) - len(line.lstrip(" ")), _INDENT)
        style = f' style="--in:{indent}"' if indent else ""
        lines.append(f"<span{style}>{escaped(line)}</span>")
    return f"<pre>{''.join(lines)}</pre>"


def words(name: str) -> str:
    """A name as it is read.

    >>> words("hidden_size")
    'hidden size'
    """
    return name.replace("_", " ")


def _flat(table: Mapping[str, Any], before: str = "") -> Iterable[tuple[str, Any]]:
    for name, found in table.items():
        if isinstance(found, dict):
            yield from _flat(found, f"{before}{words(name)}.")
        else:
            yield f"{before}{words(name)}", found
