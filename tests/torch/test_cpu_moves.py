"""Values between tensors and the arrays of compiled code: by themselves, and in scans of tensors of any form."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from rekur.cells import find
from rekur.run import compile, scan
from rekur.run.cpu.kernel import Run
from rekur.run.cpu.moves import FIELDS
from rekur.run.cpu.order import SHARED_ROWS, sequences
from rekur.run.cpu.target import AVX2, Target, host
from tests.torch.cpu_cases import Case, bits, results, same
from tests.torch.test_cpu_products import Functions

TARGETS = [host(), AVX2, Target("x86-64", "", 4, 16)]
POISON = -1.5


def moved(
    of: Functions, way: str, tensor: Tensor | None, array: Tensor, table: Tensor, shape: Sequence[int], threads: int
) -> None:
    """A move between `(groups, rows, lines, size)`, as far apart as the strides say, and `(places, lines, pad)`."""
    groups, rows, lines, size = shape
    strides = (0, 0) if tensor is None else tensor.stride()[:2]
    spread = int(array.dim() == 2)
    move = {
        "tensor": 0 if tensor is None else tensor.data_ptr(), "array": array.data_ptr(), "table": table.data_ptr(),
        "groups": groups, "rows": rows, "group": strides[0], "row": strides[1], "lines": lines, "size": size,
        "stride": array.stride(0), "pad": 0 if spread else array.stride(1), "spread": spread,
    }  # fmt: skip
    memory = torch.tensor([[move[k] for k in FIELDS]] * 2)
    memory[0, FIELDS.index("groups")] = 0  # one that moves nothing
    for tid in range(threads):
        getattr(of, way)(memory, 2, tid, threads)


def problem(lines: int, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """A tensor of 3 groups of 5 rows that lie apart, an array that they go to, and a table where some have none."""
    tensor = torch.randn(3, 7, lines, size)[:, 1:6]
    places = torch.randperm(20)[:15].where(torch.rand(15) < 0.8, -1)
    return tensor, torch.full((20, lines, size + 3), POISON), places


@pytest.mark.parametrize("target", TARGETS, ids=["host", "avx2", "narrow"])
@pytest.mark.parametrize(("lines", "size"), [(1, 1), (1, 16), (3, 7), (2, 33), (1, 129)])
def test_moves(target: Target, lines: int, size: int):
    of = Functions(target)
    for threads in (1, 2, 4):
        tensor, array, table = problem(lines, size)
        want = array.clone()
        for row, place in zip(tensor.flatten(0, 1), table.tolist(), strict=True):
            if place >= 0:
                want[place, :, :size] = row
        moved(of, "arrive", tensor, array, table, (3, 5, lines, size), threads)
        assert torch.equal(array, want)
        back = torch.full((3, 7, lines, size), POISON)
        moved(of, "depart", back[:, 1:6], array, table, (3, 5, lines, size), threads)
        live = (table >= 0).view(3, 5, 1, 1)
        assert torch.equal(back[:, 1:6], torch.where(live, tensor, 0.0))
        assert bool((back[:, [0, 6]] == POISON).all())
        moved(of, "arrive", None, array, table, (3, 5, lines, size), threads)
        assert bool((array[table[table >= 0], :, :size] == 0).all())
        assert bool((array[..., size:] == POISON).all())
        moved(of, "depart", None, array, table, (3, 5, lines, size), threads)


@pytest.mark.parametrize("target", TARGETS, ids=["host", "avx2", "narrow"])
def test_a_scalar_has_a_place_in_every_lane(target: Target):
    tensor, table = torch.randn(2, 3), torch.tensor([4, 0, -1, 2, 1, 3])
    array = torch.full((5, target.lanes), POISON)
    moved(Functions(target), "arrive", tensor, array, table, (2, 3, 1, 1), 1)
    want = tensor.flatten()[[1, 4, 3, 5, 0]]
    assert torch.equal(array, want[:, None].expand(5, target.lanes))
    moved(Functions(target), "arrive", None, array, table, (2, 3, 1, 1), 1)
    assert not bool(array.any())


# ---- tables


@pytest.mark.parametrize("batch", [3, SHARED_ROWS + 1])
@pytest.mark.parametrize("by_row", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("gaps", [False, True])
def test_where_sequences_are(batch: int, by_row: bool, reverse: bool, gaps: bool):
    """Each row's live steps one after the other from time 0 on, longest row first; and hoisted once each."""
    steps = 130
    lengths = torch.randint(steps + 1, (batch,))
    live = torch.arange(steps) < lengths[:, None]
    if gaps:
        live &= torch.rand(batch, steps) < 0.7
    order = sequences((batch,), steps, None if gaps else lengths, live if gaps else None, reverse, None, by_row)
    counts, rows = live.sum(1), order.tables["rows"]
    assert (order.tables["active"] == [int((counts > t).sum()) for t in range(steps)]).all()
    for b in range(batch):
        times = [t for t in range(steps) if live[b, t]]
        want = [-1] * steps
        for rank, t in enumerate(reversed(times) if reverse else times):
            want[t] = rank * batch + int(rows[b])
        assert order.tables["places"][b].tolist() == want
        assert order.tables["finals"][b] == len(times) * batch + rows[b]
    segments = zip(*(order.tables[f"segment {k}"].tolist() for k in ("m", "b", "sm", "sb", "count")), strict=True)
    hoisted = [(m + i * sm, b + i * sb) for m, b, sm, sb, count in segments for i in range(count)]
    assert sorted(m for m, _ in hoisted) == sorted(p for p in order.tables["places"].flatten().tolist() if p >= 0)
    if by_row:
        assert all(m % batch == b for m, b in hoisted)


