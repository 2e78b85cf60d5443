"""Inner values of a cell by name: as differentiable series, and recorded."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from rekur.cells import affine, cell, gate, named, spread, sum_over, tanh, weight
from rekur.nn import initial_weights
from rekur.run import compile, scan
from tests.compare import Named, differ, leaves, silent, with_gradients
from tests.pure.cell_formulas import linear, sigmoid
from tests.torch.one_by_one import LIVE, RESET, Problem, poisoned, visits

GATES = ("forget", "input", "candidate", "output")
BOTH = pytest.mark.parametrize("reverse", [False, True], ids=["forwards", "backwards"])


def gates_by_scan(p: Problem) -> Named:
    of = {kind: leaves(values) for kind, values in p.values.items()}
    of["input"] = leaves({k: poisoned(v, p.live) for k, v in of["input"].items()})
    one = scan(
        compile(p.graph, "reference"), of["weight"], of["input"], of["state"], initial=of["initial"], live=p.live,
        reset=p.reset, reverse=p.reverse, outputs=(*GATES, "c"),
    )  # fmt: skip
    assert not any(v[~p.live].any() for v in one.outputs.values())
    return with_gradients(
        one.outputs, {k: poisoned(torch.cos(v.detach()), p.live) for k, v in one.outputs.items()}, of
    )


def gates_by_hand(p: Problem) -> Named:
    of = {kind: leaves(values) for kind, values in p.values.items()}
    w = of["weight"]
    series = {k: torch.zeros_like(p.cotangents["output"]) for k in (*GATES, "c")}
    for b, row in enumerate(p.live):
        h, c = (of["state"][k][b] for k in ("h", "c"))
        assert p.reset is not None
        for boundary, t in visits(row, p.reset[b], p.reverse):
            if boundary:
                h, c = of["initial"]["h"], of["initial"]["c"]
            x = of["input"]["x"][b, t]
            f, i, o = (sigmoid(torch, linear(w, k, x=x, h=h)) for k in ("forget", "input", "output"))
            g = torch.tanh(linear(w, "candidate", x=x, h=h))
            c = f * c + i * g
            h = o * torch.tanh(c)
            for k, v in zip(series, (f, i, g, o, c), strict=True):
                series[k][b, t] = v
    return with_gradients(series, {k: torch.cos(v.detach()) for k, v in series.items()}, of)


@BOTH
def test_gates_and_their_gradients(reverse: bool):
    p = Problem("lstm", LIVE, RESET, reverse)
    want = gates_by_hand(p)
    assert silent(want) == set()
    assert differ(gates_by_scan(p), want) == {}


@BOTH
def test_a_record_is_the_output_without_its_gradient(reverse: bool):
    p = Problem("lstm", LIVE, RESET, reverse)
    of = {kind: leaves(values) for kind, values in p.values.items()}
    given = (compile(p.graph, "reference"), of["weight"], of["input"], of["state"])
    masks: dict[str, Any] = {"live": LIVE, "reset": RESET, "reverse": reverse}
    one = scan(*given, **masks, outputs=("forget", "h"), record=("output", "h", "forget", "h"))
    assert set(one.outputs) == {"forget", "h"}
    assert set(one.record) == {"output", "h", "forget"}
    assert all(v.requires_grad for v in one.outputs.values())
    assert not any(v.requires_grad for v in one.record.values())
    assert differ({k: one.record[k] for k in one.outputs}, {k: v.detach() for k, v in one.outputs.items()}) == {}
    assert torch.equal(one.record["h"], one.output)
    assert not torch.equal(one.record["output"], one.output)  # the gate of that name
    alone = scan(*given, **masks, record=("forget",))
    assert torch.equal(alone.record["forget"], one.record["forget"])
    assert torch.equal(alone.output, one.output)


@cell(total="", level="H")
def unusual(x, h, total, level):
    """Names for an input, a weight, a scalar, and a value of two axes; a state that is the same for all rows."""
    named("seen", x)
    gain = named("scale", weight("gain"))
    energy = named("energy", sum_over(h * h))
    table = named("table", spread(h, "H", "K") * weight("code", "K"))
    return tanh(affine("hidden", x, h)) * gain, total + energy + sum_over(sum_over(table, "K"), "H") * 0.1, 0.5


def test_values_of_every_kind():
    draw = torch.Generator().manual_seed(0)
    sizes = {"I": 3, "H": 5, "K": 2}
    w = leaves({k: v.double() for k, v in initial_weights(unusual.graph, sizes, generator=draw).items()})
    x = leaves({"x": torch.randn(2, 4, 3, generator=draw, dtype=torch.float64)})
    lengths = (4, 2)
    one = scan(
        compile(unusual, "reference"),
        w,
        x,
        lengths=lengths,
        outputs=("seen", "scale", "energy", "table", "total", "level"),
    )
    want: dict[str, list[Tensor]] = {k: [] for k in one.outputs}
    for b, length in enumerate(lengths):
        h, total = torch.zeros(5, dtype=torch.float64), torch.zeros((), dtype=torch.float64)
        rows: dict[str, list[Tensor]] = {k: [] for k in one.outputs}
        for t in range(length):
            table = h[:, None] * w["code"]
            total = total + (h * h).sum() + table.sum() * 0.1
            values = (x["x"][b, t], w["gain"], (h * h).sum(), table, total, torch.full_like(h, 0.5))
            for k, v in zip(rows, values, strict=True):
                rows[k].append(v)
            h = torch.tanh(linear(w, "hidden", seen=x["x"][b, t], h=h)) * w["gain"]
        for k, steps in rows.items():
            steps += [torch.zeros_like(steps[0])] * (4 - length)
            want[k].append(torch.stack(steps))
    results = {k: torch.stack(v) for k, v in want.items()}
    cotangents = {k: torch.cos(v.detach()) for k, v in results.items()}
    of = {"weight": w, "input": x}
    assert differ(with_gradients(one.outputs, cotangents, of), with_gradients(results, cotangents, of)) == {}


def test_nothing_is_kept_that_was_not_asked_for():
    p = Problem("lstm", LIVE)
    one = scan(compile(p.graph, "reference"), p.values["weight"], p.values["input"], live=LIVE)
    assert one.outputs == {}
    assert one.record == {}


@cell
def one_name_two_values(x, h):
    """The named value `h2` and the next state are one node."""
    return gate("h2", tanh, x, h)


def test_two_names_of_one_value():
    w = initial_weights(one_name_two_values.graph, {"I": 3, "H": 4})
    one = scan(compile(one_name_two_values, "reference"), w, torch.ones(2, 3, 3), outputs=("h2", "h"))
    assert torch.equal(one.outputs["h2"], one.output)
    assert torch.equal(one.outputs["h"], one.output)
