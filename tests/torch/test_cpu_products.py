"""The shared functions of the compiled backend, called by themselves: odd shapes, against float64.

This module is also a program, which does every check in memory that ends where it may not be touched.
"""

from __future__ import annotations

import ctypes
import itertools
import sys
from collections.abc import Callable, Iterator
from functools import partial

import pytest
import torch
from torch import Tensor

from rekur.run.cpu.external import SIGNATURES, symbol
from rekur.run.cpu.library import shared
from rekur.run.cpu.outer import WIDTH
from rekur.run.cpu.target import AVX2, Target, host
from rekur.run.cpu.tile import Tile
from tests.torch.cpu_cases import bits
from tests.torch.guard_pages import alone, inside

TARGETS = {"host": host(), "avx2": AVX2, "narrow": Target("x86-64", "", 4, 16)}


class Functions:
    """The functions of a target on tensors, each in memory as `place` gives it."""

    def __init__(self, target: Target, place: Callable[[Tensor], Tensor] = torch.clone) -> None:
        self.target, self.place = target, place
        self.columns = Tile.of(target).vectors * target.lanes

    def __getattr__(self, name: str) -> Callable[..., None]:
        kinds = [ctypes.c_void_p if kind == "ptr" else ctypes.c_int64 for kind, _ in SIGNATURES[name]]
        code = shared(self.target).function(symbol(name, self.target.lanes), kinds)
        return lambda *args: code(*(a.data_ptr() if isinstance(a, Tensor) else a for a in args))

    def rows(self, values: Tensor, stride: int) -> Tensor:
        """Rows that begin `stride` floats apart, NaN between them; nothing after the last."""
        count, width = values.shape
        memory = torch.full((max(0, (count - 1) * stride + width),), torch.nan)
        memory.as_strided((count, width), (stride, 1)).copy_(values)
        return self.place(memory)

    def empty(self, count: int) -> Tensor:
        """Memory that holds NaN."""
        return self.place(torch.full((count,), torch.nan))

    def panels(self, size: int) -> int:
        """How many there are."""
        return -(-size // self.columns)


def near(name: str, got: Tensor, want: Tensor, terms: int) -> str:
    """What is wrong with a sum of so many products, each of about one."""
    wrong = ~((got.double() - want).abs() <= 1e-6 * (1 + terms) ** 0.5 * (1 + want.abs()))
    return f"{name}: {int(wrong.sum())} of {wrong.numel()} wrong" if bool(wrong.any()) else ""


def packed(f: Functions, o: int, k: int) -> Iterator[str]:
    """pack and pack_transposed, and each panel by itself."""
    name = f"{f.target.cpu} o {o} k {k}"
    w = torch.randn(o, k)
    for function, matrix in (("pack", w), ("pack_transposed", w.T)):
        outputs, inner = matrix.shape
        padded = torch.zeros(f.panels(outputs) * f.columns, inner)
        padded[:outputs] = matrix
        want = padded.view(f.panels(outputs), f.columns, inner).transpose(1, 2).flatten()
        memory = f.empty(len(want))
        laid = f.rows(w, k + 3)
        size = inner * f.columns
        for p in reversed(range(f.panels(outputs))):
            getattr(f, function)(laid, k + 3, o, k, memory, p, p + 1)
            done = memory[p * size :]
            yield "" if torch.equal(done, want[p * size :]) else f"{function}, {name}: panel {p} is wrong"
            yield "" if memory[: p * size].isnan().all() else f"{function}, {name}: wrote before panel {p}"


def multiplied(f: Functions, rows: int, k: int, o: int) -> Iterator[str]:
    """product: from zeros, from a row for all, from C itself; each panel by itself gives the same bits."""
    name = f"product, {f.target.cpu} rows {rows} k {k} o {o}"
    a, w = torch.randn(rows, k), torch.randn(o, k)
    panels = f.panels(o)
    width = panels * f.columns
    weight = f.empty(width * k)
    f.pack(f.rows(w, k), k, o, k, weight, 0, panels)
    left = f.rows(a, k + 5)
    start = torch.randn(rows, width)
    for kind, first in (("one row", start[:1].expand(rows, -1)), ("rows", start), ("itself", start)):
        c = f.rows(start if kind == "itself" else torch.full((rows, width), torch.nan), width + 4)
        i = c if kind == "itself" else f.rows(first if kind == "rows" else first[:1], width + 2)
        ldi = {"one row": 0, "rows": width + 2, "itself": width + 4}[kind]
        for p in range(panels):
            f.product(left, k + 5, weight, i, ldi, c, width + 4, rows, k, p, p + 1)
        got = c.as_strided((rows, width), (width + 4, 1))
        yield near(f"{name} from {kind}", got[:, :o], first[:, :o].double() + a.double() @ w.double().T, k)
        between = c.clone()
        between.as_strided((rows, width), (width + 4, 1)).fill_(torch.nan)
        yield "" if between.isnan().all() else f"{name}: wrote between rows"
        whole = f.rows(start if kind == "itself" else torch.full((rows, width), torch.nan), width + 4)
        f.product(left, k + 5, weight, whole if kind == "itself" else i, ldi, whole, width + 4, rows, k, 0, panels)
        got_at_once = whole.as_strided((rows, width), (width + 4, 1))
        yield "" if torch.equal(got_at_once, got) else f"{name}: all panels at once give other bits"
        for r in range(rows):  # one at a time, whatever the tile
            alone = f.empty(width)
            f.product(left[r * (k + 5) :], k + 5, weight, f.place(first[r]), 0, alone, width, 1, k, 0, panels)
            yield "" if torch.equal(bits(alone), bits(got[r])) else f"{name} from {kind}: row {r} alone is other bits"


def summed(f: Functions, o: int, k: int, counts: list[int], batch: int, inner: int) -> Iterator[str]:
    """gradient and column_sum: over the live rows only, added to what is there or to a row for all, any part of the
    outputs."""
    name = f"{f.target.cpu} o {o} k {k} counts {counts} of {batch} inner {inner}"
    panels, steps = f.panels(k), len(counts)
    pad_d, pad_v = f.panels(o) * f.columns + 16, panels * f.columns + 16
    live = (torch.arange(batch) < torch.tensor(counts)[:, None]).flatten().repeat_interleave(inner)
    d, v = (torch.full((steps * batch * inner, pad), torch.nan) for pad in (pad_d, pad_v))
    d[:, :o], v[:, :k] = torch.randn(len(d), o), torch.randn(len(v), k)
    want = d[live, :o].double().T @ v[live, :k].double() + 1
    d[~live], v[~live] = torch.nan, torch.nan
    total = sum(counts) * inner
    memory_d, memory_v = f.place(d), f.place(v)
    parts = [[0, o], [0, *range(6, o, 6), o]]
    found = []
    ones = f.place(torch.ones(panels * f.columns))
    for cuts, itself in itertools.product(parts, (True, False)):
        g = f.place(torch.full((o, pad_v), torch.nan))
        if itself:
            g[:, : panels * f.columns] = 1.0
        i, ldi = (g, pad_v) if itself else (ones, 0)
        scratch = f.empty(total * (8 + min(WIDTH, panels * f.columns)))
        number = f.place(torch.tensor(counts))
        for o0, o1 in itertools.pairwise(cuts):
            f.gradient(
                memory_d,
                pad_d,
                memory_v,
                pad_v,
                i,
                ldi,
                g,
                pad_v,
                number,
                steps,
                batch,
                inner,
                o0,
                o1,
                panels,
                scratch,
            )
        found.append(g)
        yield near(f"gradient, {name}", g[:, :k], want, total)
        yield "" if g[:, panels * f.columns :].isnan().all() else f"gradient, {name}: wrote beyond the panels"
    alike = all(torch.equal(bits(found[0][:, :k]), bits(g[:, :k])) for g in found[1:])
    yield "" if alike else f"gradient, {name}: cut, other bits"
    if inner == 1:
        lanes = f.target.lanes
        width = -(-o // lanes) * lanes
        sums = torch.full((pad_d,), torch.nan)
        sums[:width] = 1.0
        sums = f.place(sums)
        for c in range(0, width, lanes):
            f.column_sum(memory_d, pad_d, sums, f.place(torch.tensor(counts)), steps, batch, c, c + lanes)
        yield near(f"column_sum, {name}", sums[:o], d[live, :o].double().sum(0) + 1, total)
        yield "" if sums[width:].isnan().all() else f"column_sum, {name}: wrote beyond its columns"


def scattered(f: Functions, o: int, k: int, counts: list[int], batch: int) -> Iterator[str]:
    """scatter: the live rows added to those that symbols say, any part of the outputs; dead symbols lie far away."""
    name = f"scatter, {f.target.cpu} o {o} k {k} counts {counts} of {batch}"
    lanes, pad = f.target.lanes, f.panels(o) * f.columns + 16
    width = -(-o // lanes) * lanes
    live = (torch.arange(batch) < torch.tensor(counts)[:, None]).flatten()
    d = torch.full((len(live), pad), torch.nan)
    d[:, :width] = torch.randn(len(live), width)
    d[~live] = torch.nan
    symbols = torch.where(live, torch.randint(k, live.shape), 2**60)
    want = torch.ones(k, width, dtype=torch.float64).index_add(0, symbols[live], d[live, :width].double())
    found = []
    for cuts in ([0, width], range(0, width + 1, lanes)):
        g = f.rows(torch.ones(k, width), pad)
        at, number, rows = f.place(symbols), f.place(torch.tensor(counts)), f.place(d)
        for c0, c1 in itertools.pairwise(cuts):
            f.scatter(rows, pad, at, g, pad, number, len(counts), batch, c0, c1)
        found.append(g.clone())
        yield near(name, g.as_strided((k, width), (pad, 1)), want, sum(counts))
        g.as_strided((k, width), (pad, 1)).fill_(torch.nan)
        yield "" if g.isnan().all() else f"{name}: wrote between rows"
    yield "" if torch.equal(bits(found[0]), bits(found[1])) else f"{name}: cut, other bits"


def turned(f: Functions, rows: int, columns: int) -> Iterator[str]:
    """transpose: written, or added to what is there; any part of the columns."""
    w, before = torch.randn(rows, columns), torch.randn(columns, rows)
    for add, cuts in itertools.product((0, 1), ([0, columns], range(columns + 1))):
        out = f.rows(before if add else torch.full((columns, rows), torch.nan), rows + 3)
        for c0, c1 in itertools.pairwise(cuts):
            f.transpose(f.rows(w, columns + 2), columns + 2, rows, out, rows + 3, c0, c1, add)
        got = out.as_strided((columns, rows), (rows + 3, 1))
        yield "" if torch.equal(got, w.T + before if add else w.T) else f"transpose {rows}x{columns} add {add}: wrong"
        got.fill_(torch.nan)
        yield "" if out.isnan().all() else f"transpose {rows}x{columns} add {add}: wrote between rows"


def checks(f: Functions) -> Iterator[str]:
    """Everything, on odd shapes."""
    torch.manual_seed(0)
    c = f.columns
    for o, k in itertools.product((1, 5, c - 1, c, c + 1, 2 * c + 3), (0, 1, 7, 33)):
        yield from packed(f, o, k)
    shapes = [(r, 5, 7 * c + 3) for r in (1, 2, 3, 4, 7, 8)] + [(r, 5, c + 3) for r in range(1, 14)]
    for rows, k, o in [*shapes, (3, 0, 2), (7, 1, 1), (2, 130, c), (5, 3, 3 * c - 1)]:
        yield from multiplied(f, rows, k, o)
    for o, k in itertools.product((1, 7, 13), (1, c, 4 * c + 1)):
        yield from summed(f, o, k, [3, 3], 3, 1)
        yield from summed(f, o, k, [5, 2, 1, 0], 6, 1)
        yield from summed(f, o, k, [2, 1], 2, 3)
        yield from scattered(f, o, k, [5, 2, 1, 0], 6)
    yield from summed(f, 3, 2, [0, 0], 4, 1)
    for rows, columns in ((1, 1), (5, 16), (16, 5), (33, 37)):
        yield from turned(f, rows, columns)


def test_results_and_that_nothing_beyond_its_memory_is_touched():
    done = alone("tests.torch.test_cpu_products", *TARGETS)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_touching_it_is_found():
    """The same, of a product that is told of a row too many."""
    done = alone("tests.torch.test_cpu_products", "too far")
    assert "Segmentation fault" in done.stderr
    assert done.returncode < 0


def test_a_wrong_result_is_found(monkeypatch: pytest.MonkeyPatch):
    f = Functions(host())
    monkeypatch.setattr(f, "pack", f.pack_transposed, raising=False)
    assert any(multiplied(f, 3, 4, 4))
    assert any(packed(f, 4, 4))
    monkeypatch.setattr(f, "gradient", lambda *args: None, raising=False)
    assert any(summed(f, 3, 2, [1, 1], 1, 1))
    monkeypatch.setattr(f, "transpose", lambda *args: None, raising=False)
    assert any(turned(f, 2, 3))
    monkeypatch.setattr(f, "scatter", lambda *args: None, raising=False)
    assert any(scattered(f, 3, 2, [1, 1], 1))


def too_far() -> None:
    f = Functions(host(), partial(inside, at_end=True))
    c, row = f.empty(3 * f.columns), f.empty(f.columns)
    f.product(f.empty(4), 2, f.empty(2 * f.columns), row, 0, c, f.columns, 3, 2, 0, 1)


def main(targets: list[str]) -> int:
    torch.set_num_threads(1)
    if targets == ["too far"]:
        too_far()
    wrong = []
    for name, at_end in itertools.product(targets, (True, False)):
        place = partial(inside, at_end=at_end)
        wrong += [text for text in checks(Functions(TARGETS[name], place)) if text]
    print(*wrong, sep="\n", end="")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