@pytest.mark.parametrize("lead", [(5,), (SHARED_ROWS + 1,), (4, 3)])
@pytest.mark.parametrize("reverse", [False, True])
def test_lengths_are_the_mask_that_they_make(lead: tuple[int, ...], reverse: bool):
    """Native code makes the tables of lengths, and numpy those of a mask."""
    steps = 20
    lengths = torch.randint(steps + 1, lead[:1])
    live = (torch.arange(steps) < lengths[:, None]).reshape(*lead[:1], steps, *[1] * len(lead[1:]))
    of_mask = sequences(lead, steps, None, live.expand(lead[0], steps, *lead[1:]), reverse, None, False).tables
    of_lengths = sequences(lead, steps, lengths, None, reverse, None, False).tables
    assert {k for k, v in of_mask.items() if (v != of_lengths[k]).any()} == set()
    others = sequences(lead, steps, (lengths + 1) % (steps + 1), None, reverse, None, False).tables
    assert (of_mask["places"] != others["places"]).any()


# ---- tensors of any form

FORMS: dict[str, Callable[[Tensor], Tensor]] = {
    "time first": lambda v: v.transpose(0, 1).contiguous().transpose(0, 1),
    "a part": lambda v: torch.cat([v, v], 1)[:, v.shape[1] :],
    "a part of each row": lambda v: torch.cat([v, v], -1)[..., v.shape[-1] :],
    "features first": lambda v: v.movedim(-1, 0).contiguous().movedim(0, -1),
    "every other": lambda v: v.repeat_interleave(2, -1)[..., ::2],
    "negative": lambda v: torch.view_as_complex(torch.stack([v, -v], -1)).conj().imag,
}


def values(form: Callable[[Tensor], Tensor], grad: Callable[[Tensor], Tensor]) -> list[Tensor]:
    kernel = compile(find("lstm"), "cpu")
    draw = torch.Generator().manual_seed(0)
    params = {
        k: torch.randn([{"I": 5, "H": 17}[a] for a in p.axes], generator=draw).requires_grad_()
        for k, p in kernel.graph.parameters.items()
    }
    x, h, c = (torch.randn(shape, generator=draw).requires_grad_() for shape in ((4, 6, 5), (4, 17), (4, 17)))
    y, state, *_ = scan(kernel, params, form(x), {"h": form(h), "c": form(c)}, lengths=[6, 2, 0, 5])
    dy = torch.randn(y.shape, generator=draw)
    return [y, *torch.autograd.grad([y, state["c"]], [x, h, c, *params.values()], [grad(dy), grad(dy[:, 0])])]


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_tensors_of_any_form(form: Callable[[Tensor], Tensor]):
    plain = values(lambda v: v, lambda v: v)
    for got in (values(form, lambda v: v), values(lambda v: v, form)):
        assert all(torch.equal(bits(a), bits(b)) for a, b in zip(got, plain, strict=True))


def test_rows_that_lie_apart_are_not_copied(monkeypatch: pytest.MonkeyPatch):
    kept: list[bool] = []
    once = Run._strided

    def counted(self: Run, v: Tensor, field: int, lead: int, unit: int) -> Tensor:
        found = once(self, v, field, lead, unit)
        kept.append(found.data_ptr() == v.data_ptr())
        return found

    monkeypatch.setattr(Run, "_strided", counted)
    values(FORMS["time first"], lambda v: v)
    assert kept == [True, False, False, True]  # the input; states, whose units lie apart; a gradient, part of another
    kept.clear()
    values(FORMS["every other"], lambda v: v)
    assert kept == [False, False, False, True]


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_gradient_in_one_result_alone(which: int):
    """What comes back to no other result is zero."""
    case = Case(find("lstm").graph, {"I": 5, "H": 17}, 4, 6, (6, 2, 0, 5))

    def gradients(backend: str) -> list[Tensor]:
        named = {kind: {k: v.clone().requires_grad_() for k, v in of.items()} for kind, of in case.values.items()}
        found = scan(
            compile(case.graph, backend), named["weight"], named["input"], named["state"], lengths=case.lengths
        )
        result = [found.output, *found.state.values()][which]
        leaves = [*named["weight"].values(), *named["input"].values(), *named["state"].values()]
        return [*torch.autograd.grad(result.square().sum(), leaves, allow_unused=True)]

    for got, want in zip(gradients("cpu"), gradients("reference"), strict=True):
        torch.testing.assert_close(got, torch.zeros_like(got) if want is None else want, rtol=1e-4, atol=1e-5)


def test_calls_of_one_form_have_nothing_in_common():
    """Lengths, flags and numbers of rows that change from call to call, and back again."""

    def cases() -> list[Case]:
        graph, sizes = find("gru").graph, {"I": 5, "H": 17}
        lengths = [(6, 2, 0, 5), (1, 6, 6, 3), None, (6, 6, 6, 1)]
        ragged = [Case(graph, sizes, 4, 6, n, seed=i) for i, n in enumerate(lengths)]
        return [*ragged, Case(graph, sizes, 4, 6, resets=True), Case(graph, sizes, 4, 6, gaps=True),
                Case(graph, sizes, 2, 6), *ragged]  # fmt: skip

    first = [results(one) for one in cases()]
    again = [results(one) for one in reversed(cases())]
    assert all(same(a, b) == set() for a, b in zip(first, reversed(again), strict=True))
