"""The tables of an order that follow from lengths, in native code: they are made anew for each call."""

from __future__ import annotations

from rekur.run.cpu.builder import Module
from rekur.run.cpu.external import SIGNATURES, symbol


def rank(m: Module) -> None:
    """`active`, `places`, `rows` and `finals` of an `Order`; rows of the same length stay in their order.

    `next` is working space of T + 1 integers.
    """
    f = m.function(symbol("rank", m.lanes), SIGNATURES["rank"])

    def at(array: str, i: str) -> str:
        return f.let(f"getelementptr i64, ptr {array}, i64 {i}")

    def get(array: str, i: str) -> str:
        return f.let(f"load i64, ptr {at(array, i)}")

    def put(value: str, array: str, i: str) -> None:
        f.do(f"store i64 {value}, ptr {at(array, i)}")

    rows, counts = f.mul("%batch", "%sites"), f.add("%steps", "1")
    backwards = f.let("icmp ne i64 %reverse, 0")
    f.loop("0", counts, "1", lambda c: put("0", "%next", c))

    def count(b: str) -> None:
        c = get("%lengths", b)
        put(f.add(get("%next", c), "%sites"), "%next", c)

    def longer(k: str, carried: list[str]) -> list[str]:
        c = f.let(f"sub i64 %steps, {k}")
        alike = get("%next", c)
        put(carried[0], "%next", c)
        return [f.add(carried[0], alike)]

    f.loop("0", "%batch", "1", count)  # next[c]: rows of c steps
    f.fold("0", counts, "1", [("i64", "0")], longer)  # next[c]: rows of more than c steps, which come before those
    f.loop("0", "%steps", "1", lambda t: put(get("%next", t), "%active", t))

    def row(b: str) -> None:
        c = get("%lengths", b)
        first = get("%next", c)
        put(f.add(first, "%sites"), "%next", c)
        before = f.mul(b, "%sites")

        def end(site: str) -> None:
            r = f.add(first, site)
            put(r, "%rows", f.add(before, site))
            put(f.add(f.mul(c, rows), r), "%finals", f.add(before, site))

        def time(t: str) -> None:
            live = f.let(f"icmp slt i64 {t}, {c}")
            back = f.let(f"sub i64 {f.let(f'sub i64 {c}, 1')}, {t}")
            done = f.let(f"select i1 {backwards}, i64 {back}, i64 {t}")
            here = f.add(f.mul(done, rows), first)
            place = f.mul(f.add(f.mul(b, "%steps"), t), "%sites")

            def one(site: str) -> None:
                put(f.let(f"select i1 {live}, i64 {f.add(here, site)}, i64 -1"), "%places", f.add(place, site))

            f.loop("0", "%sites", "1", one)

        f.loop("0", "%sites", "1", end)
        f.loop("0", "%steps", "1", time)

    f.loop("0", "%batch", "1", row)
