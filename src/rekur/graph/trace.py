"""From a Python function that writes one step to its graph: the `@cell` decorator and the tracer behind it."""

from __future__ import annotations

import dis
import inspect
import linecache
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType, TracebackType
from typing import Any, overload

from rekur.errors import CellError, GraphError, suggest
from rekur.graph.equations import equations
from rekur.graph.ir import Argument, Graph, Kind, Node, lift, listener, make, walk
from rekur.graph.ops import Leaf
from rekur.graph.text import parse, structure_hash, to_text
from rekur.graph.verify import AXIS, MAX_NAME, MAX_NODES, NAME, RESERVED, verify

Step = Callable[..., Any]
_HERE = str(Path(__file__).parent)


@dataclass(frozen=True, eq=False)
class Cell:
    """A recurrent cell: one step, traced. Made by `@cell`, or from its text by `Cell.from_text`.

    `print(cell)` shows its equations; `cell.graph` is what everything else reads.
    """

    graph: Graph
    doc: str = ""

    @classmethod
    def from_text(cls, text: str) -> Cell:
        """The cell that a checkpoint keeps as text; GraphError where the text is not one."""
        graph = parse(text)
        states = [a.name for a in graph.of("state")]
        if not states or states != list(graph.outputs):
            raise GraphError(f"{graph.name} is a graph, but not a cell: it puts out {[*graph.outputs]}, not {states}")
        return cls(graph)

    @property
    def name(self) -> str:
        """What the author called it."""
        return self.graph.name

    @property
    def text(self) -> str:
        """The graph as text; `Cell.from_text` reads it back."""
        return to_text(self.graph)

    @property
    def structure(self) -> str:
        """A hash of the graph with all names erased: equal for two cells that compute the same."""
        return structure_hash(self.graph)

    def __str__(self) -> str:
        title = self.doc.partition("\n")[0]
        return f"{title}\n{equations(self.graph)}" if title else equations(self.graph)

    def __repr__(self) -> str:
        return f"<cell {self.name}>"


class Tracer:
    """What is known while one cell is traced: the names given so far, the affines, the nodes in order."""

    def __init__(self, code: CodeType) -> None:
        self.code = code
        self.line = code.co_firstlineno  # what an error points at where no line of the author's is at work
        self.names: dict[str, Node] = {}
        self.arguments: dict[str, Argument] = {}
        self.affines: dict[str, dict[str, Node]] = {}
        self.results: dict[str, Node] = {}
        self.parameters: dict[str, Node] = {}
        self.order: dict[Node, None] = {}

    def give(self, name: str, node: Node) -> Node:
        """Enter `node` in the table of names."""
        check_name(name)
        if name in self.names or name in self.parameters:
            raise CellError(f"{name!r} is named twice")
        self.names[name] = node
        return node

    def name_of(self, node: Node) -> str | None:
        """The name that `node` got last, if any."""
        return next((k for k, v in reversed(self.names.items()) if v is node), None)

    def heard(self, node: Node) -> None:
        """Keep the order in which the author wrote; stop a step that grows without bounds while it grows."""
        self.order.setdefault(node)
        if len(self.order) > MAX_NODES:
            raise CellError(
                f"the step has more than {MAX_NODES} operations; a cell unrolls a few, time does the rest"
            )

    def describe(self, node: Node) -> str:
        """By name where it has one: ``forget [H]``."""
        name = self.name_of(node) or (node.attr.name if isinstance(node.attr, Leaf) else node.op)
        return f"{name} {node.type}"

    def parameter(self, leaf: Leaf) -> Node:
        """The weight of this description; the same name means the same weight."""
        check_name(leaf.name)
        for axis in leaf.axes:
            check_axis(axis, f"weight {leaf.name!r}")
        for other in self.parameters:
            if other.startswith(f"{leaf.name}.") or leaf.name.startswith(f"{other}."):
                raise CellError(f"the weights {other!r} and {leaf.name!r}: a name cannot continue another's")
        node = make("parameter", attr=leaf)
        if leaf.name in self.names or self.parameters.setdefault(leaf.name, node) is not node:
            raise CellError(f"{leaf.name!r} is named twice")
        return node


