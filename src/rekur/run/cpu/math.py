"""The pointwise operations on vectors of floats: arithmetic, and exp, log, tanh and the logistic from it.

NaN and infinity come out as in libm. Polynomials are minimax fits of relative error; `tests` measure the error of
each function over all float32 exponents.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from rekur.run.cpu.builder import Function

_EXP = (0.49999997, 0.16666543, 0.041667197, 0.0083665680, 0.0013882756)
"""exp(r) - 1 = r + r² (E0 + E1 r + …) on |r| ≤ ln 2 / 2; relative error 1.3e-8"""
_LOG2E, _LN2_HIGH, _LN2_LOW = 1.4426950408889634, 0.693359375, -2.12194440e-4
_ATANH = (0.33333212, 0.20010583, 0.14003158, 0.13997187)
"""atanh(s) = s + s³ (A0 + A1 s² + …) on |s| ≤ 1/3; relative error 5e-9"""


def clamp_above(f: Function, x: str, most: float) -> str:
    """min(x, most), NaN as it is."""
    test = f.let(f"fcmp ogt {f.V} {x}, {f.constant(most)}")
    return _select(f, test, f.constant(most), x)


def clamp_below(f: Function, x: str, least: float) -> str:
    """max(x, least), NaN as it is."""
    test = f.let(f"fcmp olt {f.V} {x}, {f.constant(least)}")
    return _select(f, test, f.constant(least), x)


def _select(f: Function, test: str, a: str, b: str) -> str:
    return f.let(f"select <{f.module.lanes} x i1> {test}, {f.V} {a}, {f.V} {b}")


def _two(f: Function, op: str, a: str, b: str) -> str:
    return f.let(f"{op} {f.V} {a}, {b}")


def _reduced(f: Function, x: str) -> tuple[str, str]:
    """(n, r) with x = n ln 2 + r; n is a whole number, as a float."""
    n = f.intrinsic("roundeven", _two(f, "fmul", x, f.constant(_LOG2E)))
    r = f.fma(n, f.constant(-_LN2_HIGH), x)
    return n, f.fma(n, f.constant(-_LN2_LOW), r)


def _exp_minus_one(f: Function, r: str) -> str:
    """exp(r) - 1 = r + r² p(r), exact near zero."""
    p = f.constant(_EXP[-1])
    for c in reversed(_EXP[:-1]):
        p = f.fma(p, r, f.constant(c))
    return f.fma(_two(f, "fmul", r, r), p, r)


def _power_of_two(f: Function, n: str) -> str:
    """2ⁿ for -126 ≤ n ≤ 127."""
    lanes = f.module.lanes
    whole = f.let(f"fptosi {f.V} {n} to <{lanes} x i32>")
    # NaN would be undefined as a whole number: freeze picks any; the mantissa beside it is NaN and stays so
    whole = f.let(f"freeze <{lanes} x i32> {whole}")
    bits = f.let(f"add <{lanes} x i32> {whole}, {_ints(127)}")
    bits = f.let(f"shl <{lanes} x i32> {bits}, {_ints(23)}")
    return f.let(f"bitcast <{lanes} x i32> {bits} to {f.V}")


def _ints(value: int) -> str:
    return f"splat (i32 {value})"


def exp(f: Function, x: str) -> str:
    """exp(x): overflows to infinity, underflows gradually to zero."""
    n, r = _reduced(f, clamp_below(f, clamp_above(f, x, 89.0), -104.0))
    half = f.intrinsic("floor", _two(f, "fmul", n, f.constant(0.5)))
    y = _two(f, "fadd", _exp_minus_one(f, r), f.constant(1.0))
    y = _two(f, "fmul", y, _power_of_two(f, half))
    return _two(f, "fmul", y, _power_of_two(f, _two(f, "fsub", n, half)))


def sigmoid(f: Function, x: str) -> str:
    """1 / (1 + exp(-x)); the exponential may overflow to infinity, whose inverse is zero."""
    n, r = _reduced(f, clamp_below(f, clamp_above(f, _negated(f, x), 89.0), -87.0))
    e = _two(f, "fmul", _two(f, "fadd", _exp_minus_one(f, r), f.constant(1.0)), _power_of_two(f, n))
    return _two(f, "fdiv", f.constant(1.0), _two(f, "fadd", e, f.constant(1.0)))


def tanh(f: Function, x: str) -> str:
    """u / (u + 2) with u = exp(2x) - 1, which is accurate near zero too."""
    n, r = _reduced(f, clamp_below(f, clamp_above(f, _two(f, "fadd", x, x), 20.0), -20.0))
    scale = _power_of_two(f, n)
    u = f.fma(_exp_minus_one(f, r), scale, _two(f, "fsub", scale, f.constant(1.0)))
    return _two(f, "fdiv", u, _two(f, "fadd", u, f.constant(2.0)))


def log(f: Function, x: str) -> str:
    """log(x) = e ln 2 + log1p(m - 1) with x = 2ᵉ m and m within √½ … √2."""
    lanes = f.module.lanes
    tiny = f.let(f"fcmp olt {f.V} {x}, {f.constant(2.0**-126)}")
    scaled = _select(f, tiny, _two(f, "fmul", x, f.constant(2.0**23)), x)
    bits = f.let(f"bitcast {f.V} {scaled} to <{lanes} x i32>")
    above = f.let(f"sub <{lanes} x i32> {bits}, {_ints(0x3F3504F3)}")  # of √½
    e = f.let(f"ashr <{lanes} x i32> {above}, {_ints(23)}")
    m = f.let(f"sub <{lanes} x i32> {bits}, {f.let(f'shl <{lanes} x i32> {e}, {_ints(23)}')}")
    m = f.let(f"bitcast <{lanes} x i32> {m} to {f.V}")
    e = f.let(f"sitofp <{lanes} x i32> {e} to {f.V}")
    e = _select(f, tiny, _two(f, "fsub", e, f.constant(23.0)), e)
    y = _log1p(f, _two(f, "fsub", m, f.constant(1.0)))
    y = f.fma(e, f.constant(_LN2_HIGH), f.fma(e, f.constant(_LN2_LOW), y))
    for kind, special in (("oeq", 0.0), ("oeq", math.inf), ("olt", 0.0), ("uno", 0.0)):
        found = f.let(f"fcmp {kind} {f.V} {x}, {f.constant(special)}")
        value = {"olt": f.constant(math.nan), "uno": x}.get(kind, f.constant(math.inf if special else -math.inf))
        y = _select(f, found, value, y)
    return y


def _log1p(f: Function, u: str) -> str:
    """log(1 + u) = 2 atanh(u / (2 + u)) for √½ - 1 ≤ u ≤ 1"""
    s = _two(f, "fdiv", u, _two(f, "fadd", u, f.constant(2.0)))
    z = _two(f, "fmul", s, s)
    p = f.constant(_ATANH[-1])
    for c in reversed(_ATANH[:-1]):
        p = f.fma(p, z, f.constant(c))
    twice = _two(f, "fadd", s, s)
    return f.fma(_two(f, "fmul", twice, z), p, twice)


def softplus(f: Function, x: str) -> str:
    """log(1 + exp(x)) = max(x, 0) + log1p(exp(-|x|))"""
    tail = _log1p(f, exp(f, _negated(f, f.intrinsic("fabs", x))))
    return _two(f, "fadd", clamp_below(f, x, 0.0), tail)


def maximum(f: Function, a: str, b: str) -> str:
    """The larger; NaN if either is."""
    larger = _select(f, f.let(f"fcmp ogt {f.V} {a}, {b}"), a, b)
    return _select(f, f.let(f"fcmp uno {f.V} {a}, {a}"), a, larger)


def greater(f: Function, a: str, b: str) -> str:
    """1 where a > b, else 0"""
    return _select(f, f.let(f"fcmp ogt {f.V} {a}, {b}"), f.constant(1.0), f.constant(0.0))


def where(f: Function, test: str, a: str, b: str) -> str:
    """a where test is not zero, else b"""
    return _select(f, f.let(f"fcmp une {f.V} {test}, {f.constant(0.0)}"), a, b)


def _negated(f: Function, x: str) -> str:
    return f.let(f"fneg {f.V} {x}")


def _arithmetic(op: str) -> Callable[..., str]:
    return lambda f, a, b: _two(f, op, a, b)


POINTWISE: Mapping[str, Callable[..., str]] = {
    "neg": _negated,
    "add": _arithmetic("fadd"),
    "sub": _arithmetic("fsub"),
    "mul": _arithmetic("fmul"),
    "div": _arithmetic("fdiv"),
    "exp": exp,
    "log": log,
    "sqrt": lambda f, x: f.intrinsic("sqrt", x),
    "tanh": tanh,
    "sigmoid": sigmoid,
    "softplus": softplus,
    "relu": lambda f, x: clamp_below(f, x, 0.0),
    "maximum": maximum,
    "greater": greater,
    "where": where,
    "stop": lambda f, x: x,
    "spread": lambda f, x: x,
}
"""Op -> (function, operands) -> value; operands are vectors along the last axis, splat where they lack it."""

COMBINE: Mapping[str, Callable[..., str]] = {"sum": POINTWISE["add"], "max": maximum}
"""Reduction -> how two partial results become one"""
