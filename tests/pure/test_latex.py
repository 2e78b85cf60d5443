"""Equations in LaTeX: what they say, and that another program reads them."""

from __future__ import annotations

import pytest
from matplotlib.mathtext import MathTextParser

from rekur.cells import cell, find, gate, lstm, sigmoid, tanh, where
from rekur.graph import OPS, derive, equations, latex
from rekur.graph.latex import _FUNCTIONS, _RULES
from tests.pure.graph_cells import GRAPHS
from tests.pure.random_cells import random_cell

LEAVES = {"input", "state", "constant", "parameter", "gradient", "number"}


def test_an_lstm_reads_as_in_the_papers():
    assert latex(lstm.graph) == (
        r"""\begin{align*}
\mathrm{forget}_{t} &= \sigma\left(W^{\mathrm{forget}}_{x}\, x_{t} + W^{\mathrm{forget}}_{h}\, h_{t-1} + b^{\mathrm{forget}}\right) \\
\mathrm{input}_{t} &= \sigma\left(W^{\mathrm{input}}_{x}\, x_{t} + W^{\mathrm{input}}_{h}\, h_{t-1} + b^{\mathrm{input}}\right) \\
\mathrm{candidate}_{t} &= \tanh\left(W^{\mathrm{candidate}}_{x}\, x_{t} + W^{\mathrm{candidate}}_{h}\, h_{t-1} + b^{\mathrm{candidate}}\right) \\
\mathrm{output}_{t} &= \sigma\left(W^{\mathrm{output}}_{x}\, x_{t} + W^{\mathrm{output}}_{h}\, h_{t-1} + b^{\mathrm{output}}\right) \\
c_{t} &= \mathrm{forget}_{t} \odot c_{t-1} + \mathrm{input}_{t} \odot \mathrm{candidate}_{t} \\
h_{t} &= \mathrm{output}_{t} \odot \tanh\left(c_{t}\right)
\end{align*}"""  # noqa: E501
    )


def test_brackets_are_kept():
    @cell
    def brackets(x, h):
        a, b = gate("a", tanh, x), gate("b", sigmoid, h)
        return a - (b - h) * (a / (1 + b)) - (-h)

    assert latex(brackets.graph).splitlines()[-2] == (
        r"h_{t} &= a_{t} - \left(b_{t} - h_{t-1}\right) \odot \frac{a_{t}}{1 + b_{t}} - \left(-h_{t-1}\right)"
    )


def test_a_number_that_is_put_out_stays_a_number_elsewhere():
    graph = GRAPHS["caption"]
    assert r"\mathrm{first}_{t} &= 0" in latex(graph)
    assert "where(first, image" in equations(graph).replace(
        "where(first, picture.image @ image, 0)", "where(first, image"
    )


def test_neighbours_and_choices():
    assert "h_{t-1}^{(-1)}" in latex(find("lstm2d").graph)

    @cell
    def choice(x, h):
        return where(h > 0, tanh(h), h * 2)

    assert r"\begin{cases} \tanh\left(h_{t-1}\right) & \text{if } \left[h_{t-1} > 0\right] \neq 0 \\" in latex(
        choice.graph
    )


def test_every_operation_is_written():
    assert set(_FUNCTIONS) | set(_RULES) | LEAVES == set(OPS)


@pytest.mark.parametrize("name", [*GRAPHS, *range(12)])
def test_every_equation_is_whole(name: str | int):
    graph = GRAPHS[name] if isinstance(name, str) else random_cell(name).graph
    for whole in (graph, derive(graph)):
        begin, *lines, end = latex(whole).splitlines()
        assert (begin, end) == (r"\begin{align*}", r"\end{align*}")
        assert len(lines) >= len(whole.outputs)
        for line in lines:
            assert line.count("&=") == 1
            assert line.count(r"\left") == line.count(r"\right")
            assert line.count("{") == line.count("}")


@pytest.mark.parametrize("name", ["gru", "attend", "minlstm", 3])
def test_another_program_reads_the_equations(name: str | int):
    """matplotlib's reader of mathematics, which knows no `cases`."""
    graph = GRAPHS[name] if isinstance(name, str) else random_cell(name).graph
    read = MathTextParser("path")
    lines = [line for line in latex(graph).splitlines()[1:-1] if "cases" not in line]
    assert len(lines) > 2
    for line in lines:
        one = line.removesuffix(r" \\").replace("&=", "=")
        read.parse(f"${one}$")


def test_the_reader_would_find_a_mistake():
    with pytest.raises(ValueError, match="Parse"):
        MathTextParser("path").parse(r"$\sigma\left(W_{x}$")
