"""The zoo: how cells print, how they start, and how a user's word finds one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from rekur.cells import ZOO, Cell, catalogue, cell, find, gate, gru, highway, load, lstm, lstmp, mogrifier, sigmoid
from rekur.errors import CellError, OptionError
from rekur.graph import equations
from rekur.graph.verify import INIT


def test_a_cell_prints_what_it_is_and_its_equations():
    assert str(gru) == (
        """\
Gated recurrent unit, as published: the reset acts on the state before the product.
gru(x[I]; h[H])
  reset = sigmoid(reset.x @ x + reset.h @ h + reset.bias)
  update = sigmoid(update.x @ x + update.h @ h + update.bias)
  candidate = tanh(candidate.x @ x + candidate.h @ (reset * h) + candidate.bias)
  h' = (1 - update) * candidate + update * h"""
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "lstm",
            """\
lstm(x[I]; h[H], c[H])
  forget = sigmoid(forget.x @ x + forget.h @ h + forget.bias)
  input = sigmoid(input.x @ x + input.h @ h + input.bias)
  candidate = tanh(candidate.x @ x + candidate.h @ h + candidate.bias)
  output = sigmoid(output.x @ x + output.h @ h + output.bias)
  c' = forget * c + input * candidate
  h' = output * tanh(c')""",
        ),
        (
            "highway:2",
            """\
rhn(x[I]; h[H])
  candidate0 = tanh(candidate0.x @ x + candidate0.h @ h + candidate0.bias)
  transform0 = sigmoid(transform0.x @ x + transform0.h @ h + transform0.bias)
  t1 = candidate0 * transform0 + h * (1 - transform0)
  candidate1 = tanh(candidate1.h @ t1 + candidate1.bias)
  transform1 = sigmoid(transform1.h @ t1 + transform1.bias)
  h' = candidate1 * transform1 + t1 * (1 - transform1)""",
        ),
        (
            "attend",
            """\
attend(x[I]; h[H], context[D]; memory[S D])
  attention = softmax(sum_over(score * tanh(query.h @ h + key.memory @ memory), A), S)
  attended = sum_over(attention * memory, S)
  context' = attended
  reset = sigmoid(reset.x @ x + reset.h @ h + reset.context @ attended + reset.bias)
  update = sigmoid(update.x @ x + update.h @ h + update.context @ attended + update.bias)
  candidate = tanh(candidate.x @ x + candidate.h @ (reset * h) + candidate.context @ attended + candidate.bias)
  h' = (1 - update) * candidate + update * h""",
        ),
    ],
)
def test_equations(name: str, text: str):
    assert equations(find(name).graph) == text


def test_every_weight_has_a_start_and_the_usual_biases_are_set():
    starts = {name: {w: leaf.init for w, leaf in find(name).graph.parameters.items()} for name in ZOO}
    assert all(INIT.fullmatch(init) for weights in starts.values() for init in weights.values())
    biases = {
        name: {w for w, init in weights.items() if w.endswith(".bias") and init not in ("constant=0.0", "zeros")}
        for name, weights in starts.items()
    }
    forgetful = ("lstm", "cifg", "peephole", "lstm-projected", "layer-norm-lstm", "mogrifier", "row-lstm")
    expected = {name: {"forget.bias"} for name in forgetful} | {"highway": {f"transform{d}.bias" for d in range(5)}}
    expected["ugrnn"] = {"update.bias"}
    assert {name: found for name, found in biases.items() if found} == expected
    assert {starts[name]["forget.bias"] for name in forgetful} == {"constant=1.0"}
    assert {starts["highway"][w] for w in expected["highway"]} == {"constant=-1.0"}
    assert starts["ugrnn"]["update.bias"] == "constant=1.0"
    assert starts["irnn"] == {"hidden.x": "normal=0.001", "hidden.h": "identity=1", "hidden.bias": "constant=0.0"}
    assert find("irnn:1").graph.parameters["hidden.h"].init == "identity=0.01"
    assert starts["indrnn"]["hidden.h"] == "ones"
    gains = [w for w in starts["layer-norm-gru"] if w.endswith(".gain")]
    assert len(gains) == 6
    assert {starts["layer-norm-gru"][w] for w in gains} == {"ones"}


