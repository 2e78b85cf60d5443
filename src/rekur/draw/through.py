"""A run through a short sequence: what every gate and state of a cell holds, step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rekur.draw.numbers import Nested
from rekur.draw.scene import Box, Scene, Text
from rekur.draw.step import WorkedStep, worked_step
from rekur.draw.style import TEXTS
from rekur.draw.words import width
from rekur.errors import OptionError
from rekur.graph import Graph


@dataclass(frozen=True)
class Through:
    """The steps of a run, each with what it is called, as the character that it reads."""

    graph: Graph
    titles: tuple[str, ...]
    steps: tuple[WorkedStep, ...]

    def rows(self) -> list[tuple[str, list[str]]]:
        """Name -> its value at each step, as text: named values in the order of computation, then the states."""
        order = {n: i for i, n in enumerate(self.graph.nodes)}
        named = sorted(self.graph.names.items(), key=lambda item: order[item[1]])
        shown = [(name, node) for name, node in named if node.args and not node.type.matrix]
        shown += [(f"{name}′", node) for name, node in self.graph.outputs.items()]
        return [(name, [s.shown(node) for s in self.steps]) for name, node in shown]

    def text(self) -> str:
        """A table: a line a step."""
        rows = [("reads", list(self.titles)), *self.rows()]
        widths = [max(len(name), *map(len, cells)) for name, cells in rows]
        lines = ["step  " + "  ".join(f"{name:{w}}" for (name, _), w in zip(rows, widths, strict=True))]
        for i in range(len(self.steps)):
            cells = "  ".join(f"{cells[i]:{w}}" for (_, cells), w in zip(rows, widths, strict=True))
            lines.append(f"{i + 1:4}  {cells}")
        return "\n".join(line.rstrip() for line in lines)

    def latex(self) -> str:
        """A ``tabular``: a row a step."""
        rows = [("reads", [_escaped(t) for t in self.titles]), *self.rows()]
        head = " & ".join(["step", *(_escaped(name) for name, _ in rows)])
        body = []
        for i in range(len(self.steps)):
            numbers = [cells[i] if k == 0 else f"${cells[i]}$" for k, (_, cells) in enumerate(rows)]
            body.append(" & ".join([str(i + 1), *numbers]))
        lines = " \\\\\n".join([head + r" \\ \hline", *body]).replace(r"\hline \\", r"\hline")
        return f"\\begin{{tabular}}{{{'l' * (len(rows) + 1)}}}\n{lines}\n\\end{{tabular}}"

    def scene(self) -> Scene:
        """The table as a picture: time to the right, gates from top to bottom."""
        rows = self.rows()
        small, label = TEXTS["small"].size, TEXTS["label"].size
        wide = [max(54.0, *(width(cells[i], small) + 20 for _, cells in rows)) for i in range(len(self.steps))]
        left = max(width(name, label) for name, _ in rows) + 20
        boxes, texts = [], []
        x = left
        for i, (title, w) in enumerate(zip(self.titles, wide, strict=True)):
            boxes.append(Box(f"input {i + 1}", "input", x + w / 2, 0, max(34.0, width(title, 18) + 16), 30, title))
            for k, (name, cells) in enumerate(rows):
                y = 44 + 30 * k
                kind = "value" if name.endswith("′") else "head"
                boxes.append(Box(f"{name} {i + 1}", kind, x + w / 2, y, w - 8, 24, cells[i].replace("-", "−")))
            x += w
        texts = [Text(left - 10, 44 + 30 * k, name, "label", "end") for k, (name, _) in enumerate(rows)]
        return Scene(f"{self.graph.name}: a run through {''.join(self.titles)!r}", tuple(boxes), (), tuple(texts))

    def _repr_svg_(self) -> str:
        return self.scene().svg()

    def __str__(self) -> str:
        return self.text()


def _escaped(text: str) -> str:
    return "".join(f"\\{c}" if c in "&%$#_{}" else c for c in text).replace("′", "$'$")


def run_through(
    graph: Graph,
    weights: Mapping[str, Nested],
    inputs: Sequence[Nested],
    titles: Sequence[str] = (),
    *,
    digits: int = 2,
    sizes: Mapping[str, int] | None = None,
) -> Through:
    """Run a cell that reads one vector a step over `inputs`, from its initial states.

    >>> from rekur.cells import lstm
    >>> from rekur.draw import some_weights
    >>> sizes = {"I": 3, "H": 2}
    >>> done = run_through(lstm.graph, some_weights(lstm.graph, sizes, seed=0), one_hot("abca"), "abca")
    >>> [name for name, _ in done.rows()]
    ['forget', 'input', 'candidate', 'output', 'h′', 'c′']
    """
    (argument,) = _one_input(graph)
    states: dict[str, Nested] = {k: v for k, v in weights.items() if k in graph.outputs}
    fixed = {k: v for k, v in weights.items() if k not in graph.outputs}
    steps = []
    for value in inputs:
        step = worked_step(graph, {**fixed, **states, argument: value}, digits=digits, sizes=sizes)
        states = {name: step.value(name) for name in graph.outputs}
        steps.append(step)
    called = [title if title.strip() else "␣" for title in titles] or [str(t + 1) for t in range(len(steps))]
    return Through(graph, tuple(called), tuple(steps))


def _one_input(graph: Graph) -> list[str]:
    names = [a.name for a in graph.of("input")]
    if len(names) != 1:
        raise OptionError(
            f"{graph.name} reads {', '.join(names)}: a run through a text is for cells that read one vector"
        )
    return names


def one_hot(text: str) -> list[Nested]:
    """Each character as a vector with a single 1, in the order of the characters.

    >>> one_hot("aba")
    [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]
    """
    known = sorted(set(text))
    return [[float(c == k) for k in known] for c in text]
