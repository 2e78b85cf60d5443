"""The worked step: one step of a cell, equation by equation, with its numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rekur.draw.flow import number
from rekur.draw.numbers import Nested, Value, evaluate, leaves_of, nested
from rekur.draw.scene import Box, Scene, Text
from rekur.draw.style import TEXTS
from rekur.draw.words import width
from rekur.graph import Graph, Node
from rekur.graph.equations import CALL, labels, plain
from rekur.graph.latex import names, written


@dataclass(frozen=True, slots=True)
class Equation:
    """A value with its name: how it is computed, and the same with numbers, step by step."""

    names: tuple[str, ...]
    lines: tuple[str, ...]
    """The first in symbols, the last its value"""

    def named(self) -> list[tuple[str, tuple[str, ...]]]:
        """Each name with its lines: a further name is equal to the first."""
        first, *more = self.names
        return [(first, self.lines), *((name, (first, self.lines[-1])) for name in more)]


@dataclass(frozen=True)
class WorkedStep:
    """One step with numbers: shows itself as text, in LaTeX and as a picture."""

    graph: Graph
    values: Mapping[Node, Value]
    digits: int

    def given(self) -> list[tuple[str, Node]]:
        """The arguments of the step that it reads."""
        return [(n.leaf.name, n) for n in self.graph.nodes if n.op in ("input", "state", "constant")]

    def value(self, name: str) -> Nested:
        """The value of an output or a named value, as lists in each other."""
        node = self.graph.outputs.get(name, None)
        node = node if node is not None else self.graph.named(name)
        return nested(self.values[node], node.axes)

    def shown(self, node: Node) -> str:
        """A value as text, with as many digits as the step has."""
        return self._plain(self.values[node], node)

    def _equations(
        self,
        titles: Mapping[Node, Sequence[str]],
        write: Callable[[Node, Mapping[Node, tuple[str, int]]], tuple[str, int]],
        show: Callable[[Value, Node], str],
    ) -> list[Equation]:
        order = {n: i for i, n in enumerate(self.graph.nodes)}
        out = []
        for n in sorted(titles, key=order.__getitem__):
            inside = _inside(n, titles)
            leaves = [a for m in inside for a in m.args if a not in inside]
            products = {m for m in inside if m.op == "matvec"}
            vectors = {a for a in leaves if not a.type.matrix and a.op != "number"}
            lines: list[str] = []
            for known in (set(), vectors | products, vectors | set(n.args)):
                said: dict[Node, tuple[str, int]] = {}
                for m in [*leaves, *inside]:
                    if m in known:
                        said[m] = show(self.values[m], m), CALL
                    elif m in titles and m is not n and m.op != "number":
                        said[m] = titles[m][0], CALL
                    else:
                        said[m] = write(m, said)
                lines.append(said[n][0])
            lines = list(dict.fromkeys([*lines, show(self.values[n], n)]))
            out.append(Equation(tuple(titles[n]), tuple(lines)))
        return out

    def text(self) -> str:
        """Line by line, as `rekur step` prints it."""
        lines = [f"{self.graph.name}, one step", ""]
        lines += [f"  {name} = {self._plain(self.values[n], n)}" for name, n in self.given()]
        for equation in self._equations(labels(self.graph), plain, self._plain):
            lines.append("")
            for name, right in equation.named():
                head = f"  {name} ="
                lines.append(f"{head} {right[0]}")
                lines += [f"{'=':>{len(head)}} {line}" for line in right[1:]]
        return "\n".join(lines)

    def latex(self) -> str:
        """An ``align*`` environment, for which amsmath is needed."""
        rows = []
        for _, n in self.given():
            rows.append(f"{written(n, {})[0]} &= {self._column(self.values[n], n)}")
        for equation in self._equations(names(self.graph), written, self._column):
            for name, right in equation.named():
                rows.append(f"{name} &= {right[0]}")
                rows += [f"&= {line}" for line in right[1:]]
        return "\\begin{align*}\n" + " \\\\\n".join(rows) + "\n\\end{align*}"

    def scene(self) -> Scene:
        """The lines as a picture."""
        lines = self.text().splitlines()[2:]
        texts: list[Text] = []
        split = max(width(line.partition(" = ")[0].strip(), TEXTS["label"].size) for line in lines)
        y = 0.0
        for line in lines:
            if not line:
                y += 12
                continue
            left, _, right = line.partition("= ")
            if left.strip():
                texts.append(Text(split, y, _set(left.strip()), "label", "end"))
            texts.append(Text(split + 8, y, "=", "label", "start"))
            texts.append(Text(split + 26, y, _set(right), "label", "start"))
            y += 25
        right_end = max(t.sides[2] for t in texts)
        frame = Box("page", "frame", right_end / 2, (y - 25) / 2, right_end + 44, y + 20)
        return Scene(f"{self.graph.name}: one step with numbers", (frame,), (), tuple(texts))

    def _repr_svg_(self) -> str:
        return self.scene().svg()

    def _repr_latex_(self) -> str:
        return self.latex()

    def __str__(self) -> str:
        return self.text()

    # ---- numbers ----------------------------------------------------------------------------------------------

    def _number(self, v: float) -> str:
        text = f"{v:.{self.digits}f}".rstrip("0").rstrip(".")
        return number(v).replace("−", "-") if text in ("0", "-0") else text

    def _plain(self, value: Value, n: Node) -> str:
        return _rows(nested(value, n.axes), self._number)

    def _column(self, value: Value, n: Node) -> str:
        if not n.axes:
            return self._number(value[()])
        whole = nested(value, n.axes)
        assert isinstance(whole, list)
        rows = [" & ".join(map(self._number, r)) if isinstance(r, list) else self._number(r) for r in whole]
        return r"\begin{pmatrix} " + r" \\ ".join(rows) + r" \end{pmatrix}"


_SIGNS = {"-": "−", " * ": " ⊙ ", " @ ": " · ", "sigmoid(": "σ(", "sum_over(": "Σ(", "'": "′"}


def _set(line: str) -> str:
    """A line of text in a picture's signs."""
    for sign, better in _SIGNS.items():
        line = line.replace(sign, better)
    return line


def _rows(value: Nested, show: Callable[[float], str]) -> str:
    if isinstance(value, list):
        return f"({', '.join(_rows(v, show) for v in value)})"
    return show(value)


def _inside(n: Node, titles: Mapping[Node, object]) -> list[Node]:
    """The nodes of the equation of `n`, which end where others have an equation; arguments first."""
    out: dict[Node, None] = {}
    todo = [(n, False)]
    while todo:
        at, ready = todo.pop()
        if ready:
            out.setdefault(at)
        elif at is n or (at.args and at not in titles):
            todo.append((at, True))
            todo += [(a, False) for a in reversed(at.args)]
    return list(out)


def worked_step(
    graph: Graph, values: Mapping[str, Nested], *, digits: int = 2, sizes: Mapping[str, int] | None = None
) -> WorkedStep:
    """One step of `graph` on the given arguments and weights, by name; `sizes` are those of axes that no value has.

    >>> from rekur.cells import elman
    >>> done = worked_step(elman.graph, {"x": [1, 0], "h": [0, 1], "hidden.bias": [0, 0],
    ...                                  "hidden.h": [[1.5, 0], [-2, 1]], "hidden.x": [[-1, 2], [0.5, 0]]})
    >>> print(done.text().splitlines()[-4].strip())
    = tanh((-1, 1.5))

    Raises ShapeError for what is missing or does not fit.
    """
    leaves, sizes = leaves_of(graph, values, sizes)
    return WorkedStep(graph, evaluate(graph.nodes, leaves, sizes), digits)
