"""How pictures look: one table. Shape and stroke carry the meaning; colour only helps, so that print may drop it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

SANS = "'Helvetica Neue', Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"
SERIF = "Georgia, 'Times New Roman', 'Liberation Serif', 'DejaVu Serif', serif"
MARGIN = 14.0


@dataclass(frozen=True, slots=True)
class Kind:
    """How a box is drawn."""

    shape: str
    """rect | round (a rectangle with round ends) | circle | square | none"""
    fill: str = "paper"
    """A colour of `LIGHT` and `DARK`"""
    text: str = "label"
    stroke: float = 1.5
    dash: str = ""
    holds: bool = False
    """Whether other boxes lie in it"""

    @property
    def bare(self) -> bool:
        """Whether it is its label and nothing else."""
        return self.shape == "none"


@dataclass(frozen=True, slots=True)
class Letters:
    """How a text is set."""

    size: float
    family: str = SANS
    italic: bool = False
    bold: bool = False
    colour: str = "ink"


TEXTS: Mapping[str, Letters] = {
    "label": Letters(15),
    "symbol": Letters(17, SERIF),
    "variable": Letters(18, SERIF, italic=True),
    "caption": Letters(10.5, colour="soft"),
    "small": Letters(11),
    "weight": Letters(13, SERIF, italic=True),
    "value": Letters(11.5, colour="forward"),
    "gradient": Letters(11.5, italic=True, colour="backward"),
    "note": Letters(12.5, colour="soft"),
    "heading": Letters(15, bold=True),
}

KINDS: Mapping[str, Kind] = {
    "input": Kind("round", "input", "variable"),
    "constant": Kind("round", "input", "variable", dash="5 3"),
    "weight": Kind("rect", "paper", "weight", dash="2 2"),
    "gradient": Kind("round", "paper", "variable", dash="2 2"),
    "state": Kind("none", text="variable"),
    "next": Kind("none", text="variable"),
    "gate": Kind("rect", "gate", "symbol"),
    "valve": Kind("circle", "valve", "label"),
    "map": Kind("round", "valve", "small"),
    "join": Kind("rect", "paper", "weight", stroke=1.0),
    "rest": Kind("rect", "paper", "small", dash="5 3"),
    "frame": Kind("rect", "frame", stroke=1.2, holds=True),
    "delay": Kind("square", "ink"),
    "layer": Kind("rect", "gate", "label", stroke=1.8),
    "output": Kind("round", "paper", "variable", stroke=2.4),
    "target": Kind("round", "paper", "variable", dash="1.5 3"),
    "loss": Kind("circle", "valve", "variable"),
    "head": Kind("rect", "valve", "small"),
    "value": Kind("round", "paper", "small"),
}

STROKES: Mapping[str, tuple[float, str]] = {
    "flow": (1.5, ""),
    "state": (2.6, ""),
    "context": (1.8, "7 4"),
    "feedback": (1.5, "4 3"),
    "skip": (1.5, "1.5 3"),
    "target": (1.2, "5 3"),
}
"""Kind of an edge -> width and dashes"""

LIGHT: Mapping[str, str] = {
    "paper": "#ffffff", "ink": "#1b1f24", "soft": "#4d5560", "gate": "#ffedc2", "valve": "#fbd9d3",
    "input": "#dbe9f8", "frame": "#f4f7f1", "forward": "#17632e", "backward": "#a3271d",
}  # fmt: skip
DARK: Mapping[str, str] = {
    "paper": "#15181d", "ink": "#eceff3", "soft": "#b3bbc6", "gate": "#55461b", "valve": "#5e302b",
    "input": "#23405e", "frame": "#1d2420", "forward": "#7fd596", "backward": "#ff9d91",
}  # fmt: skip
