"""Random cells over the whole vocabulary of the language, each from a seed: `random_cell(seed)` is always the same.

For the tests of every consumer of graphs. Values stay tame: nothing is divided by what may vanish, no logarithm is
taken of what may be negative, and the next states are bounded.
"""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rekur.graph import (
    Cell,
    Node,
    affine,
    cell,
    exp,
    gate,
    layer_norm,
    log,
    max_over,
    maximum,
    mean_over,
    named,
    neighbour,
    one_hot,
    relu,
    sigmoid,
    softmax,
    softplus,
    spread,
    sqrt,
    standardise,
    stop,
    sum_over,
    tanh,
    walk,
    weight,
    where,
)

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

SIZES: Mapping[str, int] = {"I": 3, "V": 4, "H": 5, "P": 2, "K": 3, "S": 4, "D": 2, "A": 3}
RAGGED = "S"
"""The axis of memories, of which rows may have more or less: no weight has it."""

_INPUTS = {"x": "I", "x2": "V", "level": ""}
_STATES = {"h": "H", "c": "P", "m": "H K", "count": ""}
_CONSTANTS = {"image": "V", "memory": "S D", "flag": ""}


def random_cell(seed: int, *, lattice: bool = False) -> Cell:
    """One to three inputs and states, up to two constants, five to eighteen operations.

    :param lattice: whether states are read at neighbouring sites too.
    """
    return _Writer(random.Random(seed), lattice).cell(f"random{seed}")


def cells(*, lattice: bool = False) -> SearchStrategy[Cell]:
    """The hypothesis strategy of random cells."""
    from hypothesis import strategies

    return strategies.integers(0, 2**32 - 1).map(lambda seed: random_cell(seed, lattice=lattice))


