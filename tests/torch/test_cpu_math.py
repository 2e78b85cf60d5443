"""The functions that the compiled backend has of its own, against float64 at every exponent that a float32 has."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import torch

from rekur.run.cpu.builder import Module, literal
from rekur.run.cpu.math import POINTWISE
from rekur.run.cpu.target import AVX2, Library, Target, host
from tests.torch.cpu_cases import bits

Array = np.ndarray
NARROW = Target("x86-64", "", 4, 16)
"""Any x86 processor, without fused multiply-add"""


@cache
def compiled(op: str, target: Target, operands: int = 1) -> Callable[..., Array]:
    """An operation as a function of arrays."""
    m = Module(target.lanes)
    f = m.function("of", [("ptr", "x"), ("ptr", "y"), ("i64", "n")])

    def vector(i: str) -> None:
        args = [f.load(f.at("%x", f.add(i, f.mul("%n", str(k))))) for k in range(operands)]
        f.store(POINTWISE[op](f, *args), f.at("%y", i))

    f.loop("0", "%n", str(m.lanes), vector)
    library = Library(str(m), target)
    code = library.function("of", [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64])

    def run(*given: Array, keep: Library = library) -> Array:
        count = len(given[0])
        x = np.ones((operands, -(-count // m.lanes) * m.lanes), dtype=np.float32)
        x[:, :count] = given
        y = np.empty_like(x[0])
        code(x.ctypes.data, y.ctypes.data, len(y))
        found: Array = y[:count]
        return found

    return run


def everywhere(mantissas: int = 300) -> Array:
    """Floats of both signs and every exponent, denormals among them, with the first and last mantissa of each."""
    rng = np.random.default_rng(1)
    exponents = np.arange(255, dtype=np.uint32)[:, None] << 23
    fractions = rng.integers(0, 1 << 23, (255, mantissas), dtype=np.uint32)
    fractions[:, :3] = 0, 1, (1 << 23) - 1
    bits = (exponents | fractions).ravel()
    x = np.concatenate([bits, bits | np.uint32(1 << 31)]).view(np.float32)
    near = np.concatenate([np.linspace(-104, 89, 100_000), np.linspace(-1.5, 1.5, 50_000)]).astype(np.float32)
    return np.concatenate([x, near])


def softplus(x: Array) -> Array:
    out: Array = np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))
    return out


EXACT: dict[str, Callable[[Array], Array]] = {
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "softplus": softplus,
}
BOUND = {"exp": 1.0e-7, "log": 1.8e-7, "sqrt": 6.0e-8, "tanh": 1.8e-7, "sigmoid": 1.6e-7, "softplus": 2.2e-7}
"""Of the relative error, where the exact result is a normal float"""
BELOW = {"exp": 1.5e-45, "softplus": 3.0e-45, "sigmoid": 6.0e-39, "log": 0.0, "sqrt": 0.0, "tanh": 1.5e-45}
"""Of the absolute error, where it is a denormal: the logistic is zero there"""
NORMAL = float(np.finfo(np.float32).tiny)


def errors(op: str, target: Target, x: Array) -> tuple[float, float]:
    """(the largest relative error where results are normal, the largest absolute one below)"""
    with np.errstate(all="ignore"):
        exact = EXACT[op](x.astype(np.float64))
        got = compiled(op, target)(x).astype(np.float64)
        rounded = exact.astype(np.float32).astype(np.float64)
        assert np.array_equal(np.isnan(got), np.isnan(exact)), f"{op}: NaN at other places"
        fits = np.isfinite(rounded)
        wrong = (~fits & ~np.isnan(exact)) & (got != rounded)
        assert not wrong.any(), f"{op}: {got[wrong][:3]} at {x[wrong][:3]}"
        error = np.abs(got - exact)[fits]
    exact = np.abs(exact[fits])
    normal = exact >= NORMAL
    return float((error[normal] / exact[normal]).max()), float(error[~normal].max(initial=0))


TARGETS = {"host": host(), "avx2": AVX2, "narrow": NARROW}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("op", BOUND)
def test_errors_at_every_exponent(op: str, target: str):
    relative, absolute = errors(op, TARGETS[target], everywhere())
    assert relative <= BOUND[op]
    assert absolute <= BELOW[op]


def test_a_larger_error_is_found(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(EXACT, "exp", lambda x: np.exp(x) * (1 + 1e-7))
    assert errors("exp", host(), everywhere())[0] > BOUND["exp"]
    monkeypatch.setitem(EXACT, "exp", lambda x: np.exp(x) + 2e-45)
    assert errors("exp", host(), everywhere())[1] > BELOW["exp"]
    monkeypatch.setitem(EXACT, "tanh", np.arctanh)
    with pytest.raises(AssertionError, match="tanh: NaN at other places"):
        errors("tanh", host(), everywhere())
    monkeypatch.setitem(EXACT, "exp", lambda x: np.where(x > 88, np.inf, np.exp(x)))
    with pytest.raises(AssertionError, match=r"exp: .* at \[88"):
        errors("exp", host(), everywhere())


INF, NAN = math.inf, math.nan
SPECIAL = np.array([0.0, -0.0, INF, -INF, NAN, 1e-45, -1e-45, 3e38, -3e38], dtype=np.float32)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("op", BOUND)
def test_special_values(op: str, target: str):
    """Zeros, infinities, NaN, the smallest and the largest: as libm, but for the sign of a zero."""
    with np.errstate(all="ignore"):
        want = EXACT[op](SPECIAL.astype(np.float64)).astype(np.float32)
    got = compiled(op, TARGETS[target])(SPECIAL)
    np.testing.assert_allclose(got, want, rtol=BOUND[op], atol=BELOW[op])


@pytest.mark.parametrize("target", TARGETS)
def test_choices(target: str):
    """Bit for bit what torch makes of every pair of special values."""
    a, b = (torch.from_numpy(v.ravel().copy()) for v in np.meshgrid(SPECIAL, SPECIAL))

    def got(op: str, *args: torch.Tensor) -> torch.Tensor:
        found = compiled(op, TARGETS[target], len(args))(*(v.numpy() for v in args))
        return bits(torch.from_numpy(found))

    for op, want in {
        "add": a + b, "sub": a - b, "mul": a * b, "div": a / b, "greater": (a > b).float(),
        "where": torch.where(a != 0, a, b),
    }.items():  # fmt: skip
        args = (a, a, b) if op == "where" else (a, b)
        assert torch.equal(got(op, *args), bits(want)), op
    assert torch.equal(got("neg", a), bits(-a))
    torch.testing.assert_close(got("maximum", a, b).view(torch.float32), torch.maximum(a, b), equal_nan=True)
    torch.testing.assert_close(got("relu", a).view(torch.float32), a.relu(), equal_nan=True)


def test_literals():
    """Rounded to float32, whatever their size; what is beyond is infinite, as in torch."""
    values = [0.0, -0.0, 0.1, 1e-45, 1e-60, 3.4028235e38, 1e39, -1e300, 2.0**-149]
    m = Module(4)
    f = m.function("of", [("ptr", "y")])
    for i, v in enumerate(values):
        f.do(f"store float {literal(v)}, ptr {f.at('%y', str(i))}")
    library = Library(str(m), NARROW)
    y = torch.full((len(values),), NAN)
    library.function("of", [ctypes.c_void_p])(y.data_ptr())
    assert torch.equal(bits(y), bits(torch.tensor(values, dtype=torch.float64).float()))
