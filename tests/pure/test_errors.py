"""The hierarchy of errors and the tail that suggests a name."""

import pytest

from rekur import errors
from rekur.errors import RekurError, suggest

KINDS = [value for value in vars(errors).values() if isinstance(value, type) and value.__module__ == errors.__name__]


def test_every_error_is_one_of_ours_and_says_what_it_means():
    assert len(KINDS) >= 9
    for kind in KINDS:
        assert issubclass(kind, RekurError)
        assert kind.__doc__


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_shows_its_message_and_is_caught_as_one_of_ours(kind: type[RekurError]):
    with pytest.raises(RekurError, match=r"^h has 128 units$"):
        raise kind("h has 128 units")


def test_suggest_finds_the_nearest_of_several():
    assert suggest("hiden_size", ["input_size", "hidden_size", "num_layers"]) == "; did you mean 'hidden_size'?"


def test_suggest_takes_any_iterable_once():
    assert suggest("gur", iter(["lstm", "gru"])) == "; did you mean 'gru'?"


@pytest.mark.parametrize(("name", "known"), [("zebra", ["lstm", "gru"]), ("lstm", []), ("", ["lstm"])])
def test_suggest_says_nothing_where_nothing_is_near(name: str, known: list[str]):
    assert suggest(name, known) == ""
