"""The heat maps have each value at its place, with its sign; the dots lie where the shares say."""

import base64
import io
import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from rekur.inspect import look, observe
from rekur.inspect.told import Told
from rekur.nn import Recurrent
from rekur.report.bitmap import ABOVE, BELOW, LEVELS, OPEN, png
from rekur.report.heat import Map, arranged, draw, section
from rekur.report.saturation import panels_of


def pixels(data):
    """`(rows, columns, 4)` of 0 … 255, read by a library."""
    from matplotlib.image import imread

    return np.rint(np.asarray(imread(io.BytesIO(data), format="png")) * 255).astype(int)


def unlike(data, values, above):
    """The places where a picture is not of the values."""
    seen = pixels(data)
    assert seen.shape == (*values.shape, 4)
    colours = np.where((values >= 0)[..., None], above, BELOW)
    strength = np.abs(np.clip(values, -1, 1))
    wrong = np.abs(seen[..., 3] / 255 - strength) > 0.5 / LEVELS + 0.5 / 255
    wrong |= (seen[..., :3] != colours).any(-1) & (strength > 1 / LEVELS)
    return {(int(row), int(column)) for row, column in np.argwhere(wrong)}


def images(html):
    return [base64.b64decode(found) for found in re.findall(r'href="data:image/png;base64,([^"]*)"', html)]


def test_a_picture_has_each_value_at_its_place():
    values = np.random.default_rng(1).uniform(-1.2, 1.2, (5, 7))
    values[0, :3] = 0, 1, -1
    assert unlike(png(values, OPEN), values, OPEN) == set()
    changed = values.copy()
    changed[4, 6] *= -1
    changed[1, 2] *= 0.5
    assert unlike(png(changed, OPEN), values, OPEN) == {(4, 6), (1, 2)}
    assert unlike(png(np.array([[np.nan, 0.5]]), ABOVE), np.array([[0.0, 0.5]]), ABOVE) == set()


def test_units_are_the_liveliest_and_the_slowest_are_above():
    t = np.arange(100)
    fast, slow, still = (-1.0) ** t, np.sin(t / 20), 0.01 * np.sin(t)
    values = np.stack([fast, slow, still, np.sin(t / 2)], 1)
    assert arranged(values, values).tolist() == [1, 3, 2, 0]
    assert arranged(values, values, 3).tolist() == [1, 3, 0]
    assert arranged(values, values * [0, 0.1, 1000, 1], 2).tolist() == [3, 2]  # by what is put out


def looked(**options):
    torch.manual_seed(2)
    return look(Recurrent("lstm", 3, 5, num_layers=2, bidirectional=True), torch.randn(1, 12, 3), **options)


def test_the_maps_of_a_layer_show_the_same_unit_in_the_same_row():
    found = looked(text='<a>\n"b" & c!')
    html = section(found)
    maps = images(html)
    assert len(maps) == 4 * 5 * 2  # layers and directions; states and gates; for screens and for phones
    record = found.record
    for at, layer in enumerate(["0", "0.reverse", "1", "1.reverse"]):
        order = arranged(record[f"{layer}.c"].values[0], record[f"{layer}.h"].values[0])
        for place, name in enumerate(["c", "h", *found.gates]):
            values = record[f"{layer}.{name}"].values[0][:, order].T
            gate = name in found.gates
            full = 1 if gate else np.quantile(np.abs(values), 0.7)
            assert unlike(maps[at * 10 + place], values / full, OPEN if gate else ABOVE) == set()
    assert "&lt;a&gt;↵&quot;b&quot;\N{NO-BREAK SPACE}&amp;" in html
    assert "<script" not in html
    assert "Layer 1, backwards" in html


def test_a_dot_lies_where_the_shares_say():
    found = looked()
    assert found.saturation is not None
    panels = panels_of(found)
    assert [(layer, gate) for layer, gate, _ in panels][:4] == [
        ("0", "forget"), ("0", "input"), ("0", "output"), ("0.reverse", "forget"),
    ]  # fmt: skip
    for layer, gate, dots in panels:
        shares = found.saturation.sel(layer=layer, gate=gate)
        assert [shut for shut, _ in dots] == shares.sel(end="shut").values.tolist()
        assert [opened for _, opened in dots] == shares.sel(end="open").values.tolist()
    html = section(found)
    assert html.count("h0") == 2 * 12 * 5  # a dot a unit, for screens and for phones


@pytest.mark.parametrize("width", [1000, 360])
def test_what_is_drawn_fits(width):
    words = ["a", "rather-long-word", "in", "a", "sentence", "of", "many", "words"] * 9
    for labels in (words, words[:4], list("characters" * 30), [""] * 300, ["x"]):
        one = Map("c", np.zeros((len(labels), 3)), ["1", "2", "3"], ABOVE)
        svg = draw([one, one], labels, width)
        right = [float(x) + float(w) for x, w in re.findall(r'<image x="([\d.]+)" y="[\d.]+" width="([\d.]+)"', svg)]
        assert len(right) == 2
        assert max(right) <= width + 1e-6


def test_what_the_model_says_stands_above_and_names_its_labels():
    from xarray import DataArray

    found = looked(text=[f"word{at}" for at in range(12)])
    values = DataArray(np.full((12, 2), [0.25, 0.75]), dims=("time", "label"), coords={"label": ["no", "<yes>"]})
    html = section(replace(found, told=(Told(values, "It says <so>"),)))
    assert "It says &lt;so&gt;" in html
    assert "&lt;yes&gt;" in html
    assert unlike(images(html)[0], values.values.T, ABOVE) == set()


def test_a_record_draws_itself():
    torch.manual_seed(0)
    record = observe(
        Recurrent("lstm", 3, 4, num_layers=2), torch.randn(2, 6, 3), ["forget", "c"], text=["abcdef"] * 2
    )
    figure = record.plot(["c", "0.forget"], row=1)
    drawn = {
        axes.get_ylabel(): np.asarray(axes.get_images()[0].get_array()) for axes in figure.axes if axes.get_images()
    }
    assert np.array_equal(drawn["1.c"], record["1.c"].values[1].T)
    assert np.array_equal(drawn["0.forget"], record["0.forget"].values[1].T)
    assert not np.array_equal(drawn["1.c"], record["1.c"].values[0].T)
    html = record._repr_html_()
    assert html.startswith("<pre>Record(forget (layer 2, batch 2, time 6, unit 4)")
    assert "data:image/png;base64," in html
    with pytest.raises(KeyError, match="did you mean"):
        record.plot(["forgt"])
