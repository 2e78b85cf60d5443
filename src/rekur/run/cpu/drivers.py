"""The loops over time: `forward` and `backward`, chunk by chunk, and the gradients in weights after each chunk."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from rekur.graph import Argument
from rekur.run.cpu.driver import Deal, Driver, barrier, own_part
from rekur.run.cpu.external import call_external
from rekur.run.cpu.gradients import Share, products
from rekur.run.cpu.layout import lay_out
from rekur.run.cpu.lower import Place
from rekur.run.cpu.moves import call_with_moves
from rekur.run.cpu.record import Laid


def forward_driver(d: Driver, states: Sequence[Argument], hoisted: bool, weights: Sequence[Laid]) -> None:
    """forward(ctx, tid): chunk by chunk from the beginning"""
    f = d.f
    barrier(d.module, d.record)
    lay_out(d, weights)

    def one(k: str) -> None:
        c = f.let(f"sub i64 {f.let(f'sub i64 {d.chunks}, {k}')}, 1")
        t0, t1 = d.span(c)
        start = f.mul(t0, d.batch)
        if hoisted:
            d.wait()  # for those who still read the chunk before
            d.segments("time", c, start)
            d.wait()

        def step(t: str) -> None:
            count = d.own_rows(t)
            d.begin_anew(t, count, states)
            d.block("step", t, count, start)

        f.loop(t0, t1, "1", step)

    f.loop("0", d.chunks, "1", one)
    d.wait()  # whoever returns first reads what all have written
    call_with_moves(d.module, d.record, "forward")


def backward_driver(
    d: Driver, states: Sequence[Argument], hoisted: bool, weights: Sequence[Laid], shares: Sequence[Share]
) -> None:
    """backward(ctx, tid): chunk by chunk from the end"""
    f = d.f
    barrier(d.module, d.record)
    sums: dict[str, list[Share]] = {}
    for share in shares:
        sums.setdefault(share.array, []).append(share)
    deal = Deal(d, len(sums))
    lay_out(d, weights)

    def one(c: str) -> None:
        t0, t1 = d.span(c)
        start = f.mul(t0, d.batch)
        n = f.let(f"sub i64 {t1}, {t0}")

        def back(k: str) -> None:
            t = f.let(f"sub i64 {f.let(f'sub i64 {t1}, {k}')}, 1")
            count = d.own_rows(t)
            d.block("step_back", t, count, start)
            d.hand_back(t, count, states)

        f.loop("0", n, "1", back)
        d.wait()
        if hoisted:
            d.segments("time_back", c, start)
            d.wait()
        deal.begin(c)
        for k, one_sum in enumerate(sums.values()):
            deal.job(k, functools.partial(_add_up, d, one_sum, c, t0, n))
        d.wait()  # for those who still read what the next chunk overwrites, and for the sums of all

    f.loop("0", d.chunks, "1", one)
    for share in sorted((found[0] for found in sums.values()), key=lambda s: s.by != ""):
        added = share.by != "" and f"gradient {share.weight}" in sums
        _hand_over(d, share, added, alone=bool(products(sums[share.array])))
    call_with_moves(d.module, d.record, "backward")


def _hand_over(d: Driver, share: Share, added: bool, alone: bool) -> None:
    """This thread's part of a weight's gradient, without the padding; nothing to do where it is added up in place.

    :param added: whether it is a second part, of columns; then the same thread hands over the same rows of both.
    """
    f, axes = d.f, share.axes
    target = d.array(f"d weight {share.weight}")
    if share.by:
        source = d.array(share.array)
        k, o = (d.number(f"size {axis}") for axis in axes)
        call_external(
            f, "transpose", source, d.number(f"pad {axes[1]}"), k, target, k, *own_part(d, o, 1), str(int(added))
        )
        return
    d.module.declare("void", "llvm.memcpy.p0.p0.i64", "ptr", "ptr", "i64", "i1")
    rows, size, pad = "1", "1", "0"
    for axis in axes[:-1]:
        rows = f.mul(rows, d.number(f"size {axis}"))
    if axes:
        size, pad = d.number(f"size {axes[-1]}"), d.number(f"pad {axes[-1]}")
    source = _sum(d, share, alone)[0] if axes else d.array(share.array)

    def row(r: str) -> None:
        src, dst = f.at(source, f.mul(r, pad)), f.at(target, f.mul(r, size))
        f.do(f"call void @llvm.memcpy.p0.p0.i64(ptr {dst}, ptr {src}, i64 {f.mul(size, '4')}, i1 false)")

    def copy() -> None:
        f.loop(*own_part(d, rows, 1), "1", row)

    f.when(f.let(f"icmp ne ptr {source}, {target}"), copy)


def _sum(d: Driver, share: Share, alone: bool) -> tuple[str, str]:
    """(where a gradient is added up, floats from one row there to the next): where it comes out, if panels fit it.

    :param alone: whether only products add to it; other sums write the padding too.
    """
    f, array = d.f, d.array(share.array)
    if not alone:
        return array, d.number(f"pad {share.axes[-1]}")
    size, pad = (d.number(f"{kind} {share.axes[-1]}") for kind in ("size", "pad"))
    fits = f.let(f"icmp eq i64 {f.let(f'urem i64 {size}, {d.columns}')}, 0")
    there = f.let(f"select i1 {fits}, ptr {d.array(f'd weight {share.weight}')}, ptr {array}")
    return there, f.let(f"select i1 {fits}, i64 {size}, i64 {pad}")


def _add_up(d: Driver, shares: Sequence[Share], chunk: str, t0: str, steps: str, part: str) -> None:
    """A part of a sum of several shares: one after the other, so that nobody else adds to it meanwhile."""
    alone = bool(products(shares))
    first = d.f.let(f"icmp eq i64 {chunk}, 0") if alone else "false"
    for share in shares:
        _share(d, share, t0, steps, part, alone, first)
        first = "false"


def _share(d: Driver, share: Share, t0: str, steps: str, part: str, alone: bool, first: str) -> None:
    """A part of the outputs of one weight's gradient.

    :param alone: whether only products add to the sum.
    :param first: whether there is no sum yet.
    """
    f = d.f

    def rows(place: Place) -> str:
        start = d.array(place.array)
        if place.rows == "chunk":
            return start
        row = f.add(f.mul(t0, d.batch), d.batch if place.shift else "0")
        return f.at(start, f.mul(row, d.stride(place.axes)))

    counts = f.let(f"getelementptr i64, ptr {d.active}, i64 {t0}")
    g = d.array(share.array)
    d_at = rows(share.d)
    if share.by:
        symbols = f.let(f"getelementptr i64, ptr {d.array(share.by)}, i64 {f.mul(t0, d.batch)}")
        width = d.number(f"pad {share.axes[1]}")
        c0, c1 = own_part(d, d.number(f"size {share.axes[1]}"), d.module.lanes, part)
        call_external(f, "scatter", d_at, width, symbols, g, width, counts, steps, d.batch, c0, c1)
        return
    if share.v is None:
        width = d.stride(share.axes)
        c0, c1 = own_part(d, width, d.module.lanes, part)
        call_external(f, "column_sum", d_at, width, g, counts, steps, d.batch, c0, c1)
        return
    out, inner = share.axes
    v_at = rows(share.v)
    repeat = "1"
    for axis in share.d.axes[:-1]:
        repeat = f.mul(repeat, d.number(f"size {axis}"))
    pad_v = d.number(f"pad {inner}")
    panels = f.let(f"udiv i64 {f.add(d.number(f'size {inner}'), str(d.columns - 1))}, {d.columns}")
    o0, o1 = own_part(d, d.number(f"size {out}"), 6, part)
    scratch = f.at(d.array("scratch"), f.mul("%tid", d.number("scratch")))
    pad_d = d.number(f"pad {out}")
    g, ldg = _sum(d, share, alone)
    before = f.let(f"select i1 {first}, ptr {d.array('zeros')}, ptr {g}")
    ldb = f.let(f"select i1 {first}, i64 0, i64 {ldg}")
    call_external(
        f, "gradient", d_at, pad_d, v_at, pad_v, before, ldb, g, ldg, counts, steps, d.batch, repeat, o0, o1, panels,
        scratch,
    )  # fmt: skip
