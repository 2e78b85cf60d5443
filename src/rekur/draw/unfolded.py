"""A network over several steps: inputs at the bottom, time to the right, outputs, losses and targets above."""

from __future__ import annotations

from rekur.draw.columns import Columns
from rekur.draw.scene import Point, Scene, Text
from rekur.draw.wiring import Wiring
from rekur.errors import OptionError

MOST_STEPS = 12


def unfolded(wiring: Wiring, steps: int = 4) -> Scene:
    """The picture of `wiring` over `steps` steps; the same weights are named at every step.

    >>> from rekur.cells import elman
    >>> scene = unfolded(Wiring(elman.graph), steps=3)
    >>> [b.label for b in scene.boxes if b.kind == "input"]
    ['x_{1}', 'x_{2}', 'x_{3}']

    Raises OptionError where the number of steps is not 1 to 12.
    """
    if not 1 <= steps <= MOST_STEPS:
        raise OptionError(f"an unfolded network is drawn over 1 to {MOST_STEPS} steps, not {steps}")
    if wiring.shape == "one-to-one":
        steps = 1
    return _Unfolded(wiring, steps).scene()


class _Unfolded(Columns):
    # ---- the whole --------------------------------------------------------------------------------------------

    def scene(self) -> Scene:
        w, steps = self.w, self.steps
        reading = range(1 if w.shape in ("one-to-one", "one-to-many") else steps)
        for column in reading:
            self.input(column)
        for column in range(self.columns):
            if column == steps and self.coder:
                continue
            for layer in range(w.layers):
                self.layer(column, layer)
        for column in reading:
            self.read(column, 0, f"embedding {column + 1}" if w.embedding else f"input {column + 1}")
        for layer in range(w.layers):
            for direction in range(1 + self.both):
                self.chain(layer, direction)
        if w.single:
            self.single()
        else:
            for column in range(steps + 1 if self.coder else 0, self.columns):
                self.output(column, self.top() - 76, self.puts_out(column, self.w.layers - 1))
        if self.coder:
            self.context()
        if w.feedback or self.coder:
            for column in range(steps + 1 if self.coder else 0, self.columns - 1):
                self.feed(column)
        self.constants()
        self.legend()
        kinds = f"{w.graph.name}, {w.layers} layer{'s' * (w.layers > 1)}, {w.shape}, unfolded over {steps} steps"
        return self.sheet.scene(kinds)

    # ---- above ------------------------------------------------------------------------------------------------

    def output(self, column: int, y: float, source: str, time: str = "") -> None:
        """What comes out above `source`, and its loss and target."""
        sheet, w = self.sheet, self.w
        t = time or f"_{{{self.time(column)}}}"
        letter = "o" if w.losses or w.head else "y"
        x = sheet.boxes[source].x
        sheet.box(f"output {column + 1}", "output", x, y, f"{letter}{t}")
        sheet.up(source, f"output {column + 1}", "V" if w.head else "")
        if w.losses:
            sheet.box(f"loss {column + 1}", "loss", x, y - 62, f"L{t}")
            sheet.box(f"target {column + 1}", "target", x, y - 124, f"y{t}")
            sheet.up(f"output {column + 1}", f"loss {column + 1}")
            a, b = sheet.boxes[f"target {column + 1}"], sheet.boxes[f"loss {column + 1}"]
            sheet.edge(a.name, b.name, [(x, a.sides[3]), (x, b.sides[1])], kind="target")

    def single(self) -> None:
        """One output for all steps: of the last, or pooled over all."""
        sheet, how = self.sheet, self.w.pooling or "last"
        last, top = self.steps - 1, self.w.layers - 1
        if how == "last" and not self.both:
            self.output(last, self.top() - 76, self.puts_out(last, top), " " if self.steps > 1 else "_{1}")
            return
        ends = how == "last"  # of the two chains, each of which ends at the other side
        y = self.top() - 80 + 50 * ends
        wide = self.wide + 40 if ends else 60.0
        b = sheet.box("pooling", "head", self.x(last) / (1 if ends else 2), y, how, width=wide)
        sources = [self.puts_out(column, top) for column in range(self.steps)]
        if ends and f"plus {top + 1} 1" in sheet.boxes:
            sources = [sources[last], sources[0]] if last else sources
        elif ends:
            sources = [self.name(last, top, 0), self.name(0, top, 1)]
        for source in sources:
            a = sheet.boxes[source]
            if b.sides[0] < a.x < b.sides[2]:
                sheet.edge(source, "pooling", [(a.x, a.sides[1]), (a.x, b.sides[3])])
            else:
                side = b.sides[0] if a.x < b.x else b.sides[2]
                sheet.edge(source, "pooling", [(a.x, a.sides[1]), (a.x, b.y), (side, b.y)])
        self.output(last, y - 70, "pooling", " ")

    def context(self) -> None:
        """What the encoder leaves: where the decoder starts, and what it reads at every step."""
        sheet, w = self.sheet, self.w
        for layer in range(w.layers):
            y = self.row(layer)
            name = "context" if layer == 0 else f"context {layer + 1}"
            label = "C" if w.layers == 1 else f"C^{{{layer + 1}}}"
            sheet.box(name, "output", self.x(self.steps), y, label, width=40.0, height=34.0)
            before, after = self.name(self.steps - 1, layer), self.name(self.steps + 1, layer)
            a, b, c = sheet.boxes[before], sheet.boxes[after], sheet.boxes[name]
            sheet.edge(before, name, [(a.sides[2], y), (c.sides[0], y)], kind="context")
            sheet.edge(name, after, [(c.sides[2], y), (b.sides[0], y)], kind="context")
        c = sheet.boxes["context"]
        bus = self.row(0) + self.high / 2 + 26
        for column in range(self.steps + 2, self.columns):
            target = sheet.boxes[self.name(column, 0)]
            points: list[Point] = [(c.x, c.sides[3]), (c.x, bus), (target.x, bus), (target.x, target.sides[3])]
            sheet.edge("context", target.name, points, kind="context")
            if column + 1 < self.columns:
                sheet.dots.append((target.x, bus))

    def feed(self, column: int) -> None:
        """What comes out goes into the next step."""
        sheet = self.sheet
        source, target = f"output {column + 1}", self.name(column + 1, 0)
        a, b = sheet.boxes[source], sheet.boxes[target]
        x, over = b.sides[0] + 7, b.sides[1] - 12
        points: list[Point] = [(a.sides[2], a.y), (x, a.y), (x, b.sides[1])]
        if self.w.layers > 1:  # past the layers above
            lane = b.sides[0] - 16
            points = [(a.sides[2], a.y), (lane, a.y), (lane, over), (x, over), (x, b.sides[1])]
        sheet.edge(source, target, points, kind="feedback")

    def constants(self) -> None:
        """What is the same at all steps comes from the left and is read by the first layer."""
        sheet = self.sheet
        for i, a in enumerate(self.w.graph.of("constant")):
            x = self.x(0) - self.wide / 2 - 110
            y = self.row(0) + self.high / 2 + 32 + 34 * i
            box = sheet.box(f"constant {a.name}", "constant", x, y, a.name)
            symbol = self.w.symbol(a.name)
            for column in range(self.columns):
                target = sheet.boxes[self.name(column, 0)]
                into = target.x - 22 + 10 * i
                sheet.edge(
                    box.name, target.name, [(box.sides[2], y), (into, y), (into, target.sides[3])], symbol, "context",
                    None if column else (box.sides[2] + 8, y - 11, "start"),
                )  # fmt: skip
                if column + 1 < self.columns:
                    sheet.dots.append((into, y))

    def legend(self) -> None:
        lines = self.w.legend()
        left = min(b.sides[0] for b in self.sheet.boxes.values())
        low = max(b.sides[3] for b in self.sheet.boxes.values())
        if lines:
            lines[-1] += " — the same at every step" if self.steps > 1 else ""
        for i, line in enumerate(lines):
            self.sheet.texts.append(Text(left, low + 24 + 18 * i, line, "note", "start"))
