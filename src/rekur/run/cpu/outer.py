"""Sums over rows and time: the gradients of matrices (`gradient`), of vectors (`column_sum`) and of columns that
symbols choose (`scatter`)."""

from __future__ import annotations

from collections.abc import Callable

from rekur.run.cpu.builder import Module
from rekur.run.cpu.external import SIGNATURES, arguments, symbol
from rekur.run.cpu.tile import Tile, accumulators, call_tile, each_tile, put

WIDTH = 256
"""Columns of V that are worked on, and laid side by side, at a time: they stay in the second cache"""
NARROW = 64  # columns of V for which D is read where it lies


def gradient_tile(m: Module, rows: int, vectors: int) -> None:
    """G[rows, panel] = initial + Σ_m D[m, rows] ⊗ V[m, panel]; meanwhile what comes next of G is fetched."""
    m.declare("void", "llvm.prefetch.p0", "ptr", "i32", "i32", "i32")
    f = m.function(
        f"gradient_tile_{rows}",
        arguments("*d ldd *v ldv *i ldi *g ldg n"),
        internal=True,
    )
    lanes = m.lanes
    for i in range(rows):
        following = f.at(f.at("%g", f.mul("%ldg", str(i))), str(vectors * lanes))
        f.do(f"call void @llvm.prefetch.p0(ptr {following}, i32 1, i32 3, i32 1)")
    first = accumulators(f, "%i", "%ldi", rows, vectors)

    def body(r: str, acc: list[str]) -> list[str]:
        line = f.at("%v", f.mul(r, "%ldv"))
        v = [f.load(f.at(line, str(j * lanes))) for j in range(vectors)]
        start = f.at("%d", f.mul(r, "%ldd"))
        out = []
        for i in range(rows):
            d = f.splat(f.load_scalar(f.at(start, str(i))))
            out += [f.fma(d, v[j], acc[i * vectors + j]) for j in range(vectors)]
        return out

    done = f.fold("0", "%n", "1", [(f.V, v) for v in first], body)
    put(f, done, "%g", "%ldg", rows, vectors)


def gradient(m: Module, tile: Tile) -> None:
    """G[o0:o1] = initial + Σ D[row] ⊗ V[row] over the live rows of some steps; G and V reach to whole panels.

    `initial` may be G itself, or one row of zeros (ldi 0).

    `counts` says how many rows of each step are live (times `inner`, where a row of the batch has several). Unless
    all are, they are laid side by side in `scratch`: those of V by panel, for a group of panels at a time. So is
    what a tile reads of D, unless that costs more than it gains, because few panels read it.
    """
    f = m.function(symbol("gradient", m.lanes), SIGNATURES["gradient"])
    columns = tile.vectors * m.lanes
    group = WIDTH // columns

    def count(t: str) -> str:
        place = f.let(f"getelementptr i64, ptr %counts, i64 {t}")
        return f.mul(f.let(f"load i64, ptr {place}"), "%inner")

    (total,) = f.fold("0", "%steps", "1", [("i64", "0")], lambda t, n: [f.add(n[0], count(t))])
    rows = f.mul("%batch", "%inner")
    packed_v = f.at("%scratch", f.mul(total, "8"))
    dense = f.let(f"icmp eq i64 {total}, {f.mul('%steps', rows)}")
    ragged = f.let(f"xor i1 {dense}, true")
    few = f.let(f"icmp sle i64 %panels, {NARROW // columns}")
    narrow = f.let(f"and i1 {dense}, {few}")
    wide = f.let(f"xor i1 {narrow}, true")
    ldv = f.let(f"select i1 {dense}, i64 %ldv, i64 {columns}")
    ldd = f.let(f"select i1 {narrow}, i64 %ldd, i64 {tile.rows}")

    def each_row(body: Callable[[str, str], None]) -> None:
        """body(row of the arrays, row among the live ones)"""

        def step(t: str, before: list[str]) -> list[str]:
            n = count(t)
            start = f.mul(t, rows)
            f.loop("0", n, "1", lambda r: body(f.add(start, r), f.add(before[0], r)))
            return [f.add(before[0], n)]

        f.fold("0", "%steps", "1", [("i64", "0")], step)

    def panels(p0: str) -> None:
        p1 = f.let(f"call i64 @llvm.umin.i64(i64 {f.add(p0, str(group))}, i64 %panels)")
        offset = f.mul(p0, str(columns))
        count_of_panels = f.let(f"sub i64 {p1}, {p0}")
        size = f.mul(total, str(columns))
        v0 = f.at("%v", offset)

        def gather(source: str, target: str) -> None:
            src, dst = f.at(v0, f.mul(source, "%ldv")), f.at(packed_v, f.mul(target, str(columns)))

            def panel(p: str) -> None:
                one, other = f.at(src, f.mul(p, str(columns))), f.at(dst, f.mul(p, size))
                for j in range(tile.vectors):
                    f.store(f.load(f.at(one, str(j * m.lanes))), f.at(other, str(j * m.lanes)))

            f.loop("0", count_of_panels, "1", panel)

        f.when(ragged, lambda: each_row(gather))

        def block(r: str, height: str) -> None:
            o = f.add("%o0", r)
            d = f.at("%d", o)

            def line(source: str, target: str) -> None:  # eight floats; the next line overwrites two of them
                x = f.let(f"load <8 x float>, ptr {f.at(d, f.mul(source, '%ldd'))}, align 4")
                f.do(f"store <8 x float> {x}, ptr {f.at('%scratch', f.mul(target, str(tile.rows)))}, align 4")

            f.when(wide, lambda: each_row(line))
            g, i = f.at("%g", f.mul(o, "%ldg")), f.at("%i", f.mul(o, "%ldi"))

            def one(p: str) -> None:
                laid = f.at(packed_v, f.mul(f.let(f"sub i64 {p}, {p0}"), size))
                lies = f.at("%v", f.mul(p, str(columns)))
                at_v = f.let(f"select i1 {dense}, ptr {lies}, ptr {laid}")
                at_g, at_i = (f.at(start, f.mul(p, str(columns))) for start in (g, i))
                at_d = f.let(f"select i1 {narrow}, ptr {d}, ptr %scratch")
                args = [f"ptr {at_d}", f"i64 {ldd}", f"ptr {at_v}", f"i64 {ldv}", f"ptr {at_i}"]
                args += ["i64 %ldi", f"ptr {at_g}", "i64 %ldg"]
                call_tile(f, height, range(1, tile.rows + 1), "gradient_tile", [*args, f"i64 {total}"])

            f.loop(p0, p1, "1", one)

        each_tile(f, f.let("sub i64 %o1, %o0"), tile.rows, block)

    m.declare("i64", "llvm.umin.i64", "i64", "i64")
    f.loop("0", "%panels", str(group), panels)


