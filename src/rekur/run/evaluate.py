"""One step graph evaluated in plain torch: one row an operation of the vocabulary."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from rekur.errors import GraphError
from rekur.graph import EPSILON, Node, Type, walk


@dataclass(frozen=True)
class Context:
    """What operations need besides their operands."""

    sizes: Mapping[str, int]
    """Axis -> size"""
    like: Tensor
    """Sets dtype and device of numbers"""
    masks: Mapping[str, Tensor] = field(default_factory=dict)
    """Ragged axis -> mask (N, size) of the live positions"""


Function = Callable[[Node, list[Tensor], Context], Tensor]


def evaluate(roots: Iterable[Node], values: Mapping[Node, Tensor], context: Context) -> dict[Node, Tensor]:
    """Every value that the roots need, given those of the leaves (numbers excepted).

    A value is `(N, *axes)`, or `(*axes)` where it is shared by all rows; N is any number of rows. An input may be
    symbols `(N,)` of int64.
    """
    done = dict(values)
    for n in walk(roots):
        if n not in done:
            done[n] = FUNCTIONS[n.op](n, [done[a] for a in n.args], context)
    return done


def align(v: Tensor, have: tuple[str, ...], want: tuple[str, ...]) -> Tensor:
    """`v` with its axes in the order of `want`, size 1 where it lacks one; rows stay in front."""
    if have == want:
        return v
    lead = v.dim() - len(have)
    kept = [a for a in want if a in have]
    v = v.permute([*range(lead), *(lead + have.index(a) for a in kept)])
    return v[(slice(None),) * lead + tuple(slice(None) if a in have else None for a in want)]


def _leaf(n: Node, _: list[Tensor], __: Context) -> Tensor:
    raise GraphError(f"no value was given for {n!r}")


def _number(n: Node, _: list[Tensor], c: Context) -> Tensor:
    return torch.tensor(n.attr, dtype=c.like.dtype, device=c.like.device)


def _pointwise(f: Callable[..., Tensor]) -> Function:
    def function(n: Node, args: list[Tensor], _: Context) -> Tensor:
        # operands without rows but with fewer axes broadcast from the right, so all are aligned by name
        return f(
            *(align(v, a.axes, n.axes) if a.axes else _scalar(v, n.type) for v, a in zip(args, n.args, strict=True))
        )

    return function


def _scalar(v: Tensor, want: Type) -> Tensor:
    return v.reshape(v.shape + (1,) * len(want.axes)) if v.dim() else v


def _dim(n: Node, v: Tensor) -> int:
    """The dimension of `v`, the value of a reduction's operand, that it goes over."""
    axes = n.args[0].axes
    return v.dim() - len(axes) + axes.index(str(n.attr))


def _mask(axes: tuple[str, ...], over: str, c: Context) -> Tensor | None:
    mask = c.masks.get(over)
    return None if mask is None else align(mask, (over,), axes)


def _live(n: Node, v: Tensor, c: Context, dead: float) -> Tensor:
    """The operand of a reduction with `dead` at the dead positions of a ragged axis."""
    mask = _mask(n.args[0].axes, str(n.attr), c)
    return v if mask is None else torch.where(mask, v, dead)


def _matvec(n: Node, args: list[Tensor], c: Context) -> Tensor:
    w, v = args
    if v.dtype == torch.int64:  # symbols, each of which stands for a column
        return w.T[v]
    inner = n.args[0].axes[1]
    axes = n.args[1].axes
    mask = _mask(axes, inner, c)
    if mask is not None:
        v = torch.where(mask, v, 0.0)
    dim = v.dim() - len(axes) + axes.index(inner)
    return torch.nn.functional.linear(v.movedim(dim, -1), w).movedim(-1, dim)


def _sum(n: Node, args: list[Tensor], c: Context) -> Tensor:
    v = _live(n, args[0], c, 0.0)
    return v.sum(_dim(n, v))


def _max(n: Node, args: list[Tensor], c: Context) -> Tensor:
    v = _live(n, args[0], c, -torch.inf)
    dim = _dim(n, v)
    return v.amax(dim) if v.shape[dim] else torch.full_like(v.sum(dim), -torch.inf)


