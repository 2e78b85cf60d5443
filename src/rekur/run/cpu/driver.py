"""What the loops over time are written with: rows and units dealt out to threads, chunks, resets, waiting."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rekur.graph import Argument
from rekur.run.cpu.builder import Module
from rekur.run.cpu.record import Record

ENTRY = [("ptr", "ctx"), ("i64", "tid")]
_SPINS = 4000  # before a waiting thread offers its core to others
_APART = 8  # integers from the counter of those who wait to that of parts of jobs: a line of the cache


class Driver:
    """A function that all threads enter: who does which rows, and what the record says."""

    def __init__(self, module: Module, record: Record, name: str, columns: int) -> None:
        self.module, self.record, self.columns = module, record, columns
        self.f = module.function(name, ENTRY)
        f = self.f
        self.batch, self.steps, self.threads = (self.number(n) for n in ("batch", "steps", "threads"))
        divided = f.let(f"icmp ne i64 {self.number('divided')}, 0")
        self.unit, self.row = (
            f.let(f"select i1 {divided}, i64 {a}, i64 {b}") for a, b in (("%tid", "0"), ("0", "%tid"))
        )
        self.units = f.let(f"select i1 {divided}, i64 {self.threads}, i64 1")
        self.rows = f.let(f"select i1 {divided}, i64 1, i64 {self.threads}")
        self.first, self.step = self.row, self.rows
        """The first of this thread's rows of a step, and from each to the next"""
        self.chunk, self.chunks = self.number("chunk"), self.number("chunks")
        self.active, self.chunk_segments = self.array("active"), self.array("chunk segments")
        module.declare("i64", "llvm.smax.i64", "i64", "i64")
        module.declare("i64", "llvm.smin.i64", "i64", "i64")

    def number(self, name: str) -> str:
        """A number of the record."""
        return self.f.field("%ctx", self.record.name(name), "i64")

    def array(self, name: str) -> str:
        """Where an array of the record begins."""
        return self.f.field("%ctx", self.record.array(name), "ptr")

    def integer(self, array: str, index: str) -> str:
        """An element of an array of integers."""
        return self.f.let(f"load i64, ptr {self.f.let(f'getelementptr i64, ptr {array}, i64 {index}')}")

    def own_rows(self, t: str) -> str:
        """How many live rows of step t are this thread's: every n-th from its own number on."""
        f = self.f
        left = f.let(f"sub i64 {self.integer(self.active, t)}, {self.row}")
        some = f.let(f"call i64 @llvm.smax.i64(i64 {left}, i64 0)")
        return f.let(f"udiv i64 {f.let(f'sub i64 {f.add(some, self.rows)}, 1')}, {self.rows}")

    def block(self, name: str, t: str, count: str, chunk: str = "0") -> None:
        """A step: this thread's rows, or its part of every row."""
        m = self.f.add(self.f.mul(t, self.batch), self.first)
        values = (self.row, m, self.first, self.step, self.step, count, chunk, self.unit, self.units)
        self.f.call(name, "ptr %ctx", *(f"i64 {v}" for v in values))

    def span(self, c: str) -> tuple[str, str]:
        """The steps t0 ≤ t < t1 of a chunk; chunk 0 is the last one in time."""
        f = self.f
        t1 = f.let(f"sub i64 {self.steps}, {f.mul(c, self.chunk)}")
        t0 = f.let(f"call i64 @llvm.smax.i64(i64 {f.let(f'sub i64 {t1}, {self.chunk}')}, i64 0)")
        return t0, t1

    def segments(self, name: str, c: str, chunk: str) -> None:
        """The hoisted part of a chunk: segments of rows dealt out to the threads, or each shared by all."""
        f = self.f
        first, last = (self.integer(self.chunk_segments, k) for k in (c, f.add(c, "1")))
        fields = [self.array(f"segment {k}") for k in ("m", "b", "sm", "sb", "count")]

        def one(j: str) -> None:
            m, b, sm, sb, count = (self.integer(a, j) for a in fields)
            values = (self.row, m, b, sm, sb, count, chunk, self.unit, self.units)
            f.call(name, "ptr %ctx", *(f"i64 {v}" for v in values))

        f.loop(f.add(first, self.row), last, self.rows, one)

    def row_copy(
        self, source: str, target: str, axes: tuple[str, ...], add: bool = False, clear: bool = False
    ) -> None:
        """One row of an array to another; or added to it, the source cleared."""
        f = self.f

        def vector(i: str) -> None:
            v = f.load(f.at(source, i))
            if add:
                v = f.let(f"fadd {f.V} {f.load(f.at(target, i))}, {v}")
            f.store(v, f.at(target, i))
            if clear:
                f.store(f.constant(0.0), f.at(source, i))

        f.loop("0", self.stride(axes), str(self.module.lanes), vector)

    def stride(self, axes: tuple[str, ...]) -> str:
        """Floats of a row."""
        if not axes:
            return str(self.module.lanes)
        total = self.number(f"pad {axes[-1]}")
        for axis in axes[:-1]:
            total = self.f.mul(total, self.number(f"size {axis}"))
        return total

    def each_row(self, count: str, body: Callable[[str], None]) -> None:
        """body(row of the batch) for the live rows that are this thread's."""
        self.f.loop("0", count, "1", lambda r: body(self.f.add(self.first, self.f.mul(r, self.step))))

    def if_resets(self, body: Callable[[str], None]) -> None:
        """body(flags) where the call has resets."""
        f, flags = self.f, self.array("reset")
        f.when(f.let(f"icmp ne ptr {flags}, null"), lambda: self.by_one(lambda: body(flags)))

    def by_one(self, body: Callable[[], None]) -> None:
        """Once all have done their part of rows that they share, one thread works on these."""
        f = self.f
        f.when(f.let(f"icmp sgt i64 {self.units}, 1"), self.wait)
        f.when(f.let(f"icmp eq i64 {self.unit}, 0"), body)

    def flag(self, flags: str, t: str, b: str) -> str:
        """Whether a row begins anew at t."""
        f = self.f
        at = f.let(f"getelementptr i8, ptr {flags}, i64 {f.add(f.mul(t, self.batch), b)}")
        return f.let(f"icmp ne i8 {f.let(f'load i8, ptr {at}')}, 0")

    def begin_anew(self, t: str, count: str, states: Sequence[Argument]) -> None:
        """What the step reads: the state before it, or the initial one. Without resets they are one array."""
        f = self.f

        def every(flags: str) -> None:
            def row(b: str) -> None:
                new = self.flag(flags, t, b)
                for a in states:
                    stride = self.stride(a.axes)
                    at = f.mul(f.add(f.mul(t, self.batch), b), stride)
                    fresh = f.at(self.array(f"initial {a.name}"), f.mul(b, stride))
                    held = f.at(self.array(f"state {a.name}"), at)
                    source = f.let(f"select i1 {new}, ptr {fresh}, ptr {held}")
                    self.row_copy(source, f.at(self.array(f"before {a.name}"), at), a.axes)

            self.each_row(count, row)

        self.if_resets(every)

    def hand_back(self, t: str, count: str, states: Sequence[Argument]) -> None:
        """Where a row began anew, the gradient in what the step read is one in the initial state."""
        f = self.f

        def to_initial(b: str) -> None:
            for a in states:
                at = f.mul(b, self.stride(a.axes))
                source, target = (f.at(self.array(f"d {k} {a.name}"), at) for k in ("state", "initial"))
                self.row_copy(source, target, a.axes, add=True, clear=True)

        def every(flags: str) -> None:
            self.each_row(count, lambda b: f.when(self.flag(flags, t, b), lambda: to_initial(b)))

        self.if_resets(every)

    def wait(self) -> None:
        """Until all threads are here."""
        self.f.call("barrier", "ptr %ctx")


