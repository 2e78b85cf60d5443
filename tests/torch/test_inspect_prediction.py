"""What a model expects of a text, against logits that are worked out step by step in numpy."""

import re
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
import torch

from rekur.cells import lstm
from rekur.errors import DataError, OptionError
from rekur.inspect import Prediction, foresee, foreseen
from rekur.inspect.losses import blocks, kinds, places, shares, words, worst
from rekur.nn import Plan, SequenceModel

NAMES = "abcdefg\n"
Array = npt.NDArray[np.float64]


@pytest.fixture(scope="module")
def model() -> SequenceModel:
    plan = Plan(lstm, 5, 9, 2, symbols=len(NAMES), outputs=len(NAMES), feedback=True, dropout=0.5)
    made = SequenceModel(plan, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():  # so unsure a model would have nothing to tell apart
        for parameter in made.parameters():
            parameter.mul_(3)
    return made


@pytest.fixture(scope="module")
def symbols() -> npt.NDArray[np.uint8]:
    return np.random.default_rng(4).integers(0, len(NAMES), 50).astype(np.uint8)


def by_hand(model: SequenceModel, symbols: npt.NDArray[np.uint8]) -> Array:
    """(N - 1, V) the probabilities of every next symbol: an LSTM of two layers in float64, one step at a time."""
    weights = {name: value.double().numpy() for name, value in model.state_dict().items()}

    def logistic(x: Array) -> Array:
        return 1 / (1 + np.exp(-x))

    states = [(np.zeros(9), np.zeros(9)) for _ in range(2)]
    rows = []
    for symbol in symbols[:-1]:
        x = weights["embedding.weight"][symbol]
        for layer, (h, c) in enumerate(states):
            at = f"recurrent.layers.{layer}.weights."
            f, i, g, o = (
                weights[f"{at}{gate}.x"] @ x + weights[f"{at}{gate}.h"] @ h + weights[f"{at}{gate}.bias"]
                for gate in ("forget", "input", "candidate", "output")
            )
            c = logistic(f) * c + logistic(i) * np.tanh(g)
            x = logistic(o) * np.tanh(c)
            states[layer] = x, c
        odds = np.exp(weights["head.weight"] @ x + weights["head.bias"])
        rows.append(odds / odds.sum())
    return np.stack(rows)


def differences(found: Prediction, expected: Array, came: npt.NDArray[np.uint8]) -> list[str]:
    """What of a prediction is not what the probabilities say."""
    p = expected[np.arange(len(came)), came]
    order = np.argsort(-expected, axis=1)[:, :5]
    wrong = {
        "surprise": np.abs(found.surprise.values + np.log2(p)).max() > 1e-4,
        "expected": np.abs(found.expected.values + (expected * np.log2(expected)).sum(1)).max() > 1e-4,
        "rank": (found.rank.values != 1 + (expected > p[:, None]).sum(1)).any(),
        "likely": (found.likely.values != np.array(list(NAMES))[order]).any(),
        "probability": np.abs(found.probability.values - np.take_along_axis(expected, order, 1)).max() > 1e-5,
    }
    return [name for name, is_wrong in wrong.items() if is_wrong]


def test_prediction_is_what_a_plain_loop_says(model: SequenceModel, symbols: npt.NDArray[np.uint8]):
    model.train()  # dropout must be off all the same, and on again
    found = foresee(model, symbols, NAMES, time=7)
    assert model.training
    assert differences(found, by_hand(model, symbols), symbols[1:]) == []
    assert found.surprise.time.values.tolist() == list(range(1, 50))
    assert found.bits == pytest.approx(float(found.surprise.mean()))
    assert "".join(found.text) == "".join(NAMES[i] for i in symbols)


def test_the_comparison_finds_differences(model: SequenceModel, symbols: npt.NDArray[np.uint8]):
    found = foresee(model, symbols, NAMES)
    expected = by_hand(model, symbols)
    shifted = np.roll(symbols, 1)
    assert set(differences(found, expected, shifted[1:])) >= {"surprise", "rank"}
    assert set(differences(found, np.roll(expected, 1, 0), symbols[1:])) >= {"surprise", "expected", "likely"}
    flat = replace(found, probability=found.probability * 0.9)
    assert differences(flat, expected, symbols[1:]) == ["probability"]


def test_chunks_are_the_whole(model: SequenceModel, symbols: npt.NDArray[np.uint8]):
    whole = foresee(model, symbols, NAMES)
    parts = list(foreseen(model, symbols, NAMES, time=16))
    assert [len(part) for part in parts] == [16, 16, 16, 1]
    for name in ("surprise", "expected", "rank", "likely", "probability"):
        found = np.concatenate([getattr(part, name).values for part in parts])
        expected = getattr(whole, name).values
        if found.dtype == np.float32:  # the head is torch's product, which rounds by its size
            np.testing.assert_allclose(found, expected, rtol=1e-5)
        else:
            np.testing.assert_array_equal(found, expected)
    here = whole.part(16, 32)
    assert "".join(parts[1].text) != "".join(here.text)
    second = whole.part(17, 33)
    assert "".join(parts[1].text) == "".join(second.text)
    np.testing.assert_array_equal(parts[1].surprise.values, second.surprise.values)
    assert second.surprise.time.values.tolist() == list(range(17, 33))


def test_a_text_is_shown_instead_of_names_and_escaped(model: SequenceModel):
    found = foresee(model, np.array([0, 1, 2]), NAMES, text="<&>")
    html = found._repr_html_()
    assert "&lt;" in html
    assert ">&amp;</span>" in html
    assert found.likely.values[0, 0] in NAMES
    assert f"{found.bits:.3f} bits" in html


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"symbols": np.array([1])}, "the text is too short to foresee anything of it: 1 symbols; give 2 or more"),
        ({"names": "ab"}, "there are 2 names for 8 symbols"),
        ({"top": 0}, "top is 0; it must be 1 or more"),
        ({"time": 0}, "time is 0; it must be 1 or more"),
        ({"text": "ab"}, "the text has 2 symbols to show and 4 to read"),
    ],
)
def test_what_makes_no_sense_is_refused(model: SequenceModel, given: dict[str, object], message: str):
    arguments = {"symbols": np.array([1, 2, 3, 4]), "names": NAMES, **given}
    with pytest.raises((DataError, OptionError), match=f"^{re.escape(message)}$"):
        foresee(model, **arguments)  # type: ignore[arg-type]


