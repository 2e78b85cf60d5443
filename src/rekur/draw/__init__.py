"""Pictures of cells and networks, and steps with their numbers; no torch in here.

A graph, or how layers are wired, becomes a scene: what is drawn where. A scene becomes SVG, or PNG.

>>> from rekur.cells import lstm
>>> from rekur.draw import draw_cell
>>> draw_cell(lstm).svg().startswith("<svg")
True
"""

from rekur.draw.cell import draw_cell
from rekur.draw.circuit import circuit
from rekur.draw.expression import expression
from rekur.draw.flow import Flow, draw_flow, flow
from rekur.draw.given import assignments, completed, some_weights, unstacked
from rekur.draw.lattice import lattice
from rekur.draw.numbers import Nested
from rekur.draw.png import to_png
from rekur.draw.scene import Box, Edge, Scene, Text, overlaps
from rekur.draw.step import WorkedStep, worked_step
from rekur.draw.svg import to_svg
from rekur.draw.through import Through, one_hot, run_through
from rekur.draw.unfolded import unfolded
from rekur.draw.wiring import CONNECTIONS, POOLINGS, SHAPES, Wiring

__all__ = [
    "CONNECTIONS", "POOLINGS", "SHAPES", "Box", "Edge", "Flow", "Nested", "Scene", "Text", "Through", "Wiring",
    "WorkedStep", "assignments", "circuit", "completed", "draw_cell", "draw_flow", "expression", "flow", "lattice",
    "one_hot", "overlaps", "run_through", "some_weights", "to_png", "to_svg", "unfolded", "unstacked", "worked_step",
]  # fmt: skip
