"""Packed matrix products: the hoisted ones and those of every step.

A weight `W [O, K]` is packed in panels of `columns` outputs: ``packed[p][k][j] = W[p * columns + j, k]``, zero beyond
O. Then ``C[r] = initial[r] + Σ_k A[r, k] · packed[p][k]``, one chain of multiply-adds in ascending k for each
output whatever the tile, so the result has the same bits however rows and panels are divided.
"""

from __future__ import annotations

from functools import reduce

from rekur.run.cpu.builder import Function, Module
from rekur.run.cpu.external import SIGNATURES, arguments, symbol
from rekur.run.cpu.tile import Tile, accumulators, call_tile, each_tile, put

LINE = 16  # floats in a line of the cache


def product_tile(m: Module, rows: int, vectors: int) -> None:
    """C[rows, panel] = initial + A[rows, K] · panel; meanwhile a part of the panel that comes next is fetched.

    A panel is read from memory far away once, by the first tile of its rows, which would wait for it.
    """
    f = m.function(f"product_tile_{rows}", arguments("*a lda *w *i ldi *c ldc k *next"), internal=True)
    m.declare("void", "llvm.prefetch.p0", "ptr", "i32", "i32", "i32")
    lanes = m.lanes
    first = accumulators(f, "%i", "%ldi", rows, vectors)
    starts = [f.at("%a", f.mul("%lda", str(i))) for i in range(rows)]

    def body(k: str, acc: list[str]) -> list[str]:
        f.do(f"call void @llvm.prefetch.p0(ptr {f.at('%next', f.mul(k, str(LINE)))}, i32 0, i32 2, i32 1)")
        line = f.at("%w", f.mul(k, str(vectors * lanes)))
        w = [f.load(f.at(line, str(j * lanes))) for j in range(vectors)]
        out = []
        for i in range(rows):
            a = f.splat(f.load_scalar(f.at(starts[i], k)))
            out += [f.fma(a, w[j], acc[i * vectors + j]) for j in range(vectors)]
        return out

    done = f.fold("0", "%k", "1", [(f.V, v) for v in first], body)
    put(f, done, "%c", "%ldc", rows, vectors)


def product_wide(m: Module, rows: int, vectors: int, panels: int) -> None:
    """C[rows, panels] = initial + A[rows, K] · panels, for rows so few that one panel would not fill the pipeline."""
    f = m.function(f"product_wide_{rows}", arguments("*a lda *w size *i ldi *c ldc k"), internal=True)
    lanes, width = m.lanes, panels * vectors
    first = accumulators(f, "%i", "%ldi", rows, width)
    starts = [f.at("%a", f.mul("%lda", str(i))) for i in range(rows)]
    streams = [f.at("%w", f.mul("%size", str(p))) for p in range(panels)]

    def body(k: str, acc: list[str]) -> list[str]:
        lines = [f.at(stream, f.mul(k, str(vectors * lanes))) for stream in streams]
        w = [f.load(f.at(line, str(j * lanes))) for line in lines for j in range(vectors)]
        out = []
        for i in range(rows):
            a = f.splat(f.load_scalar(f.at(starts[i], k)))
            out += [f.fma(a, w[j], acc[i * width + j]) for j in range(width)]
        return out

    done = f.fold("0", "%k", "1", [(f.V, v) for v in first], body)
    put(f, done, "%c", "%ldc", rows, width)


def product_slim(m: Module, rows: int) -> None:
    """C[rows, 3 vectors] = initial + A[rows, K] · three vectors of panels; meanwhile a panel is fetched."""
    f = m.function(f"product_slim_{rows}", arguments("*a lda *x *y *z *i ldi *c ldc k columns *next"), internal=True)
    first = accumulators(f, "%i", "%ldi", rows, 3)
    starts = [f.at("%a", f.mul("%lda", str(i))) for i in range(rows)]

    def body(k: str, acc: list[str]) -> list[str]:
        shift = f.mul(k, "%columns")
        f.do(f"call void @llvm.prefetch.p0(ptr {f.at('%next', shift)}, i32 0, i32 2, i32 1)")
        w = [f.load(f.at(stream, shift)) for stream in ("%x", "%y", "%z")]
        out = []
        for i in range(rows):
            a = f.splat(f.load_scalar(f.at(starts[i], k)))
            out += [f.fma(a, w[j], acc[i * 3 + j]) for j in range(3)]
        return out

    done = f.fold("0", "%k", "1", [(f.V, v) for v in first], body)
    put(f, done, "%c", "%ldc", rows, 3)


CHAINS = 8  # sums that must be under way for the multiply-adds to follow each other without a gap