def column_sum(m: Module, tile: Tile) -> None:
    """g[c] += Σ D[row, c] over the live rows of some steps, for whole vectors c0 ≤ c < c1"""
    f = m.function(symbol("column_sum", m.lanes), SIGNATURES["column_sum"])

    def column(c: str) -> None:
        start = f.at("%d", c)

        def step(t: str, acc: list[str]) -> list[str]:
            n = f.let(f"load i64, ptr {f.let(f'getelementptr i64, ptr %counts, i64 {t}')}")
            first = f.mul(t, "%batch")

            def row(r: str, acc: list[str]) -> list[str]:
                x = f.load(f.at(start, f.mul(f.add(first, r), "%ldd")))
                return [f.let(f"fadd {f.V} {acc[0]}, {x}")]

            return f.fold("0", n, "1", [(f.V, acc[0])], row)

        (total,) = f.fold("0", "%steps", "1", [(f.V, f.load(f.at("%g", c)))], step)
        f.store(total, f.at("%g", c))

    f.loop("%c0", "%c1", str(m.lanes), column)


def scatter(m: Module, tile: Tile) -> None:
    """G[symbol of the row, c] += D[row, c] over the live rows of some steps in turn, for whole vectors c0 ≤ c < c1"""
    f = m.function(symbol("scatter", m.lanes), SIGNATURES["scatter"])

    def step(t: str) -> None:
        n = f.let(f"load i64, ptr {f.let(f'getelementptr i64, ptr %counts, i64 {t}')}")
        first = f.mul(t, "%batch")

        def row(r: str) -> None:
            at = f.add(first, r)
            one = f.let(f"load i64, ptr {f.let(f'getelementptr i64, ptr %symbols, i64 {at}')}")
            d, g = f.at("%d", f.mul(at, "%ldd")), f.at("%g", f.mul(one, "%ldg"))

            def vector(c: str) -> None:
                place = f.at(g, c)
                f.store(f.let(f"fadd {f.V} {f.load(place)}, {f.load(f.at(d, c))}"), place)

            f.loop("%c0", "%c1", str(m.lanes), vector)

        f.loop("0", n, "1", row)

    f.loop("0", "%steps", "1", step)
