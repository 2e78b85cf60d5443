"""What an author can write wrong, each with a message that says what to do and points at the author's line."""

# mypy: disable-error-code="arg-type, operator"

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from rekur.errors import CellError
from rekur.graph import (
    affine,
    cell,
    exp,
    gate,
    named,
    neighbour,
    sigmoid,
    softmax,
    spread,
    sum_over,
    tanh,
    weight,
    where,
)  # fmt: skip

Wrong = Callable[..., Any]
CASES: dict[str, tuple[Wrong, Mapping[str, str], str]] = {}


def wrong(says: str, **axes: str) -> Callable[[Wrong], Wrong]:
    """Enter a step refused with a message that holds `says`, at the line marked `# here`, else at its first."""

    def enter(step: Wrong) -> Wrong:
        assert step.__name__ not in CASES
        CASES[step.__name__] = step, axes, says
        return step

    return enter


# ---- what a step returns ------------------------------------------------------------------------------------


@wrong("too_few returns 1 values for 2 states: return the next h, c")
def too_few(x, h, c):
    return tanh(h)  # here


@wrong("too_many returns 2 values for 1 states: return the next h")
def too_many(x, h):
    return tanh(h), h  # here


@wrong("nothing returns nothing for the state 'h': return the next h")
def nothing(x, h):
    tanh(h)  # here


@wrong("the next 'h' is the state 'c' unmodified; if a delay is meant, say so: named('delayed_c', c)")
def another_state(x, h, c):
    return c, tanh(h)  # here


@wrong("the next 'h' must have the axes [H], the returned value has [P]; give its affine size='H'")
def another_size(x, h):
    return affine("small", x, h, size="P")  # here


@wrong("the next 'h' must have the axes [H], the returned value has [H S]", memory="S")
def another_shape(x, h, *, memory):
    return spread(h, "H", "S") * memory  # here


@wrong("numpy.ndarray is not a value of the cell language; hand a tensor in as a constant")
def an_array(x, h):
    return np.zeros(3)  # here


@wrong("builtins.str is not a value of the cell language")
def a_string(x, h):
    return "h"  # here


# ---- axes ---------------------------------------------------------------------------------------------------


@wrong("mul of h [H], x [I]: the axes [H] and [I] do not nest; give an affine the size it should have")
def mixed_axes(x, h):
    y = tanh(h)
    z = h * x  # here
    return y + z


@wrong("add of forget [P], h [H]: the axes [P] and [H] do not nest; give an affine the size it should have")
def mixed_in_a_gate(x, h):
    f = gate("forget", sigmoid, x, h, size="P")
    return f + h  # here


@wrong("the value [H] has no axis 'S' to go over")
def no_such_axis(x, h):
    return softmax(h, "S")  # here


@wrong("a scalar has no axis to go over", level="")
def sum_of_a_scalar(level, /, h):
    return h * sum_over(level)  # here


@wrong("cannot spread [H] over the axes ('S', 'P')")
def spread_away(x, h):
    return sum_over(spread(h, "S", "P"), "P")  # here


@wrong("'level' is a scalar", level="")
def product_of_a_scalar(level, /, h):
    return affine("a", level, h)  # here


@wrong("'h h' is not an axis")
def axes_in_one_word(x, h):
    return h * weight("w", "h h")  # here


# ---- Python's own branches, loops and numbers ---------------------------------------------------------------


@wrong(
    "branching on a value is not in the cell language; it has no truth value while the step is traced; choose with"
)
def branch(x, h):
    if h > 0:  # here
        return h
    return x


@wrong("branching on a value is not in the cell language")
def conjunction(x, h):
    return where(h > 0 and h < 1, h, 0.0)  # here


@wrong("float() is not in the cell language")
def number_of_a_value(x, h):
    return h * math.tanh(h)  # here


@wrong("iteration over a value is not in the cell language")
def loop(x, h):
    return sum(v for v in h)  # here


@wrong("len() is not in the cell language")
def length(x, h):
    return sum_over(h) / len(h)  # here


@wrong("[...] is not in the cell language; a value is a whole vector")
def part(x, h):
    return h[0] + h  # here


