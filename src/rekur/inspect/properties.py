"""Properties of a text that a unit may follow: plain code that gives a number for every character.

A model reads the character at t, and its state after that is compared with the property at t. So a property says how
things stand once the character has been read: an opening bracket is inside, a closing one is not, and a line feed is
place 0 of the next line.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rekur.errors import OptionError, suggest
from rekur.inspect.python_text import KEYWORDS, Values, scan

_LINES = 20  # likewise, of a paragraph
_FAR = 120  # further from the last line feed, sentence … all is one: a few endless lines would be all the variance


@dataclass(frozen=True)
class Property:
    """A name, what it is, and a function from a text of N characters to N numbers, or truth values as 0 and 1."""

    name: str
    about: str
    of: Callable[[str], Values]


def values(prop: Property, text: str) -> Values:
    """A property on a text, (N,); OptionError where its function does not give one finite number a character."""
    found = np.asarray(prop.of(text), np.float32)
    if found.shape != (len(text),):
        raise OptionError(f"property {prop.name!r} gives {found.shape} values for {len(text)} characters")
    if not np.isfinite(found).all():
        at = int(np.flatnonzero(~np.isfinite(found))[0])
        raise OptionError(f"property {prop.name!r} is {found[at]} at character {at}, {text[at]!r}; make it finite")
    return found


def _codes(text: str) -> NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def _among(test: Callable[[str], bool]) -> Callable[[str], NDArray[np.bool_]]:
    """Which characters of a text pass a test, which is asked once for each kind of character."""

    def of(text: str) -> NDArray[np.bool_]:
        kinds, where = np.unique(_codes(text), return_inverse=True)
        return np.array([test(chr(kind)) for kind in kinds], bool)[where]

    return of


def _since(last: NDArray[np.bool_], cap: int = _FAR) -> Values:
    """How many characters ago a condition last held, 0 where it does; from the beginning where it never has."""
    at = np.arange(len(last))
    return np.minimum(at - np.maximum.accumulate(np.where(last, at, 0)), cap).astype(np.float32)


_line_feed = _among(lambda c: c == "\n")
_letter = _among(lambda c: c.isalnum() or c == "_")


def _column(text: str) -> Values:
    return _since(_line_feed(text))


def _indentation(text: str) -> Values:
    """The blanks at the line's beginning, as many as have been read."""
    out, blanks, leading = np.zeros(len(text), np.float32), 0, True
    for at, c in enumerate(text):
        if c == "\n":
            blanks, leading = 0, True
        elif leading and c in " \t":
            blanks += 1
        else:
            leading = False
        out[at] = min(blanks, _FAR)
    return out


def _word_length(text: str) -> Values:
    return _since(~_letter(text))


def _capitals(text: str) -> Values:
    """Whether the last letter was a capital: carried over what has no case."""
    cased, upper = _among(lambda c: c.isupper() or c.islower())(text), _among(str.isupper)(text)
    at = np.maximum.accumulate(np.where(cased, np.arange(len(text)), 0))
    return upper[at].astype(np.float32)


def _paragraph(text: str) -> Values:
    """Lines since the last blank one, up to some."""
    out, lines, blank = np.zeros(len(text), np.float32), 0, True
    for at, c in enumerate(text):
        if c == "\n":
            lines = 0 if blank else lines + 1
            blank = True
        elif not c.isspace():
            blank = False
        out[at] = min(lines, _LINES)
    return out


def _sentence(text: str) -> Values:
    ends = np.zeros(len(text), bool)
    for found in re.finditer(r"[.!?][\"')\]”’]*(?=\s)|\n(?=\s*\n)", text):
        ends[found.end() - 1] = True
    return _since(ends, 4 * _FAR)


def _quotes(text: str) -> Values:
    """Inside “…” or "…"; a blank line ends what was left open. Apostrophes are none of it."""
    out, inside = np.zeros(len(text), np.float32), False
    for at, c in enumerate(text):
        if c == '"':
            inside = not inside
        elif c in "“„«":
            inside = True
        elif c in "”»" or (c == "\n" and text[at - 1 : at] == "\n"):
            inside = False
        out[at] = inside
    return out


def _depth(text: str) -> Values:
    """Brackets that are open; a blank line closes what was left open."""
    out, depth = np.zeros(len(text), np.float32), 0
    for at, c in enumerate(text):
        if c in "([{":
            depth += 1
        elif c in ")]}":
            depth = max(0, depth - 1)
        elif c == "\n" and text[at - 1 : at] == "\n":
            depth = 0
        out[at] = depth
    return out


def _positive(of: Callable[[str], Values]) -> Callable[[str], Values]:
    return lambda text: (of(text) > 0).astype(np.float32)


def _block(kind: str) -> Property:
    words = ", ".join(word for word, opens in KEYWORDS.items() if opens == kind)
    return Property(
        f"{kind}_block", f"in the body of a block that {words} opens", lambda text: scan(text).blocks[kind]
    )


ANY = (
    Property("column", f"place in the line, up to {_FAR}", _column),
    Property("indentation", "blanks at the line’s beginning", _indentation),
    Property("word", "inside a word or a number", lambda text: _letter(text).astype(np.float32)),
    Property("word_length", "characters of the word so far", _word_length),
    Property("digit", "right after a digit", lambda text: _among(str.isdigit)(text).astype(np.float32)),
    Property("capitals", "whether the last letter was a capital", _capitals),
    Property("paragraph", f"lines since the last blank one, up to {_LINES}", _paragraph),
)
"""Properties of any text"""

