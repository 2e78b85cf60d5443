"""A network as a circuit, not unfolded: a black square delays a state by one step."""

from __future__ import annotations

from rekur.draw.scene import Point, Scene, Text
from rekur.draw.style import TEXTS
from rekur.draw.wiring import Sheet, Wiring
from rekur.draw.words import width
from rekur.errors import OptionError

_SQUARE, _LOOP, _REACH, _GAP = 13.0, 22.0, 40.0, 70.0


def circuit(wiring: Wiring) -> Scene:
    """The picture of `wiring` as a circuit.

    >>> from rekur.cells import lstm
    >>> [b.name for b in circuit(Wiring(lstm.graph)).boxes if b.kind == "delay"]
    ['delay h of layer 1', 'delay c of layer 1']

    Raises OptionError for an encoder and decoder, which are two circuits, one after the other in time.
    """
    if wiring.shape == "encoder-decoder":
        raise OptionError("an encoder and a decoder follow each other in time: draw them unfolded")
    return _Circuit(wiring).scene()


class _Circuit:
    def __init__(self, wiring: Wiring) -> None:
        self.w = wiring
        self.sheet = Sheet()
        self.wide = max(84.0, width(wiring.graph.name, TEXTS["label"].size) + 16)
        self.high = 2 * _LOOP * len(wiring.states) + 14

    def scene(self) -> Scene:
        w, sheet = self.w, self.sheet
        label = ", ".join(f"{a.name}_{{t}}" for a in w.graph.of("input"))
        sheet.box("input", "input", 0.0, 0.0, label)
        below, y = "input", 0.0
        if w.embedding:
            y -= 62
            sheet.box("embedding", "head", 0.0, y, "embedding")
            sheet.up(below, "embedding")
            below = "embedding"
        read = [below]
        for layer in range(w.layers):
            y = sheet.boxes[below].sides[1] - 52 - self.high / 2 - 8 * len(read) * (w.connections == "dense")
            below = self.layer(layer, y, below, read)
            read.append(below)
        top = below
        if w.pooling or w.single:
            how = w.pooling or "last"
            sheet.box("pooling", "head", 0.0, sheet.boxes[top].sides[1] - 46, how, width=70.0)
            sheet.up(top, "pooling")
            top = "pooling"
        self.above(top)
        self.constants()
        self.legend()
        return sheet.scene(f"{w.graph.name}, {w.layers} layer{'s' * (w.layers > 1)}, as a circuit")

    # ---- a layer ----------------------------------------------------------------------------------------------

    def layer(self, layer: int, y: float, below: str, read: list[str]) -> str:
        """Draw a layer in the height y; what it puts out."""
        w, sheet = self.w, self.sheet
        symbol = w.symbol(w.graph.of("input")[0].name, layer)
        a = sheet.boxes[below]
        names = []
        for direction in range(1 + w.bidirectional):
            way = ("forward", "backward")[direction] if w.bidirectional else ""
            name = f"layer {layer + 1} {way}".strip()
            caption = (
                f"layer {layer + 1}" * (w.layers > 1) if not way else f"{way} {layer + 1}" if w.layers > 1 else way
            )
            x = (direction - 0.5) * (self.wide + 26) * w.bidirectional
            b = sheet.box(name, "layer", x, y, w.graph.name, caption, width=self.wide, height=self.high)
            names.append(name)
            if x == a.x:
                side = "end" if w.connections == "dense" else "start"
                sheet.up(below, name, symbol, side=side)
            else:
                split = a.sides[1] - 14
                points: list[Point] = [(a.x, a.sides[1]), (a.x, split), (x, split), (x, b.sides[3])]
                sheet.edge(below, name, points, symbol, "flow", (x + 5, b.sides[3] + 13, "start"))
            self.loops(name, layer, -1 if w.bidirectional and not direction else 1, direction)
        if w.bidirectional:
            sheet.dots.append((a.x, a.sides[1] - 14))
            join = f"join {layer + 1}"
            j = sheet.box(join, "join", 0.0, y - self.high / 2 - 28, "‖", width=30.0, height=22.0)
            for name, end in zip(names, (j.sides[0], j.sides[2]), strict=True):
                b = sheet.boxes[name]
                sheet.edge(name, join, [(b.x, b.sides[1]), (b.x, j.y), (end, j.y)])
            return join
        name = names[0]
        b = sheet.boxes[name]
        if w.connections == "residual" and layer:
            p = sheet.box(f"plus {layer + 1}", "valve", 0.0, b.sides[1] - 26, "+", width=22.0, height=22.0)
            sheet.up(name, p.name)
            self.skip(below, p.name, p.sides[0], p.y, 14.0, 10.0)
            return p.name
        if w.connections == "dense" and layer:
            for k, source in enumerate(read[:-1]):
                self.into(source, name, k)
        return name

    def skip(self, source: str, target: str, x: float, y: float, lane: float, fork: float) -> None:
        """Past a box on its left."""
        a = self.sheet.boxes[source]
        left, level = -self.wide / 2 - lane, a.sides[1] - fork
        self.sheet.edge(
            source, target, [(a.x, a.sides[1]), (a.x, level), (left, level), (left, y), (x, y)], kind="skip"
        )
        self.sheet.dots.append((a.x, level))

    def into(self, source: str, target: str, k: int) -> None:
        """Past the boxes between, into the left side of a layer."""
        b = self.sheet.boxes[target]
        self.skip(source, target, b.sides[0], b.y + 14 - 12 * k, 14.0 + 12 * k, 8.0 + 6 * k)

    def loops(self, name: str, layer: int, side: int, direction: int) -> None:
        """Each state goes out of the box, through a delay, and in again."""
        sheet, w = self.sheet, self.w
        b = sheet.boxes[name]
        edge = b.sides[2] if side > 0 else b.sides[0]
        for k, state in enumerate(w.states):
            reach, half = _REACH + _GAP * k, _LOOP * (k + 0.62)
            x = edge + side * reach
            delay = sheet.box(f"delay {state} of {name}", "delay", x, b.y, width=_SQUARE, height=_SQUARE)
            sheet.edge(
                name,
                delay.name,
                [(edge, b.y - half), (x, b.y - half), (x, delay.sides[1])],
                kind="state",
                arrow=False,
            )
            symbol = w.symbol(state, layer)
            back: list[Point] = [(x, delay.sides[3]), (x, b.y + half), (edge, b.y + half)]
            end, anchor = edge + side * 12, "start" if side > 0 else "end"
            at = (end, b.y + half + 12, anchor)
            sheet.edge(delay.name, name, back, symbol, "state", at)
            mark = "" if not w.bidirectional else ("_{t−1}", "_{t+1}")[direction]
            word = Text(x + side * 12, b.y, f"{state}{mark}", "weight", anchor)
            sheet.texts.append(word)

    # ---- around -------------------------------------------------------------------------------------------------

    def above(self, top: str) -> None:
        w, sheet = self.w, self.sheet
        t = " " if w.single else "_{t}"
        y = sheet.boxes[top].sides[1] - 50
        sheet.box("output", "output", 0.0, y, f"o{t}")
        sheet.up(top, "output", "V" if w.head else "")
        if w.losses:
            sheet.box("loss", "loss", 0.0, y - 58, f"L{t}")
            sheet.box("target", "target", 0.0, y - 116, f"y{t}")
            sheet.up("output", "loss")
            a, b = sheet.boxes["target"], sheet.boxes["loss"]
            sheet.edge("target", "loss", [(0.0, a.sides[3]), (0.0, b.sides[1])], kind="target")
        if w.feedback:
            first, o = sheet.boxes["layer 1"], sheet.boxes["output"]
            x, low = first.sides[0] - 46.0, first.sides[3] - 14
            d = sheet.box("delay output", "delay", x, (o.y + low) / 2, width=_SQUARE, height=_SQUARE)
            sheet.edge("output", d.name, [(o.sides[0], o.y), (x, o.y), (x, d.sides[1])], kind="feedback", arrow=False)
            sheet.edge(d.name, "layer 1", [(x, d.sides[3]), (x, low), (first.sides[0], low)], kind="feedback")

    def constants(self) -> None:
        sheet = self.sheet
        first = next(b for b in sheet.boxes.values() if b.kind == "layer")
        for k, a in enumerate(self.w.graph.of("constant")):
            wide = width(a.name, TEXTS["variable"].size) + 16
            y = first.y - 20 * (len(self.w.graph.of("constant")) - 1) + 40 * k
            box = sheet.box(f"constant {a.name}", "constant", first.sides[0] - 70 - wide / 2, y, a.name)
            symbol = self.w.symbol(a.name)
            at = ((box.sides[2] + first.sides[0]) / 2, y - 10, "middle")
            sheet.edge(box.name, first.name, [(box.sides[2], y), (first.sides[0], y)], symbol, "context", at)

    def legend(self) -> None:
        left, _, _, low = self.sheet.scene("").sides
        lines = [*self.w.legend(), "■ delays by one step"]
        for i, line in enumerate(lines):
            self.sheet.texts.append(Text(left, low + 24 + 18 * i, line, "note", "start"))
