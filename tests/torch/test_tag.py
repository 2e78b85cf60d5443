"""`tag`: from sentences in columns to a model that tags, on a small language whose tags its endings tell."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rekur.cli import main
from rekur.data import Examples
from rekur.errors import CheckpointError, DataError, OptionError
from rekur.report import write_report
from rekur.tasks import TagConfig, load_predictor, sources, train
from rekur.tasks.predictor import rebuild
from rekur.tasks.problem import NOT_ASKED
from rekur.tasks.supervised import Supervised
from rekur.tasks.tagger import Tag
from rekur.train import FitConfig, Quiet, load
from tests.torch.charlm_tiny import one_thread

pytestmark = pytest.mark.usefixtures("one_thread")
__all__ = ["one_thread"]

PEOPLE, PLACES, VERBS = ("Ada", "Bob", "Eve"), ("York", "Rome"), ("sees", "likes")


def language(count: int, seed: int = 0) -> str:
    """Names of people have two words; of any stem, -as makes a verb and -o a thing, in any order."""
    draw = np.random.default_rng(seed)

    def one(some: Any) -> str:
        return str(some[int(draw.random() * len(some))])

    def stem() -> str:
        return one("bdfgklmnprst") + one("aeiou") + one("bdfgklmnprst")

    blocks = []
    for _ in range(count):
        rows = [
            f"{one(PEOPLE)} N B-PER",
            f"{one(('Lee', 'Fox'))} N I-PER",
            *sorted([f"{stem()}as V O", f"{stem()}o N O"]),
        ]
        rows += [f"in P O\n{one(PLACES)} N B-LOC"] if draw.random() < 0.5 else []
        blocks.append("\n".join([*rows, ". . O", ""]))
    return "\n".join(blocks)


def small(files: Path, **changes: Any) -> TagConfig:
    options: dict[str, Any] = {"hidden": 12, "embedding": 6, "characters": 8, "batch": 8, "dropout": 0.0}
    return TagConfig(files=(str(files),), **options | changes)


@pytest.fixture(scope="module")
def sentences(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("language") / "train.txt"
    path.write_text(
        f"-DOCSTART- -X- O\n\n{language(120)}\nbroken N\n\n# a comment\n{language(1, 7)}", encoding="utf-8"
    )
    return path


@pytest.fixture(scope="module")
def trained(sentences: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    runs = tmp_path_factory.mktemp("runs")
    training = FitConfig(epochs=4, lr=0.02, warmup=0, threads=1)
    config = small(sentences)
    folder, _ = train(config, training, runs=runs, name="names", cache=runs / "cache", display=lambda _: Quiet())
    return folder


def test_it_learns_and_the_model_comes_back_without_the_data(trained):
    predictor = load_predictor(trained.path)
    problem = predictor.problem
    assert isinstance(problem, Tag)
    assert problem.names == ("B-LOC", "B-PER", "I-PER", "O")
    given = problem.read_text(["Bob Fox zuzas zuzo in Rome."])
    (output,) = predictor.outputs(given.inputs)
    assert output.shape == (7, 4)
    assert output.sum(-1) == pytest.approx(1, abs=1e-5)
    assert problem.show(given.shown[0], None, output) == (
        "        Bob    Fox    zuzas  zuzo  in  Rome   .\ntagged  B-PER  I-PER  O      O     O   B-LOC  O"
    )


def test_endings_tell_the_tags_of_words_that_were_never_seen(sentences, tmp_path):
    """By the character network, and not without it."""
    right = {}
    for characters in (8, 0):
        task = Supervised(small(sentences, characters=characters, tag="1"), cache=tmp_path)
        _learn(task)
        right[characters] = task.evaluate("test")["unknown words right"]
    assert right[8] > 0.95
    assert right[0] < 0.9


def _learn(task: Supervised) -> None:
    optimizer = torch.optim.Adam(task.model.parameters(), 0.02)
    for epoch in range(3):
        task.begin(epoch)
        for index in range(task.chunks()):
            optimizer.zero_grad()
            task.loss(index, None).loss.backward()
            optimizer.step()


def test_the_run_keeps_what_was_passed_over_and_what_came_out(trained):
    events = [json.loads(line) for line in (trained.path / "events.jsonl").read_text().splitlines()]
    data = events[0]["data"]
    assert data["broken, and passed over"] == 1
    assert "it has 2 columns, the first line has 3" in data["why"][0]
    assert sum(data["examples"]) == 121
    tables = {event["title"]: event for event in events if event["kind"] == "table"}
    assert [row[0] for row in tables["Beside a base line"]["rows"]] == [
        "this model",
        "the tag that the word mostly has",
    ]
    assert [row[0] for row in tables["Old words and new"]["rows"]] == [
        "all words", "seen in training", "never seen in training",
    ]  # fmt: skip
    assert [row[0] for row in tables["Span by span"]["rows"]] == [
        "LOC", "PER", "all together", "the tag that the word mostly has",
    ]  # fmt: skip
    assert events[-1]["test"]["span F1"] > 0.9
    page = write_report(trained).read_text()
    assert '<th scope="row">all together</th>' in page


def test_from_the_command_line(trained, tmp_path, capsys):
    path = tmp_path / "held.txt"
    path.write_text(language(10, 5), encoding="utf-8")
    assert main(["eval", str(trained.path), str(path)]) == 0
    out = capsys.readouterr().out
    assert main(["eval", str(trained.path), str(path), "--tables"]) == 0
    tables = capsys.readouterr().out.removeprefix(out)
    titles = [part.split("\n")[0].split(".")[0] for part in tables.strip().split("\n\n")]
    assert titles == ["Span by span", "Class by class", "What was taken for what"]
    assert re.search(r"% right \(.*\)  unknown words right \S+  span F1 \S+$", out, re.MULTILINE)
    assert main(["predict", str(trained.path), "--text", "Eve Lee likas mamo .", "Ada Fox sitas ."]) == 0
    assert "tagged  B-PER  I-PER  O      O     O\n\n" in capsys.readouterr().out
    words = "\n".join(line.split(" ")[0] for line in path.read_text().split("\n"))
    (tmp_path / "bare.txt").write_text(words)
    (tmp_path / "text.txt").write_text("Ada Fox sitas mamo.\nEve Lee likas mamo in the town of Rome.\n")
    shown = {}
    for name in ("held.txt", "bare.txt", "text.txt"):
        assert main(["predict", str(trained.path), str(tmp_path / name), "--count", "0"]) == 0
        shown[name] = capsys.readouterr().out
    assert shown["bare.txt"].count("tagged") == shown["held.txt"].count("tagged") == 10
    assert shown["text.txt"].startswith("note: text.txt is read as text, a sentence a line\n")
    assert shown["text.txt"].count("tagged") == 2
    assert main(["predict", str(trained.path), str(path), "--text", "x"]) == 2
    assert main(["predict", str(trained.path), "--text", " "]) == 2
    assert "a text is empty" in capsys.readouterr().err


def test_tags_that_the_model_does_not_know(trained, tmp_path, capsys):
    (tmp_path / "other.txt").write_text("Ada N B-PER\nsitas V O\n. . B-MISC\n", encoding="utf-8")
    examples = load_predictor(trained.path).problem.read([tmp_path / "other.txt"])
    assert examples.targets[0].tolist() == [1, 3, NOT_ASKED]
    assert main(["eval", str(trained.path), str(tmp_path / "other.txt")]) == 0
    out = capsys.readouterr().out
    assert "note: 1 of 3 words are not counted: the model does not know their tags, B-MISC" in out
    assert "other.txt: 2 words" in out
    (tmp_path / "pos.txt").write_text("Ada O N\nsitas O V\n. O .\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"3 of the 3 words .* know: N, V, \.; it knows B-LOC, .* another column\?"):
        load_predictor(trained.path).problem.read([tmp_path / "pos.txt"])


def test_what_was_passed_over_is_said_when_it_is_measured(trained, tmp_path, capsys):
    (tmp_path / "held.txt").write_text(f"{language(3, 5)}\nAda N\n", encoding="utf-8")
    for command in ("eval", "predict"):
        assert main([command, str(trained.path), str(tmp_path / "held.txt")]) == 0
        assert "note: passed over 1 that is broken:\nnote:   held.txt:" in capsys.readouterr().out


def test_a_data_set_by_its_name(trained, monkeypatch, capsys):
    brown = {"train": Examples("", (("Ada", "Fox"), ("in", "Rome")), (("B-PER", "I-PER"), ("O", "B-LOC")))}
    monkeypatch.setattr(sources, "load_dataset", lambda name, cache, on_bad: {"brown": brown}[name])
    assert main(["eval", str(trained.path), "brown"]) == 0
    assert "brown: 4 words" in capsys.readouterr().out
    assert main(["predict", str(trained.path), "brown"]) == 0
    assert capsys.readouterr().out.count("tagged") == 2


def test_learnt_vectors_start_close_to_zero(sentences, tmp_path):
    embedding = Supervised(small(sentences, embedding=300), cache=tmp_path).model.embedding
    assert embedding is not None
    assert embedding.weight.std().item() == pytest.approx(0.1, rel=0.05)


def test_tags_that_are_not_there_in_training_are_said(tmp_path):
    (tmp_path / "train.txt").write_text(language(40), encoding="utf-8")
    (tmp_path / "test.txt").write_text("Ada N B-PER\nohm U B-UNIT\n", encoding="utf-8")
    problem, data = small(tmp_path / "train.txt", test=(str(tmp_path / "test.txt"),)).prepare(tmp_path, 0)
    assert "B-UNIT" in problem.labels
    assert any(note.startswith("1 held-out words have tags") and note.endswith("B-UNIT") for note in data.notes)
    assert data.about["base line"] == "50.0% right by the tag that the word mostly has"


def test_long_sentences_and_long_words(sentences, tmp_path):
    problem, data = small(sentences, longest=5).prepare(tmp_path, 0)
    assert max(map(len, data.train(0).inputs)) == 5
    assert max(map(len, data.test.inputs)) > 5  # what is measured is whole
    assert any("longer than 5 words; only these are learnt from" in note for note in data.notes)
    assert isinstance(problem, Tag)
    (one,) = problem.encode([["Ada", "abcdefghijKLMNOP" + "qrstuvwxyz"]])
    assert one.shape == (2, 21)
    assert (one[0, 4:] == -1).all()
    book = [*problem.spelling["symbols"]]
    read = "".join(book[i] for i in one[1, 1:])
    assert re.fullmatch("[abcdefghij�]{10}[qrstuvwxyz�]{10}", read)
    assert one[0, 0] == problem.words.encode(["ada"])[0]


CONLLU = "".join(
    f"# sent_id = {i}\n1-2\tdum\t_\t_\t_\t_\t_\t_\t_\t_\n"
    + "".join(f"{n}\t{word}\t_\t{tag}\t{tag[0]}\t_\t_\t_\t_\t_\n" for n, (word, tag) in enumerate(rows, 1))
    + "1.1\tgone\t_\tX\tX\t_\t_\t_\t_\t_\n\n"
    for i, rows in enumerate([[("du", "ADP"), ("mar", "NOUN")], [("mar", "NOUN"), ("vai", "VERB")]] * 12)
)


def test_conllu_by_its_columns_names(tmp_path):
    for name in ("a.conllu", "a.txt"):
        (tmp_path / name).write_text(CONLLU, encoding="utf-8")
        problem, data = small(tmp_path / name).prepare(tmp_path, 0)
        assert problem.labels == ("ADP", "NOUN", "VERB")
        assert {len(one) for one in data.train(0).inputs} == {2}
    assert small(tmp_path / "a.txt", tag="xpos").prepare(tmp_path, 0)[0].labels == ("A", "N", "V")
    bare = "\n".join(
        "\t".join([*line.split("\t")[:3], *"_______"]) for line in CONLLU.split("\n\n")[0].split("\n")[2:4]
    )
    (tmp_path / "bare.conllu").write_text(bare, encoding="utf-8")
    found = problem.read_inputs([tmp_path / "bare.conllu"])
    assert (list(found.sources), list(found.targets)) == ([("du", "mar")], [None])


@pytest.mark.parametrize(
    ("content", "options", "error", "words"),
    [
        ("", {}, DataError, "has no examples; passed over: nothing, there are no rows"),
        ("a\nb\n\nc\n", {}, OptionError, "has one column; a line takes a word and its tag, parted by a tab or"),
        ("a X\n", {"tag": "5"}, OptionError, "has 2 columns; there is no column 5 for the tags: they are counted"),
        ("a X\n", {"word": 3}, OptionError, "there is no column 3 for the words"),
        ("a X\n", {"tag": "0"}, OptionError, "words and tags are both to be in column 0"),
        ("a X\nb\n", {"on_bad": "stop"}, DataError, r"f\.txt:2: it has 1 column, the first line has 2; mend it"),
        ("a\tX\tY\nb\tZ\n", {"on_bad": "stop"}, DataError, r"f\.txt:2: it has 2 columns, the first line has 3"),
        ("a X\n", {"tag": "POS"}, OptionError, "no column 'POS'; did you mean 'UPOS' or 'XPOS'|did you mean"),
        (CONLLU, {"tag": "3"}, OptionError, "whose columns have names: --tag UPOS, XPOS or DEPREL"),
        ("a X\n\nb X\n\nc X\n\nd X\n\n" * 9, {}, DataError, "there have to be two tags or more; there are: 'X'"),
        ("a X\n", {}, DataError, "1 examples leave none for validation"),
        ("a X\n", {"embedding": 0}, OptionError, "embedding is 0; it must be 1 or more"),
        ("a X\n", {"characters": -1}, OptionError, "characters is -1; it must be 0 or more"),
        ("a X\n", {"files": ("snippets",)}, DataError, "'snippets' is for classify, not for tag"),
        ("a X\n", {"files": ("brown",), "tag": "1"}, OptionError, "the columns of the data set 'brown' are known"),
        ("a X\n", {"files": ("brwon",)}, DataError, "did you mean 'brown'"),
        ("a X\n", {"files": ()}, DataError, "say what to read: rekur train tag FILE, or a data set .* brown"),
        ("a X\n", {"files": (".",), "tag": "1"}, OptionError, "is a folder, read as the Brown corpus"),
    ],
)
def test_what_cannot_be_is_said(content, options, error, words, tmp_path):
    path = tmp_path / "f.txt"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(error, match=words):
        TagConfig(**{"files": (str(path),), **options}).prepare(tmp_path, 0)


def test_windows_lines_marks_and_blank_lines_with_spaces(tmp_path):
    text = (
        "-DOCSTART- -X-\r\n# id = 1\r\nAda\tN\r\nsitas\tV\r\n"
        " \t \r\n# x\r\nBob\tN\r\n   \r\n# alone\r\n\r\n#\tS\r\n\r\n" * 8
    )
    (tmp_path / "w.txt").write_bytes(f"\ufeff{text}".encode())
    problem, data = small(tmp_path / "w.txt", min_count=1).prepare(tmp_path, 0)
    assert problem.labels == ("N", "S", "V")
    sources = {one for part in (data.train(0), data.validation, data.test) for one in part.sources}
    assert sources == {("Ada", "sitas"), ("Bob",), ("#",)}
    assert data.notes[0].startswith("24 lines are taken for comments, the first is line 2: # id = 1")
    assert not any("broken" in note for note in data.notes)


def test_vectors_start_the_embedding(sentences, tmp_path):
    (tmp_path / "vectors.txt").write_text("rome 1 2 3\nyork -1 -2 -3\n")
    task = Supervised(small(sentences, vectors=str(tmp_path / "vectors.txt")), cache=tmp_path)
    assert isinstance(task.problem, Tag)
    assert task.model.embedding is not None
    assert task.model.embedding.weight[task.problem.words.encode(["rome", "york"])].tolist() == [
        [1, 2, 3],
        [-1, -2, -3],
    ]


def test_a_checkpoint_of_other_characters_is_refused(trained):
    saved = load(trained.checkpoint("best"))
    assert isinstance(rebuild(saved).problem, Tag)
    model = saved.meta["model"]
    assert model["problem"]["spelling"]
    for spelling in ({}, {"unit": "characters", "symbols": "ab"}):
        broken = {**saved.meta, "model": {**model, "problem": {**model["problem"], "spelling": spelling}}}
        with pytest.raises(CheckpointError, match="are of other characters"):
            rebuild(replace(saved, meta=broken))
