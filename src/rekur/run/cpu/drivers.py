"""The code around a step: the loops over time, the chunks of the way back, and threads that wait for each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rekur.graph import Argument
from rekur.run.cpu.builder import Module
from rekur.run.cpu.external import call_external
from rekur.run.cpu.gradients import Share
from rekur.run.cpu.lower import Place
from rekur.run.cpu.record import Record

ENTRY = [("ptr", "ctx"), ("i64", "tid")]
_SPINS = 4000  # before a waiting thread offers its core to others


class _Driver:
    def __init__(self, module: Module, record: Record, name: str) -> None:
        self.module, self.record = module, record
        self.f = module.function(name, ENTRY)
        f = self.f
        self.batch, self.steps, self.threads = (self.number(n) for n in ("batch", "steps", "threads"))
        divided = f.let(f"icmp ne i64 {self.number('divided')}, 0")
        self.unit, self.row = (
            f.let(f"select i1 {divided}, i64 {a}, i64 {b}") for a, b in (("%tid", "0"), ("0", "%tid"))
        )
        self.units = f.let(f"select i1 {divided}, i64 {self.threads}, i64 1")
        self.rows = f.let(f"select i1 {divided}, i64 1, i64 {self.threads}")
        self.active = self.array("active")
        module.declare("i64", "llvm.smax.i64", "i64", "i64")
        module.declare("i64", "llvm.smin.i64", "i64", "i64")

    def number(self, name: str) -> str:
        return self.f.field("%ctx", self.record.name(name), "i64")

    def array(self, name: str) -> str:
        return self.f.field("%ctx", self.record.array(name), "ptr")

    def integer(self, array: str, index: str) -> str:
        return self.f.let(f"load i64, ptr {self.f.let(f'getelementptr i64, ptr {array}, i64 {index}')}")

    def own_rows(self, t: str) -> str:
        """How many live rows of step t are this thread's: every n-th from its own number on."""
        f = self.f
        left = f.let(f"sub i64 {self.integer(self.active, t)}, {self.row}")
        some = f.let(f"call i64 @llvm.smax.i64(i64 {left}, i64 0)")
        return f.let(f"udiv i64 {f.let(f'sub i64 {f.add(some, self.rows)}, 1')}, {self.rows}")

    def block(self, name: str, t: str, count: str, chunk: str = "0") -> None:
        """A step: this thread's rows, or its part of every row."""
        m = self.f.add(self.f.mul(t, self.batch), self.row)
        values = (self.row, m, self.row, self.rows, self.rows, count, chunk, self.unit, self.units)
        self.f.call(name, "ptr %ctx", *(f"i64 {v}" for v in values))

    def segments(self, name: str, first: str, last: str, chunk: str) -> None:
        """The hoisted part: segments of rows, dealt out to the threads."""
        f = self.f
        fields = [self.array(f"segment {k}") for k in ("m", "b", "sm", "sb", "count")]

        def one(j: str) -> None:
            m, b, sm, sb, count = (self.integer(a, j) for a in fields)
            values = ("%tid", m, b, sm, sb, count, chunk, "0", "1")
            f.call(name, "ptr %ctx", *(f"i64 {v}" for v in values))

        f.loop(f.add(first, "%tid"), last, self.threads, one)

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
        if not axes:
            return str(self.module.lanes)
        total = self.number(f"pad {axes[-1]}")
        for axis in axes[:-1]:
            total = self.f.mul(total, self.number(f"size {axis}"))
        return total

    def each_row(self, count: str, body: Callable[[str], None]) -> None:
        """body(row of the batch) for the live rows that are this thread's."""
        self.f.loop("0", count, "1", lambda r: body(self.f.add(self.row, self.f.mul(r, self.rows))))

    def if_resets(self, body: Callable[[str], None]) -> None:
        """body(flags) where the call has resets; for rows that threads share, by one of them."""
        f, flags = self.f, self.array("reset")

        def some() -> None:
            f.when(f.let(f"icmp sgt i64 {self.units}, 1"), self.wait)
            f.when(f.let(f"icmp eq i64 {self.unit}, 0"), lambda: body(flags))

        f.when(f.let(f"icmp ne ptr {flags}, null"), some)

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

    def wait(self) -> None:
        self.f.call("barrier", "ptr %ctx")


def _barrier(module: Module, record: Record) -> None:
    """Every thread waits until all have come. The counter only rises, so it needs no reset in between."""
    f = module.function("barrier", [("ptr", "ctx")], internal=True)
    module.declare("i32", "sched_yield")
    n = f.field("%ctx", record.name("threads"), "i64")
    counter = f.field("%ctx", record.array("barrier"), "ptr")
    several = f.let(f"icmp sgt i64 {n}, 1")

    def all_wait() -> None:
        ticket = f.let(f"atomicrmw add ptr {counter}, i64 1 seq_cst")
        goal = f.mul(f.add(f.let(f"udiv i64 {ticket}, {n}"), "1"), n)
        again, resting, yielding, after = (f.label(k) for k in ("spin", "rest", "yield", "gone"))
        start = f._block
        f.do(f"br label %{again}")
        f.begin(again)
        spins = f.let("phi")
        place = len(f._lines) - 1
        seen = f.let(f"load atomic i64, ptr {counter} seq_cst, align 8")
        more = f.let("add i64 " + spins + ", 1")
        f.do(f"br i1 {f.let(f'icmp sge i64 {seen}, {goal}')}, label %{after}, label %{resting}")
        f.begin(resting)
        f.do(f"br i1 {f.let(f'icmp sgt i64 {spins}, {_SPINS}')}, label %{yielding}, label %{again}")
        f.begin(yielding)
        f.let("call i32 @sched_yield()")
        f.do(f"br label %{again}")
        f._lines[place] = f"  {spins} = phi i64 [ 0, %{start} ], [ {more}, %{resting} ], [ {more}, %{yielding} ]"
        f.begin(after)

    f.when(several, all_wait)


