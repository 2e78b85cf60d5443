"""The memory problems: what is generated holds by itself, and digits come from files."""

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rekur.errors import DataError, OptionError
from rekur.tasks import MemoryConfig, sources
from rekur.tasks.memory import BLANK, GO, Memory, adding, copying, read_digits, shuffled_places
from rekur.tasks.problem import NOT_ASKED


def draw(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("time", [2, 7, 200])
def test_a_sum_is_that_of_the_two_marked_values_one_of_each_half(time: int):
    some = adding(50, time, draw())
    for x, wanted in zip(some.inputs, some.targets, strict=True):
        assert x.shape == (time, 2)
        assert x.dtype == np.float32
        first, second = np.flatnonzero(x[:, 1])
        assert first < time // 2 <= second
        assert wanted == pytest.approx(x[first, 0] + x[second, 0])


def test_sums_spread_as_they_should_and_marks_are_everywhere():
    some = adding(20_000, 6, draw())
    assert np.mean((np.array(some.targets) - 1) ** 2) == pytest.approx(1 / 6, rel=0.03)
    counts = np.sum([x[:, 1] for x in some.inputs], 0)
    assert counts == pytest.approx(np.full(6, 20_000 / 3), rel=0.05)


def test_what_is_copied_is_asked_for_at_the_end():
    some = copying(200, 5, draw())
    for x, wanted in zip(some.inputs, some.targets, strict=True):
        assert len(x) == len(wanted) == 25
        assert set(x[:10]) <= set(range(1, 9))
        assert x[10:15].tolist() == [BLANK] * 4 + [GO]
        assert x[15:].tolist() == [BLANK] * 10
        assert (wanted[:15] == NOT_ASKED).all()
        assert (wanted[15:] == x[:10] - 1).all()
    assert set(np.concatenate([x[:10] for x in some.inputs])) == set(range(1, 9))


def digits_file(path: Path, rows: int = 60, size: int = 9, most: int = 16) -> Path:
    """Pictures in which the digit's own pixel is bright."""
    lines = []
    for row in range(rows):
        pixels = [most if at == row % 3 else (at + row) % 3 for at in range(size)]
        lines.append(",".join(map(str, [*pixels, row % 3])))
    text = "\n".join(lines).encode() + b"\n"
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


@pytest.mark.parametrize(("name", "most"), [("d.csv", 16), ("d.csv.gz", 255)])
def test_digits_from_rows(name: str, most: int, tmp_path: Path):
    some = read_digits([digits_file(tmp_path / name, most=most)])
    assert (len(some), some.inputs[0].shape) == (60, (9, 1))
    assert some.inputs[0].dtype == np.float32
    assert [int(digit) for digit in some.targets[:4]] == [0, 1, 2, 0]
    assert some.inputs[1][1, 0] == 1
    assert some.inputs[1][0, 0] == pytest.approx(1 / most)


def test_digits_in_the_format_of_mnist(tmp_path: Path):
    pixels = bytes(range(0, 240, 20))
    (tmp_path / "images").write_bytes(struct.pack(">IIII", 2051, 3, 2, 2) + pixels)
    (tmp_path / "labels").write_bytes(struct.pack(">II", 2049, 3) + bytes([5, 0, 4]))
    some = read_digits([tmp_path / "images", tmp_path / "labels"])
    assert [int(digit) for digit in some.targets] == [5, 0, 4]
    assert np.concatenate(list(some.inputs)).ravel() == pytest.approx(np.arange(0, 240, 20) / 255)


def test_a_folder_of_mnist_and_the_data_set_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What is fetched is looked at by test_data_fetch; here it is laid down."""
    for part, label in (("t10k", 7), ("train", 1)):
        (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(struct.pack(">IIII", 2051, 1, 2, 2) + bytes([label] * 4))
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 2049, 1) + bytes([label]))
    problem = Memory("permuted-digits")
    found = problem.read([tmp_path])
    assert [int(digit) for digit in found.targets] == [7, 1]
    assert np.concatenate(list(found.inputs)).ravel() == pytest.approx(np.repeat([7, 1], 4) / 255)
    monkeypatch.setattr(sources, "find", lambda dataset, cache: {"mnist": tmp_path}[dataset.name])
    assert [int(digit) for digit in problem.read(["mnist"]).targets] == [7, 1]
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="is a folder without files as MNIST has them"):
        problem.read([tmp_path / "empty"])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mnits", "no file 'mnits', and no data set of that name; did you mean 'mnist'"),
        ("weather", "'weather' is for icecream, not for memory"),
        ("mnist", "is not in .* `rekur data get mnist` fetches it"),
    ],
)
def test_another_name_is_refused(name: str, message: str, tmp_path: Path):
    with pytest.raises(DataError, match=message):
        MemoryConfig(problem="digits", files=(name,)).prepare(tmp_path, 0)


def test_permuted_digits_have_their_pixels_in_another_order_always_the_same(tmp_path: Path):
    path = digits_file(tmp_path / "d.csv")
    plain, permuted = (Memory(kind).read([path]) for kind in ("digits", "permuted-digits"))
    order = shuffled_places(9)
    assert sorted(order.tolist()) == list(range(9)) != order.tolist()
    for one, other in zip(plain.inputs, permuted.inputs, strict=True):
        assert other[:, 0].tolist() == [one[at, 0] for at in order]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no rows of pixels and a digit"),
        ("1,2\n", "has no rows of pixels and a digit"),
        ("1,2,x\n", "cannot be read as rows of pixels and a digit"),
        ("1,2,3\n1,2\n", "cannot be read as rows of pixels and a digit"),
        ("-1,2,3\n", "pixels have to lie in 0..16 or 0..255"),
        ("1,2,12\n", "digits in 0..9"),
    ],
)
def test_digits_that_cannot_be_read(text: str, message: str, tmp_path: Path):
    path = tmp_path / "d.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        read_digits([path])


def test_without_scikit_learn_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr("rekur.tasks.memory.find_spec", lambda name: None)
    with pytest.raises(DataError, match="pip install scikit-learn, or name a file"):
        read_digits([])
    with pytest.raises(DataError, match="3 files of digits"):
        read_digits([tmp_path] * 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"problem": "addition"}, "problem is 'addition'; it must be one of adding, copy, digits"),
        ({"time": 1}, "time is 1; it must be 2 or more, or 0"),
        ({"problem": "digits", "time": 5}, "time is 5; it must be 0: digits have as many steps as pixels"),
        ({"files": "d.csv"}, "'d.csv' would not be read: the adding problem is generated; leave it out"),
        ({"sequences": 0}, "sequences is 0; it must be 1 or more"),
        ({"embedding": -1}, "embedding is -1; it must be 0 or more"),
    ],
)
def test_an_option_that_makes_no_sense(options: dict[str, Any], message: str):
    with pytest.raises(OptionError, match=f"^{message}"):
        MemoryConfig(**options)


def test_splits_of_digits_share_no_picture_and_have_every_digit(tmp_path: Path):
    path = tmp_path / "d.csv"
    path.write_text("".join(f"{row % 17},{row // 17},16,{row % 3}\n" for row in range(90)), encoding="utf-8")
    _, data = MemoryConfig(problem="digits", files=(str(path),)).prepare(tmp_path, 0)
    parts = [data.train(0), data.validation, data.test]
    assert [len(part) for part in parts] == [72, 9, 9]
    assert len({tuple(x.ravel().tolist()) for part in parts for x in part.inputs}) == 90
    assert np.bincount(data.test.targets).tolist() == [3, 3, 3]
    assert data.about["base line"] == "33.3% right by always the same digit"


def test_what_is_shown():
    x = np.array([[0.25, 1], [0.5, 0], [0.75, 1]], np.float32)
    assert Memory("adding").show(x, np.float32(1.0), np.array([0.9])) == (
        "0.250 at step 1 and 0.750 at step 3 of 3\nsum       1.000\npredicted 0.900"
    )
    probabilities = np.eye(8)[[0, 0, 2, 3]]
    shown = Memory("copy").show(np.array([1, 2, 9, 0]), np.array([NOT_ASKED, NOT_ASKED, 2, 4]), probabilities)
    assert shown == "to copy   CE, 4 steps in all\npredicted CD\nwrong      ^"
    assert Memory("digits").show(x[:, :1], 3, np.eye(10)[4]) == "a 3 of 3 pixels\npredicted 4, sure by 100.0%"
