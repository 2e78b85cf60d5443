"""Inverse transform in compiled code: torch's own operations on a few short rows take longer than a step."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from rekur.run.cpu.target import Library, host

_TEXT = """
declare double @exp(double)

define i64 @draw(ptr %values, ptr %uniforms, ptr %out, i64 %rows, i64 %n, double %temperature) {
entry:
  %last = sub i64 %n, 1
  %greedy = fcmp oeq double %temperature, 0.0
  br label %row
row:
  %r = phi i64 [ 0, %entry ], [ %r.next, %next ]
  %some = icmp slt i64 %r, %rows
  br i1 %some, label %begin, label %right
begin:
  %start = mul i64 %r, %n
  %logits = getelementptr double, ptr %values, i64 %start
  %result = getelementptr i64, ptr %out, i64 %r
  br label %largest
largest:
  %i = phi i64 [ 0, %begin ], [ %i.next, %largest ]
  %most = phi double [ 0xFFF0000000000000, %begin ], [ %most.next, %largest ]
  %at = phi i64 [ 0, %begin ], [ %at.next, %largest ]
  %nan = phi i1 [ false, %begin ], [ %nan.next, %largest ]
  %x.at = getelementptr double, ptr %logits, i64 %i
  %x = load double, ptr %x.at
  %x.nan = fcmp uno double %x, %x
  %nan.next = or i1 %nan, %x.nan
  %more = fcmp ogt double %x, %most
  %most.next = select i1 %more, double %x, double %most
  %at.next = select i1 %more, i64 %i, i64 %at
  %i.next = add i64 %i, 1
  %i.some = icmp slt i64 %i.next, %n
  br i1 %i.some, label %largest, label %known
known:
  %up = fcmp oeq double %most.next, 0x7FF0000000000000
  %down = fcmp oeq double %most.next, 0xFFF0000000000000
  %infinite = or i1 %up, %down
  %bad = or i1 %infinite, %nan.next
  br i1 %bad, label %wrong, label %fine
fine:
  store i64 %at.next, ptr %result
  br i1 %greedy, label %next, label %sum
sum:
  %j = phi i64 [ 0, %fine ], [ %j.next, %sum ]
  %total = phi double [ 0.0, %fine ], [ %total.next, %sum ]
  %y.at = getelementptr double, ptr %logits, i64 %j
  %y = load double, ptr %y.at
  %y.below = fsub double %y, %most.next
  %y.scaled = fdiv double %y.below, %temperature
  %y.exp = call double @exp(double %y.scaled)
  %total.next = fadd double %total, %y.exp
  %j.next = add i64 %j, 1
  %j.some = icmp slt i64 %j.next, %n
  br i1 %j.some, label %sum, label %found
found:
  %uniform.at = getelementptr double, ptr %uniforms, i64 %r
  %uniform = load double, ptr %uniform.at
  %target = fmul double %uniform, %total.next
  br label %walk
walk:
  %k = phi i64 [ 0, %found ], [ %k.next, %walk ]
  %passed = phi double [ 0.0, %found ], [ %passed.next, %walk ]
  %z.at = getelementptr double, ptr %logits, i64 %k
  %z = load double, ptr %z.at
  %z.below = fsub double %z, %most.next
  %z.scaled = fdiv double %z.below, %temperature
  %z.exp = call double @exp(double %z.scaled)
  %passed.next = fadd double %passed, %z.exp
  %k.next = add i64 %k, 1
  %beyond = fcmp ogt double %passed.next, %target
  %end = icmp eq i64 %k, %last
  %stop = or i1 %beyond, %end
  br i1 %stop, label %drawn, label %walk
drawn:
  store i64 %k, ptr %result
  br label %next
next:
  %r.next = add i64 %r, 1
  br label %row
right:
  ret i64 1
wrong:
  ret i64 0
}
"""
"""Row by row: the largest value, the sum of exp((value - largest) / temperature), and where that passes its part"""
_SIGNATURE = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_void_p] * 3, *[ctypes.c_int64] * 2, ctypes.c_double)


def drawn(logits: Tensor, uniforms: Tensor, temperature: float) -> Tensor | None:
    """The first symbol of each row whose cumulative probability exceeds the uniform, `(B,)`; at temperature 0 the
    likeliest. None where a row is empty or holds NaN, or its largest value is infinite.

    :param logits: `(B, V)`, and uniforms `(B,)`, both of any dtype and device.
    """
    values, parts = (v.detach().to("cpu", torch.float64).contiguous() for v in (logits, uniforms))
    rows, n = values.shape
    if not n:
        return None
    out = torch.empty(rows, dtype=torch.int64, device="cpu")
    right = _code()(values.data_ptr(), parts.data_ptr(), out.data_ptr(), rows, n, temperature)
    return out.to(logits.device) if right else None


@cache
def _library() -> Library:
    return Library(_TEXT, host())


@cache
def _code() -> Callable[..., int]:
    return _SIGNATURE(_library().address("draw"))
