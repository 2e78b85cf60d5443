"""LLVM's assembly, written with the least ceremony: a module, functions, loops, vectors of floats.

Values are their names in the text (``%12``); a caller knows their types. Text, because llvmlite's builder has no
bfloat type and takes longer to make a function than LLVM to compile it.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

Body = Callable[[str], None]
CarryBody = Callable[[str, list[str]], list[str]]

_CHANGING = frozenset(("load", "phi", "atomicrmw"))  # instructions that may not mean the same when they are repeated


class Module:
    """Functions and declarations, and the width of a vector."""

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes
        self.V = f"<{lanes} x float>"
        self._declared: dict[str, str] = {}
        self._functions: list[Function] = []

    def declare(self, result: str, name: str, *args: str) -> None:
        """An intrinsic, or a function of another module."""
        self._declared[name] = f"declare {result} @{name}({', '.join(args)})"

    def function(self, name: str, args: Sequence[tuple[str, str]], *, internal: bool = False) -> Function:
        """A new function that returns nothing; args are (type, name)."""
        f = Function(self, name, args, internal)
        self._functions.append(f)
        return f

    def __str__(self) -> str:
        attributes = 'attributes #0 = { nounwind "no-trapping-math"="true" }'
        return "\n".join([*self._declared.values(), *map(str, self._functions), attributes]) + "\n"


class Function:
    """A function under construction: each method appends an instruction and returns the name of its value."""

    def __init__(self, module: Module, name: str, args: Sequence[tuple[str, str]], internal: bool) -> None:
        self.module, self.name = module, name
        self.V = module.V
        self._head = (
            f"define {'internal ' if internal else ''}void @{name}({', '.join(f'{t} %{n}' for t, n in args)})"
        )
        self._lines: list[str] = []
        self._count = 0
        self._known: dict[str, str] = {}
        self._since: list[str] = []
        self._scopes = [0]
        self.block = "entry"

    def __str__(self) -> str:
        return "\n".join([f"{self._head} #0 {{", "entry:", *self._lines, "  ret void", "}"])

    # ---- instructions

    def do(self, text: str) -> None:
        """An instruction without a value."""
        self._lines.append(f"  {text}")

    def let(self, text: str) -> str:
        """An instruction with a value; the one that is there where it has been given before."""
        return self._new(text) if text.partition(" ")[0] in _CHANGING else self._once(text)

    def _new(self, text: str) -> str:
        self._count += 1
        self._lines.append(f"  %v{self._count} = {text}")
        return f"%v{self._count}"

    def _once(self, text: str) -> str:
        value = self._known.get(text)
        if value is None:
            value = self._known[text] = self._new(text)
            self._since.append(text)
        return value

    @contextmanager
    def _scope(self) -> Iterator[None]:
        """What is made in here does not reach what comes after."""
        self._scopes.append(len(self._since))
        yield
        self._forget()
        self._scopes.pop()

    def _forget(self) -> None:
        for text in self._since[self._scopes[-1] :]:
            del self._known[text]
        del self._since[self._scopes[-1] :]

    def add(self, a: str, b: str) -> str:
        """i64 sum."""
        return a if b == "0" else b if a == "0" else self.let(f"add i64 {a}, {b}")

    def mul(self, a: str, b: str) -> str:
        """i64 product."""
        return "0" if "0" in (a, b) else b if a == "1" else a if b == "1" else self.let(f"mul i64 {a}, {b}")

    def at(self, pointer: str, index: str) -> str:
        """The address of the index-th float after a pointer."""
        return pointer if index == "0" else self.let(f"getelementptr float, ptr {pointer}, i64 {index}")

    def field(self, pointer: str, index: int, kind: str) -> str:
        """The index-th 8-byte field of a record: a pointer or an i64. No function changes its record."""
        place = self.let(f"getelementptr i64, ptr {pointer}, i64 {index}")
        return self._once(f"load {kind}, ptr {place}")

    def load(self, pointer: str) -> str:
        """A vector."""
        return self.let(f"load {self.V}, ptr {pointer}, align 4")

    def store(self, value: str, pointer: str) -> None:
        """A vector."""
        self.do(f"store {self.V} {value}, ptr {pointer}, align 4")

    def load_scalar(self, pointer: str) -> str:
        """A float."""
        return self.let(f"load float, ptr {pointer}, align 4")

    def splat(self, scalar: str) -> str:
        """A float in every lane."""
        one = self.let(f"insertelement {self.V} poison, float {scalar}, i32 0")
        n = self.module.lanes
        return self.let(f"shufflevector {self.V} {one}, {self.V} poison, <{n} x i32> zeroinitializer")

    def constant(self, value: float) -> str:
        """The literal of a float in every lane."""
        return f"splat (float {literal(value)})"

    def fma(self, a: str, b: str, c: str) -> str:
        """a * b + c, rounded once."""
        return self.intrinsic("fma", a, b, c)

    def intrinsic(self, name: str, *args: str) -> str:
        """A vector intrinsic of floats."""
        full = f"llvm.{name}.v{self.module.lanes}f32"
        self.module.declare(self.V, full, *[self.V] * len(args))
        return self.let(f"call {self.V} @{full}({', '.join(f'{self.V} {a}' for a in args)})")

    def call(self, name: str, *args: str) -> None:
        """A function of this module or one declared; args are typed: ``ptr %a``."""
        self.do(f"call void @{name}({', '.join(args)})")

    # ---- control

    def label(self, hint: str) -> str:
        """A fresh name for a block."""
        self._count += 1
        return f"{hint}{self._count}"

    def begin(self, label: str) -> None:
        """Go on in a new block, which what the block before has made may not reach."""
        self._forget()
        self._begin(label)

    def _begin(self, label: str) -> None:
        self._lines.append(f"{label}:")
        self.block = label

    def hold(self) -> int:
        """The place of the next instruction: a phi, which is settled once its operands are there."""
        return len(self._lines)

    def settle(self, place: int, phi: str, kind: str, *came: tuple[str, str]) -> None:
        """Write a phi: (value, block it comes from) each."""
        self._lines[place] = f"  {phi} = phi {kind} " + ", ".join(f"[ {v}, %{block} ]" for v, block in came)

    def loop(self, start: str, stop: str, step: str, body: Body) -> None:
        """``for (i = start; i < stop; i += step) body(i)``"""

        def inner(i: str, _: list[str]) -> list[str]:
            body(i)
            return []

        self.fold(start, stop, step, [], inner)

    def fold(self, start: str, stop: str, step: str, carry: Sequence[tuple[str, str]], body: CarryBody) -> list[str]:
        """A loop that carries values in registers: (type, first value) each; their last values come back."""
        head, inside, after = self.label("head"), self.label("body"), self.label("after")
        before = self.block
        self.do(f"br label %{head}")
        self._begin(head)
        place = self.hold()
        i = self.let("phi")  # its operands are known only once the body is there
        phis = [self.let("phi") for _ in carry]
        more = self.let(f"icmp slt i64 {i}, {stop}")
        self.do(f"br i1 {more}, label %{inside}, label %{after}")
        self._begin(inside)
        with self._scope():
            values = body(i, phis)
            following = self.add(i, step)
            last = self.block
            self.do(f"br label %{head}")
        self.settle(place, i, "i64", (start, before), (following, last))
        for k, ((kind, first), phi, value) in enumerate(zip(carry, phis, values, strict=True), 1):
            self.settle(place + k, phi, kind, (first, before), (value, last))
        self._begin(after)
        return phis

    def when(self, test: str, body: Callable[[], None]) -> None:
        """Run the body if the i1 is set."""
        inside, after = self.label("then"), self.label("after")
        self.do(f"br i1 {test}, label %{inside}, label %{after}")
        self._begin(inside)
        with self._scope():
            body()
            self.do(f"br label %{after}")
        self._begin(after)


def literal(value: float) -> str:
    """A float32 as LLVM writes it: the bits of the double of the same value; infinity where it is too large."""
    rounded = ctypes.c_float(value).value
    return f"0x{struct.unpack('<Q', struct.pack('<d', rounded))[0]:016X}"