def forward_driver(module: Module, record: Record, states: Sequence[Argument], hoisted: bool) -> None:
    """forward(ctx, tid)"""
    _barrier(module, record)
    d = _Driver(module, record, "forward")
    f = d.f
    if hoisted:
        d.segments("time", "0", d.number("segments"), "0")
        d.wait()

    def step(t: str) -> None:
        count = d.own_rows(t)
        d.begin_anew(t, count, states)
        d.block("step", t, count)

    f.loop("0", d.steps, "1", step)


def backward_driver(
    module: Module, record: Record, states: Sequence[Argument], hoisted: bool, shares: Sequence[Share], columns: int
) -> None:
    """backward(ctx, tid): chunk by chunk from the end"""
    d = _Driver(module, record, "backward")
    f = d.f
    chunk = d.number("chunk")
    chunk_segments = d.array("chunk segments")

    def one(c: str) -> None:
        t1 = f.let(f"sub i64 {d.steps}, {f.mul(c, chunk)}")
        t0 = f.let(f"call i64 @llvm.smax.i64(i64 {f.let(f'sub i64 {t1}, {chunk}')}, i64 0)")
        start = f.mul(t0, d.batch)
        n = f.let(f"sub i64 {t1}, {t0}")

        def back(k: str) -> None:
            t = f.let(f"sub i64 {f.let(f'sub i64 {t1}, {k}')}, 1")
            count = d.own_rows(t)
            d.block("step_back", t, count, start)

            def to_initial(b: str) -> None:
                for a in states:
                    at = f.mul(b, d.stride(a.axes))
                    source, target = (f.at(d.array(f"d {k} {a.name}"), at) for k in ("state", "initial"))
                    d.row_copy(source, target, a.axes, add=True, clear=True)

            def leave(flags: str) -> None:
                d.each_row(count, lambda b: f.when(d.flag(flags, t, b), lambda: to_initial(b)))

            d.if_resets(leave)

        f.loop("0", n, "1", back)
        d.wait()
        if hoisted:
            d.segments("time_back", d.integer(chunk_segments, c), d.integer(chunk_segments, f.add(c, "1")), start)
            d.wait()
        for share in shares:
            _share(d, share, t0, n, columns)
        d.wait()

    f.loop("0", d.number("chunks"), "1", one)


def _share(d: _Driver, share: Share, t0: str, steps: str, columns: int) -> None:
    """This thread's part of the outputs of one weight's gradient."""
    f = d.f

    def rows(place: Place) -> str:
        start = d.array(place.array)
        if place.rows == "chunk":
            return start
        row = f.add(f.mul(t0, d.batch), d.batch if place.shift else "0")
        return f.at(start, f.mul(row, d.stride(place.axes)))

    counts = f.let(f"getelementptr i64, ptr {d.active}, i64 {t0}")
    g = d.array(f"gradient {share.weight}")
    d_at = rows(share.d)
    if share.v is None:
        width = d.stride(share.axes)
        c0, c1 = _own(d, width, d.module.lanes)
        call_external(f, "column_sum", d_at, width, g, counts, steps, d.batch, c0, c1)
        return
    out, inner = share.axes
    v_at = rows(share.v)
    repeat = "1"
    for axis in share.d.axes[:-1]:
        repeat = f.mul(repeat, d.number(f"size {axis}"))
    pad_v = d.number(f"pad {inner}")
    panels = f.let(f"udiv i64 {f.add(d.number(f'size {inner}'), str(columns - 1))}, {columns}")
    o0, o1 = _own(d, d.number(f"size {out}"), 6)
    scratch = f.at(d.array("scratch"), f.mul("%tid", d.number("scratch")))
    pad_d = d.number(f"pad {out}")
    call_external(
        f, "gradient", d_at, pad_d, v_at, pad_v, g, pad_v, counts, steps, d.batch, repeat, o0, o1, panels, scratch
    )


def _own(d: _Driver, size: str, unit: int) -> tuple[str, str]:
    """The thread's part of `size`, in whole units but for the last."""
    f = d.f
    units = f.let(f"udiv i64 {f.add(size, str(unit - 1))}, {unit}")

    def edge(k: str) -> str:
        at = f.mul(f.let(f"udiv i64 {f.mul(units, k)}, {d.threads}"), str(unit))
        return f.let(f"call i64 @llvm.smin.i64(i64 {at}, i64 {size})")

    return edge("%tid"), edge(f.add("%tid", "1"))
