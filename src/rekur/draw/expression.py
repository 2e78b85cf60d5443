"""A plain expression as a graph: ``f*c + i*g``."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping

from rekur.errors import OptionError, suggest
from rekur.graph import Argument, Graph, Leaf, Node, make, verify

_UNARY = ("sigmoid", "tanh", "relu", "softplus", "exp", "log", "sqrt", "stop")
_BINARY: Mapping[type, Callable[[Node, Node], Node]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
}


def expression(text: str) -> Graph:
    """The graph of an expression over numbers: names, numbers, + - * /, whole powers, and calls of functions.

    The functions are sigmoid, tanh, relu, softplus, exp, log, sqrt and max.

    >>> graph = expression("f*c + i*g")
    >>> [a.name for a in graph.arguments], graph.outputs["y"].op
    (['f', 'c', 'i', 'g'], 'add')

    Raises OptionError for what is not such an expression.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError) as e:
        raise OptionError(f"{text!r} is not an expression: {e}") from None
    found: dict[str, Node] = {}
    try:
        value = _node(tree, found)
    except RecursionError:
        raise OptionError("the expression is nested too deep") from None
    if not found:
        raise OptionError(f"{text!r} has no name in it, so there is nothing to draw")
    arguments = tuple(Argument("input", name, ()) for name in found)
    output = "y"
    while output in found:
        output += "y"
    return verify(Graph("expression", arguments, {output: value}))


def _node(tree: ast.expr, found: dict[str, Node]) -> Node:
    match tree:
        case ast.Name(name):
            return found.setdefault(name, make("input", attr=Leaf(name, ())))
        case ast.Constant(int() | float() as number) if not isinstance(number, bool):
            return make("number", attr=float(number))
        case ast.UnaryOp(ast.USub(), inner):
            return -_node(inner, found)
        case ast.UnaryOp(ast.UAdd(), inner):
            return _node(inner, found)
        case ast.BinOp(base, ast.Pow(), ast.Constant(int(power))) if 1 <= power <= 8:
            node = out = _node(base, found)
            for _ in range(power - 1):
                out = out * node
            return out
        case ast.BinOp(left, sign, right) if type(sign) in _BINARY:
            return _BINARY[type(sign)](_node(left, found), _node(right, found))
        case ast.Call(ast.Name(name), [one], []) if name in _UNARY:
            return make(name, _node(one, found))
        case ast.Call(ast.Name("max" | "maximum"), [one, two], []):
            return make("maximum", _node(one, found), _node(two, found))
        case ast.Call(ast.Name(name)):
            known = (*_UNARY, "max")
            raise OptionError(f"there is no function {name!r}{suggest(name, known)}; there are {', '.join(known)}")
    raise OptionError(
        f"{ast.unparse(tree)!r} cannot be drawn: write names, numbers, + - * /, whole powers up to 8, and functions"
    )