def current() -> Tracer:
    """The tracer at work; an error of ours where the language is used outside a cell."""
    tracer = listener.get()
    if not isinstance(tracer, Tracer):
        raise CellError("the cell language is for the body of a function under @cell")
    return tracer


def check_name(name: object) -> None:
    """Names are roles: letters, digits, _ and dots; they become keys in files."""
    if not isinstance(name, str) or not NAME.fullmatch(name) or len(name) > MAX_NAME:
        raise CellError(
            f"{name!r} is not a name: letters, digits, _ and dots, at most {MAX_NAME}, starting with a letter"
        )
    if name.startswith(RESERVED):
        raise CellError(f"{name!r} begins as the names that rekur gives: {', '.join(RESERVED)}; call it otherwise")


def check_axis(axis: object, of: str) -> None:
    """Axes are short names: H, I, P, memory positions S …"""
    if not isinstance(axis, str) or not AXIS.fullmatch(axis):
        raise CellError(f"{of}: {axis!r} is not an axis; an axis is a letter such as H, I or S, or a short name")


# ---- where the author was -----------------------------------------------------------------------------------


def _ours(filename: str) -> bool:
    return filename.startswith(_HERE)


def _place(filename: str, line: int) -> str:
    linecache.checkcache(filename)  # the file may have been edited since it was last shown
    source = linecache.getline(filename, line).strip()
    return f"\n  at {filename}:{line}" + (f":  {source}" if source else "")


def _return_line(code: CodeType) -> int:
    """The line of a function's last return."""
    lines = (i.positions.lineno for i in dis.get_instructions(code) if i.opname.startswith("RETURN") and i.positions)
    return max((line for line in lines if line), default=code.co_firstlineno)


def _author_line(trace: TracebackType | None, tracer: Tracer) -> str:
    """The innermost line of a traceback that is not in this package: where the author wrote what went wrong."""
    place = _place(tracer.code.co_filename, tracer.line)
    while trace is not None:
        frame: FrameType = trace.tb_frame
        if not _ours(frame.f_code.co_filename):
            place = _place(frame.f_code.co_filename, trace.tb_lineno)
        trace = trace.tb_next
    return place


# ---- the decorator ------------------------------------------------------------------------------------------


@overload
def cell(step: Step, /) -> Cell: ...
@overload
def cell(**axes: str) -> Callable[[Step], Cell]: ...
def cell(step: Step | None = None, /, **axes: str) -> Cell | Callable[[Step], Cell]:
    """Trace a function that writes one step of a recurrence.

    Python's three kinds of parameter say what an argument is: before ``/``, inputs of every step (without
    ``/``, the first argument); then the states; after ``*``, constants of the sequence. A state's default is
    its initial value. The result is the next states in the same order; the first is the output. Keywords of
    the decorator name axes, separated by spaces; the defaults are ``I`` for inputs and ``H`` for states, and
    ``""`` is a scalar.

    >>> from rekur.graph import cell, gate, tanh
    >>> @cell
    ... def elman(x, h):
    ...     return gate("hidden", tanh, x, h)
    >>> print(elman)
    elman(x[I]; h[H])
      hidden = tanh(hidden.x @ x + hidden.h @ h + hidden.bias)
      h' = hidden

    Raises CellError, pointing at the author's line, where the step leaves the language.
    """
    if step is None:
        return lambda fn: _trace(fn, axes)
    return _trace(step, axes)


def _trace(step: Step, axes: Mapping[str, str]) -> Cell:
    tracer = Tracer(inspect.unwrap(step).__code__)
    token = listener.set(tracer)
    try:
        graph = verify(_graph(step, axes, tracer))
    except (CellError, GraphError) as e:
        raise CellError(f"{e}{_author_line(e.__traceback__, tracer)}") from None
    except (TypeError, AttributeError) as e:
        if "Node" not in str(e):
            raise
        message = f"this is not in the cell language: {e}; use the functions of rekur.cells"
        raise CellError(f"{message}{_author_line(e.__traceback__, tracer)}") from e
    finally:
        listener.reset(token)
    return Cell(graph, inspect.getdoc(step) or "")


