"""The columns of an unfolded network: a layer's box at each step, what it reads, and its states along time."""

from __future__ import annotations

from itertools import pairwise

from rekur.draw.scene import Point
from rekur.draw.style import TEXTS
from rekur.draw.wiring import Sheet, Wiring
from rekur.draw.words import width

_WIDE, _HIGH, _BETWEEN, _APART = 76.0, 46.0, 64.0, 22.0
_RISE = 86.0  # from a row to the next


class Columns:
    """Draws the boxes of all layers at all steps, and what leads from one to the next."""

    def __init__(self, wiring: Wiring, steps: int) -> None:
        self.w = wiring
        self.steps = steps
        self.coder = wiring.shape == "encoder-decoder"
        self.times = [f"{t}" for t in range(1, steps + 1)]
        self.sheet = Sheet()
        self.both = wiring.bidirectional
        self.wide = max(_WIDE, width(wiring.graph.name, TEXTS["label"].size) + 16)
        self.high = _HIGH + _APART * max(0, len(wiring.states) - 2)
        self.pitch = self.wide + _BETWEEN + (self.wide + 14) * self.both
        self.pitch += 14 * (wiring.layers - 1) * (wiring.connections == "dense")
        self.rise = max(_RISE, self.high + 44) + 24 * (wiring.connections == "residual")
        self.reach = (self.pitch - _BETWEEN) / 2 + 16 * (wiring.connections != "plain")
        """How far a column goes to its sides"""
        self.columns = (2 * steps + 1) if self.coder else steps

    # ---- where things are -----------------------------------------------------------------------------------

    def x(self, column: int) -> float:
        """The middle of a column."""
        return column * self.pitch

    def row(self, layer: int) -> float:
        """The height of a layer, or of its forward chain: above it is smaller."""
        rows = 2 * layer if self.both else layer
        join = (44.0 + 40.0 * (self.w.connections != "plain")) * layer * self.both
        buses = 34.0 * max(0, len(self.w.graph.of("constant")) - 1)
        return -self.rise * (rows + 1 + self.w.embedding) - join - buses

    def top(self) -> float:
        """The height of the highest layer's outputs."""
        residual = 38.0 * (self.w.connections == "residual" and self.w.layers > 1)
        return self.row(self.w.layers - 1) - (self.rise + 62.0) * self.both - residual

    def middle(self, column: int, direction: int) -> float:
        """Where a layer's box is in its column: the second direction's is to the right of the first's."""
        return self.x(column) + (direction - 0.5) * (self.wide + 14) * self.both

    def time(self, column: int) -> int:
        """The step that a column shows, from 1; a decoder counts anew."""
        return column + 1 if column < self.steps else column - self.steps

    def name(self, column: int, layer: int, direction: int = 0) -> str:
        """What the box of a layer is called."""
        way = ("→", "←")[direction] if self.both else ""
        part = ("decoder" if column > self.steps else "encoder") if self.coder else "layer"
        return f"{part} {layer + 1}{way} {self.time(column)}"

    def layer(self, column: int, layer: int) -> None:
        """A layer's boxes, what the layer below leads into them, and where its directions meet."""
        w, sheet = self.w, self.sheet
        for direction in range(1 + self.both):
            caption = f"layer {layer + 1}" if w.layers > 1 else ""
            caption = (
                ("forward", "backward")[direction] + (f" {layer + 1}" if caption else "") if self.both else caption
            )
            if self.coder:
                caption = "decoder" if column > self.steps else "encoder"
                caption += f" {layer + 1}" if w.layers > 1 else ""
            y = self.row(layer) - self.rise * direction
            x = self.middle(column, direction)
            sheet.box(
                self.name(column, layer, direction), "layer", x, y, w.graph.name, caption,
                width=self.wide, height=self.high,
            )  # fmt: skip
        if w.connections == "dense" and layer:
            self.dense(column, layer)
        elif layer:
            self.read(column, layer, self.puts_out(column, layer - 1))
        ends = w.single and (w.pooling or "last") == "last" and layer == w.layers - 1 and w.connections != "residual"
        if self.both and not ends:
            y = self.row(layer) - self.rise - 62
            sheet.box(f"join {layer + 1} {column + 1}", "join", self.x(column), y, "‖", width=30.0, height=22.0)
            for direction in (0, 1):
                self.beside(self.name(column, layer, direction), f"join {layer + 1} {column + 1}", direction)
        if w.connections == "residual" and layer:
            self.residual(column, layer)

    def puts_out(self, column: int, layer: int) -> str:
        """The box that holds what a layer puts out at a step."""
        options = (f"plus {layer + 1} {column + 1}", f"join {layer + 1} {column + 1}", self.name(column, layer))
        return next(name for name in options if name in self.sheet.boxes)

    def beside(self, source: str, target: str, direction: int) -> None:
        """Into the side of a join."""
        a, b = self.sheet.boxes[source], self.sheet.boxes[target]
        end = b.sides[0] if direction == 0 else b.sides[2]
        self.sheet.edge(source, target, [(a.x, a.sides[1]), (a.x, b.y), (end, b.y)])

    def read(self, column: int, layer: int, source: str) -> None:
        """A layer reads what is below it."""
        symbol = self.w.symbol(self.argument(), layer, self.mark(column))
        if not self.both:
            side = "end" if self.w.connections == "dense" else "start"
            self.sheet.up(source, self.name(column, layer), symbol, side=side)
            return
        a = self.sheet.boxes[source]
        split = a.sides[1] - 16
        for direction in (0, 1):
            target = self.name(column, layer, direction)
            b = self.sheet.boxes[target]
            points: list[Point] = [(a.x, a.sides[1]), (a.x, split), (b.x, split), (b.x, b.sides[3])]
            self.sheet.edge(source, target, points, symbol, "flow", (b.x + 5, b.sides[3] + 13, "start"))
        self.sheet.dots.append((a.x, split))

    def argument(self) -> str:
        """The name of what the first layer reads."""
        return self.w.graph.of("input")[0].name

    def mark(self, column: int) -> str:
        """What tells the weights of encoder and decoder apart."""
        return "" if not self.coder else ("d" if column > self.steps else "e")

    def input(self, column: int) -> None:
        """What comes in at a step, and its embedding."""
        sheet, w = self.sheet, self.w
        label = ", ".join(f"{a.name}_{{{self.time(column)}}}" for a in w.graph.of("input"))
        source = f"input {column + 1}"
        sheet.box(source, "input", self.x(column), 0.0, label)
        if w.embedding:
            sheet.box(f"embedding {column + 1}", "head", self.x(column), -self.rise * 0.8, "embedding")
            sheet.up(source, f"embedding {column + 1}")

    # ---- along time -------------------------------------------------------------------------------------------

    def port(self, state: int) -> float:
        """How far from a box's middle a state comes in and goes out; the output lowest."""
        return ((len(self.w.states) - 1) / 2 - state) * _APART

    def chain(self, layer: int, direction: int) -> None:
        """The states from step to step, from where they start to where they end."""
        sheet, w = self.sheet, self.w
        columns = [c for c in range(self.columns) if not (self.coder and c == self.steps)]
        order = columns[::-1] if direction else columns
        near, far = (0, 2) if not direction else (2, 0)  # the sides of a box
        away = -1 if not direction else 1
        for k, state in enumerate(w.states):
            dy = self.port(k)
            above = f"^{{{layer + 1}}}" if w.layers > 1 else ""
            first, last = self.name(order[0], layer, direction), self.name(order[-1], layer, direction)
            begins, ends = (0, self.steps) if not direction else (self.steps + 1, 1)
            for which, box, side, out in (("initial", first, near, away), ("final", last, far, -away)):
                b = sheet.boxes[box]
                time = begins if which == "initial" else ends
                label = f"{state}_{{{time}}}{above}"
                wide = width(label, TEXTS["variable"].size)
                edge = self.x(self.columns - 1 if out > 0 else 0) + out * self.reach
                x = edge + out * (26 + wide / 2)
                name = f"{which} {state} {box}"
                s = sheet.box(name, "state", x, b.y + dy, label, width=wide + 6, height=21.5)
                points: list[Point] = [(s.sides[2 - side], s.y), (b.sides[side], s.y)]
                if which == "initial":
                    sheet.edge(name, box, points, kind="state")
                else:
                    sheet.edge(box, name, points[::-1], kind="state")
            for a, b_ in pairwise(order):
                if self.coder and a < self.steps < b_:
                    continue  # by way of the context
                source, target = self.name(a, layer, direction), self.name(b_, layer, direction)
                one, two = sheet.boxes[source], sheet.boxes[target]
                start, end = (one.sides[far], one.y + dy), (two.sides[near], two.y + dy)
                side = 9 if k == 0 and len(w.states) > 1 else -9
                at = (self.free_middle(start[0], end[0]), one.y + dy + side, "middle")
                sheet.edge(source, target, [start, end], w.symbol(state, layer, self.mark(a)), "state", at)

    def free_middle(self, start: float, end: float) -> float:
        """The middle of what lies between two boxes, beside what comes down or goes up there."""
        if self.both:
            return start + (22 if end > start else -22)
        return (start + end) / 2

    # ---- further ways -----------------------------------------------------------------------------------------

    def residual(self, column: int, layer: int) -> None:
        """What a layer reads is added to what it computes."""
        sheet = self.sheet
        below, own = self.puts_out(column, layer - 1), self.puts_out(column, layer)
        a, b = sheet.boxes[below], sheet.boxes[own]
        p = sheet.box(f"plus {layer + 1} {column + 1}", "valve", b.x, b.sides[1] - 24, "+", width=22.0, height=22.0)
        sheet.up(own, p.name)
        fork, lane = a.sides[1] - 8, self.lane(column, layer, 0)
        points = [(a.x, a.sides[1]), (a.x, fork), (lane, fork), (lane, p.y), (p.sides[2], p.y)]
        sheet.edge(below, p.name, points, kind="skip")
        sheet.dots.append((a.x, fork))

    def lane(self, column: int, layer: int, k: int) -> float:
        """To the right of a layer's boxes, where something goes past them."""
        return self.sheet.boxes[self.name(column, layer, int(self.both))].sides[2] + 12 + 12 * k

    def dense(self, column: int, layer: int) -> None:
        """A layer reads what the one below puts out, and also the input and what layers further below put out."""
        sheet = self.sheet
        below = self.puts_out(column, layer - 1)
        into = self.name(column, layer)
        if self.both:  # both directions read the same: it is joined once
            a = sheet.boxes[below]
            into = f"read {layer + 1} {column + 1}"
            sheet.box(into, "join", a.x, a.sides[1] - 25, "‖", width=30.0, height=22.0)
            sheet.up(below, into)
            self.read(column, layer, into)
        else:
            self.read(column, layer, below)
        b = sheet.boxes[into]
        for depth in range(layer):
            first = f"embedding {column + 1}" if self.w.embedding else f"input {column + 1}"
            if depth == 0 and first not in sheet.boxes:
                continue  # nothing comes in at this step
            a = sheet.boxes[first if depth == 0 else self.puts_out(column, depth - 1)]
            lane, fork = self.lane(column, layer, depth), a.sides[1] - 8 - 5 * depth
            points: list[Point] = [(a.x, a.sides[1]), (a.x, fork), (lane, fork)]
            if self.both:
                level = b.y - 6 + 12 * depth / max(1, layer - 1)
                points += [(lane, level), (b.sides[2], level)]
            else:
                level, x = b.sides[3] + 8 + 5 * depth, b.x + 14 + 10 * depth
                points += [(lane, level), (x, level), (x, b.sides[3])]
            sheet.edge(a.name, b.name, points, kind="skip")