def test_sizes():
    assert find("highway:3").structure == highway(3).structure
    assert find("highway").structure == highway(5).structure != highway(4).structure
    assert find("mogrifier").structure == mogrifier(5).structure
    assert mogrifier(0).structure == lstm.structure
    assert [s.axes for s in lstmp.graph.of("state")] == [("P",), ("H",)]


def test_the_structures_of_the_zoo_differ():
    assert find("irnn").structure == find("elman-relu").structure  # but not how they start
    assert len({find(name).structure for name in ZOO}) == len(ZOO) - 1 == 24


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lsmt", "no cell 'lsmt'; did you mean 'lstm'?"),
        ("gru_after", "did you mean 'gru-after'?"),
        ("zebra", "no cell 'zebra'; there are elman, "),
        ("", "no cell ''; there are elman, "),
        ("lstm:2", "'lstm' comes in one form; leave out ':2'"),
        ("highway:deep", "'deep' is not a whole number; say highway:4"),
        ("highway:", "'' is not a whole number"),
        ("highway:2.5", "'2.5' is not a whole number"),
        ("highway:0", "depth of at least 1, got 0"),
        ("highway:-3", "depth of at least 1, got -3"),
        ("mogrifier:-1", "0 rounds or more, got -1"),
        ("irnn:0", "from 1 to 100 percent of the identity, got 0"),
        ("irnn:101", "got 101"),
    ],
)
def test_a_name_that_makes_no_sense(name: str, message: str):
    with pytest.raises(OptionError, match=re.escape(message)):
        find(name)
    with pytest.raises(OptionError, match=re.escape(message)):
        load(name)


def test_the_catalogue_says_what_each_is_and_where_from():
    rows = {row.usage: row for row in catalogue()}
    assert [usage.partition("[")[0] for usage in rows] == list(ZOO)
    assert {usage for usage in rows if "[" in usage} == {"highway[:depth]", "irnn[:percent]", "mogrifier[:rounds]"}
    for row in rows.values():
        assert 20 < len(row.summary) < 119
        assert "\n" not in row.summary + row.source
        assert re.search(r"\b(19|20)\d\d\b", row.source)
    assert rows["lstm"].summary == "Long short-term memory with a forget gate; structurally torch.nn.LSTM."
    assert rows["mogrifier[:rounds]"].source == (
        'Melis, Kočiský and Blunsom, "Mogrifier LSTM", ICLR 2020; here with full-rank matrices.'
    )


def test_a_depth_beyond_reason_is_refused_while_it_grows():
    with pytest.raises(CellError, match="more than 20000 operations"):
        find("highway:1000000000")


# ---- cells from a user's file -------------------------------------------------------------------------------

