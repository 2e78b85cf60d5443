"""The ice cream store: against another formulation over all weather, by hand, and real weather from files."""

import json
import random
from hashlib import sha256
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from rekur.data import dataset
from rekur.errors import DataError, OptionError
from rekur.tasks import IceCreamConfig
from rekur.tasks.icecream import IceCream, draw_weather, read_weather, sequences, store


def stock_after(weather: tuple[int, ...], day: int) -> int:
    """The stock in the evening, by recursion over days instead of a queue of orders."""
    if day < 0:
        return 2
    stock = stock_after(weather, day - 1)
    if day >= 3 and weather[day - 3] == 1:
        stock = min(2, stock + 1)
    return max(0, stock - 1) if weather[day] == 0 else stock


def test_every_weather_of_seven_days():
    for weather in product(range(3), repeat=7):
        assert [day.stock for day in store(weather)] == [stock_after(weather, day) for day in range(7)]


@pytest.mark.parametrize(
    ("weather", "stock", "why"),
    [
        ([0, 0, 0], [1, 0, 0], "it starts full, and an empty store sells nothing"),
        ([1, 2, 2, 2], [2, 2, 2, 2], "a full store accepts nothing"),
        ([1, 0, 0, 2], [2, 1, 0, 1], "three days later"),
        ([1, 0, 0, 0], [2, 1, 0, 0], "what arrives in the morning is sold that day"),
        ([1, 1, 1, 0, 0, 0], [2, 2, 2, 1, 1, 1], "a day's arrival is refused before the sale, and accepted after it"),
        ([0, 0, 1, 1, 2, 2, 2], [1, 0, 0, 0, 0, 1, 2], "every order brings one"),
    ],
)
def test_by_hand(weather: list[int], stock: list[int], why: str):
    assert [day.stock for day in store(weather)] == stock, why


def test_weather_is_drawn_evenly_and_from_its_seed():
    weather = draw_weather(30_000, random.Random(1))
    assert np.bincount(weather) == pytest.approx([10_000] * 3, rel=0.03)
    assert weather[:50] == draw_weather(50, random.Random(1)) != draw_weather(50, random.Random(2))


def test_targets_say_whether_any_is_left():
    some = sequences([[0, 0, 1, 0, 2, 2]])
    assert some.inputs[0].tolist() == [0, 0, 1, 0, 2, 2]
    assert some.targets[0].tolist() == [1, 0, 0, 0, 0, 1]


def test_the_parts_of_drawn_weather_are_different_and_come_again(tmp_path: Path):
    config = IceCreamConfig(days=20, sequences=5, held_out=4)
    (_, one), (_, again), (_, other) = (config.prepare(tmp_path, seed) for seed in (0, 0, 1))
    parts = [one.train(0), one.train(1), one.validation, one.test, other.test]
    weather = [tuple(np.concatenate(list(part.inputs)).tolist())[:80] for part in parts]
    assert len(set(weather)) == 5
    assert tuple(np.concatenate(list(again.train(1).inputs)).tolist())[:80] == weather[1]
    assert [len(part) for part in parts] == [5, 5, 4, 4, 4]


HEAD = "location,date,precipitation,temp_max,temp_min,wind,weather\n"


def weather_file(path: Path, days: int = 40) -> Path:
    kinds = ["sun", "rain", "drizzle", "snow", "fog"]
    rows = [
        f"{place},2012/01/{day},0,9,3,2,{kinds[(day + at) % 5]}"
        for at, place in enumerate("AB")
        for day in range(days)
    ]
    path.write_text(HEAD + "\n".join(rows) + "\n", encoding="utf-8")
    return path


