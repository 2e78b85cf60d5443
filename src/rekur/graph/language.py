"""The words of the cell language, besides Python's arithmetic: affine, gate, named, activations, reductions."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rekur.errors import CellError, suggest
from rekur.graph.ir import Node, make
from rekur.graph.ops import Leaf
from rekur.graph.trace import current
from rekur.graph.verify import INIT

Activation = Callable[[Node], Node]


def affine(
    name: str,
    *vectors: Node,
    size: str = "H",
    bias: float | bool = 0.0,
    init: str | Mapping[str, str] = "uniform",
    tie: str | None = None,
    **computed: Node,
) -> Node:
    """A sum of products and a bias: ``name.x @ x + name.h @ h + … + name.bias``.

    Arguments of the step and named values are positional and lend their name to their weight; a computed
    value is given by keyword. A weight has the axes ``[size, last axis of its vector]``.

    :param size: the axis of the result.
    :param bias: its initial value (True is 0), or False for none.
    :param init: how the weights start, for all or by operand: uniform (±1/√rows, torch's), glorot,
        orthogonal, identity, zeros, ones, constant=C, normal=S, uniform=A, identity=C.
    :param tie: the name of an earlier affine over the same names, whose weights are used.

    Raises CellError for a name declared twice, a computed value without a name, and axes that do not fit.
    """
    tracer = current()
    if name in tracer.affines:
        raise CellError(f"affine {name!r} is declared twice; to share its weights say tie={name!r}")
    operands: dict[str, Node] = {}
    for v in vectors:
        if not isinstance(v, Node):
            raise CellError(f"affine {name!r} reads {v!r}, which is not a value of the step")
        own = tracer.name_of(v)
        if own is None:
            raise CellError(f"affine {name!r} reads a computed value ({v.op}); give it a name: affine({name!r}, h=…)")
        if own in operands:
            raise CellError(f"affine {name!r} reads {own!r} twice")
        operands[own] = v
    for key, value in computed.items():
        if not isinstance(value, Node):
            raise CellError(
                f"affine {name!r}: {key}={value!r} is not a value of the step, nor an option"
                f"{suggest(key, ('size', 'bias', 'init', 'tie'))}"
            )
        if key in operands:
            raise CellError(f"affine {name!r} reads {key!r} twice")
        operands[key] = value
    if not operands:
        raise CellError(f"affine {name!r} reads nothing; for a weight alone say weight({name!r})")
    owner = name
    if tie is not None:
        if tie not in tracer.affines:
            raise CellError(f"affine {name!r}: there is no earlier {tie!r}{suggest(tie, tracer.affines)}")
        if set(tracer.affines[tie]) != set(operands):
            raise CellError(
                f"affine {name!r}: tie={tie!r} reads {sorted(tracer.affines[tie])}, not {sorted(operands)}"
            )
        owner = tie
    tracer.affines[name] = operands
    parts = [_product(owner, key, v, size, _init(name, init, key, operands)) for key, v in operands.items()]
    if tie is not None and f"{owner}.bias" in tracer.parameters:
        parts.append(tracer.parameters[f"{owner}.bias"])
    elif bias is not False:
        parts.append(weight(f"{owner}.bias", size, init=f"constant={0.0 if bias is True else float(bias)}"))
    result = parts[0]
    for part in parts[1:]:
        result = result + part
    tracer.results[name] = result
    return result


def _init(name: str, init: str | Mapping[str, str], key: str, operands: Mapping[str, Node]) -> str:
    if isinstance(init, str):
        return init
    for unknown in set(init) - set(operands):
        raise CellError(f"affine {name!r}: init names {unknown!r}{suggest(unknown, operands)}")
    return init.get(key, "uniform")


def _product(owner: str, key: str, v: Node, size: str, init: str) -> Node:
    if not v.axes:
        raise CellError(f"affine {owner!r}: {key!r} is a scalar; multiply it by weight('{owner}.{key}')")
    tied = current().parameters.get(f"{owner}.{key}")
    w = tied if tied is not None else _weight(f"{owner}.{key}", (size, v.axes[-1]), init, matrix=True)
    return make("matvec", w, v)


def gate(name: str, activation: Activation, *vectors: Node, **options: object) -> Node:
    """A named activation of an affine: ``named(name, activation(affine(name, …)))``."""
    return named(name, activation(affine(name, *vectors, **options)))  # type: ignore[arg-type]


def named(name: str, value: Node) -> Node:
    """Give a value a name: a role by which it is recorded, drawn and asked for."""
    if not isinstance(value, Node):
        raise CellError(f"named({name!r}, …) takes a value of the step, got {type(value).__name__}")
    return current().give(name, value)


def weight(name: str, *axes: str, init: str = "uniform") -> Node:
    """A weight that is a vector (or has any axes) and is used pointwise; its axis is H where none is given."""
    return _weight(name, axes or ("H",), init, matrix=False)


def _weight(name: str, axes: tuple[str, ...], init: str, matrix: bool) -> Node:
    if not INIT.fullmatch(init):
        raise CellError(
            f"{name!r} cannot be initialised as {init!r}; there are uniform, glorot, orthogonal, identity, zeros, "
            "ones, constant=C, normal=S, uniform=A, identity=C"
        )
    return current().parameter(Leaf(name, axes, init=init, matrix=matrix))


def neighbour(state: Node, offset: int) -> Node:
    """What a state was before this step, `offset` places along the lattice; zero outside of it.

    The lattice is a second leading axis beside the batch, as the columns or the skewed rows of an image.
    """
    if not isinstance(state, Node) or state.op != "state" or state.leaf.offset:
        raise CellError("neighbour() reads a state argument as it was before this step")
    if not isinstance(offset, int) or offset == 0:
        raise CellError(f"neighbour({state.leaf.name!r}, {offset!r}): the offset is a whole number, not zero")
    leaf = state.leaf
    return make("state", attr=Leaf(leaf.name, leaf.axes, offset))


def _unary(op: str, what: str) -> Activation:
    def function(v: Node) -> Node:
        return make(op, v)

    function.__name__ = function.__qualname__ = op
    function.__doc__ = what
    return function


tanh = _unary("tanh", "The hyperbolic tangent.")
sigmoid = _unary("sigmoid", "The logistic function 1 / (1 + exp(-v)).")
relu = _unary("relu", "max(v, 0).")
softplus = _unary("softplus", "log(1 + exp(v)).")
exp = _unary("exp", "The exponential.")
log = _unary("log", "The natural logarithm.")
sqrt = _unary("sqrt", "The square root.")
stop = _unary("stop", "The value itself, through which no gradient flows.")


def maximum(a: Node | float, b: Node | float) -> Node:
    """The larger of two values, place by place; at ties each takes half of the gradient."""
    return make("maximum", a, b)


def where(test: Node, a: Node | float, b: Node | float) -> Node:
    """`a` where `test` (as ``h > 0``) is not zero, else `b`."""
    return make("where", test, a, b)


def _last(v: Node, axis: str | None) -> str:
    if axis is None and not v.axes:
        raise CellError("a scalar has no axis to go over")
    return axis if axis is not None else v.axes[-1]


def sum_over(v: Node, axis: str | None = None) -> Node:
    """The sum over an axis, by default the last."""
    return make("sum", v, attr=_last(v, axis))


def max_over(v: Node, axis: str | None = None) -> Node:
    """The largest along an axis, by default the last."""
    return make("max", v, attr=_last(v, axis))


def mean_over(v: Node, axis: str | None = None) -> Node:
    """The mean over an axis; the count is a value of the graph too, since a memory's length may vary."""
    over = _last(v, axis)
    return sum_over(v, over) / sum_over(spread(1.0, over), over)


def softmax(v: Node, axis: str | None = None) -> Node:
    """exp(v) / sum(exp(v)) along an axis, by default the last."""
    return make("softmax", v, attr=_last(v, axis))


def standardise(v: Node, axis: str | None = None) -> Node:
    """(v - mean) / sqrt(variance + 1e-5) along an axis, by default the last."""
    return make("standardise", v, attr=_last(v, axis))


def spread(v: Node | float, *axes: str) -> Node:
    """The same value along axes that it does not have; the result has exactly `axes`."""
    return make("spread", v, attr=axes)


def layer_norm(name: str, v: Node) -> Node:
    """``gain * standardise(v) + bias`` over the last axis, with weights ``name.gain`` and ``name.bias``."""
    axis = _last(v, None)
    gain = weight(f"{name}.gain", axis, init="ones")
    return gain * standardise(v, axis) + weight(f"{name}.bias", axis, init="zeros")


def one_hot(v: Node, axis: str | None = None) -> Node:
    """1 where `v` is largest along an axis, else 0."""
    over = _last(v, axis)
    return 1.0 - (max_over(v, over) > v)
