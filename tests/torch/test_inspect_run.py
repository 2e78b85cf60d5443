"""From a run's folder to what is inside its model, and to the page."""

import math
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from rekur.cli import main
from rekur.data import Vocabulary
from rekur.errors import CheckpointError, DataError, OptionError
from rekur.tasks import (
    ClassifyConfig,
    SequenceInspection,
    TextInspection,
    inspect_run,
    load_model,
    train,
)
from rekur.tasks.charlm import CharLM
from rekur.tasks.inspected_text import shown
from rekur.train import FitConfig, RunFolder
from tests.pure.test_report import Page
from tests.torch.charlm_tiny import config, one_thread, plain_loss, quiet, text

pytestmark = pytest.mark.usefixtures("one_thread")
__all__ = ["one_thread"]

Capture = pytest.CaptureFixture[str]
TRAINING = FitConfig(steps=12, lr=0.02, warmup=0, threads=1, seed=5)
SAID = ("good film", "bad film", "a good one", "a bad one", "good", "bad")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("inspected")
    (root / "words.txt").write_text(text() + "<é>" * 3, encoding="utf-8")
    train(config(root / "words.txt", layers=1), TRAINING, runs=root, cache=root / "cache", display=quiet)
    rows = "".join(f"{said},{'good' if 'good' in said else 'bad'}\n" for said in SAID * 8)
    (root / "said.csv").write_text("text,label\n" + rows, encoding="utf-8")
    labelled = ClassifyConfig(files=(str(root / "said.csv"),), hidden=4, embedding=4, min_count=1, dropout=0.0)
    train(labelled, FitConfig(steps=12, lr=0.05, warmup=0, threads=1), runs=root, display=quiet)
    return root


def opened(root: Path, *files: Path, length: int = 200_000) -> TextInspection:
    found = inspect_run(root / "charlm", files, length=length, cache=root / "cache")
    assert isinstance(found, TextInspection)
    return found


def test_the_text_is_what_the_run_held_out_and_the_loss_is_the_plain_one(root: Path):
    seen = opened(root, length=300)
    whole = text() + "<é>" * 3
    assert seen.text == whole[math.floor(0.8 * len(whole)) :][:300]
    assert seen.amount == "300 characters"
    trained = inspect_run(root / "charlm", cache=root / "cache")
    assert isinstance(trained, TextInspection)
    assert trained.text == whole[math.floor(0.8 * len(whole)) :]
    expected = plain_loss(load_model(root / "charlm"), seen.text) / math.log(2)
    assert seen.prediction.bits == pytest.approx(expected, rel=1e-4)
    assert seen.summary()[0][1].startswith(f"{expected:.3f} bits a character; ")


def test_the_untrained_network_is_what_the_run_began_with(root: Path):
    seen = opened(root)
    before = CharLM(config(root / "words.txt", layers=1), cache=root / "cache", seed=TRAINING.seed).model.state_dict()
    other = CharLM(config(root / "words.txt", layers=1), cache=root / "cache", seed=TRAINING.seed + 1)
    assert all((before[name] == value).all() for name, value in seen.untrained.state_dict().items())
    assert any((other.model.state_dict()[name] != value).any() for name, value in before.items())
    assert any((seen.model.state_dict()[name] != value).any() for name, value in before.items())


def test_records_are_of_the_text(root: Path):
    seen = opened(root)
    record = seen.record("forget", "h", first=5, last=25)
    assert record["forget"].sizes["time"] == 20
    assert "".join(record["0.h"].text.values.ravel()) == seen.text[5:25]


def test_the_excerpt_is_whole_lines(root: Path):
    seen = opened(root)
    first, last = seen.excerpt
    assert seen.text[first - 1] == seen.text[last - 1] == "\n" or last == len(seen.text)
    assert 1 <= first < last <= first + 2000


def test_the_page_stands_by_itself(root: Path, capsys: Capture):
    command = ["inspect", str(root / "charlm"), "--cache", str(root / "cache"), "--seconds", "0"]
    assert main(command) == 0
    out = capsys.readouterr().out
    target = root / "charlm" / "inspection.html"
    assert re.search(r"^words\.txt, the part held out for validation and test: 1,\d\d\d characters, by ", out)
    assert re.search(rf"^{re.escape(str(target))}: 0\.\d MB, in 0:\d\d$", out, re.MULTILINE)
    page = Page(target.read_text(encoding="utf-8"))
    headings = [text for tags, text in page.strings if tags[-1:] == ("h2",)]
    assert headings == ["What it expects", "Gates and states", "Which units can be read", "How gradients flow"]
    assert "to tell what units follow takes at least 10,000" in page.text()
    assert re.search(r"^units       not found: the text has 1,\d\d\d characters", out, re.MULTILINE)
    assert "Inside charlm" in page.text()
    assert page.tags() & {"link", "img", "iframe"} == set()
    links = [found.get(name) for _, found in page.elements for name in ("src", "href", "xlink:href")]
    assert all(link.startswith(("data:", "#")) for link in links if link)
    places = [found for tag, found in page.elements if tag == "b" and "data-t" in found]
    seen = opened(root)
    assert len(places) == seen.excerpt[1] - seen.excerpt[0]
    assert sum(found["tabindex"] == "0" for found in places) == 1
    first = seen.prediction.part(*seen.excerpt)
    assert f"cost {float(first.surprise[0]):.1f} bits" in str(places[0]["data-t"])
    assert len(str(places[0]["data-t"]).splitlines()) == 2 + 5