MINE = """\
from __future__ import annotations
from dataclasses import dataclass
from rekur.cells import cell, gate, sigmoid
from helper_beside import squash

@dataclass
class Options:
    name: str = "hidden"

@cell
def mine(x, h):
    return gate(Options().name, squash, x, h)

def family(depth=1):
    return mine

def wide(size, depth=1):
    return mine

def numbered():
    return 3

five = 5
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "helper_beside.py").write_text("from rekur.cells import sigmoid as squash\n", encoding="utf-8")
    path = tmp_path / "my_cells.py"
    path.write_text(MINE, encoding="utf-8")
    return path


@cell
def expected(x, h):
    return gate("hidden", sigmoid, x, h)


@pytest.mark.parametrize("name", ["mine", "family"])
def test_a_cell_from_a_file(file: Path, name: str):
    path, modules = sys.path[:], set(sys.modules)
    found = load(f"{file}:{name}")
    assert isinstance(found, Cell)
    assert found.name == "mine"
    assert found.structure == expected.structure
    assert sys.path == path
    assert set(sys.modules) - modules <= {"helper_beside"}


def test_a_file_is_read_anew_each_time(file: Path):
    first = load(f"{file}:mine")
    file.write_text(MINE.replace("squash,", "tanh,").replace("gate, sigmoid", "gate, tanh"), encoding="utf-8")
    assert load(f"{file}:mine").structure == find("elman").structure != first.structure


def test_an_error_shows_the_line_as_it_is_now(file: Path):
    for line in ("return h ** 2", "return h ** 4"):
        file.write_text(f"from rekur.cells import cell\n@cell\ndef mine(x, h):\n    {line}\n", encoding="utf-8")
        os.utime(file, (0, int(line[-1])))  # both writes fall within the grain of some clocks
        with pytest.raises(CellError, match=re.escape(f"{file}:4:  {line}")):
            load(f"{file}:mine")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mien", "there is no cell 'mien' in FILE; did you mean 'mine'?"),
        ("zebra", "there is no cell 'zebra' in FILE; say FILE:NAME, its cells are: mine"),
        ("", "there is no cell '' in FILE; say FILE:NAME, its cells are: mine"),
        ("five", "'five' in FILE is of type int, not a cell"),
        ("Options", "'Options' in FILE is of type type, not a cell"),
        ("numbered", "'numbered' in FILE is of type int, not a cell"),
        ("wide", "'wide' in FILE is a function that needs size: put @cell over it"),
    ],
)
def test_a_name_in_a_file_that_is_no_cell(file: Path, name: str, message: str):
    with pytest.raises(OptionError, match=re.escape(message.replace("FILE", str(file)))):
        load(f"{file}:{name}")


def test_a_file_without_a_name_lists_its_cells(file: Path):
    with pytest.raises(OptionError, match=re.escape(f"say {file}:NAME, its cells are: mine")):
        load(str(file))


def test_a_missing_file(tmp_path: Path):
    with pytest.raises(OptionError, match=r"there is no file '.*gone\.py'"):
        load(f"{tmp_path / 'gone.py'}:mine")
    with pytest.raises(OptionError, match="there is no file"):
        load(f"{tmp_path}.py:mine")


@pytest.mark.parametrize(
    ("code", "message", "cause"),
    [
        ("one = 1\nmine = one / 0\n", "ZeroDivisionError: division by zero\n  at FILE:2:  mine = one / 0", True),
        ("import nowhere_at_all\n", "ModuleNotFoundError: No module named 'nowhere_at_all'\n  at FILE:1:", True),
        ("mine = (\n", "SyntaxError: '(' was never closed (my_cells.py, line 1)", True),
        ("mine = 1\0\n", "FILE cannot be run: ", True),
        ("from rekur.cells import find\nmine = find('lsmt')\n", "did you mean 'lstm'?; there are", True),
        ("def mine():\n    raise KeyError('k')\n", "KeyError: 'k'\n  at FILE:2:  raise KeyError('k')", True),
        (
            "from rekur.cells import cell\n@cell\ndef mine(x, h):\n    return h ** 2\n",
            "write h * h, or exp(k * log(h)) for other powers\n  at FILE:4:  return h ** 2",
            False,
        ),
    ],
)
def test_a_file_that_fails_says_where(tmp_path: Path, code: str, message: str, cause: bool):
    file = tmp_path / "my_cells.py"
    file.write_text(code, encoding="utf-8")
    path = sys.path[:]
    with pytest.raises(CellError, match=re.escape(message.replace("FILE", str(file)))) as caught:
        load(f"{file}:mine")
    assert (caught.value.__cause__ is not None) == cause
    assert sys.path == path
    assert not [name for name in sys.modules if name.startswith("rekur_cells_in_")]


def test_a_path_may_be_relative(file: Path):
    code = "from rekur.cells import load; print(load('my_cells.py:mine').name)"
    done = subprocess.run([sys.executable, "-c", code], cwd=file.parent, capture_output=True, text=True, check=True)
    assert done.stdout == "mine\n"
