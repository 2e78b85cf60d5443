import json
import multiprocessing
from multiprocessing.synchronize import Barrier
from pathlib import Path

import numpy as np
import pytest

from rekur.data import SPLITS, UNKNOWN, Texts, prepare, read_text
from rekur.data import corpus as module
from rekur.errors import DataError, OptionError

TEXT = "The quick brown fox jumps over the lazy dog – naïvely, \U0001f600.\n" * 20


@pytest.fixture
def texts(tmp_path: Path) -> Texts:
    path = tmp_path / "fox.txt"
    path.write_text(TEXT, encoding="utf-8")
    return read_text(path)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "cache"


def files(cache: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in cache.rglob("*") if p.is_file()}


@pytest.mark.parametrize("unit", ["characters", "bytes"])
def test_the_text_is_encoded_once_and_comes_back(texts, cache, unit):
    corpus = prepare(texts, cache, unit=unit)
    assert corpus.note == "encoded"
    assert corpus.vocabulary.decode(corpus.symbols) == TEXT
    assert corpus.symbols.dtype == np.uint8
    assert not corpus.symbols.flags.writeable
    again = prepare(texts, cache, unit=unit)
    assert again.note == "taken from the cache"
    assert again.vocabulary == corpus.vocabulary
    assert (again.symbols == corpus.symbols).all()
    assert set(files(cache)) == {"corpus.bin", "corpus.json"}


def test_more_than_256_symbols(tmp_path, cache):
    text = "".join(map(chr, range(32, 1000)))
    (tmp_path / "wide.txt").write_text(text, encoding="utf-8", newline="")
    corpus = prepare(read_text(tmp_path / "wide.txt"), cache)
    assert corpus.symbols.dtype == np.uint16
    assert corpus.vocabulary.decode(corpus.symbols) == text


def test_a_text_is_the_same_wherever_it_lies_and_options_keep_apart(texts, cache, tmp_path):
    prepare(texts, cache)
    (tmp_path / "copy.txt").write_text(TEXT, encoding="utf-8")
    copy = read_text(tmp_path / "copy.txt")
    assert prepare(copy, cache).note == "taken from the cache"
    assert prepare(copy, cache, fractions=(0.5, 0.25, 0.25)).note == "taken from the cache"
    assert prepare(copy, cache, min_count=21).note == "encoded"
    assert prepare(copy, cache, unit="bytes").note == "encoded"
    (tmp_path / "copy.txt").write_text(TEXT + ".", encoding="utf-8")
    assert prepare(read_text(tmp_path / "copy.txt"), cache).note == "encoded"


def test_rare_characters(texts, cache):
    corpus = prepare(texts, cache, min_count=21)
    assert corpus.vocabulary.unknown is not None
    assert corpus.vocabulary.decode(corpus.symbols) == "".join(c if TEXT.count(c) > 20 else UNKNOWN for c in TEXT)


@pytest.mark.parametrize(
    "fractions", [(0.9, 0.05, 0.05), (0.9, 0.1, 0), (1, 0, 0), (0.7, 0.1, 0.2), (1 / 3, 1 / 3, 1 / 3)]
)
def test_the_splits_follow_each_other_and_lose_nothing(texts, cache, fractions):
    corpus = prepare(texts, cache, fractions=fractions)
    parts = [corpus.split(name) for name in SPLITS]
    assert corpus.vocabulary.decode(np.concatenate(parts)) == TEXT
    for part, fraction in zip(parts, fractions, strict=True):
        assert abs(len(part) - fraction * len(TEXT)) <= 1


def test_ends_are_those_of_the_decimals(tmp_path, cache):
    (tmp_path / "a.txt").write_text("a" * 100)
    corpus = prepare(read_text(tmp_path / "a.txt"), cache, fractions=(0.7, 0.1, 0.2))
    assert corpus.ends == (70, 80, 100)  # 100 · (0.7 + 0.1) in floating point is below 80


@pytest.mark.parametrize("fractions", [(0.9, 0.1), (0.9, 0.2, 0), (1.5, -0.5, 0), (float("nan"), 0.5, 0.5), ()])
def test_fractions_that_make_no_sense(texts, cache, fractions):
    with pytest.raises(OptionError, match="three fractions that add up to 1"):
        prepare(texts, cache, fractions=fractions)