class _Writer:
    """Writes one cell; `pool` holds the values so far."""

    def __init__(self, rd: random.Random, lattice: bool) -> None:
        self.rd = rd
        self.lattice = lattice
        self.pool: list[Node] = []
        self.count = 0
        self.tied: dict[str, tuple[str, dict[str, str]]] = {}

    def some(self, of: Mapping[str, str], least: int, most: int) -> dict[str, str]:
        names = self.rd.sample(sorted(of), self.rd.randint(least, most))
        return {k: of[k] for k in names}

    def cell(self, name: str) -> Cell:
        inputs, states = self.some(_INPUTS, 1, 3), self.some(_STATES, 1, 3)
        constants = self.some(_CONSTANTS, 0, 2)

        def step(*given: Node, **constant: Node) -> tuple[Node, ...]:
            return self.write(given[: len(inputs)], given[len(inputs) :], [*constant.values()])

        P = inspect.Parameter
        initial = {k: self.rd.choice([P.empty, 0.25]) for k in states}
        order = sorted(states, key=lambda k: initial[k] is not P.empty)
        parameters = [
            *[P(k, P.POSITIONAL_ONLY) for k in inputs],
            *[P(k, P.POSITIONAL_OR_KEYWORD, default=initial[k]) for k in order],
            *[P(k, P.KEYWORD_ONLY) for k in constants],
        ]
        step.__name__ = name
        step.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return cell(**inputs, **states, **constants)(step)

    def write(self, inputs: Sequence[Node], states: Sequence[Node], constants: Sequence[Node]) -> tuple[Node, ...]:
        self.pool = [*inputs, *states, *constants]
        if self.lattice:
            self.pool += [neighbour(s, self.rd.choice([-2, -1, 1])) for s in states for _ in range(2)]
        made: list[Node] = list(inputs)
        moves = [
            self.affine, self.affine, self.affine, self.binary, self.binary, self.binary, self.unary, self.unary,
            self.reduction, self.reduction, self.number, self.tie, self.scale, self.norm, self.choice, self.dot,
            self.widen, self.name_it,
        ]  # fmt: skip
        for _ in range(self.rd.randint(5, 18)):
            value = self.rd.choice(moves)()
            if value is not None:
                self.pool.append(value)
                made.append(value)
        read = set(walk(a for v in made for a in v.args))
        unread = [v for v in dict.fromkeys(made) if v not in read]
        return tuple(self.next(s, unread if s is states[0] else []) for s in states)

    def next(self, state: Node, unread: list[Node]) -> Node:
        terms = [self.fitted(v, state.axes) for v in [*unread, self.pick(), self.pick()]]
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        total = tanh(total) if self.rd.random() < 0.5 else total * (1 / len(terms))
        if self.rd.random() < 0.5:
            keep = sigmoid(self.fitted(self.pick(), state.axes))
            return keep * state + (1.0 - keep) * total
        return 0.3 * state + 0.5 * total

    def fitted(self, v: Node, axes: tuple[str, ...]) -> Node:
        """A bounded value of the given axes, made from `v`."""
        for axis in v.axes:
            if axis not in axes:
                v = self.rd.choice([sum_over, max_over, mean_over])(v, axis)
        return tanh(v) if v.axes == axes else spread(tanh(v), *axes)

    # ---- picking ----------------------------------------------------------------------------------------------

    def name(self, kind: str) -> str:
        self.count += 1
        return f"{kind}{self.count}"

    def pick(self) -> Node:
        """One of the values so far, later ones more often."""
        return self.pool[max(self.rd.randrange(len(self.pool)) for _ in range(2))]

    def vector(self, *last: str) -> Node | None:
        """A value that a weight can multiply: with a last axis (one of `last`) that is not ragged."""
        fit = [v for v in self.pool if v.axes and v.axes[-1] != RAGGED and (not last or v.axes[-1] in last)]
        return self.rd.choice(fit) if fit else None

    def pair(self) -> tuple[Node, Node] | None:
        """Two values whose axes nest, one of them spread if they did not."""
        a, b = self.pick(), self.pick()
        union = tuple(dict.fromkeys((*a.axes, *b.axes)))
        if set(union) in (set(a.axes), set(b.axes)):
            return a, b
        return (spread(a, *union), b) if len(union) <= 3 else None

    # ---- moves: each makes a value, or None where nothing fits --------------------------------------------------

    def affine(self) -> Node | None:
        size = self.rd.choice("HHPKIA")
        reads: dict[str, Any] = {}
        for _ in range(self.rd.randint(1, 3)):
            v = self.vector()
            if v is not None and size not in v.axes[:-1] and (len(v.axes) == 1 or not reads):
                reads[f"o{len(reads)}"] = v
        if not reads:
            return None
        name, bias = self.name("a"), self.rd.choice([0.0, 1.0, False])
        self.tied[name] = size, {k: v.axes[-1] for k, v in reads.items()}
        if self.rd.random() < 0.3:
            return gate(name, self.rd.choice([tanh, sigmoid]), size=size, bias=bias, **reads)
        return affine(name, size=size, bias=bias, **reads)

    def tie(self) -> Node | None:
        if not self.tied:
            return None
        owner = self.rd.choice(sorted(self.tied))
        size, axes = self.tied[owner]
        reads = {k: self.vector(axis) for k, axis in axes.items()}
        fit: dict[str, Any] = {k: v for k, v in reads.items() if v is not None and len(v.axes) == 1}
        return affine(self.name("t"), size=size, tie=owner, **fit) if len(fit) == len(axes) else None

    def binary(self) -> Node | None:
        found = self.pair()
        if found is None:
            return None
        u, w = found
        return self.rd.choice(
            [
                lambda: u + w,
                lambda: u - w,
                lambda: u * sigmoid(w),
                lambda: tanh(u) * w,
                lambda: u / (1.5 + w * w),
                lambda: maximum(u, w),
                lambda: where(u > w, u, w * 0.5),
            ]
        )()

    def unary(self) -> Node:
        functions: list[Callable[[Node], Node]] = [
            tanh, sigmoid, relu, softplus, stop, lambda v: -v, lambda v: exp(tanh(v)), lambda v: log(1.5 + v * v),
            lambda v: sqrt(1.0 + v * v),
        ]  # fmt: skip
        return self.rd.choice(functions)(self.pick())

    def number(self) -> Node:
        v, k = self.pick(), self.rd.choice([-1.5, 0.5, 0.75, 2.0])
        return self.rd.choice([lambda: v + k, lambda: k - v, lambda: k * v, lambda: k / (1.5 + v * v)])()

    def reduction(self) -> Node | None:
        v = self.pick()
        if not v.axes:
            return None
        over = self.rd.choice(v.axes)
        return self.rd.choice([sum_over, max_over, mean_over, softmax, standardise, one_hot])(v, over)

    def scale(self) -> Node | None:
        v = self.vector()
        return None if v is None else weight(self.name("w"), v.axes[-1], init="normal=0.5") * v

    def norm(self) -> Node | None:
        v = self.vector()
        return None if v is None else layer_norm(self.name("n"), v)

    def choice(self) -> Node | None:
        found = self.pair()
        return None if found is None else where(self.fitted(self.pick(), ()) > 0.25, *found)

    def dot(self) -> Node | None:
        found = self.pair()
        if found is None or not (axes := max((v.axes for v in found), key=len)):
            return None
        return sum_over(found[0] * tanh(found[1]), self.rd.choice(axes))

    def widen(self) -> Node | None:
        v = self.pick()
        more = [a for a in ("H", "K", RAGGED) if a not in v.axes]
        return spread(v, *v.axes, self.rd.choice(more)) if len(v.axes) < 2 else None

    def name_it(self) -> Node:
        return named(self.name("value"), self.pick())