def own_part(d: Driver, size: str, unit: int, part: str = "%tid") -> tuple[str, str]:
    """One of as many parts of `size` as there are threads, in whole units but for the last."""
    f = d.f
    units = f.let(f"udiv i64 {f.add(size, str(unit - 1))}, {unit}")

    def edge(k: str) -> str:
        at = f.mul(f.let(f"udiv i64 {f.mul(units, k)}, {d.threads}"), str(unit))
        return f.let(f"call i64 @llvm.smin.i64(i64 {at}, i64 {size})")

    return edge(part), edge(f.add(part, "1"))


class Deal:
    """Jobs of as many parts as there are threads. Whoever has done a part takes the next, of whichever job: another
    program, or a neighbour on the same core, may hold one thread up.

    The counter of parts only rises. In each round a thread takes one part too many, by which it knows that all are
    taken, so a round begins where the rounds before it end.
    """

    def __init__(self, d: Driver, jobs: int) -> None:
        self.d, self.jobs = d, jobs
        self._counter = d.f.let(f"getelementptr i64, ptr {d.array('barrier')}, i64 {_APART}")
        self._taken = d.f.let("alloca i64")

    def begin(self, number: str) -> None:
        """A round, the first of which is number 0."""
        self._start = self.d.f.mul(self.d.f.mul(number, str(self.jobs + 1)), self.d.threads)
        self._take()

    def _take(self) -> None:
        f = self.d.f
        f.do(f"store i64 {f.let(f'atomicrmw add ptr {self._counter}, i64 1 seq_cst')}, ptr {self._taken}")

    def job(self, number: int, body: Callable[[str], None]) -> None:
        """body(part) for what this thread gets of a job; jobs come in turn."""
        f, threads = self.d.f, self.d.threads
        first = f.add(self._start, f.mul(str(number), threads))
        end = f.add(first, threads)

        def look(_: str) -> None:
            taken = f.let(f"load i64, ptr {self._taken}")

            def one() -> None:
                body(f.let(f"sub i64 {taken}, {first}"))
                self._take()

            f.when(f.let(f"icmp slt i64 {taken}, {end}"), one)

        f.loop("0", threads, "1", look)


def barrier(module: Module, record: Record) -> None:
    """Every thread waits until all have come. The counter only rises, so it needs no reset in between."""
    f = module.function("barrier", [("ptr", "ctx")], internal=True)
    module.declare("i32", "sched_yield")
    n = f.field("%ctx", record.name("threads"), "i64")
    counter = f.field("%ctx", record.array("barrier"), "ptr")
    several = f.let(f"icmp sgt i64 {n}, 1")

    def all_wait() -> None:
        ticket = f.let(f"atomicrmw add ptr {counter}, i64 1 seq_cst")
        goal = f.mul(f.add(f.let(f"udiv i64 {ticket}, {n}"), "1"), n)
        look, rest, after = (f.label(k) for k in ("look", "rest", "gone"))
        start = f.block
        f.do(f"br label %{look}")
        f.begin(look)
        place = f.hold()
        spins = f.let("phi")
        seen = f.let(f"load atomic i64, ptr {counter} seq_cst, align 8")
        f.do(f"br i1 {f.let(f'icmp sge i64 {seen}, {goal}')}, label %{after}, label %{rest}")
        f.begin(rest)
        more = f.add(spins, "1")
        f.when(f.let(f"icmp sgt i64 {more}, {_SPINS}"), lambda: f.do("call i32 @sched_yield()"))
        last = f.block
        f.do(f"br label %{look}")
        f.settle(place, spins, "i64", ("0", start), (more, last))
        f.begin(after)

    f.when(several, all_wait)