def product(m: Module, tile: Tile) -> None:
    """For the panels p0 ≤ p < p1 and all rows. `initial` may be C itself, or one row (ldi 0)."""
    for name in ("umin", "umax"):
        m.declare("i64", f"llvm.{name}.i64", "i64", "i64")
    f = m.function(symbol("product", m.lanes), SIGNATURES["product"])
    columns = tile.vectors * m.lanes
    size = f.mul("%k", str(columns))

    start = "%p0"
    for rows in range(1, CHAINS // tile.vectors // 2 + 1):
        group = CHAINS // tile.vectors // rows
        product_wide(m, rows, tile.vectors, group)
        few = f.let(f"icmp eq i64 %rows, {rows}")
        left = f.let(f"udiv i64 {f.let(f'sub i64 %p1, {start}')}, {group}")
        groups = f.let(f"select i1 {few}, i64 {left}, i64 0")

        def wide(j: str, rows: int = rows, group: int = group, start: str = start) -> None:
            p = f.add(start, f.mul(j, str(group)))
            offset = f.mul(p, str(columns))
            f.call(
                f"product_wide_{rows}", "ptr %a", "i64 %lda", f"ptr {f.at('%w', f.mul(p, size))}", f"i64 {size}",
                f"ptr {f.at('%i', offset)}", "i64 %ldi", f"ptr {f.at('%c', offset)}", "i64 %ldc", "i64 %k",
            )  # fmt: skip

        f.loop("0", groups, "1", wide)
        start = f.add(start, f.mul(groups, str(group)))

    if 4 * tile.vectors <= CHAINS:
        start = _slim(f, m, tile, start)

    def panel(p: str) -> None:
        w = f.at("%w", f.mul(p, size))
        offset = f.mul(p, str(columns))
        last = f.let(f"icmp sge i64 {f.add(p, '1')}, %p1")
        following = f.let(f"select i1 {last}, i64 %p0, i64 {f.add(p, '1')}")
        following = f.at("%w", f.mul(following, size))

        def block(r: str, height: str) -> None:
            part = f.let(f"udiv i64 {r}, {tile.rows}")
            part = f.let(f"call i64 @llvm.umin.i64(i64 {part}, i64 {columns // LINE - 1})")
            near = f.at(following, f.mul(part, f.mul("%k", str(LINE))))
            a = f.at("%a", f.mul(r, "%lda"))
            i = f.at(f.at("%i", f.mul(r, "%ldi")), offset)
            c = f.at(f.at("%c", f.mul(r, "%ldc")), offset)
            args = [f"ptr {a}", "i64 %lda", f"ptr {w}", f"ptr {i}", "i64 %ldi", f"ptr {c}", "i64 %ldc", "i64 %k"]
            args.append(f"ptr {near}")
            call_tile(f, height, range(1, tile.rows + 1), "product_tile", args)

        each_tile(f, "%rows", tile.rows, block)

    f.loop(start, "%p1", "1", panel)


SLIM = range(3, 5)  # rows


def _slim(f: Function, m: Module, tile: Tile, start: str) -> str:
    """Where all tiles have three or four rows, too few for two vectors: three panels as twice three vectors.

    The panel to go on with comes back.
    """
    for rows in SLIM:
        product_slim(m, rows)
    columns = tile.vectors * m.lanes
    size = f.mul("%k", str(columns))
    most = SLIM[-1]
    few = [f.let(f"icmp eq i64 %rows, {rows}") for rows in (*SLIM, 2 * most - 1, 2 * most)]
    slim = reduce(lambda one, other: f.let(f"or i1 {one}, {other}"), few)
    left = f.let(f"udiv i64 {f.let(f'sub i64 %p1, {start}')}, 3")
    groups = f.let(f"select i1 {slim}, i64 {left}, i64 0")

    def three(vectors: list[str], offset: str, near: tuple[str, str]) -> None:
        """All rows of three vectors; their first tile fetches one panel, the next another one."""

        def block(r: str, height: str) -> None:
            fetched = f.let(f"select i1 {f.let(f'icmp eq i64 {r}, 0')}, ptr {near[0]}, ptr {near[1]}")
            i = f.at(f.at("%i", f.mul(r, "%ldi")), offset)
            c = f.at(f.at("%c", f.mul(r, "%ldc")), offset)
            args = [f"ptr {p}" for p in vectors]
            args = [f"ptr {f.at('%a', f.mul(r, '%lda'))}", "i64 %lda", *args, f"ptr {i}", "i64 %ldi", f"ptr {c}"]
            args += ["i64 %ldc", "i64 %k", f"i64 {columns}", f"ptr {fetched}"]
            call_tile(f, height, SLIM, "product_slim", args)

        each_tile(f, "%rows", most, block)

    def group(j: str) -> None:
        p = f.add(start, f.mul(j, "3"))
        panels = [f.at("%w", f.mul(f.add(p, str(i)), size)) for i in range(5)]
        vectors = [f.at(w, str(i * m.lanes)) for w in panels[:3] for i in range(2)]
        offset = f.mul(p, str(columns))
        three(vectors[:3], offset, (panels[2], panels[3]))
        three(vectors[3:], f.add(offset, str(3 * m.lanes)), (panels[4], panels[3]))

    f.loop("0", groups, "1", group)
    return f.add(start, f.mul(groups, "3"))


def pack(m: Module, tile: Tile) -> None:
    """packed[p][k][j] = W[p * columns + j, k] for p0 ≤ p < p1; zero for rows beyond o."""
    f = m.function(symbol("pack", m.lanes), SIGNATURES["pack"])
    columns, lanes = tile.vectors * m.lanes, m.lanes
    size = f.mul("%k", str(columns))
    squares = f.mul(f.let(f"udiv i64 %k, {lanes}"), str(lanes))

    def panel(p: str) -> None:
        out = f.at("%packed", f.mul(p, size))

        def rows(j: str) -> None:
            o = f.add(f.mul(p, str(columns)), j)
            inside = f.let(f"icmp sle i64 {f.add(o, str(lanes))}, %o")

            def square(k: str) -> None:
                corner = f.at(f.at("%w", f.mul(o, "%ldw")), k)
                lines = [f.load(f.at(corner, f.mul("%ldw", str(i)))) for i in range(lanes)]
                for i, line in enumerate(_turned(f, lines)):
                    f.store(line, f.at(f.at(out, f.mul(f.add(k, str(i)), str(columns))), j))

            f.when(inside, lambda: f.loop("0", squares, str(lanes), square))
            start = f.let(f"select i1 {inside}, i64 {squares}, i64 0")
            f.loop("0", str(lanes), "1", lambda i: one_by_one(f.add(j, i), start))

        def one_by_one(j: str, start: str) -> None:
            o = f.add(f.mul(p, str(columns)), j)
            inside = f.let(f"icmp slt i64 {o}, %o")
            src = f.at("%w", f.mul(o, "%ldw"))
            dst = f.at(out, j)

            def copy(k: str) -> None:
                x = f.load_scalar(f.at(src, k))
                f.do(f"store float {x}, ptr {f.at(dst, f.mul(k, str(columns)))}")

            def clear(k: str) -> None:
                f.do(f"store float 0.0, ptr {f.at(dst, f.mul(k, str(columns)))}")

            f.when(inside, lambda: f.loop(start, "%k", "1", copy))
            f.when(f.let(f"xor i1 {inside}, true"), lambda: f.loop(start, "%k", "1", clear))

        f.loop("0", str(columns), str(lanes), rows)

    f.loop("%p0", "%p1", "1", panel)


def _turned(f: Function, lines: list[str]) -> list[str]:
    """A square of as many vectors as they have lanes, transposed: halves change places, then quarters, and so on."""
    lanes, width = len(lines), len(lines) // 2
    while width:
        out = [*lines]
        for i in (i for i in range(lanes) if not i & width):
            low = [k + lanes - width if k & width else k for k in range(lanes)]
            high = [k + lanes if k & width else k + width for k in range(lanes)]
            for place, lane in ((i, low), (i + width, high)):
                mask = ", ".join(f"i32 {k}" for k in lane)
                pair = f"{f.V} {lines[i]}, {f.V} {lines[i + width]}"
                out[place] = f.let(f"shufflevector {pair}, <{lanes} x i32> <{mask}>")
        lines, width = out, width // 2
    return lines


def pack_transposed(m: Module, tile: Tile) -> None:
    """packed[p][o][j] = W[o, p * columns + j] for p0 ≤ p < p1, zero beyond k: a weight of the product with Wᵀ."""
    f = m.function(symbol("pack_transposed", m.lanes), SIGNATURES["pack_transposed"])
    columns = tile.vectors * m.lanes

    def panel(p: str) -> None:
        first = f.mul(p, str(columns))
        left = f.let(f"sub i64 %k, {first}")
        inside = f.let(f"call i64 @llvm.umin.i64(i64 {left}, i64 {columns})")
        out = f.at("%packed", f.mul(first, "%o"))

        def row(o: str) -> None:
            src, dst = f.at(f.at("%w", f.mul(o, "%ldw")), first), f.at(out, f.mul(o, str(columns)))

            def copy(j: str) -> None:
                f.do(f"store float {f.load_scalar(f.at(src, j))}, ptr {f.at(dst, j)}")

            f.loop("0", inside, "1", copy)
            f.loop(inside, str(columns), "1", lambda j: f.do(f"store float 0.0, ptr {f.at(dst, j)}"))

        f.loop("0", "%o", "1", row)

    f.loop("%p0", "%p1", "1", panel)