def test_options_that_make_no_sense(texts, cache):
    with pytest.raises(OptionError, match="no unit 'words'"):
        prepare(texts, cache, unit="words")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="bytes have no rare symbols"):
        prepare(texts, cache, unit="bytes", min_count=2)
    with pytest.raises(OptionError, match=r"no split 'validate'.*did you mean 'validation'"):
        prepare(texts, cache).split("validate")


@pytest.mark.parametrize("name", ["corpus.bin", "corpus.json"])
@pytest.mark.parametrize("harm", ["cut", "empty", "altered", "longer"])
def test_a_damaged_cache_is_made_again_and_said(texts, cache, name, harm):
    prepare(texts, cache)
    whole = files(cache)
    (path,) = cache.rglob(name)
    content = path.read_bytes()
    path.write_bytes(
        {
            "cut": content[:-1],
            "empty": b"",
            "altered": bytes([content[0] ^ 1]) + content[1:],
            "longer": content + b"0",
        }[harm]
    )
    corpus = prepare(texts, cache)
    assert corpus.note == f"encoded again, for the cache was damaged: {name} is cut short or altered"
    assert corpus.vocabulary.decode(corpus.symbols) == TEXT
    assert files(cache) == whole


@pytest.mark.parametrize("record", [[], {}, {"vocabulary": {"unit": "bytes"}}, {"vocabulary": 3, "sha256": ""}])
def test_a_record_that_says_something_else_is_damage_too(texts, cache, record):
    prepare(texts, cache)
    (path,) = cache.rglob("corpus.json")
    path.write_text(json.dumps(record))
    assert prepare(texts, cache).note.startswith("encoded again")


def test_half_a_cache_is_made_whole(texts, cache):
    prepare(texts, cache)
    whole = files(cache)
    next(cache.rglob("corpus.bin")).unlink()  # as a process leaves it that was stopped in between
    assert prepare(texts, cache).note == "encoded"
    assert files(cache) == whole


def test_a_cache_that_cannot_be_written(texts, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"cannot keep the encoded text in .*file/.*: Not a directory"):
        prepare(texts, tmp_path / "file")


def test_a_full_disk_leaves_nothing_behind(texts, cache, monkeypatch):
    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(DataError, match="No space left on device"):
        prepare(texts, cache)
    assert files(cache) == {}


def test_a_text_that_changes_meanwhile_leaves_nothing_behind(texts, cache):
    texts.documents[0].path.write_text("something else")
    with pytest.raises(DataError, match="changed while it was being read"):
        prepare(texts, cache)
    assert files(cache) == {}


def _prepare(path: Path, cache: Path, barrier: Barrier) -> None:
    texts = read_text(path)
    for rarest in range(1, 11):  # ten different encodings, each begun by all at once
        barrier.wait()
        corpus = prepare(texts, cache, min_count=rarest)
        assert corpus.vocabulary.decode(corpus.symbols) == TEXT


def test_processes_may_prepare_the_same_text_at_the_same_time(texts, cache):
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(3)
    path = texts.documents[0].path
    processes = [context.Process(target=_prepare, args=(path, cache, barrier)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert sorted(p.name for p in cache.rglob("*.*")) == ["corpus.bin"] * 10 + ["corpus.json"] * 10


def test_what_a_run_records(texts, cache):
    record = prepare(texts, cache).describe()
    assert record["source"] == "fox.txt"
    assert record["files"] == 1
    assert record["bytes"] == len(TEXT.encode())
    assert record["sha256"] == texts.sha256
    assert record["vocabulary"] == len(set(TEXT))
    assert sum(int(record[name]) for name in SPLITS) == len(TEXT)
    assert json.loads(json.dumps(record)) == record


def test_the_format_is_part_of_the_key(texts, cache, monkeypatch):
    prepare(texts, cache)
    monkeypatch.setattr(module, "_FORMAT", 2)
    assert prepare(texts, cache).note == "encoded"
