import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekur.data import UNKNOWN, Unseen, Words, tokenize
from rekur.errors import DataError, OptionError

sentences = st.lists(st.lists(st.text("abcä", min_size=1, max_size=2)), max_size=20)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Well, isn't it?", "well , is n't it ?"),
        ("I can't; they've won’t you'd we're it's", "i ca n't ; they 've wo n’t you 'd we 're it 's"),
        ("state-of-the-art 3.5 and 1,000,000.", "state-of-the-art 3.5 and 1,000,000 ."),
        ("  Größe\tüber  alles\n", "größe über alles"),
        ("(a) \"b\" 'c' -- d...", "( a ) \" b \" ' c ' - - d . . ."),
        ("L'eau @user #tag_1 :-)", "l ' eau @ user # tag_1 : - )"),
        ("ain't knight want", "ai n't knight want"),
        ("", ""),
    ],
)
def test_tokens(text, tokens):
    assert tokenize(text) == tokens.split()


@given(st.text())
def test_tokens_lose_nothing_but_white_space(text):
    assert "".join(tokenize(text, lower=False)) == "".join(text.split())


def test_the_case_is_kept_where_asked():
    assert tokenize("Isn't IT", lower=False) == ["Is", "n't", "IT"]


@given(sentences, st.integers(1, 3))
def test_words_are_numbered_by_frequency(sentences, min_count):
    flat = [word for sentence in sentences for word in sentence]
    if not flat:
        with pytest.raises(DataError, match="no words"):
            Words.build(sentences)
        return
    words = Words.build(sentences, min_count=min_count)
    assert words.words[0] == UNKNOWN
    assert set(words.words[1:]) == {word for word in flat if flat.count(word) >= min_count}
    order = [(-flat.count(word), word) for word in words.words[1:]]
    assert order == sorted(order)
    for sentence in sentences:
        back = words.decode(words.encode(sentence))
        assert back == [word if word in words.words else UNKNOWN for word in sentence]
    assert Words.from_json(json.loads(json.dumps(words.to_json()))) == words


def test_what_becomes_of_unseen_words():
    words = Words.build([["a", "b"]])
    labels = Words.build([["x", "y", "y"]], unknown=False)
    assert words.encode(["b", "?", "a"]).tolist() == [2, 0, 1]
    assert words.encode(["b", "?", "a"], "skip").tolist() == [2, 1]
    assert words.encode([]).tolist() == []
    assert labels.words == ("y", "x")
    assert labels.unknown is None
    assert labels.encode(["x", "z"], "skip").tolist() == [1]
    refused: list[tuple[Words, Unseen]] = [(words, "error"), (labels, "error"), (labels, "unknown")]
    for vocabulary, unseen in refused:
        with pytest.raises(DataError, match=r"'\?' is not among the \d words"):
            vocabulary.encode(["?"], unseen)


def test_a_text_that_has_the_unknown_word_itself():
    assert Words.build([[UNKNOWN, "a"]]).words == (UNKNOWN, "a")
    assert set(Words.build([[UNKNOWN, "a"]], unknown=False).words) == {UNKNOWN, "a"}


@pytest.mark.parametrize("data", [None, {}, {"words": "ab"}, {"words": []}, {"words": ["a", "a"]}, {"words": [1]}])
def test_what_is_no_vocabulary(data):
    with pytest.raises(DataError, match="not a vocabulary of words"):
        Words.from_json(data)


def test_what_makes_no_sense():
    words = Words.build([["a"]])
    with pytest.raises(OptionError, match="min_count must be at least 1, not 0"):
        Words.build([["a"]], min_count=0)
    with pytest.raises(OptionError, match="takes unknown=True"):
        Words.build([["a"]], min_count=2, unknown=False)
    with pytest.raises(OptionError, match="unseen is 'drop'"):
        words.encode(["a"], "drop")  # type: ignore[arg-type]
    for number in (-1, 2, 0.0):
        with pytest.raises(DataError, match=f"no word has the number {number}"):
            words.decode([number])  # type: ignore[list-item]