def test_other_texts_are_looked_at_where_one_says(root: Path, tmp_path: Path, capsys: Capture):
    (tmp_path / "new.txt").write_text("def value\nfor key in self <b>\n" * 4, encoding="utf-8")
    out = tmp_path / "page.html"
    command = ["inspect", str(root / "charlm"), str(tmp_path / "new.txt"), "--out", str(out), "--seconds", "0"]
    assert main([*command, "--unseen", "skip", "--length", "50"]) == 0
    assert "new.txt: 49 characters" in capsys.readouterr().out
    assert "<b>" not in Page(out.read_text(encoding="utf-8")).html.partition("What it expects")[0]


@pytest.mark.parametrize(
    ("written", "options", "message"),
    [
        ("", [], "'new.txt' is empty; there is nothing to read"),
        ("d", [], "the text is too short to look at a model with: 1 characters"),
        ("def ü", [], "'ü' (U+00FC) not among the"),
        ("def ü", [], "say what becomes of them: unseen 'skip' or 'unknown'"),
        ("def in", ["--length", "1"], "length is 1; it must be 2 or more"),
        ("def in", ["--seconds", "-1"], "seconds is -1.0; it must be 0 or more"),
        ("def in", ["--property", "a=brackts > 1"], "there is no 'brackts'; did you mean 'brackets'"),
        ("def in", ["--property", "a=c.isuper()"], "property 'a' fails at character 0, 'd'"),
        (
            "def in",
            ["--out", "nowhere/page.html"],
            "the page cannot go to nowhere/page.html: there is no folder nowhere",
        ),
    ],
)
def test_what_cannot_be_looked_at_is_said(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture,
    written: str, options: list[str], message: str,
):  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("new.txt").write_text(written, encoding="utf-8")
    assert main(["inspect", str(root / "charlm"), "new.txt", *options]) in {1, 2}
    err = capsys.readouterr().err
    assert err.startswith("rekur: error: ")
    assert message in err


def test_a_run_without_checkpoint_and_a_checkpoint_without_run_are_said(root: Path, tmp_path: Path):
    bare = RunFolder.create(tmp_path, "bare", {"task": "charlm"})
    with pytest.raises(CheckpointError, match="holds no checkpoint yet"):
        inspect_run(bare.path)
    with pytest.raises(CheckpointError, match=r"there is no run folder .*charml; did you mean 'charlm'"):
        inspect_run(root / "charml")
    alone = shutil.copytree(RunFolder.open(root / "charlm").checkpoint("best"), tmp_path / "a" / "b" / "alone")
    with pytest.raises(CheckpointError, match=r"alone is not in a run's folder, .* give files"):
        inspect_run(alone)
    seen = inspect_run(alone, root / "words.txt", length=100)
    with pytest.raises(OptionError, match="say where the page goes"):
        seen.write()


def test_a_text_that_changed_is_said(root: Path, tmp_path: Path):
    copy = tmp_path / "changed"
    shutil.copytree(root / "charlm", copy)
    other = tmp_path / "words.txt"
    other.write_text(text()[::-1], encoding="utf-8")
    asked = copy / "config.json"
    asked.write_text(asked.read_text().replace(str(root / "words.txt"), str(other)))
    with pytest.raises(DataError, match=r"'words.txt' is no longer the text that the run was trained on"):
        inspect_run(copy, cache=tmp_path)


def test_bytes_are_shown_as_characters():
    given = "aé€\n".encode() + b"\xff"
    assert shown(Vocabulary.of_bytes(), np.frombuffer(given, np.uint8)) == "aé·€··\n\N{REPLACEMENT CHARACTER}"


# ---- sequences ---------------------------------------------------------------------------------------------


def test_a_classifier_is_looked_at_word_by_word(root: Path, tmp_path: Path, capsys: Capture):
    seen = inspect_run(root / "classify")
    assert isinstance(seen, SequenceInspection)
    said = [" ".join(words) for words in seen.words]
    assert set(said) <= set(SAID)
    assert len(seen.looked.told) == min(3, len(said))
    assert seen.looked.record["0.reverse.forget"].sizes["time"] == max(len(words) for words in seen.words)
    record = seen.record("0.reverse.forget", count=2)
    assert record["0.reverse.forget"].sizes["batch"] == 2
    assert main(["inspect", str(root / "classify"), "--out", str(tmp_path / "page.html"), "--seconds", "0"]) == 0
    line = r"^predicts +\d+\.\d% of \d+ examples right, \d+\.\d+ bits per example$"
    assert re.search(line, capsys.readouterr().out, re.MULTILINE)
    page = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert "Gates and states" in page.text()


def test_files_without_labels_can_be_looked_at(root: Path, tmp_path: Path):
    (tmp_path / "new.txt").write_text("a good film <b>\nbad\n", encoding="utf-8")
    seen = inspect_run(root / "classify", [tmp_path / "new.txt"], seconds=0)
    assert isinstance(seen, SequenceInspection)
    assert seen.numbers() == []
    assert [words[0] for words in seen.words] == ["a", "bad"]
    html = seen.write(tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<b>" not in Page(html).text()
    assert "Gates and states" in Page(html).text()
