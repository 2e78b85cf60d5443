"""`classify`: from tables with labels to a model that predicts."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rekur.cli import main
from rekur.data import Examples
from rekur.data.examples import Rejected
from rekur.errors import DataError, OptionError
from rekur.tasks import ClassifyConfig, base_lines, load_predictor, sources, train
from rekur.tasks.classifier import Classify
from rekur.train import FitConfig, Quiet

GOOD, BAD = ("a fine film", "so good !", "fine and good"), ("a dull film", "so bad !", "dull and bad")


def small(files: Path, **changes: Any) -> ClassifyConfig:
    options: dict[str, Any] = {"hidden": 8, "embedding": 8, "batch": 8, "dropout": 0.0, "min_count": 1}
    return ClassifyConfig(files=(str(files),), **options | changes)


@pytest.fixture(scope="module")
def reviews(tmp_path_factory):
    path = tmp_path_factory.mktemp("reviews") / "reviews.csv"
    rows = [f"{text},{label}" for label, texts in (("good", GOOD), ("bad", BAD)) for text in texts for _ in range(14)]
    path.write_text("\n".join(["review,sentiment", *rows, ",good", "no label here,", ""]))
    return path


@pytest.fixture(scope="module")
def trained(reviews, tmp_path_factory):
    runs = tmp_path_factory.mktemp("runs")
    training = FitConfig(epochs=6, lr=0.02, warmup=0, threads=1)
    config = small(reviews)
    folder, _ = train(config, training, runs=runs, name="films", cache=runs / "cache", display=lambda _: Quiet())
    return folder


def test_it_learns_and_the_model_comes_back_without_the_data(trained):
    predictor = load_predictor(trained.path)
    problem = predictor.problem
    assert isinstance(problem, Classify)
    assert problem.names == ("bad", "good")
    outputs = predictor.outputs([problem.encode("A FINE film"), problem.encode("dull film, so bad")])
    assert [one.argmax() for one in outputs] == [1, 0]
    assert all(one.sum() == pytest.approx(1) for one in outputs)


def test_the_run_keeps_what_was_passed_over_and_what_came_out(trained):
    events = [json.loads(line) for line in (trained.path / "events.jsonl").read_text().splitlines()]
    data = events[0]["data"]
    assert data["broken, and passed over"] == 2
    assert data["why"][0].endswith("csv:86: the text in column 'review' is empty")
    tables = {event["title"]: event for event in events if event["kind"] == "table"}
    assert [row[0] for row in tables["What was taken for what"]["rows"]] == ["bad", "good"]
    assert tables["Beside a base line"]["rows"][1][0].startswith("logistic regression")


def test_it_predicts_from_a_table_and_from_lines_without_labels(trained, tmp_path, capsys):
    (tmp_path / "new.txt").write_text("so good and fine\n\na dull film\n")
    assert main(["predict", str(trained.path), str(tmp_path / "new.txt")]) == 0
    shown = capsys.readouterr().out
    assert "so good and fine\npredicted good" in shown
    assert "a dull film\npredicted bad" in shown
    assert "wrong" not in shown
    (tmp_path / "new.csv").write_text("sentiment,review\ngood,so good !\ngood,so bad !\n")
    assert main(["predict", str(trained.path), str(tmp_path / "new.csv")]) == 0
    assert main(["eval", str(trained.path), str(tmp_path / "new.csv")]) == 0
    assert "50.00 % right" in capsys.readouterr().out


def test_what_was_passed_over_is_said_when_it_is_measured(trained, tmp_path, capsys):
    (tmp_path / "held.csv").write_text("review,sentiment\nso good !,good\n,bad\nso bad !\n")
    for command in ("eval", "predict"):
        assert main([command, str(trained.path), str(tmp_path / "held.csv")]) == 0
        out = capsys.readouterr().out
        assert "note: passed over 2 that are broken:\nnote:   held.csv:3: " in out
        assert "note:   held.csv:4: it has 1 column, the first line has 2" in out
    (tmp_path / "whole.csv").write_text("review,sentiment\nso good !,good\n")
    assert main(["eval", str(trained.path), str(tmp_path / "whole.csv")]) == 0
    assert "passed over" not in capsys.readouterr().out


def test_a_data_set_by_its_name_is_read_whole(trained, monkeypatch, capsys):
    train = Examples("", ("so good !", "good film"), ("good", "bad"))
    test = Examples("", ("so bad !",), ("bad",), (Rejected("x.csv:9", "it is empty"),))
    sets = {"snippets": {"train": train, "test": test}}
    monkeypatch.setattr(sources, "load_dataset", lambda name, cache, on_bad: sets[name])
    assert main(["eval", str(trained.path), "snippets"]) == 0
    assert "x.csv:9: it is empty\nsnippets: 3 examples" in capsys.readouterr().out
    assert main(["predict", str(trained.path), "snippets"]) == 0
    assert re.findall("predicted (good|bad) ", capsys.readouterr().out) == ["good", "good", "bad"]
    assert main(["eval", str(trained.path), "brown"]) == 1
    assert "'brown' is for tag, not for classify" in capsys.readouterr().err


def test_texts_by_themselves(trained, tmp_path, capsys):
    assert main(["predict", str(trained.path), "--text", "So GOOD and fine", "a dull film"]) == 0
    assert re.findall("predicted (good|bad) ", capsys.readouterr().out) == ["good", "bad"]
    assert main(["predict", str(trained.path), "--text", "a dull film", " "]) == 2
    assert "a text is empty" in capsys.readouterr().err
    with pytest.raises(OptionError, match="a model that reads no text"):
        Classify("series", ("a", "b"), "max", size=2).read_text(["so good !"])


def test_a_class_that_was_not_there_is_named(trained, tmp_path):
    (tmp_path / "other.csv").write_text("review,sentiment\nso good !,splendid\nso bad !,bad\n")
    with pytest.raises(DataError, match="'splendid'; the model knows bad, good"):
        load_predictor(trained.path).problem.read([tmp_path / "other.csv"])


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({}, DataError, "say what to read: rekur train classify FILE"),
        ({"files": "nowhere.csv"}, DataError, "no file 'nowhere.csv', and no data set"),
        ({"files": "snippet"}, DataError, "did you mean 'snippets'"),
        ({"files": "brown"}, DataError, "'brown' is for tag, not for classify"),
        ({"files": "REVIEWS", "text": "revue"}, OptionError, "did you mean 'review'"),
        ({"files": "REVIEWS", "on_bad": "stop"}, DataError, "csv:86: .* is empty; mend it"),
        ({"files": "REVIEWS", "split": (0.5, 0.5, 0.0)}, DataError, "leave none for test"),
        ({"files": "REVIEWS", "test": "REVIEWS", "split": (0.0, 0.0, 1.0)}, OptionError, "something to train"),
        ({"kind": "characters", "vectors": "glove.txt"}, OptionError, "vectors are for words"),
    ],
)
def test_what_cannot_be_is_said(reviews, tmp_path, options, error, words):
    options = {k: str(reviews) if v == "REVIEWS" else v for k, v in options.items()}
    with pytest.raises(error, match=words):
        ClassifyConfig(**options).prepare(tmp_path, 0)


def test_characters_and_series(reviews, tmp_path):
    problem, data = small(reviews, kind="characters", longest=6, lower=False).prepare(tmp_path, 0)
    assert isinstance(problem, Classify)
    assert problem.text(problem.encode("a fine film")) == "a fine"
    assert any("longer than 6 characters" in note for note in data.notes)

    rows = [f"{i},{step},{i % 2 + step},{'ab'[i % 2]}" for i in range(40) for step in range(1 + i % 3)]
    (tmp_path / "steps.csv").write_text("\n".join(["id,t,x,label", *rows, ""]))
    config = small(tmp_path / "steps.csv", kind="series", features=("x",))
    problem, data = config.prepare(tmp_path, 0)
    assert (problem.symbols, problem.features, problem.labels) == (None, 1, ("a", "b"))
    assert sorted(len(one) for one in data.train(0).inputs)[0::20] == [1, 2]
    guesses = [np.eye(2)[target] for target in data.test.targets]
    assert "Neither" in problem.tables(data.test, guesses, data)[0].note  # both are always right


def test_vectors_start_the_embedding(reviews, tmp_path):
    from rekur.tasks.supervised import Supervised

    (tmp_path / "vectors.txt").write_text("fine 1 2 3\nbad -1 -2 -3\n")
    config = small(reviews, vectors=str(tmp_path / "vectors.txt"), embedding=50)
    task = Supervised(config, cache=tmp_path)
    embedding, problem = task.model.embedding, task.problem
    assert embedding is not None
    assert isinstance(problem, Classify)
    rows = embedding.weight[problem.encode("fine bad film")].tolist()
    assert rows[:2] == [[1, 2, 3], [-1, -2, -3]]
    assert rows[2] != [0, 0, 0]


@pytest.mark.parametrize(("kind", "deviation"), [("words", 0.03), ("characters", 1.0)])
def test_learnt_vectors_start_close_to_zero_where_they_are_of_words(reviews, tmp_path, kind, deviation):
    from rekur.tasks.supervised import Supervised

    embedding = Supervised(small(reviews, kind=kind, embedding=300), cache=tmp_path).model.embedding
    assert embedding is not None
    assert embedding.weight.std().item() == pytest.approx(deviation, rel=0.05)


def test_the_report_has_the_tables(trained):
    from rekur.report import write_report

    page = write_report(trained).read_text()
    assert "What it gets right and wrong" in page
    assert '<th scope="row">good</th>' in page
    assert "color-mix" in page
    assert Path(trained.path, "report.html").stat().st_size < 1_000_000


def test_without_scikit_learn_there_is_no_base_line_and_it_is_said(reviews, tmp_path, monkeypatch):
    monkeypatch.setattr(base_lines, "available", lambda: False)
    problem, data = small(reviews).prepare(tmp_path, 0)
    assert "no base line beside it: that takes scikit-learn" in data.notes[-1]
    titles = [table.title for table in problem.tables(data.test, [np.array([0.4, 0.6])] * len(data.test), data)]
    assert "Beside a base line" not in titles
    assert "What was taken for what" in titles