def test_a_model_that_does_not_write_is_refused_and_so_are_places_outside(model: SequenceModel):
    with pytest.raises(OptionError, match=r"only a model that goes on with a text .* got symbols=8, outputs=2"):
        foresee(SequenceModel(Plan(lstm, 5, 9, symbols=8, outputs=2)), np.array([1, 2]), NAMES)
    found = foresee(model, np.array([0, 1, 2]), NAMES)
    with pytest.raises(OptionError, match="places 2 to 4 are not within 1 to 3"):
        found.part(2, 4)


# ---- where the loss is -------------------------------------------------------------------------------------

TEXT = "  def f1(x):\n\treturn 'É'\n"


def test_kinds_places_and_words_say_what_is_there():
    of = dict(zip(range(len(TEXT)), kinds(TEXT).tolist(), strict=True))
    assert [of[0], of[1], of[5], of[7], of[8]] == ["indentation", "indentation", "space", "digit", "bracket"]
    assert [of[TEXT.index("\n")], of[TEXT.index("\t")], of[TEXT.index("É")]] == [
        "line end",
        "indentation",
        "capital letter",
    ]
    assert [of[TEXT.index("'")], of[TEXT.index(":")]] == ["quote", "other sign"]
    labels, within = places(TEXT)
    assert "".join(labels[within]) == "123" + "12" + "1" + "123456" + "1"
    assert places("abcdefghij")[0].tolist() == [*"1234567", *["8 and more"] * 3]
    bits = np.arange(len(TEXT), dtype=float)
    found = {one.name: (one.count, one.bits) for one in words(TEXT, bits)}
    assert found == {"def": (1, 9.0), "f1": (1, 13.0), "x": (1, 9.0), "return": (1, 99.0), "É": (1, 22.0)}


def test_shares_blocks_and_the_worst_add_up():
    bits = np.random.default_rng(0).gamma(1.0, 2.0, 1003)
    labels = np.array(list("abc"))[np.random.default_rng(1).integers(0, 3, 1003)]
    found = shares(labels, bits)
    assert sum(one.count for one in found) == 1003
    assert sum(one.bits for one in found) == pytest.approx(bits.sum())
    assert {one.name: one.each for one in found} == pytest.approx({k: bits[labels == k].mean() for k in "abc"})
    starts, means = blocks(bits, 10)
    assert (means * np.diff([*starts, 1003])).sum() == pytest.approx(bits.sum())
    assert means[3] == pytest.approx(bits[starts[3] : starts[4]].mean())
    at = worst(bits, 5, apart=20)
    assert at[0] == bits.argmax()
    assert min(abs(a - b) for a in at for b in at if a != b) >= 20
    assert (np.diff(bits[at]) <= 0).all()
