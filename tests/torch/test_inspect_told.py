"""What a classifier says word by word is what it says of each beginning; a tagger's is what it says of the whole."""

import numpy as np
import pytest
import torch

from rekur.cells import gru, lstm
from rekur.data.vocabulary import UNKNOWN
from rekur.errors import DataError, OptionError, ShapeError
from rekur.inspect import look, observe, saturation, tell
from rekur.nn import Plan, Recurrent, SequenceModel
from rekur.tasks.by_steps import look_at, misses, said
from rekur.tasks.classifier import Classify
from rekur.tasks.predictor import Predictor
from rekur.tasks.problem import Sequences
from rekur.tasks.tagger import Tag


def model(**options):
    torch.manual_seed(3)
    return SequenceModel(Plan(gru, 3, 6, symbols=7, outputs=3, **options))


@pytest.mark.parametrize("pooling", ["last", "mean", "max"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_classifier_says_what_it_would_of_each_beginning(pooling, bidirectional):
    one = model(pooling=pooling, bidirectional=bidirectional).eval()
    x = torch.randint(7, (70,), generator=torch.Generator().manual_seed(0))
    got = tell(one, x.numpy().astype(np.int32), "abc").values
    assert got.label.values.tolist() == ["a", "b", "c"]
    with torch.no_grad():
        want = torch.cat([one(x[None, : t + 1])[0].softmax(-1) for t in range(70)]).numpy()
    assert abs(got.values - want).max() < 1e-6
    assert abs(got.values[:-1] - want[1:]).max() > 1e-3  # one step later is another answer


def test_a_tagger_says_what_it_says_of_the_whole_sequence():
    one = model(bidirectional=True).train()
    x = torch.tensor([1, 5, 2, 2])
    got = tell(one, x, steps=3).values
    assert one.training
    with torch.no_grad():
        want = one.eval()(x[None])[0][0, :3].numpy()
    assert got.sizes == {"time": 3, "label": 3}
    assert abs(got.values - want).max() < 1e-6
    with pytest.raises(OptionError, match="2 labels, and the model has 3 outputs"):
        tell(one, x, ["a", "b"])
    with pytest.raises(ShapeError, match="empty"):
        tell(one, x[:0])


def test_a_look_is_a_window_of_the_record_and_the_saturation_of_all():
    torch.manual_seed(0)
    layer, x = Recurrent(["lstm", "gru"], 3, [4, 6]), torch.randn(3, 40, 3)
    found = look(layer, x, lengths=[40, 9, 0], rows=2, first=5, steps=8, time=7)
    whole = observe(layer, x, ["forget", "update", "h", "c"], lengths=[40, 9, 0])
    for name in ("forget", "update", "0.h", "1.h", "c"):
        want = whole[name].isel(batch=slice(2), time=slice(5, 13))
        assert np.array_equal(found.record[name].values, want.values, equal_nan=True)
        assert found.record[name].time.values.tolist() == list(range(5, 13))
    assert found.steps == 49
    assert (found.gates, found.states) == (("forget", "input", "output", "reset", "update"), ("h", "c"))
    assert found.saturation is not None
    assert found.saturation.equals(saturation(observe(layer, x, found.gates, lengths=[40, 9, 0])))
    assert look(Recurrent("elman", 3, 4), x).saturation is None


def classifier():
    problem = Classify("words", ("bad", "good"), "last", {"words": [UNKNOWN, "dull", "fine", "film", "a"]})
    torch.manual_seed(1)
    return Predictor(SequenceModel(Plan(lstm, 3, 5, symbols=problem.symbols, outputs=2, pooling="last")), problem)


def test_a_classifier_is_looked_at_word_by_word():
    predictor = classifier()
    examples = predictor.problem.read_text(["a fine film", "a dull film , a dull film", "zebra"])
    looked = look_at(predictor, Sequences(examples.inputs, [1, 0, None]), rows=2)
    assert looked.steps == 3 + 7 + 1
    shown = looked.record["h"].text.values.tolist()
    assert ["a", "fine", "film", "", "", "", ""] in shown
    assert len(looked.told) == len(shown) == 2
    for words, told in zip(shown, looked.told, strict=True):
        x = predictor.problem.encode(" ".join(words))
        (want,) = predictor.outputs([x])
        assert abs(told.values.isel(time=-1).values - want).max() < 1e-6
        assert told.note.startswith("Predicted ")
    with pytest.raises(DataError, match="no sequence"):
        look_at(predictor, examples.select([]))


def test_what_is_said_of_a_sequence():
    problem = classifier().problem
    assert said(problem, None, 1, np.array([0.25, 0.75])) == "Predicted good (75%)"
    assert said(problem, None, 0, np.array([0.25, 0.75])) == "Predicted good (75%); wrong, it is bad"
    assert not misses(problem, None, np.array([0.25, 0.75]))
    tagger = Tag(("N", "V"), {"words": [UNKNOWN, "we"]})
    assert tagger.steps(["we", "go"]) == ["we", "go"]
    output = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9]])
    assert said(tagger, ["we", "go", "on"], np.array([0, 1, -1]), output) == "1 of 2 right: “go” is V, not N"
    assert said(tagger, ["we", "go", "on"], np.array([0, 0, -1]), output) == "2 of 2 right"