PROSE = (
    *ANY,
    Property("quotes", "inside double quotation marks", _quotes),
    Property("brackets", "inside brackets", _positive(_depth)),
    Property("depth", "how many brackets are open", _depth),
    Property("sentence", f"characters since the last sentence, up to {4 * _FAR}", _sentence),
)
"""Properties of prose and of texts of unknown kind"""

PYTHON = (
    *ANY,
    Property("quotes", "inside a string, of any quotation marks", lambda text: scan(text).string),
    Property("docstring", "inside a string of three quotation marks", lambda text: scan(text).docstring),
    Property("comment", "inside a comment", lambda text: scan(text).comment),
    Property("brackets", "inside brackets, of code alone", _positive(lambda text: scan(text).depth)),
    Property("depth", "how many brackets of code are open", lambda text: scan(text).depth),
    Property("header", "in the line that opens a block, after its first word", lambda text: scan(text).header),
    *map(_block, dict.fromkeys(KEYWORDS.values())),
)
"""Properties of Python sources"""


def standard(text: str) -> tuple[Property, ...]:
    """The properties to ask for: those of Python where at least one line in fifty begins as only code does.

    >>> [prop.name for prop in standard("It was a dark night.")][-1]
    'sentence'
    """
    code = len(re.findall(r"^ *(?:def \w+\(|class \w+[:(]|import \w+$|from \S+ import )", text, re.MULTILINE))
    return PYTHON if 50 * code > text.count("\n") else PROSE


def choose(names: Iterable[str], known: Sequence[Property] = PYTHON) -> tuple[Property, ...]:
    """Properties by name; OptionError for one that is not there, with the nearest."""
    table = {prop.name: prop for prop in known}
    out = []
    for name in names:
        if name not in table:
            raise OptionError(f"no property {name!r}{suggest(name, table)}; there are {', '.join(table)}")
        out.append(table[name])
    return tuple(out)


_NAMES = {
    "c": "the character", "i": "its place", "text": "the whole text", "line": "the line so far",
    "column": "its length", "re": "Python's regular expressions",
}  # fmt: skip


def parse(given: str, known: Sequence[Property] = PYTHON) -> Property:
    """A property of the user's, in a line of Python: ``name=expression``, or the expression alone.

    It is evaluated for every character and gives a number or a truth value. It may use `c`, the character; `i`, its
    place in `text`, the whole; `line`, the line up to and with the character, empty after a line feed; `column`, the
    length of that; the module `re`; Python's built-in functions; and any of the `known` properties by name, as its
    value there.

    The expression is run as it is: it is the user's own, as the rest of the command line.

    Raises OptionError for what is not an expression, a name that does not exist, and, on a text, for a value that is
    not a number.

    >>> upper = parse("upper=c.isupper()")
    >>> upper.name, upper.of("aBC").tolist()
    ('upper', [0.0, 1.0, 1.0])
    >>> parse("depth > 1").of("((1)").tolist()
    [0.0, 1.0, 1.0, 0.0]
    """
    named = re.fullmatch(r"\s*([\w-]+)\s*=(?!=)\s*(.*)", given, re.DOTALL)
    name, source = (named[1], named[2]) if named else (given.strip(), given.strip())
    try:
        tree = ast.parse(source, mode="eval")
    except (SyntaxError, ValueError) as error:
        why = f"{error.msg} at its character {error.offset}" if isinstance(error, SyntaxError) else str(error)
        raise OptionError(
            f"property {name!r}: {source!r} is not an expression of Python: {why}; write it as 'upper=c.isupper()'"
        ) from None
    nodes = list(ast.walk(tree))
    own = {node.id for node in nodes if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)}
    own |= {node.arg for node in nodes if isinstance(node, ast.arg)}
    used = {node.id for node in nodes if isinstance(node, ast.Name)} - own
    table = {prop.name: prop for prop in known}
    for word in sorted(used):
        if word not in _NAMES and word not in table and not hasattr(builtins, word):
            near = suggest(word, [*_NAMES, *table, *dir(builtins)])
            what = ", ".join(f"{one} ({about})" for one, about in _NAMES.items())
            raise OptionError(
                f"property {name!r}: there is no {word!r}{near}; there are {what}, and {', '.join(table)}"
            )
    asked = [table[word] for word in sorted(used - set(_NAMES)) if word in table]
    arguments = ", ".join(["text", "c", "i", "line", "column", *(prop.name for prop in asked)])
    function = ast.parse(f"lambda {arguments}: 0", mode="eval")
    assert isinstance(function.body, ast.Lambda)
    function.body.body = tree.body
    call = eval(compile(ast.fix_missing_locations(function), f"property {name}", "eval"), {"re": re})
    return Property(name, f"yours: {source}", lambda text: _evaluated(name, call, text, asked, "line" in used))


def _evaluated(name: str, call: Callable[..., Any], text: str, asked: Sequence[Property], lines: bool) -> Values:
    out = np.zeros(len(text), np.float32)
    others = [values(prop, text).tolist() for prop in asked]
    start, line = 0, ""
    for i, (c, *at) in enumerate(zip(text, *others, strict=True)):
        if c == "\n":
            start = i + 1
        if lines:
            line = text[start : i + 1]
        try:
            found = call(text, c, i, line, i + 1 - start, *at)
        except Exception as error:
            raise OptionError(
                f"property {name!r} fails at character {i}, {c!r}: {type(error).__name__}: {error}"
            ) from error
        if not isinstance(found, Real | np.bool_):
            raise OptionError(
                f"property {name!r} is {found!r:.40}, a {type(found).__name__}, at character {i}, {c!r}; "
                "it must be a number or a truth value"
            )
        out[i] = float(found)
    return out
