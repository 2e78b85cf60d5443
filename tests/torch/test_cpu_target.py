"""Code for other processors than the one at hand: vectors of eight, and of four without multiply-add, run here."""

from __future__ import annotations

import pytest

from rekur.cells import find
from rekur.run.cpu import library
from rekur.run.cpu.kernel import Compiled
from rekur.run.cpu.target import AVX2, Target, host
from rekur.run.cpu.tile import Tile
from tests.torch.cpu_cases import Case, compile_for, held, results, same, use_threads
from tests.torch.test_cpu_random import case as random_case

SIZES = {"I": 5, "P": 3, "A": 10, "D": 6, "S": 3}
OTHERS = {"avx2": AVX2, "narrow": Target("x86-64", "", 4, 16)}


@pytest.mark.parametrize("target", OTHERS)
@pytest.mark.parametrize("name", ["lstm", "gru", "layer-norm-lstm", "attend"])
def test_cells_on_another_processor(target: str, name: str, monkeypatch: pytest.MonkeyPatch):
    compile_for(monkeypatch, OTHERS[target])
    for one in (
        Case(find(name).graph, {**SIZES, "H": 33}, 7, 5, (5, 0, 3, 5, 1, 2, 4), True, True, seed=1),
        Case(find(name).graph, {**SIZES, "H": 8}, 1, 17, seed=2),
    ):
        assert held(one) == {}, one
    want = results(one)
    use_threads(monkeypatch, 2)
    assert same(results(one), want) == set()


@pytest.mark.parametrize("seed", [3, 11, 24])
def test_random_cells_with_vectors_of_eight(seed: int, monkeypatch: pytest.MonkeyPatch):
    compile_for(monkeypatch, AVX2)
    assert held(random_case(seed)) == {}


def test_the_code_is_of_its_processor():
    """That the tests above are of other code than all the rest."""
    graph = find("gru").graph
    text = {}
    for name, target in {"host": host(), **OTHERS}.items():
        code = Compiled(graph, (), frozenset(), False, target)
        text[name] = code.library.machine.emit_assembly(code.library.module)
        assert code.columns == Tile.of(target).vectors * target.lanes
        assert f"<{target.lanes} x float>" in str(library.shared_module(target))
    assert "ymm" in text["avx2"]
    assert "zmm" not in text["avx2"]
    assert "ymm" not in text["narrow"]
    assert "vfmadd" in text["avx2"]
    assert "vfmadd" not in text["narrow"]


def test_the_way_forth_is_compiled_once():
    """Whose gradients are wanted changes the way back alone; what is saved for it changes the way forth."""
    graph = find("gru").graph
    inference = Compiled(graph, (), frozenset(), False, host())
    weights, inputs = (Compiled(graph, (), frozenset(needs), True, host()) for needs in ("", "x"))
    assert weights.library is inputs.library
    assert weights.way_back is not inputs.way_back
    assert inference.library is not weights.library