@wrong("in is not in the cell language")
def membership(x, h):
    return h * float(1.0 in h)  # here


@wrong("== is not in the cell language; compare with > or < and choose with where()")
def equality(x, h):
    return where(h == 0, h, 1.0)  # here


@wrong(">= is not in the cell language; compare with > or <")
def at_least(x, h):
    return where(h >= 0, h, 1.0)  # here


# ---- operators and functions outside of the language --------------------------------------------------------


@wrong("** is not in the cell language; write h * h, or exp(k * log(h)) for other powers")
def power(x, h):
    a = gate("a", tanh, x, h)
    return a + h**2  # here


@wrong("** is not in the cell language; write exp(h * log(base))")
def power_of_a_number(x, h):
    return 2**h  # here


@wrong("@ is not in the cell language; products are made by affine(name, ...)")
def product(x, h):
    return weight("w") @ h  # here


@wrong("abs() is not in the cell language; write maximum(h, -h)")
def magnitude(x, h):
    return abs(h)  # here


@wrong("// is not in the cell language")
def floor(x, h):
    return h // 2.0  # here


@wrong("this is not in the cell language: operand 'Node' does not support ufuncs")
def numpy_function(x, h):
    g = gate("g", sigmoid, x, h)
    return g * np.tanh(h)  # here


@wrong("this is not in the cell language: operand 'Node' does not support ufuncs")
def numpy_operator(x, h):
    return np.float64(2.0) * h + np.exp(h)  # here


@wrong("'Node' object has no attribute 'tanh'; use the functions of rekur.cells")
def method(x, h):
    return h.tanh()  # here


@wrong("numpy.ndarray is not a value of the cell language; hand a tensor in as a constant")
def array_operand(x, h):
    return where(h > 0.0, np.ones(3), h)  # here


@wrong("builtins.NoneType is not a value of the cell language")
def none_operand(x, h):
    return h + None  # here


# ---- affines, names, weights --------------------------------------------------------------------------------


@wrong("affine 'a' is declared twice; to share its weights say tie='a'")
def declared_twice(x, h):
    a = affine("a", x, h)
    return a + affine("a", x, h)  # here


@wrong("affine 'b' is computed but nothing reads it")
def read_by_nothing(x, h):
    affine("b", x)
    return tanh(h)  # here


@wrong("affine 'a' reads a computed value (mul); give it a name: affine('a', h=…)")
def computed_without_a_name(x, h):
    return affine("a", x, h * 2.0)  # here


@wrong("affine 'a' reads 'h' twice")
def read_twice(x, h):
    return affine("a", h, h=h)  # here


@wrong("affine 'a' reads nothing; for a weight alone say weight('a')")
def reads_nothing(x, h):
    return h + affine("a")  # here


@wrong("affine 'a' reads 3.0, which is not a value of the step")
def reads_a_number(x, h):
    return affine("a", 3.0)  # here


@wrong("affine 'a': siz='P' is not a value of the step, nor an option; did you mean 'size'?")
def misspelt_option(x, h):
    return affine("a", x, siz="P")  # here


@wrong("affine 'b': there is no earlier 'aa'; did you mean 'a'?")
def tied_to_nothing(x, h):
    return affine("a", x, h) + affine("b", x, h, tie="aa")  # here


@wrong("affine 'b': tie='a' reads ['h', 'x'], not ['h']")
def tied_to_another(x, h):
    return affine("a", x, h) + affine("b", h, tie="a")  # here


@wrong("'a.x' cannot be initialised as 'normal'")
def unknown_initialisation(x, h):
    return affine("a", x, h, init="normal")  # here


@wrong("affine 'a': init names 'y'")
def initialisation_of_nothing(x, h):
    return affine("a", x, h, init={"y": "zeros"})  # here


@wrong("'forget' is named twice")
def named_twice(x, h):
    f = gate("forget", sigmoid, x, h)
    return f * named("forget", tanh(h))  # here


@wrong("'for get.x' is not a name: letters, digits, _ and dots, at most 64")
def not_a_name(x, h):
    return gate("for get", sigmoid, x, h)  # here


@wrong("'../w' is not a name")
def a_path(x, h):
    return h * weight("../w")  # here


