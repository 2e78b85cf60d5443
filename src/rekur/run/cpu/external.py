"""The functions that cells share: matrix products and sums, compiled once for a processor and called by name."""

from __future__ import annotations

from rekur.run.cpu.builder import Function


def arguments(text: str) -> list[tuple[str, str]]:
    """(type, name) of each argument; a star stands before a pointer.

    >>> arguments("*a lda")
    [('ptr', 'a'), ('i64', 'lda')]
    """
    return [("ptr" if a.startswith("*") else "i64", a.lstrip("*")) for a in text.split()]


SIGNATURES = {
    "product": arguments("*a lda *w *i ldi *c ldc rows k p0 p1"),
    "gradient": arguments("*d ldd *v ldv *i ldi *g ldg *counts steps batch inner o0 o1 panels *scratch"),
    "column_sum": arguments("*d ldd *g *counts steps batch c0 c1"),
    "scatter": arguments("*d ldd *symbols *g ldg *counts steps batch c0 c1"),
    "pack": arguments("*w ldw o k *packed p0 p1"),
    "pack_transposed": arguments("*w ldw o k *packed p0 p1"),
    "pad": arguments("*w size rows *padded pad"),
    "arrive": arguments("*moves count tid threads"),
    "depart": arguments("*moves count tid threads"),
    "transpose": arguments("*w ldw rows *out ldo c0 c1 add"),
    "rank": arguments("*lengths batch sites steps reverse *next *active *places *rows *finals"),
}
"""Function -> its arguments (type, name), for those who call it"""


def symbol(name: str, lanes: int) -> str:
    """What the linker knows a function of this module by."""
    return f"rekur_{name}_{lanes}"


def call_external(f: Function, name: str, *args: str) -> None:
    """Call a function of this module from another one."""
    full = symbol(name, f.module.lanes)
    kinds = [kind for kind, _ in SIGNATURES[name]]
    f.module.declare("void", full, *kinds)
    f.call(full, *(f"{kind} {a}" for kind, a in zip(kinds, args, strict=True)))
