"""What a Python source is at every character: string, comment, brackets, blocks. Plain code, no parser.

A text to measure on may begin in the middle of a file, and is several files one after the other, so this forgives
what a parser would refuse. All values are those after the character has been read: a string begins with its first
quotation mark, and is over with its last.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

KEYWORDS = {
    "def": "def", "class": "class", "if": "if", "elif": "if", "else": "if", "for": "loop", "while": "loop",
    "try": "try", "except": "try", "finally": "try", "with": "with",
}  # fmt: skip
"""The first word of a header -> the kind of block that it opens"""

_MARK = re.compile(r'"""|\'\'\'|["\'#()\[\]{}]|^(?:class \w|def \w)', re.MULTILINE)
# A text that begins inside a docstring would be read inside out for ever: these lines are code in any case.
_CODE = r"^(?:(?=(?: *def \w+\(self\b| *async def |class \w+[:(]|def \w+\()))"
_ENDS = {
    '"""': re.compile(rf'(?:\\.|[^"\\]|"(?!""))*?(?:"""|{_CODE})', re.DOTALL | re.MULTILINE),
    "'''": re.compile(rf"(?:\\.|[^'\\]|'(?!''))*?(?:'''|{_CODE})", re.DOTALL | re.MULTILINE),
    '"': re.compile(r'(?:\\.|[^"\\\n])*(?:"|(?=\n)|\Z)', re.DOTALL),
    "'": re.compile(r"(?:\\.|[^'\\\n])*(?:'|(?=\n)|\Z)", re.DOTALL),
}
_LINE = re.compile(r"^([ \t]*)(?:async )?(\w+)?[^\n]*", re.MULTILINE)

Values = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class PythonText:
    """One value a character of each: `string`, `docstring` (any in three quotation marks) and `comment` are 0 or 1,
    `depth` is the number of open brackets; `header` is 1 in the line that opens a block, and `blocks` has for every
    kind of block 1 in its body.
    """

    string: Values
    docstring: Values
    comment: Values
    depth: Values
    header: Values
    blocks: dict[str, Values]


@lru_cache(maxsize=4)  # several properties ask for the same text
def scan(text: str) -> PythonText:
    """Read a Python source.

    >>> found = scan("f('a')  # b")
    >>> found.string.astype(int).tolist()
    [0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0]
    >>> found.depth.astype(int).tolist()
    [0, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0]
    """
    string, docstring, comment, depth = (np.zeros(len(text), np.float32) for _ in range(4))
    opened, changed, at = 0, 0, 0
    while found := _MARK.search(text, at):
        mark, begin, at = found[0], found.start(), found.end()
        now = opened
        if mark in _ENDS:
            closing = _ENDS[mark].match(text, at)
            at = closing.end() if closing else len(text)
            closed = closing is not None and text.endswith(mark, 0, at)
            string[begin : at - closed] = 1
            if len(mark) == 3:
                docstring[begin : at - closed] = 1
        elif mark == "#":
            at = text.find("\n", at)
            at = at if at >= 0 else len(text)
            comment[begin:at] = 1
        elif mark in "([{":
            now = opened + 1
        elif mark in ")]}":
            now = max(0, opened - 1)
        else:
            now = 0  # a class or a function at the margin: whatever was open was not
        if now != opened:
            depth[changed:begin] = opened
            opened, changed = now, begin
    depth[changed:] = opened
    header, blocks = _blocks(text, (string + comment) > 0, depth)
    return PythonText(string, docstring, comment, depth, header, blocks)


def _blocks(text: str, quiet: NDArray[np.bool_], depth: Values) -> tuple[Values, dict[str, Values]]:
    """Where headers and the bodies of blocks are.

    What a line is in is known with its first word: line ends and indentation still belong to the line before.
    """
    header = np.zeros(len(text), np.float32)
    blocks = {kind: np.zeros(len(text), np.float32) for kind in dict.fromkeys(KEYWORDS.values())}
    stack: list[tuple[int, str]] = []
    since = 0

    def fill(upto: int) -> int:
        for kind in {kind for _, kind in stack}:
            blocks[kind][since:upto] = 1
        return upto

    for line in _LINE.finditer(text):
        begin, first = line.start(), line.end(1)
        blank = first >= len(text) or text[first] in "\n#"
        if blank or (begin and (depth[begin - 1] or quiet[begin - 1])):
            continue  # or the statement before goes on
        since = fill(first)
        indent = len(line[1].expandtabs(8))
        while stack and stack[-1][0] >= indent:
            stack.pop()
        end = _end(text, line.end(), quiet, depth) if line[2] in KEYWORDS else None
        if end is not None:
            header[line.end(2) : end] = 1
            since = fill(end)
            stack.append((indent, KEYWORDS[line[2]]))
    fill(len(text))
    return header, blocks


def _end(text: str, end: int, quiet: NDArray[np.bool_], depth: Values) -> int | None:
    """The end of a header, given that of its first line; None where it is no header: where it ends in no colon."""
    while end < len(text) and (depth[end] or quiet[end]):
        end = text.find("\n", end + 1)
        end = end if end >= 0 else len(text)
    last = end - 1
    while last > 0 and (quiet[last] or text[last] in " \t"):
        last -= 1
    return end if text[last] == ":" else None