def _graph(step: Step, axes: Mapping[str, str], tracer: Tracer) -> Graph:
    arguments = _arguments(step, axes)
    given: dict[str, Node] = {}
    for a in arguments:
        check_name(a.name)
        for axis in a.axes:
            check_axis(axis, f"argument {a.name!r}")
        given[a.name] = tracer.give(a.name, make(a.kind, attr=Leaf(a.name, a.axes)))
    tracer.arguments = {a.name: a for a in arguments}
    positional = [given[a.name] for a in arguments if a.kind != "constant"]
    constants = {a.name: given[a.name] for a in arguments if a.kind == "constant"}
    result = step(*positional, **constants)
    tracer.line = _return_line(tracer.code)
    outputs = _next_states(step.__name__, result, [a for a in arguments if a.kind == "state"], tracer)
    names = {k: v for k, v in tracer.names.items() if k not in given}
    live = set(walk([*outputs.values(), *names.values()]))
    for name, value in tracer.results.items():
        if value not in live:
            raise CellError(f"affine {name!r} is computed but nothing reads it")
    return Graph(step.__name__, tuple(arguments), outputs, names, tuple(tracer.order))


def _arguments(step: Step, axes: Mapping[str, str]) -> list[Argument]:
    parameters = list(inspect.signature(step).parameters.values())
    for unknown in set(axes) - {p.name for p in parameters}:
        near = suggest(unknown, [p.name for p in parameters])
        raise CellError(f"{step.__name__} has no argument {unknown!r} to give axes to{near}")
    slash = any(p.kind is p.POSITIONAL_ONLY for p in parameters)
    out = []
    for i, p in enumerate(parameters):
        kind: Kind
        if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            raise CellError(f"{step.__name__}: a step has a fixed set of arguments, not *{p.name}")
        if p.kind is p.KEYWORD_ONLY:
            kind = "constant"
        elif p.kind is p.POSITIONAL_ONLY or (not slash and i == 0):
            kind = "input"
        else:
            kind = "state"
        if kind == "constant" and p.name not in axes:
            raise CellError(f"{step.__name__}: say the axes of the constant {p.name!r}, as @cell({p.name}='S D')")
        if kind != "state" and p.default is not p.empty:
            raise CellError(f"{step.__name__}: {p.name!r} is not a state; only a state has an initial value")
        named = axes.get(p.name, "I" if kind == "input" else "H")
        initial = 0.0 if p.default is p.empty else p.default
        if not isinstance(initial, int | float) or not math.isfinite(initial):
            raise CellError(f"{step.__name__}: the state {p.name!r} starts from a finite number, not {initial!r}")
        out.append(Argument(kind, p.name, tuple(named.split()), float(initial)))
    if not any(a.kind == "state" for a in out):
        raise CellError(f"{step.__name__} has no state; a step is written step(x, h, …)")
    return out


def _next_states(name: str, result: object, states: list[Argument], tracer: Tracer) -> dict[str, Node]:
    values = result if isinstance(result, tuple) else (result,)
    wanted = ", ".join(s.name for s in states)
    if len(values) != len(states):
        raise CellError(f"{name} returns {len(values)} values for {len(states)} states: return the next {wanted}")
    out = {}
    for state, value in zip(states, values, strict=True):
        if value is None:
            raise CellError(f"{name} returns nothing for the state {state.name!r}: return the next {wanted}")
        node = lift(value)
        if not node.axes and not node.type.matrix and state.axes:
            node = make("spread", node, attr=state.axes)
        if node.type.matrix or set(node.axes) != set(state.axes):
            raise CellError(
                f"the next {state.name!r} must have the axes [{' '.join(state.axes)}], "
                f"the returned value has {node.type}; give its affine size={' '.join(state.axes)!r}"
            )
        other = tracer.name_of(node)
        if node.op == "state" and node.leaf.offset == 0 and other in tracer.arguments and other != state.name:
            raise CellError(
                f"the next {state.name!r} is the state {other!r} unmodified; if a delay is meant, "
                f"say so: named('delayed_{other}', {other})"
            )
        out[state.name] = node if node.axes == state.axes else make("spread", node, attr=state.axes)
    return out