@wrong("is not a name: letters, digits, _ and dots, at most 64, starting with a letter")
def too_long_a_name(x, h):
    return named("n" * 65, tanh(h))  # here


@wrong("'d.x' begins as the names that rekur gives: d., hoisted., noise., saved.; call it otherwise")
def name_of_a_gradient(x, h):
    return affine("d", x, h)  # here


@wrong("named('n', …) takes a value of the step, got float")
def named_number(x, h):
    return h * named("n", 2.0)  # here


@wrong("neighbour() reads a state argument as it was before this step")
def neighbour_of_a_new_value(x, h):
    h = gate("h1", tanh, x, h)
    return h + neighbour(h, -1)  # here


@wrong("neighbour('h', 0): the offset is a whole number, not zero")
def neighbour_of_itself(x, h):
    return h + neighbour(h, 0)  # here


@wrong("is read 1000000 places off; the limit is 999999")
def far_neighbour(x, h):
    return h + neighbour(h, 1_000_000)  # here


def helper(v):
    return exp(v) ** 0.5  # inside


def test_an_error_in_a_helper_points_into_the_helper():
    @cell
    def good(x, h):
        return tanh(h)

    with pytest.raises(CellError) as e:

        @cell
        def calls(x, h):
            return helper(h)

    assert str(e.value).endswith(place(helper, "# inside"))


# ---- the arguments ------------------------------------------------------------------------------------------


@wrong("no_state has no state; a step is written step(x, h, …)")
def no_state(x):
    return x


@wrong("a step has a fixed set of arguments, not *more")
def variable(x, h, *more):
    return h


@wrong("say the axes of the constant 'image', as @cell(image='S D')")
def constant_without_axes(x, h, *, image):
    return h


@wrong("'x' is not a state; only a state has an initial value")
def input_with_a_default(x=1.0, h=0.0):
    return h


@wrong("starts_from_a_word: the state 'h' starts from a finite number, not 'zero'")
def starts_from_a_word(x, h="zero"):
    return tanh(h)


@wrong("the state 'h' starts from a finite number, not nan")
def starts_from_nan(x, h=math.nan):
    return tanh(h)


@wrong("axes_of_nothing has no argument 'memry' to give axes to; did you mean 'memory'?", memry="S D")
def axes_of_nothing(x, h, *, memory):
    return h


@wrong("argument 'h': '1' is not an axis", h="1")
def not_an_axis(x, h):
    return h


@wrong("an axis stands twice in [H H]", h="H H")
def axis_twice(x, h):
    return h


# ---- all of them --------------------------------------------------------------------------------------------


def place(step: Wrong, mark: str) -> str:
    lines, first = inspect.getsourcelines(step)
    (line,) = [i for i, text in enumerate(lines) if mark in text] or [0]
    return f"\n  at {__file__}:{first + line}:  {lines[line].strip()}"


@pytest.mark.parametrize("name", CASES)
def test_a_mistake_is_explained_at_its_line(name: str):
    step, axes, says = CASES[name]
    with pytest.raises(CellError) as e:
        cell(**axes)(step)
    assert says in str(e.value)
    assert str(e.value).endswith(place(step, "# here"))


def test_a_step_without_a_usable_name_is_refused_where_it_stands():
    with pytest.raises(CellError, match=r"'<lambda>' is not a name") as e:
        cell(lambda x, h: tanh(h))
    assert f"at {__file__}:" in str(e.value)


def test_the_language_is_for_cells_only():
    with pytest.raises(CellError, match="the cell language is for the body of a function under @cell"):
        affine("a")


def test_a_mistake_of_another_kind_comes_through_as_it_is():
    with pytest.raises(ZeroDivisionError):

        @cell
        def divides(x, h):
            return h * (1 / 0)

    with pytest.raises(NameError):

        @cell
        def unknown(x, h):
            return undefined(h)  # type: ignore[name-defined]  # noqa: F821


def test_a_failed_trace_leaves_nothing_behind():
    with pytest.raises(CellError):
        cell(CASES["power"][0])

    @cell
    def after(x, h):
        return gate("a", tanh, x, h)

    assert set(after.graph.parameters) == {"a.x", "a.h", "a.bias"}
