"""Constants with a ragged axis: a padded memory is the short memory alone, whatever the padding holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from rekur.cells import (
    Cell,
    affine,
    attend,
    cell,
    gate,
    log,
    max_over,
    mean_over,
    named,
    sigmoid,
    softmax,
    spread,
    sqrt,
    standardise,
    sum_over,
    tanh,
    weight,
)
from rekur.nn import initial_weights
from rekur.run import Scan, compile, scan
from tests.compare import Named, differ, leaves, silent, with_gradients

SIZES = {"I": 3, "H": 5, "A": 4, "D": 2, "S": 6, "R": 3}
ROWS, STEPS = 4, 3
Counts = Mapping[str, Sequence[int]]
COUNTS: Counts = {"S": (6, 2, 1, 4), "R": (1, 3, 2, 3)}


@cell(memory="S D")
def reductions(x, h, *, memory):
    """Every way to go over a memory."""
    key = affine("key", memory, size="A")
    whole = sum_over(key, "S") + max_over(key, "S") + mean_over(key, "S")
    spiky = sum_over(standardise(key * key, "S") * key, "S")
    level = affine("level", named("pooled", tanh(whole + spiky)), h)
    return tanh(level + affine("input", x))


@cell(memory="S D", cover="S", tape="S D")
def coverage(x, h, cover, tape=0.25, *, memory):
    """States that have the ragged axis themselves, as a pointer and a writable memory have."""
    query = affine("query", x, h, size="A")
    score = sum_over(weight("score", "A") * tanh(affine("key", memory, tape=tape, size="A") + query), "A")
    share = named("share", softmax(score - cover * 2.0, "S"))
    read = named("read", sum_over(share * memory, "S"))
    written = tanh(affine("write", h=h, size="D"))
    energy = named("energy", sigmoid(score))
    return gate("hidden", tanh, x, read), cover + energy, tape * 0.5 + share * spread(written, "S", "D")


@cell(memory="S D", other="R A", link="S R")
def two_memories(x, h, *, memory, other, link):
    """Two ragged axes, and a value that has both."""
    left, right = affine("left", memory, size="A"), affine("right", other, size="A")
    of_link = sum_over(softmax(link, "R"), "S")
    pair = sum_over(sum_over(spread(left, "S", "R", "A") * spread(right, "S", "R", "A"), "S"), "R")
    share = softmax(sum_over(right, "A") + of_link, "R")
    read = sum_over(share * other, "R")
    return gate("hidden", tanh, x, h, pair=pair * 0.1, read=read)


@cell(memory="S D", level="S")
def logarithms(x, h, level, *, memory):
    """Functions that are not finite everywhere."""
    key = affine("key", shares=log(memory) + sqrt(memory) + 1.0 / memory, size="A")
    pooled = sum_over(softmax(key, "S") * key, "S")
    return gate("hidden", tanh, x, h, pooled=pooled), level + 1.0 / sum_over(memory, "D")


class Problem:
    def __init__(self, of: Cell, rows: int = ROWS) -> None:
        self.graph = of.graph
        draw = torch.Generator().manual_seed(len(self.graph.nodes))

        def random(lead: tuple[int, ...], axes: tuple[str, ...]) -> Tensor:
            return torch.randn(*lead, *(SIZES[a] for a in axes), generator=draw, dtype=torch.float64)

        self.axes = {a.name: a.axes for a in self.graph.arguments}
        self.values = {
            "weight": {k: random((), p.axes) * 0.6 for k, p in self.graph.parameters.items()},
            "input": {"x": random((rows, STEPS), ("I",))},
            "state": {a.name: random((rows,), a.axes) for a in self.graph.of("state")},
            "constant": {a.name: random((rows,), a.axes).abs() + 0.1 for a in self.graph.of("constant")},
        }

    def run(self, of: dict[str, dict[str, Tensor]], counts: Counts, **options: Any) -> Scan:
        return scan(
            compile(self.graph, "reference"), of["weight"], of["input"], of["state"], constants=of["constant"],
            memory_lengths=counts, outputs=tuple(self.graph.names), **options,
        )  # fmt: skip

    def named(self, one: Scan) -> dict[str, tuple[Tensor, tuple[str, ...]]]:
        """Every result, with the axes at its end."""
        out = {"output": (one.output, self.graph.of("state")[0].axes)}
        out |= {f"final {k}": (v, self.axes[k]) for k, v in one.state.items()}
        return out | {f"value {k}": (v, self.graph.named(k).axes) for k, v in one.outputs.items()}


def at_live(v: Tensor, axes: tuple[str, ...], counts: Counts, fill: float) -> Tensor:
    """`v`, that ends in `axes`, with `fill` at the dead positions of each row."""
    v = v.clone()
    for b in range(len(v)):
        for i, axis in enumerate(axes):
            if axis in counts:
                v[b].narrow(v.dim() - 1 - len(axes) + i, counts[axis][b], SIZES[axis] - counts[axis][b])[...] = fill
    return v


def together(p: Problem, counts: Counts, fill: float, **options: Any) -> Named:
    """One padded batch, its padding filled: in memories, in states, in the gradients that arrive."""
    values = dict(p.values)
    for kind in ("constant", "state"):
        values[kind] = {k: at_live(v, p.axes[k], counts, fill) for k, v in values[kind].items()}
    of = {kind: leaves(named) for kind, named in values.items()}
    results = p.named(p.run(of, counts, **options))
    cotangents = {k: at_live(torch.cos(v.detach()), axes, counts, fill) for k, (v, axes) in results.items()}
    return with_gradients({k: v for k, (v, _) in results.items()}, cotangents, of)


def alone(p: Problem, counts: Counts) -> Named:
    """Row by row, each with its own short memories."""
    of = {kind: leaves(named) for kind, named in p.values.items()}
    rows: list[dict[str, tuple[Tensor, tuple[str, ...]]]] = []
    for b in range(len(of["input"]["x"])):

        def short(v: Tensor, axes: tuple[str, ...], b: int = b) -> Tensor:
            for i, axis in enumerate(axes):
                v = v.narrow(1 + i, 0, counts[axis][b]) if axis in counts else v
            return v

        one = {kind: {k: v[b : b + 1] for k, v in named.items()} for kind, named in of.items() if kind != "weight"}
        for kind in ("constant", "state"):
            one[kind] = {k: short(v, p.axes[k]) for k, v in one[kind].items()}
        rows.append(p.named(p.run({"weight": of["weight"], **one}, {})))

    def padded(v: Tensor, axes: tuple[str, ...]) -> Tensor:
        missing = [
            n for a, have in zip(axes, v.shape[v.dim() - len(axes) :], strict=True) for n in (SIZES[a] - have, 0)
        ]
        return torch.nn.functional.pad(v, missing[::-1])

    results = {k: torch.cat([padded(*row[k]) for row in rows]) for k in rows[0]}
    return with_gradients(results, {k: torch.cos(v.detach()) for k, v in results.items()}, of)


CELLS = [attend, reductions, coverage, two_memories, logarithms]


@pytest.mark.parametrize("reverse", [False, True], ids=["forwards", "backwards"])
@pytest.mark.parametrize("of", CELLS, ids=lambda c: c.name)
def test_a_padded_memory_is_the_memory_alone(of: Cell, reverse: bool):
    p = Problem(of)
    counts = {k: v for k, v in COUNTS.items() if k in p.graph.axes}
    zero = together(p, counts, 0.0, reverse=reverse)
    if not reverse:
        want = alone(p, counts)
        assert silent(want) <= {"gradient of state context"}
        assert differ(zero, want) == {}
    for fill in (torch.nan, torch.inf, 1e30):
        assert differ(together(p, counts, fill, reverse=reverse), zero, within=0.0) == {}


def test_nothing_comes_from_the_padding():
    p = Problem(coverage)
    got = together(p, {"S": COUNTS["S"]}, torch.nan)
    axes = {"constant memory": ("S", "D"), "state cover": ("S",), "state tape": ("S", "D")}
    for k, own in axes.items():
        gradient = got[f"gradient of {k}"]
        assert torch.equal(gradient, at_live(gradient, own, {"S": COUNTS["S"]}, 0.0))


def test_where_no_step_is_real_the_padding_of_states_is_zero_too():
    p = Problem(coverage)
    one = p.run(p.values, {"S": COUNTS["S"]}, lengths=[0] * ROWS)
    for k, v in one.state.items():
        assert torch.equal(v, at_live(p.values["state"][k], p.axes[k], {"S": COUNTS["S"]}, 0.0))


def test_an_empty_memory_gives_nothing():
    """As one that is not read: no NaN, and no gradient of the weights that look at it."""
    p = Problem(attend, rows=2)
    got = together(p, {"S": (0, 0)}, torch.nan)
    for k in ("output", "final h", "gradient of weight reset.x", "gradient of input x"):
        assert got[k].isfinite().all()
        assert got[k].any()
    assert {
        "value attention", "value attended", "final context", "gradient of constant memory",
        "gradient of weight query.h", "gradient of weight key.memory", "gradient of weight score",
    } <= silent(got)  # fmt: skip
    mixed = together(Problem(attend, rows=3), {"S": (0, 4, 0)}, torch.nan)
    assert all(v.isfinite().all() for v in mixed.values())
    assert mixed["gradient of weight key.memory"].any()


@pytest.mark.parametrize("counts", [(0, 4, 0), (0, 0, 0)])
def test_functions_that_are_not_finite_everywhere(counts: tuple[int, ...]):
    """Of an empty memory no value is read, so none of them is infinite, and no gradient 0 · ∞."""
    got = together(Problem(logarithms, rows=3), {"S": counts}, torch.nan)
    assert all(v.isfinite().all() for v in got.values())
    assert got["gradient of weight key.shares"].any() == any(counts)


@pytest.mark.parametrize("counts", [(0, 0), None])
def test_a_batch_without_any_memory(counts: tuple[int, int] | None):
    """No row has a position, so the axis is of size 0."""
    weights = leaves({k: v.double() for k, v in initial_weights(attend.graph, SIZES).items()})
    x = torch.ones(2, STEPS, 3, dtype=torch.float64)
    memory = torch.zeros(2, 0, 2, dtype=torch.float64)
    one = scan(
        compile(attend, "reference"), weights, x, constants={"memory": memory}, outputs=("attention",),
        memory_lengths=None if counts is None else {"S": counts},
    )  # fmt: skip
    assert one.outputs["attention"].shape == (2, STEPS, 0)
    one.output.sum().backward()
    assert all(w.grad is not None and w.grad.isfinite().all() for w in weights.values())


def test_an_empty_memory_in_anomaly_mode():
    """Users look for NaN with it: nothing inside may make one."""
    p = Problem(attend, rows=2)
    with torch.autograd.set_detect_anomaly(True, check_nan=True):
        together(p, {"S": (0, 2)}, 0.0)
