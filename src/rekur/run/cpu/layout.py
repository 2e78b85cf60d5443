"""Weights as the steps read them: matrices in panels, vectors with padding; done by all threads a call."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from rekur.run.cpu.builder import Module
from rekur.run.cpu.driver import Driver, own_part
from rekur.run.cpu.external import SIGNATURES, call_external, symbol
from rekur.run.cpu.record import Laid


def lay_out(d: Driver, weights: Sequence[Laid]) -> None:
    """Each thread some panels of every matrix and some of the vectors; then they wait for each other.

    Nothing is done where the record says that they lie there from the call before.
    """
    d.f.when(d.f.let(f"icmp eq i64 {d.number('laid')}, 0"), lambda: _lay_out(d, weights))


def _lay_out(d: Driver, weights: Sequence[Laid]) -> None:
    f = d.f
    for i, one in enumerate(weights):
        if one.kind == "vector":
            mine = f.let(f"icmp eq i64 {f.let(f'urem i64 {i}, {d.threads}')}, %tid")
            f.when(mine, functools.partial(_vector, d, one))
        elif one.kind == "columns":
            _columns(d, one)
        else:
            _panels(d, one)
    d.wait()


def _panels(d: Driver, one: Laid) -> None:
    f = d.f
    o, k = (d.number(f"size {axis}") for axis in one.axes)
    outputs = k if one.kind == "transposed" else o
    count = f.let(f"udiv i64 {f.add(outputs, str(d.columns - 1))}, {d.columns}")
    p0, p1 = (f.let(f"udiv i64 {f.mul(count, x)}, {d.threads}") for x in ("%tid", f.add("%tid", "1")))
    function = "pack_transposed" if one.kind == "transposed" else "pack"
    source, stride = d.array(f"weight {one.weight}"), d.number(f"stride {one.weight}")
    call_external(f, function, source, stride, o, k, d.array(one.array), p0, p1)


def _vector(d: Driver, one: Laid) -> None:
    """Rows of the last axis, one after the other, each with its padding; a scalar in every lane."""
    f = d.f
    source, target = d.array(f"weight {one.weight}"), d.array(one.array)
    if not one.axes:
        f.store(f.splat(f.load_scalar(source)), target)
        return
    rows = "1"
    for axis in one.axes[:-1]:
        rows = f.mul(rows, d.number(f"size {axis}"))
    size, padded = d.number(f"size {one.axes[-1]}"), d.number(f"pad {one.axes[-1]}")
    call_external(f, "pad", source, size, rows, target, padded)


def _columns(d: Driver, one: Laid) -> None:
    """The columns of a matrix as rows."""
    o, k = (d.number(f"size {axis}") for axis in one.axes)
    source, stride = d.array(f"weight {one.weight}"), d.number(f"stride {one.weight}")
    padded = d.number(f"pad {one.axes[0]}")
    call_external(d.f, "transpose", source, stride, o, d.array(one.array), padded, *own_part(d, k, _LINE), "0")


def pad(m: Module) -> None:
    """padded[r][i] = w[r][i] for i < size, zero up to `pad`"""
    f = m.function(symbol("pad", m.lanes), SIGNATURES["pad"])

    def row(r: str) -> None:
        src, dst = f.at("%w", f.mul(r, "%size")), f.at("%padded", f.mul(r, "%pad"))

        def copy(i: str) -> None:
            f.do(f"store float {f.load_scalar(f.at(src, i))}, ptr {f.at(dst, i)}")

        f.loop("0", "%size", "1", copy)
        f.loop("%size", "%pad", "1", lambda i: f.do(f"store float 0.0, ptr {f.at(dst, i)}"))

    f.loop("0", "%rows", "1", row)


_LINE = 16
"""Columns that become rows side by side, so that what is read of a row is whole lines of the cache"""


def transpose(m: Module) -> None:
    """out[c][r] = w[r][c] for c0 ≤ c < c1, or added to what is there"""
    f = m.function(symbol("transpose", m.lanes), SIGNATURES["transpose"])
    m.declare("i64", "llvm.smin.i64", "i64", "i64")
    adding = f.let("icmp ne i64 %add, 0")

    def line(first: str) -> None:
        last = f.let(f"call i64 @llvm.smin.i64(i64 {f.add(first, str(_LINE))}, i64 %c1)")

        def row(r: str) -> None:
            src, dst = f.at("%w", f.mul(r, "%ldw")), f.at("%out", r)

            def copy(c: str) -> None:
                v, at = f.load_scalar(f.at(src, c)), f.at(dst, f.mul(c, "%ldo"))
                total = f.let(f"fadd float {f.load_scalar(at)}, {v}")
                f.do(f"store float {f.let(f'select i1 {adding}, float {total}, float {v}')}, ptr {at}")

            f.loop(first, last, "1", copy)

        f.loop("0", "%rows", "1", row)

    f.loop("%c0", "%c1", str(_LINE), line)