def test_real_weather(tmp_path: Path):
    path = weather_file(tmp_path / "weather.csv", 7)
    assert read_weather(path) == {"A": [0, 1, 1, 1, 2, 0, 1], "B": [1, 1, 1, 2, 0, 1, 1]}
    assert IceCream().read([path]).targets[0].tolist() == [day.stock > 0 for day in store([0, 1, 1, 1, 2, 0, 1])]
    _, data = IceCreamConfig(files=(str(weather_file(path)),), days=4, held_out=1).prepare(tmp_path, 0)
    assert [len(part) for part in (data.train(0), data.validation, data.test)] == [14, 3, 3]
    assert data.train(0) is data.train(5)
    assert data.about["places"] == ["weather.csv A", "weather.csv B"]
    assert data.about["days"] == {"sunny": 16, "order": 48, "other": 16}
    assert len(data.digest) == 64


def test_the_weather_of_the_catalogue_goes_by_its_name(tmp_path: Path):
    known = dataset("weather")
    home = tmp_path / "data" / known.package.folder
    path = home / known.path
    with pytest.raises(DataError, match="`rekur data get weather` fetches it"):
        IceCreamConfig(files=("weather",)).prepare(tmp_path, 0)
    path.parent.mkdir(parents=True)
    digest = sha256(weather_file(path).read_bytes()).hexdigest()
    (home / "rekur.json").write_text(json.dumps({known.path: digest}), encoding="utf-8")
    _, named = IceCreamConfig(files=("weather",), days=4).prepare(tmp_path, 0)
    _, given = IceCreamConfig(files=(str(path),), days=4).prepare(tmp_path, 0)
    assert [x.tolist() for x in named.test.inputs] == [x.tolist() for x in given.test.inputs]
    assert (named.about, named.digest) == (given.about, given.digest)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("wether", "no file 'wether', and no data set of that name; did you mean 'weather'"),
        ("snippets", "'snippets' is for classify, not for icecream"),
    ],
)
def test_another_name_is_refused(name: str, message: str, tmp_path: Path):
    with pytest.raises(DataError, match=message):
        IceCreamConfig(files=(name,)).prepare(tmp_path, 0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "has no column 'weather'; it has a, b"),
        ("", "has no column 'weather'; it has nothing"),
        ("weather\n", "has no days"),
        ("weather\nsun\nhail\n", "line 3: the weather is 'hail'; it has to be one of sun, rain"),
        ("location,weather\nA\n", "line 2: the weather is None"),
    ],
)
def test_weather_that_cannot_be_read(text: str, message: str, tmp_path: Path):
    path = tmp_path / "w.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        read_weather(path)


def test_weather_that_is_not_there_or_not_enough(tmp_path: Path):
    with pytest.raises(DataError, match=r"none\.csv' cannot be read"):
        read_weather(tmp_path / "none.csv")
    (tmp_path / "latin.csv").write_bytes("weather\nsun\né\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"latin\.csv' cannot be read"):
        read_weather(tmp_path / "latin.csv")
    with pytest.raises(DataError, match="2 sequences of 40 days cannot be parted in three; give more weather"):
        IceCreamConfig(files=(str(weather_file(tmp_path / "w.csv")),), days=40).prepare(tmp_path, 0)


@pytest.mark.parametrize("name", ["days", "sequences", "held_out", "hidden", "batch"])
def test_an_option_that_makes_no_sense_is_named(name: str):
    with pytest.raises(OptionError, match=f"^{name} is 0; it must be 1 or more"):
        IceCreamConfig(**{name: 0})  # type: ignore[arg-type]


def test_a_prediction_as_text_and_as_tracks():
    weather, wanted = np.array([0, 1, 0, 2]), np.array([1, 1, 0, 0])
    output = np.array([[0.1, 0.9], [0.2, 0.8], [0.4, 0.6], [0.7, 0.3]])
    assert IceCream().show(weather, wanted, output) == (
        "weather   so s.\nstock     1100\nany left  ++--\npredicted +++-\nwrong       ^".replace("so s.", "sos.")
    )
    tracks = {track.name: list(track.values) for track in IceCream().tracks(weather, wanted, output)}
    assert tracks == {
        "weather": ["☀", "+", "☀", ""],
        "stock": [1, 1, 0, 0],
        "any left": [1, 1, 0, 0],
        "predicted": [0.9, 0.8, 0.6, 0.3],
        "wrong": ["", "", "✗", ""],
    }
