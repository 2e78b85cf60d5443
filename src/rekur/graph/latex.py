"""A graph as equations in LaTeX, as papers write them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rekur.graph.equations import CALL, labels
from rekur.graph.ir import Graph, Node
from rekur.graph.ops import Leaf

Said = Mapping[Node, tuple[str, int]]
"""Node -> its text, and how tightly that binds, as in `equations`"""

_SUM, _PRODUCT = 1, 2
_MATRIX, _VECTOR, _BIAS = "W", "w", "b"
_FUNCTIONS: Mapping[str, str] = {
    "exp": r"\exp", "log": r"\log", "tanh": r"\tanh", "sigmoid": r"\sigma",
    "softplus": r"\operatorname{softplus}", "relu": r"\operatorname{ReLU}", "stop": r"\operatorname{stop}",
    "softmax": r"\operatorname{softmax}", "standardise": r"\operatorname{norm}", "sum": r"\operatorname{sum}",
    "max": r"\operatorname{max}", "spread": r"\operatorname{spread}", "rdev": r"\operatorname{rdev}",
    "collect": r"\operatorname{collect}",
}  # fmt: skip


def latex(graph: Graph) -> str:
    r"""The equations of `graph` as an ``align*`` environment, for which amsmath is needed.

    σ and tanh are as in the papers, ⊙ multiplies number by number; a matrix is ``W`` with the gate above and what it
    multiplies below; values have the step below.

    >>> from rekur.graph import cell, gate, sigmoid
    >>> @cell
    ... def keep(x, h):
    ...     k = gate("keep", sigmoid, x, bias=False)
    ...     return k * h
    >>> print(latex(keep.graph))
    \begin{align*}
    \mathrm{keep}_{t} &= \sigma\left(W^{\mathrm{keep}}_{x}\, x_{t}\right) \\
    h_{t} &= \mathrm{keep}_{t} \odot h_{t-1}
    \end{align*}
    """
    named = names(graph)
    said: dict[Node, tuple[str, int]] = {}
    lines = []
    for n in graph.nodes:
        said[n] = written(n, said)
        for i, name in enumerate(named.get(n, [])):
            lines.append(f"{name} &= {said[n][0] if i == 0 else named[n][0]}")
        if n in named and n.op != "number":
            said[n] = named[n][0], CALL
    return "\\begin{align*}\n" + " \\\\\n".join(lines) + "\n\\end{align*}"


def names(graph: Graph) -> dict[Node, list[str]]:
    """What has an equation of its own: node -> its names in LaTeX."""
    return {n: [_value(name) for name in all_] for n, all_ in labels(graph).items()}


def _word(name: str) -> str:
    """A name: a letter as it is, a word upright.

    >>> _word("f"), _word("forget_up"), _word("h1")
    ('f', '\\\\mathrm{forget\\\\_up}', '\\\\mathrm{h1}')
    """
    return name if len(name) == 1 else rf"\mathrm{{{name}}}".replace("_", r"\_")


def _value(name: str) -> str:
    """A value of this step; ``h'`` is the next h."""
    return f"{_word(name.removesuffix(chr(39)))}_{{t}}"


def _leaf(n: Node) -> str:
    leaf = n.leaf
    word = _word(leaf.name)
    if n.op == "parameter":
        owner, dot, operand = leaf.name.rpartition(".")
        letter = _MATRIX if leaf.matrix else _VECTOR
        if not dot:
            return f"{letter}_{{{word}}}"
        if operand == "bias" and not leaf.matrix:
            return f"{_BIAS}^{{{_word(owner)}}}"
        return f"{letter}^{{{_word(owner)}}}_{{{_word(operand)}}}"
    if n.op == "input":
        return f"{word}_{{t}}"
    if n.op == "state":
        return f"{word}_{{t-1}}" + (f"^{{({leaf.offset:+d})}}" if leaf.offset else "")
    if n.op == "gradient":
        return rf"\partial {_word(leaf.name.partition('.')[2])}_{{t}}"
    return word


def written(n: Node, said: Said) -> tuple[str, int]:
    """A node in LaTeX, given its arguments, and how tightly it binds."""

    def operand(i: int, binds: int) -> str:
        text, own = said[n.args[i]]
        return rf"\left({text}\right)" if own < binds else text

    if n.op == "number":
        return f"{n.attr:g}", CALL
    if isinstance(n.attr, Leaf):
        return _leaf(n), CALL
    rule = _RULES.get(n.op)
    if rule is not None:
        return rule(n, operand)
    below = f"_{{{n.attr}}}" if isinstance(n.attr, str) else ""
    return rf"{_FUNCTIONS[n.op]}{below}\left({said[n.args[0]][0]}\right)", CALL


Operand = Callable[[int, int], str]


def _times(n: Node, operand: Operand) -> tuple[str, int]:
    a, b = n.args
    sign = r"\odot" if a.axes and b.axes else r"\cdot"
    return f"{operand(0, _PRODUCT)} {sign} {operand(1, _PRODUCT)}", _PRODUCT


_RULES: Mapping[str, Callable[[Node, Operand], tuple[str, int]]] = {
    "neg": lambda n, o: (f"-{o(0, _PRODUCT)}", _SUM),
    "add": lambda n, o: (f"{o(0, _SUM)} + {o(1, _SUM)}", _SUM),
    "sub": lambda n, o: (f"{o(0, _SUM)} - {o(1, _PRODUCT)}", _SUM),
    "mul": _times,
    "div": lambda n, o: (rf"\frac{{{o(0, 0)}}}{{{o(1, 0)}}}", CALL),
    "matvec": lambda n, o: (rf"{o(0, CALL)}\, {o(1, CALL)}", _PRODUCT),
    "transpose": lambda n, o: (rf"{{{o(0, CALL)}}}^{{\top}}", CALL),
    "sqrt": lambda n, o: (rf"\sqrt{{{o(0, 0)}}}", CALL),
    "maximum": lambda n, o: (rf"\max\left({o(0, 0)}, {o(1, 0)}\right)", CALL),
    "greater": lambda n, o: (rf"\left[{o(0, _SUM)} > {o(1, _SUM)}\right]", CALL),
    "where": lambda n, o: (
        rf"\begin{{cases}} {o(1, 0)} & \text{{if }} {o(0, 0)} \neq 0 \\ {o(2, 0)} & \text{{else}} \end{{cases}}",
        CALL,
    ),
    "outer": lambda n, o: (rf"{o(0, CALL)}\, {{{o(1, CALL)}}}^{{\top}}", _PRODUCT),
}  # fmt: skip