def _softmax(n: Node, args: list[Tensor], c: Context) -> Tensor:
    v = _live(n, args[0], c, torch.finfo(c.like.dtype).min)  # not -inf, of which an empty memory would make NaN
    out = v.softmax(_dim(n, v))
    mask = _mask(n.axes, str(n.attr), c)
    return out if mask is None else torch.where(mask, out, 0.0)


def _moments(n: Node, v: Tensor, c: Context) -> tuple[Tensor, Tensor]:
    """(v - mean, 1 / sqrt(variance + ε)) with the axis kept."""
    v = _live(n, v, c, 0.0)
    dim = _dim(n, v)
    mask = _mask(n.args[0].axes, str(n.attr), c)
    if mask is None:
        centred = v - v.mean(dim, keepdim=True)
        return centred, (centred.square().mean(dim, keepdim=True) + EPSILON).rsqrt()
    count = mask.sum(_dim(n, mask), keepdim=True).clamp(min=1)
    centred = torch.where(mask, v - v.sum(dim, keepdim=True) / count, 0.0)
    return centred, (centred.square().sum(dim, keepdim=True) / count + EPSILON).rsqrt()


def _standardise(n: Node, args: list[Tensor], c: Context) -> Tensor:
    centred, scale = _moments(n, args[0], c)
    return centred * scale


def _rdev(n: Node, args: list[Tensor], c: Context) -> Tensor:
    _, scale = _moments(n, args[0], c)
    return scale.squeeze(_dim(n, scale))


def _spread(n: Node, args: list[Tensor], c: Context) -> Tensor:
    v = align(args[0], n.args[0].axes, n.axes)
    lead = v.shape[: v.dim() - len(n.axes)]
    return v.expand(*lead, *(c.sizes[a] for a in n.axes))


def _all_live(axes: tuple[str, ...], v: Tensor, c: Context) -> Tensor:
    for axis in axes:
        mask = _mask(axes, axis, c)
        if mask is not None:
            v = torch.where(mask, v, 0.0)
    return v


def _outer(n: Node, args: list[Tensor], c: Context) -> Tensor:
    d, v = (_all_live(a.axes, x, c) for a, x in zip(n.args, args, strict=True))
    letter = {a: i for i, a in enumerate(dict.fromkeys([*n.args[0].axes, *n.args[1].axes]), 2)}
    out, inner = n.axes
    subscripts = [[letter[a] for a in arg.axes] for arg in n.args]
    subscripts[1] = [1 if a == inner else letter[a] for a in n.args[1].axes]  # [H H]: two axes of one name
    rows = [[0]] * 2
    d_at, v_at = (r[: x.dim() - len(s)] + s for r, x, s in zip(rows, (d, v), subscripts, strict=True))
    return torch.einsum(d, d_at, v, v_at, [letter[out], 1])


def _collect(n: Node, args: list[Tensor], c: Context) -> Tensor:
    v = _all_live(n.axes, args[0], c)
    return v.sum(0) if v.dim() > len(n.axes) else v


FUNCTIONS: Mapping[str, Function] = {
    **dict.fromkeys(("input", "state", "constant", "parameter", "gradient"), _leaf),
    "number": _number,
    "neg": _pointwise(torch.neg),
    "add": _pointwise(torch.add),
    "sub": _pointwise(torch.sub),
    "mul": _pointwise(torch.mul),
    "div": _pointwise(torch.div),
    "exp": _pointwise(torch.exp),
    "log": _pointwise(torch.log),
    "sqrt": _pointwise(torch.sqrt),
    "tanh": _pointwise(torch.tanh),
    "sigmoid": _pointwise(torch.sigmoid),
    "softplus": _pointwise(lambda v: torch.logaddexp(v, torch.zeros_like(v))),  # torch's softplus has a threshold
    "relu": _pointwise(torch.relu),
    "maximum": _pointwise(torch.maximum),
    "greater": _pointwise(lambda a, b: torch.gt(a, b).to(a.dtype)),
    "where": _pointwise(lambda test, a, b: torch.where(test != 0, a, b)),
    "stop": _pointwise(torch.detach),
    "matvec": _matvec,
    "transpose": lambda n, args, c: args[0].T,
    "sum": _sum,
    "max": _max,
    "softmax": _softmax,
    "standardise": _standardise,
    "spread": _spread,
    "outer": _outer,
    "collect": _collect,
    "rdev": _rdev,
}
