"""Properties of texts: each against what a reader would mark, character by character."""

import numpy as np
import pytest

from rekur.errors import OptionError
from rekur.inspect.properties import PROSE, PYTHON, Property, choose, parse, standard, values

SOURCE = '''\
class A(B):  # a "comment"
    """Doc (string."""

    def f(self, x={"a": 1}):
        if (x and
                x[0]):
            return 'it\\'s'
        return 0
y = 1
'''


def marked(name: str, text: str, known: tuple[Property, ...] = PYTHON) -> str:
    """The characters at which a property is not 0; line feeds as ¶."""
    (prop,) = choose([name], known)
    return "".join(c for c, v in zip(text, values(prop, text), strict=True) if v).replace("\n", "¶")


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("quotes", '"""Doc (string.""' + '"a' + "'it\\'s"),
        ("docstring", '"""Doc (string.""'),
        ("comment", '# a "comment"'),
        ("brackets", '(B(self, x={"a": 1}(x and¶                x[0]'),
        ("header", ' A(B):  # a "comment" f(self, x={"a": 1}): (x and¶                x[0]):'),
        ("if_block", "¶            return 'it\\'s'¶        "),
        ("digit", "1001"),
    ],
)
def test_python(name: str, where: str):
    assert marked(name, SOURCE) == where


def test_blocks_nest_and_end_where_the_next_statement_starts():
    inside = {kind: marked(f"{kind}_block", SOURCE) for kind in ("class", "def", "loop")}
    assert inside["class"].startswith('¶    """Doc')
    assert inside["class"].endswith("return 0¶")
    assert inside["def"].startswith("¶        if (x")
    assert inside["def"].endswith("return 0¶")
    assert inside["loop"] == ""


def test_a_header_of_one_line_opens_no_block():
    assert marked("if_block", "if x: y\nz\n") == ""
    assert marked("if_block", "if x:\n  y\nz\n") == "¶  y¶"


def test_a_text_that_begins_in_a_docstring_comes_right_at_the_next_definition():
    text = 'of a doc."""\n\nx = 1\n\ndef f(self):\n    return "a"\n'
    assert marked("quotes", text).endswith('"a')
    assert "return" not in marked("quotes", text)


def test_depth_counts_and_indentation_is_what_has_been_read():
    depth, indentation, column = choose(["depth", "indentation", "column"])
    assert values(depth, "f([1])]").tolist() == [0, 1, 2, 2, 1, 0, 0]
    assert values(indentation, "  a b\n c").tolist() == [1, 2, 2, 2, 2, 0, 1, 1]
    assert values(column, "ab\nc\n").tolist() == [0, 1, 0, 1, 0]


def test_prose():
    text = 'He said "no (never)". I\'m\n\nso "sad\n\nYes.'
    assert marked("quotes", text, PROSE) == '"no (never)"sad¶'
    assert marked("brackets", text, PROSE) == "(never"
    (sentence,) = choose(["sentence"], PROSE)
    assert values(sentence, "Ab. Cd").tolist() == [0, 1, 0, 1, 2, 3]
    (paragraph,) = choose(["paragraph"], PROSE)
    assert values(paragraph, "a\nb\n\nc").tolist() == [0, 1, 1, 2, 0, 0]


@pytest.mark.parametrize("prop", [*PROSE, *PYTHON], ids=lambda prop: prop.name)
@pytest.mark.parametrize("text", ["", "\n", '"', "'''", "(", "#", "def f(", "é\ud800☃\n\tx"])
def test_any_text_has_values(prop: Property, text: str):
    assert values(prop, text).shape == (len(text),)


def test_python_is_told_from_prose():
    assert standard(SOURCE) is PYTHON
    assert standard("From what I saw, import duties rose.\n" * 9) is PROSE


def test_a_property_that_does_not_exist_suggests_the_nearest():
    with pytest.raises(OptionError, match="no property 'qoutes'; did you mean 'quotes'"):
        choose(["qoutes"])


def test_a_property_of_ones_own():
    text = "a = b\nc == 'A1'\n"
    assert parse("upper=c.isupper()").of(text).tolist() == [float(c == "A") for c in text]
    assert parse("i % 2 == 0").of("abc").tolist() == [1, 0, 1]
    assert parse("c == 'a'").name == "c == 'a'"
    assert parse("n=len(line)").of("ab\nc").tolist() == parse("n=column").of("ab\nc").tolist() == [1, 2, 0, 1]
    assert parse("n=sum(1 for d in text[:i] if d == c)").of("aab").tolist() == [0, 1, 0]
    assert parse("both=quotes and c.isdigit()").of("'1'").tolist() == [0, 1, 0]
    assert parse("word=bool(re.match('[ab]+$', line))").of("abc").tolist() == [1, 1, 0]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("x=c.isupper(", "property 'x': 'c.isupper\\(' is not an expression of Python: '\\(' was never closed"),
        ("x=", "is not an expression"),
        ("x=y = 1", "is not an expression"),
        ("x=lenn(line)", "there is no 'lenn'; did you mean 'len'.*c \\(the character\\)"),
        ("x=colum > 3", "there is no 'colum'; did you mean 'column'"),
    ],
)
def test_what_is_no_property_is_said_before_any_text_is_read(given: str, says: str):
    with pytest.raises(OptionError, match=says):
        parse(given)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("x=c", "property 'x' is 'a', a str, at character 0, 'a'; it must be a number"),
        ("x=1 / (i - 1)", "property 'x' fails at character 1, 'b': ZeroDivisionError"),
        ("x=float('nan')", "property 'x' is nan at character 0, 'a'; make it finite"),
        ("x=c.upper", "a builtin_function_or_method"),
        ("x=c.isuper()", "AttributeError: 'str' object has no attribute 'isuper'"),
    ],
)
def test_a_property_that_goes_wrong_on_a_text_says_where(given: str, says: str):
    with pytest.raises(OptionError, match=says):
        values(parse(given), "ab")


def test_a_property_of_the_wrong_length_is_an_error():
    with pytest.raises(OptionError, match="'short' gives \\(1,\\) values for 2 characters"):
        values(Property("short", "", lambda text: np.zeros(1, np.float32)), "ab")
