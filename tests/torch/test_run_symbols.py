"""Symbols as inputs: the values and gradients of one-hot features on every backend, and what cannot be symbols."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from rekur.cells import affine, cell, find, named, sum_over, tanh
from rekur.errors import BackendError, ShapeError
from rekur.graph import Argument, Graph, Leaf, make
from rekur.graph.rewrite import rebuild, replacing
from rekur.nn import Recurrent
from rekur.run import compile, scan
from rekur.run.cpu import kernel
from rekur.run.reference import Reference
from tests.compare import Named, differ, silent, worse
from tests.pure.cell_formulas import CASES, READS
from tests.torch.cpu_cases import EPSILON, Case, compile_quickly, held, one_hot, results, same, use_threads
from tests.torch.one_by_one import SQUARE
from tests.torch.test_cpu_random import case as random_case
from tests.torch.test_cpu_random import farthest

ALIKE = ("irnn", "lstm-1997", "cifg", "mgu", "ugrnn", "mut3", "layer-norm-gru")
"""Those that read their input as elman, lstm, gru or layer-norm-lstm do."""
LOOKED_UP = tuple(name for name in CASES if name not in ("mogrifier:1", "mogrifier", "row-lstm", *SQUARE, *ALIKE))
"""The cells of the zoo that do nothing with their input but multiply it by weights."""
SIZES = {"I": 6, "H": 17, "P": 2, "A": 4, "D": 6, "S": 5}
DTYPES = (torch.int64, torch.int32)
LENGTHS = (5, 0, 2, 4)


def cases(name: str) -> list[Case]:
    """With and without padding, resets and reverse; on a lattice also with gaps."""
    out = []
    for k, (lengths, resets, reverse) in enumerate(itertools.product((None, LENGTHS), (False, True), (False, True))):
        asked: dict[str, Any] = {"resets": resets, "reverse": reverse, "seed": k, "symbols": {"x": DTYPES[k % 2]}}
        if name in READS:
            asked |= {"sites": 3, "gaps": lengths is None and resets}
        out.append(Case(find(name).graph, SIZES, 4, 5, lengths, **asked))
    return out


def exactly_one_hot(case: Case) -> dict[str, str]:
    """Where the reference differs in float64 from what it gives for features, other than in having their gradient."""
    got, want = results(case, Reference, torch.float64), results(one_hot(case), Reference, torch.float64)
    return differ(got, {k: v for k, v in want.items() if k in got or k not in gradients(case)})


def gradients(case: Case) -> set[str]:
    """The names of the gradients that symbols do not have."""
    return {f"gradient of input {k}" for k in case.symbols}


@pytest.mark.parametrize("name", LOOKED_UP)
def test_symbols_are_one_hot_features(name: str):
    for case in cases(name):
        assert exactly_one_hot(case) == {}, case
        assert held(case) == {}, case


def test_other_symbols_are_found():
    case, other = (cases("lstm")[0] for _ in range(2))
    at = other.values["input"]["x"]
    at[2, 3] = (at[2, 3] + 1) % SIZES["I"]
    got, want = (results(one, Reference, torch.float64) for one in (other, case))
    assert {"output", "gradient of weight forget.x"} <= differ(got, want).keys()
    assert {"output", "gradient of weight forget.x"} <= same(results(other), results(case))


@pytest.mark.parametrize("name", ["lstm", "layer-norm-lstm", "mingru"])
def test_inner_values_as_outputs(name: str):
    graph = find(name).graph
    for reverse in (False, True):
        asked: dict[str, Any] = {"outputs": (*graph.names, *graph.outputs), "symbols": {"x": torch.int64}}
        case = Case(graph, SIZES, 4, 5, LENGTHS, True, reverse, **asked)
        assert exactly_one_hot(case) == {}
        assert held(case) == {}
        assert silent(results(case)) == set()


# ---- cells that are odd in one way ----------------------------------------------------------------------------


@cell(x="H")
def tied(x, h):
    """A weight that symbols choose columns of, and that is multiplied too."""
    return tanh(affine("a", x) + affine("b", x=h, tie="a"))


@cell
def linear(x, h):
    """A column and nothing else."""
    return affine("a", x, bias=False)


@cell
def deep(x, h):
    """Columns in the part before the loop: reduced, and multiplied again."""
    inner = affine("inner", x, size="D", bias=False)
    return tanh(affine("outer", inner=inner) + sum_over(inner, "D") + affine("hidden", h) * sum_over(inner, "D"))


@cell
def sums(x, h):
    """No product, no bias: sums of columns."""
    return named("old", h) * 0.5 + affine("a", x, bias=False) + affine("b", x, bias=False) * h


@cell(x="I", y="H", z="D")
def several(x, y, z, /, h):
    """Two of the inputs are symbols, one of them reads two weights."""
    return tanh(affine("a", x, y, z, h) * affine("b", y))


@cell
def unasked(x, h):
    """A name that nobody asks for."""
    named("itself", x)
    return tanh(affine("a", x, h))


def turned() -> Graph:
    """Rows of the weight, by a product with its transpose."""
    x, h = make("input", attr=Leaf("x", ("I",))), make("state", attr=Leaf("h", ("H",)))
    w = make("parameter", attr=Leaf("w", ("I", "H"), init="uniform", matrix=True))
    out = make("tanh", make("matvec", make("transpose", w), x) + h)
    return Graph("turned", (Argument("input", "x", ("I",)), Argument("state", "h", ("H",))), {"h": out})


ODD = tuple(c.graph for c in (tied, linear, deep, sums, several, unasked))


@pytest.mark.parametrize("graph", ODD, ids=lambda g: g.name)
def test_odd_cells(graph: Graph):
    inputs = [a.name for a in graph.of("input") if a.name != "z"]
    for reverse in (False, True):
        asked = {"symbols": dict(zip(inputs, DTYPES, strict=False)), "seed": int(reverse)}
        case = Case(graph, SIZES, 4, 5, LENGTHS, True, reverse, **asked)  # type: ignore[arg-type]
        assert exactly_one_hot(case) == {}
        assert held(case) == {}
        assert silent(results(case)) <= {f"gradient of {k} h" for k in ("state", "initial")}


def test_rows_of_a_weight():
    """Its transpose is nothing that the compiled backend derives."""
    case = Case(turned(), SIZES, 4, 5, LENGTHS, symbols={"x": torch.int64})
    assert exactly_one_hot(case) == {}
    assert held(case, lambda graph: compile(graph).backends[0]) == {}


@pytest.mark.parametrize("seed", range(60))
def test_random_cells(seed: int, monkeypatch: pytest.MonkeyPatch):
    """Each with a weight before its vectors, so that these are only multiplied."""
    compile_quickly(monkeypatch)
    given = random_case(seed)
    before = {}
    for a in given.graph.of("input"):
        if len(a.axes) == 1:
            leaf = make("input", attr=Leaf(a.name, a.axes))
            w = make("parameter", attr=Leaf(f"first.{a.name}", a.axes * 2, init="uniform", matrix=True))
            before[leaf] = make("matvec", w, leaf)
    new = rebuild(given.graph.nodes, replacing(before))
    outputs, names = ({k: new[n] for k, n in of.items()} for of in (given.graph.outputs, given.graph.names))
    graph = Graph(given.graph.name, given.graph.arguments, outputs, names)
    case = Case(
        graph, given.sizes, given.batch, given.steps, given.lengths, given.resets, given.reverse, given.outputs,
        given.fixed, seed, symbols=dict.fromkeys((leaf.leaf.name for leaf in before), torch.int64),
    )  # fmt: skip
    assert exactly_one_hot(case) == {}, case
    exact, rounded, got = results(case, Reference, torch.float64), results(case, Reference), results(case)
    if worse(got, rounded, exact, EPSILON):
        rounded = farthest(exact, [results(case, Reference, nudge=i) for i in range(1, 9)])
    assert worse(got, rounded, exact, EPSILON) == {}, case


# ---- how it is done -------------------------------------------------------------------------------------------


def test_the_same_bits_for_any_number_of_threads(monkeypatch: pytest.MonkeyPatch):
    for name, batch in itertools.product(("lstm", "layer-norm-lstm"), (3, 130)):
        case = Case(find(name).graph, {"I": 37, "H": 70}, batch, 7, symbols={"x": torch.int64})
        want = results(case)
        for count in (2, 3):
            with monkeypatch.context() as patch:
                use_threads(patch, count)
                assert same(results(case), want) == set(), (case, count)


def test_nothing_is_made_one_hot(monkeypatch: pytest.MonkeyPatch):
    """With 3000 symbols, the memory of a call is that of some weights, not of 600 steps of all symbols."""
    made: list[int] = []

    def counting(plain: Callable[[int], Tensor]) -> Callable[[int], Tensor]:
        def memory(size: int) -> Tensor:
            made.append(size)
            return plain(size)

        return memory

    for name in ("empty", "zeros"):
        monkeypatch.setattr(kernel, name, counting(getattr(kernel, name)))
    case = Case(find("elman").graph, {"I": 3000, "H": 3}, 20, 30, symbols={"x": torch.int64})
    results(case)
    assert 0 < sum(made) < 20 * 30 * 3000 / 3
    made.clear()
    results(one_hot(case))
    assert sum(made) > 20 * 30 * 3000


def test_gradients_of_gradients():
    """On the compiled backend, which is asked for them in float32, and on the reference."""
    values = Case(find("gru").graph, SIZES, 3, 4, (4, 0, 2), symbols={"x": torch.int64}).values

    def second(backend: str, dtype: torch.dtype, x: Tensor) -> Named:
        params = {k: v.to(dtype).requires_grad_() for k, v in values["weight"].items()}
        y = scan(compile(find("gru"), backend), params, x, lengths=(4, 0, 2)).output
        first = torch.autograd.grad(y.square().sum(), [*params.values()], create_graph=True)
        found = torch.autograd.grad(sum(g.square().sum() for g in first), [*params.values()])  # type: ignore[arg-type]
        return dict(zip(params, found, strict=True))

    x = values["input"]["x"]
    hot = torch.nn.functional.one_hot(x, SIZES["I"]).double()
    want = second("reference", torch.float64, hot)
    assert differ(second("reference", torch.float64, x), want) == {}
    assert differ(second("cpu", torch.float32, x), {k: v.float() for k, v in want.items()}, 1e-4) == {}
    assert silent(want) == set()


@pytest.mark.parametrize(("batch", "steps", "lengths"), [(0, 3, None), (2, 0, None), (2, 3, (0, 0))])
def test_where_there_is_nothing_to_read(batch: int, steps: int, lengths: tuple[int, ...] | None):
    case = Case(find("lstm").graph, SIZES, batch, steps, lengths, symbols={"x": torch.int64})
    assert same(results(case), results(case, Reference)) == set()
    assert exactly_one_hot(case) == {}


def test_torchs_own_layer_leaves_symbols_to_others():
    params = {k: torch.zeros(*(SIZES[a] for a in p.axes)) for k, p in find("lstm").graph.parameters.items()}
    x = torch.zeros(2, 3, dtype=torch.int64)
    with pytest.raises(BackendError, match="torch's layer reads features, not symbols"):
        scan(compile(find("lstm"), "fused"), params, x)
    assert scan(compile(find("lstm")), params, x).output.shape == (2, 3, SIZES["H"])
    assert scan(compile(find("lstm")), {k: v.double() for k, v in params.items()}, x).output.dtype == torch.float64


@pytest.mark.filterwarnings("ignore")  # the compiler's own
def test_under_torchs_compiler():
    """The same bits; what lies out of range is found when it runs."""
    torch._dynamo.reset()
    layer = Recurrent("gru", 6, 5, 2)
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    lengths = torch.tensor([3, 2])
    padded = torch.tensor([[0, 5, 2], [1, 4, -7]])
    found = [one(padded, lengths=lengths)[0] for one in (layer, compiled)]
    first, second = (torch.autograd.grad(y.sin().sum(), list(layer.parameters())) for y in found)
    assert torch.equal(*found)
    assert all(map(torch.equal, first, second))
    with pytest.raises(RuntimeError, match=r"gru: the symbols 'x' must lie in 0\.\.5"):
        compiled(padded - 1, lengths=lengths)


# ---- what cannot be symbols -----------------------------------------------------------------------------------


def asked(name: str, x: object, **options: Any) -> None:
    graph = find(name).graph
    params = {k: torch.zeros(*(SIZES[a] for a in p.axes)) for k, p in graph.parameters.items()}
    given: Any = {a.name: x for a in graph.of("input")}
    scan(compile(graph), params, given, **options)


X = torch.tensor([[0, 5, 2], [1, 4, 0]])


@pytest.mark.parametrize(
    ("name", "x", "options", "says"),
    [
        ("lstm", X + 1, {}, "lstm: the symbols 'x' must lie in 0..5, got 1..6"),
        ("lstm", X - 1, {}, "lstm: the symbols 'x' must lie in 0..5, got -1..4"),
        ("gru", X - 1, {"lengths": [3, 2]}, "gru: the symbols 'x' must lie in 0..5, got -1..4"),
        ("gru", X * 2**40, {}, f"must lie in 0..5, got 0..{5 * 2**40}"),
        ("lstm", X.bool(), {}, "lstm: symbols are of int64 or int32, and the input 'x' is torch.bool"),
        ("lstm", X.to(torch.uint8), {}, "symbols are of int64 or int32, and the input 'x' is torch.uint8"),
        ("lstm", X.float(), {}, "lstm: the input 'x' must be (B, T, I), got (2, 3)"),
        ("lstm", X[0], {}, "lstm: the input 'x' must be (B, T, I), got (3,)"),
        ("lstm", X[..., None].expand(2, 3, 6), {}, "the input 'x' is torch.int64, the weights are torch.float32"),
        ("lstm2d", X, {}, "lstm2d: the input 'x' must be (B, T, L, I), got (2, 3)"),
        ("lstm", X, {"lengths": [3]}, "lengths must be (2,)"),
        (
            "mogrifier",
            X,
            {},
            "mogrifier_lstm: the input 'x' cannot be symbols, for the cell not only multiplies it by",
        ),
        (
            "mogrifier",
            X,
            {},
            "it reads it in mul; hand in features, as an embedding of the symbols or one_hot(…).float()",
        ),
        ("row-lstm", X[..., None], {}, "the input 'xi' cannot be symbols"),
        ("attend", X, {"constants": {"memory": torch.zeros(3, 2, 6)}}, "3 rows in the batch (B), the symbols 'x'"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_what_cannot_be_symbols(name: str, x: object, options: dict[str, Any], says: str):
    with pytest.raises(ShapeError, match=re.escape(says)):
        asked(name, x, **options)


def test_the_dead_may_be_anything():
    asked("lstm", X - 1, lengths=[0, 2])
    asked("lstm", torch.where(X == 5, 2**60, X), live=X != 5)


def test_a_name_of_the_symbols_themselves_cannot_be_asked_for():
    params = {k: torch.zeros(*(SIZES[a] for a in p.axes)) for k, p in unasked.graph.parameters.items()}
    for wanted in ({"outputs": ["itself"]}, {"record": ["itself"]}):
        with pytest.raises(ShapeError, match=r"unasked: the input 'x' cannot be .* in its results"):
            scan(compile(unasked), params, X, **wanted)  # type: ignore[arg-type]
