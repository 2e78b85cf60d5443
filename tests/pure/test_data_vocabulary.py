import json
import random

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rekur.data import UNKNOWN, Vocabulary
from rekur.errors import DataError, OptionError

texts = st.text()  # any characters, without halves of surrogate pairs
some_text = st.text(min_size=1)


@given(some_text)
@example("\0\U0010ffff\ufeff" + UNKNOWN)
def test_characters_come_back(text):
    vocabulary = Vocabulary.build(text)
    numbers = vocabulary.encode(text, unseen="error")
    assert numbers.shape == (len(text),)
    assert vocabulary.decode(numbers) == text
    assert [vocabulary.symbols[n] for n in numbers] == list(text)
    assert list(vocabulary.symbols) == sorted(set(text))


@given(texts)
def test_bytes_come_back(text):
    vocabulary = Vocabulary.of_bytes()
    numbers = vocabulary.encode(text, unseen="error")
    assert bytes(numbers.tolist()) == text.encode()
    assert vocabulary.decode(numbers) == text


@given(st.lists(some_text, min_size=1))
def test_counting_in_pieces_is_counting_the_whole(pieces):
    pieces.append(pieces[0])  # something occurs twice
    assert Vocabulary.build(pieces, min_count=2) == Vocabulary.build("".join(pieces), min_count=2)


@given(st.text("abc", min_size=1), st.text("abxyz\U0001f600"))
def test_the_three_ways_with_unseen_characters(known, text):
    vocabulary = Vocabulary.build(known, unknown=True)
    seen = set(known)
    assert vocabulary.decode(vocabulary.encode(text)) == "".join(c if c in seen else UNKNOWN for c in text)
    assert vocabulary.decode(vocabulary.encode(text, unseen="skip")) == "".join(c for c in text if c in seen)
    if set(text) <= seen:
        assert vocabulary.decode(vocabulary.encode(text, unseen="error")) == text
    else:
        with pytest.raises(DataError):
            vocabulary.encode(text, unseen="error")


@given(some_text, st.integers(1, 4))
def test_rare_characters_share_one_symbol_that_is_there_only_if_needed(text, least):
    counts = {c: text.count(c) for c in text}
    frequent = {c for c, n in counts.items() if n >= least}
    if not frequent:
        with pytest.raises(DataError, match=f"no character occurs {least} times"):
            Vocabulary.build(text, min_count=least)
        return
    vocabulary = Vocabulary.build(text, min_count=least)
    assert set(vocabulary.symbols) == frequent | ({UNKNOWN} if set(text) - frequent else set())
    assert vocabulary.decode(vocabulary.encode(text)) == "".join(c if c in frequent else UNKNOWN for c in text)


def test_unseen_characters_are_named():
    vocabulary = Vocabulary.build("abc")
    assert vocabulary.unknown is None
    for unseen in ("unknown", "error"):
        with pytest.raises(DataError, match=r"'ß' \(U\+00DF\), 'ä' \(U\+00E4\) not among the 3 characters"):
            vocabulary.encode("ähß", unseen=unseen) if unseen == "error" else vocabulary.encode("äß")
    with pytest.raises(DataError, match="and 21 more"):
        vocabulary.encode("defghijklmnopqrstuvwxyzABC")


def test_halves_of_surrogate_pairs_are_unseen_in_either_unit():
    prompt = b"ab\xff".decode(errors="surrogateescape")  # what a command line makes of bytes that are no UTF-8
    for vocabulary in (Vocabulary.build("ab"), Vocabulary.of_bytes()):
        with pytest.raises(DataError, match=r"'\\udcff' \(U\+DCFF\)"):
            vocabulary.encode(prompt)
        assert vocabulary.decode(vocabulary.encode(prompt, unseen="skip")) == "ab"
    with pytest.raises(DataError):
        Vocabulary(("a", "\ud800"))


def test_one_single_symbol():
    vocabulary = Vocabulary.build("aaaa")
    assert vocabulary.symbols == ("a",)
    assert vocabulary.encode("aa").tolist() == [0, 0]


@pytest.mark.parametrize(
    ("size", "kind"), [(256, np.uint8), (257, np.uint16), (1 << 16, np.uint16), ((1 << 16) + 1, np.int32)]
)
def test_the_smallest_type_that_holds_every_number(size, kind):
    symbols = [chr(i) for i in range(size + 2048) if not 0xD800 <= i < 0xE000][:size]
    text = "".join(symbols)
    vocabulary = Vocabulary.build(text)
    numbers = vocabulary.encode(text)
    assert len(vocabulary) == size
    assert numbers.dtype == vocabulary.dtype == kind
    assert numbers.tolist() == list(range(size))
    assert vocabulary.decode(numbers) == text


@given(texts, st.randoms(use_true_random=False))
def test_a_decoder_gives_the_same_text_in_any_pieces(text, chance: random.Random):
    for vocabulary in (Vocabulary.of_bytes(), Vocabulary.build(text + "a")):
        numbers = vocabulary.encode(text)
        decoder, at, parts = vocabulary.decoder(), 0, []
        while at < len(numbers):
            step = chance.randint(0, 3)
            parts.append(decoder.feed(numbers[at : at + step]))
            at += step
        assert "".join(parts) + decoder.finish() == text


def test_bytes_that_are_no_utf8_are_shown_as_such():
    vocabulary = Vocabulary.of_bytes()
    assert vocabulary.decode([0xC3]) == UNKNOWN
    assert vocabulary.decode([0xFF, 65]) == UNKNOWN + "A"
    decoder = vocabulary.decoder()
    assert [decoder.feed([b]) for b in "é€".encode()] == ["", "é", "", "", "€"]
    assert decoder.feed([0xE2]) + decoder.finish() == UNKNOWN


@pytest.mark.parametrize("numbers", [[3], [-1], [0, 300], [0.0], [float("nan")], ["a"]])
def test_numbers_of_no_symbol_are_refused(numbers):
    with pytest.raises(DataError, match=f"no symbol has the number {numbers[-1]}: they are whole and go from 0 to 2"):
        Vocabulary.build("abc").decode(numbers)


@given(some_text)
def test_json_and_back(text):
    for vocabulary in (Vocabulary.build(text), Vocabulary.of_bytes()):
        assert Vocabulary.from_json(json.loads(json.dumps(vocabulary.to_json()))) == vocabulary


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {},
        {"unit": "words", "symbols": "ab"},
        {"unit": "characters"},
        {"unit": "characters", "symbols": ["a", "b"]},
        {"unit": "characters", "symbols": ""},
        {"unit": "characters", "symbols": "aa"},
        {"unit": "characters", "symbols": "a\ud800"},
    ],
)
def test_json_that_is_no_vocabulary(data):
    with pytest.raises(DataError, match="not a vocabulary"):
        Vocabulary.from_json(data)


def test_a_vocabulary_of_what_is_no_symbol():
    for symbols in ((), ("ab",), ("a", "a"), (1,)):
        with pytest.raises(DataError):
            Vocabulary(symbols)  # type: ignore[arg-type]
    with pytest.raises(DataError):
        Vocabulary(("a",), "bytes")


def test_options_that_make_no_sense():
    with pytest.raises(OptionError, match="min_count must be at least 1, not 0"):
        Vocabulary.build("abc", min_count=0)
    with pytest.raises(OptionError, match="unseen is 'ignore'"):
        Vocabulary.build("abc").encode("a", unseen="ignore")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="empty text"):
        Vocabulary.build("")
