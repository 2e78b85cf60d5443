"""Labels: a small markup for what stands lower or higher, and how wide a text is."""

from __future__ import annotations

import re
from typing import NamedTuple

SMALL = 0.72
"""The size of what stands lower or higher, as a part of the label's."""

_WIDTHS = {
    25: "′", 28: "'ijlIJ", 32: " ,.·", 35: "/:;\\|f", 39: "-()[]t⟨⟩!r", 48: '"*_`∥‖–', 52: "szc?∂ε",
    57: "LFk", 60: "vxyγλPπτTYaoδθe", 64: "ESbdghnpquσΣρ$0123456789{}√βμ", 68: "AVKαφBRXZ", 75: "CUHNDG",
    79: "OQ&", 84: "w#+<=>^~×÷−⊙ω≈→←↑↓M", 100: "%mW@⋯…",
}  # fmt: skip
_WIDTH = {c: w / 100 for w, characters in _WIDTHS.items() for c in characters}
"""Character -> width, as a part of the size; of DejaVu Sans, which is wider than what most viewers will take."""

_MARK = re.compile(r"([_^])\{([^{}]*)\}")


class Run(NamedTuple):
    """A piece of a label: `level` is 0 on the line, -1 below it, 1 above it."""

    text: str
    level: int


def runs(label: str) -> list[Run]:
    """The pieces of a label, in which ``_{…}`` stands lower and ``^{…}`` higher.

    >>> runs("h_{t}")
    [Run(text='h', level=0), Run(text='t', level=-1)]
    """
    out, at = [], 0
    for match in _MARK.finditer(label):
        out += [Run(label[at : match.start()], 0), Run(match[2], -1 if match[1] == "_" else 1)]
        at = match.end()
    return [run for run in [*out, Run(label[at:], 0)] if run.text]


def plain(label: str) -> str:
    """A label as a line of text.

    >>> plain("h_{t-1}")
    'h_t-1'
    """
    return _MARK.sub(lambda m: m[2] if m[1] == "^" else f"_{m[2]}", label)


def width(label: str, size: float) -> float:
    """How wide a label is at most.

    >>> width("h_{t}", 10) < width("ht", 10) < width("hidden", 10)
    True
    """
    return sum(_WIDTH.get(c, 1.0) * size * (SMALL if run.level else 1.0) for run in runs(label) for c in run.text)
