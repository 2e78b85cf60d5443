"""The page's part on units: well formed, complete without its script, and the script reads what was measured."""

import base64
import json
import re
from xml.etree import ElementTree

import numpy as np
import pytest

from rekur.inspect.properties import PROSE, choose, parse, values
from rekur.inspect.units import Units, measure
from rekur.report.units import section, sentence

N, U = 10_000, 16


@pytest.fixture(scope="module")
def result() -> Units:
    rng = np.random.default_rng(0)
    piece = "<b>c & d (" + "gh ij " * 9 + ")\n" + "gh ij " * 12
    text = (piece * (N // len(piece) + 1))[:N]
    properties = [*choose(["brackets"], PROSE), parse("other=c == '<'"), parse("never=c == 'Z'")]
    states = rng.normal(size=(N, U)).astype(np.float16)
    states[:, 2] += 5 * values(properties[0], text)
    return measure(
        text, states, rng.normal(size=(N, U)).astype(np.float16), properties, [f"0.h.{u}" for u in range(U)]
    )


def test_the_section_says_what_was_measured(result):
    assert result.shares[0].count == 1
    assert "1 of 16 units (6.2" in sentence(result)
    page = section(result)
    page = page.replace('class="browse" hidden>', 'class="browse">')
    body = re.sub(r"<(style|script|noscript)\b.*?</\1>", "", page, flags=re.DOTALL)
    text = " ".join("".join(ElementTree.fromstring(re.sub(r"<input[^>]*>", "", body)).itertext()).split())
    for part in (
        "Which units can be read", "0.h.2 brackets", "never: it is 0 at every character", "Every unit",
        "20 blocks", "10,000 characters",
    ):  # fmt: skip
        assert part in text


def test_the_best_is_shown_without_script(result):
    page = section(result)
    example = re.search(r'<pre class="text">(.*?)</pre>', page, re.DOTALL)
    assert example
    shown = "".join(ElementTree.fromstring(f"<pre>{example[1]}</pre>").itertext())
    assert shown == result.examples[0].passage.text
    assert re.search(r'<i class="p\d true">[ghij ]+</i>', example[1])


def test_the_script_has_every_unit_on_the_text(result):
    found = re.search(r'<script type="application/json">(.*?)</script>', section(result), re.DOTALL)
    assert found
    data = json.loads(found[1])
    assert data["names"] == list(result.names)
    assert sorted(data["order"]) == list(range(U))
    assert data["order"][0] == 2
    assert data["best"][2].startswith("brackets ")
    values = np.frombuffer(base64.b64decode(data["values"]), np.uint8).reshape(U, data["length"])
    assert (values == result.excerpt.values).all()
    assert data["length"] == len(result.excerpt.text) == 2000


def test_a_property_of_the_users_is_escaped(result):
    page = section(result)
    assert "yours: c == &#x27;&lt;&#x27;" in page
