"""The units of a network on a page: how many can be read, what they follow, and every one of them on text."""

import base64
import json
import re
from collections.abc import Iterable
from importlib.resources import files
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from rekur.inspect.passages import MIDDLE, Example
from rekur.inspect.units import Units
from rekur.report.elements import escaped, headline
from rekur.report.elements import section as part
from rekur.report.tables import table
from rekur.report.wording import amount

_LEVELS = 6  # of colour to each side of 0


def section(result: Units) -> str:
    """A part of the page. It has a small script, which shows every unit on text; all else is seen without."""
    style, script = ((files("rekur.report") / f"units.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    body = f"""<style>
{style}</style>
<div class="units">
{_summary(result)}
{_shares(result)}
{_examples(result)}
{_browser(result)}
{_properties(result)}
{_method(result)}
<script>
{script}</script>
</div>"""
    return part("Which units can be read", body)


def share_of(part: float) -> str:
    """A share in percent with one decimal.

    >>> share_of(0.0273).split()
    ['2.7', '%']
    """
    return f"{100 * part:.1f}\N{NO-BREAK SPACE}%"


def sentence(result: Units) -> str:
    """What was measured, in a line."""
    first = result.shares[0]
    return (
        f"{first.count} of {first.of} units ({share_of(first.share)}; on other text of this kind "
        f"{share_of(first.low)} to {share_of(first.high)}) can be read: they follow a property of the text better "
        "than the last few characters tell it, than any unit of an untrained network does, and than chance."
    )


def _summary(result: Units) -> str:
    first = result.shares[0]
    strong = next(share for share in result.shares if share.least == 0.5)
    numbers = [
        headline(share_of(first.share), f"of units can be read ({share_of(first.low)} to {share_of(first.high)})"),
        headline(share_of(result.apparent / first.of), "are above all rivals on this text, certain or not"),
        headline(share_of(strong.share), "tell half or more of a property’s variance"),
        headline(amount(result.characters), "characters of text"),
    ]
    more = (
        f"On this text as it is, {result.apparent} ({share_of(result.apparent / first.of)}) are above all of these; "
        "for those that are not counted it may be by accident, and more text would have to tell."
    )
    return f'<p>{escaped(sentence(result))} {escaped(more)}</p><dl class="numbers">{"".join(numbers)}</dl><p></p>'


def _shares(result: Units) -> str:
    rows = [
        [f"R² of {share.least:g} or more" if share.least else "all that beat their rivals", share.count,
         share_of(share.share), f"{share_of(share.low)} – {share_of(share.high)}" if share.high else "–"]
        for share in result.shares
    ]  # fmt: skip
    readable = np.asarray(result.readable.any(1))
    kinds = [name.rpartition(".")[0] for name in result.names]
    places = []
    for kind in dict.fromkeys(kinds):
        here = np.array([one == kind for one in kinds])
        count = int(readable[here].sum())
        layer, _, state = kind.rpartition(".")
        places.append([f"layer {layer}, {state}", int(here.sum()), count, share_of(count / here.sum())])
    first = table({
        "title": "Readable units", "columns": ["", "units", "share", "95 % of texts"], "rows": rows,
        "note": "by the share of the property’s variance that the best of a unit’s states tells",
    })  # fmt: skip
    second = table({
        "title": "Where they are", "columns": ["", "values", "readable", "share"], "rows": places,
        "note": "by layer and state",
    })  # fmt: skip
    return f'<div class="pair">{first}{second}</div>'


def _properties(result: Units) -> str:
    count = result.readable.sum(0)
    order = sorted(range(len(count)), key=lambda p: (-int(count[p]), -float(result.r2[:, p].max())))
    rows = []
    for p in order:
        u = int(result.r2[:, p].argmax())
        luck = f"{_r2(result.untrained[p])} + {_r2(result.luck[p])}"
        rows.append([
            result.properties[p].name, result.properties[p].about, f"{_r2(result.table[p])} ({result.orders[p]})",
            luck, _r2(result.chance[p]), f"{_r2(result.r2[u, p])} ({result.names[u]})", int(count[p]),
        ])  # fmt: skip
    columns = [
        "property", "", "last characters", "untrained + luck", "chance", "best unit", "readable"
    ]  # fmt: skip
    out = table({
        "title": "What was asked, and what else tells it", "columns": columns, "rows": rows,
        "note": "as R² on held-out text: 1 tells all, 0 no more than the mean; in brackets how many characters the "
        "table looks at, and the unit. A property that the last characters tell can have no readable unit.",
    })  # fmt: skip
    left = "; ".join(f"{name}: {why}" for name, why in result.left_out.items())
    return out + (f'<p class="note">Left out: {escaped(left)}.</p>' if left else "")


def _examples(result: Units) -> str:
    if not result.examples:
        return '<p class="note">No unit beats all of its rivals, so there is no best one to show.</p>'
    shown = "".join(_example(result, example) for example in result.examples)
    return f"""<h3>The best, on text</h3>
<p class="note">The value after each character, from <span class="key"></span> least to greatest; where the property
is true of it, or above its mean, the character is underlined. None of this text was learnt from.</p>
<div class="examples">{shown}</div>"""


def _example(result: Units, example: Example) -> str:
    prop = result.properties[example.property]
    score = _r2(result.r2[example.column, example.property])
    caption = (
        f"<b>{escaped(result.names[example.column])}</b> {escaped(prop.name)}: {escaped(prop.about)}. R² {score}, "
        f"where the strongest rival has {_r2(result.rival[example.property])}"
    )
    level = _level(example.passage.values[0])
    truth = example.truth > (0 if set(np.unique(example.truth)) <= {0.0, 1.0} else example.truth.mean())
    truth = truth & ~_indented(example.passage.text)
    marks = [_class(int(one), bool(true)) for one, true in zip(level, truth, strict=True)]
    runs = groupby(zip(example.passage.text, marks, strict=True), key=lambda pair: pair[1])
    text = "".join(_run(mark, (c for c, _ in pairs)) for mark, pairs in runs)
    return f'<figure><figcaption>{caption}</figcaption><pre class="text">{text}</pre></figure>'


def _indented(text: str) -> NDArray[np.bool_]:
    """The blanks at the beginnings of lines, which are not underlined: a page full of bars is hard to read."""
    out = np.zeros(len(text), bool)
    for blanks in re.finditer(r"^[ \t]+", text, re.MULTILINE):
        out[blanks.start() : blanks.end()] = True
    return out


def _run(mark: str, characters: Iterable[str]) -> str:
    text = escaped("".join(characters))
    return f'<i class="{mark}">{text}</i>' if mark else text


def _level(values: NDArray[np.uint8]) -> NDArray[np.int64]:
    return np.rint((values.astype(float) - MIDDLE) / MIDDLE * _LEVELS).astype(np.int64)


def _class(level: int, true: bool) -> str:
    side = f"p{level}" if level > 0 else f"n{-level}" if level < 0 else ""
    return f"{side} true".strip() if true else side


def _browser(result: Units) -> str:
    best = {u: f"{result.properties[p].name} {_r2(result.r2[u, p])}" for u, p in result.best()}
    excerpt = result.excerpt
    data = {
        "names": result.names,
        "best": [best.get(u, "") for u in range(len(result.names))],
        "order": [*best, *(u for u in range(len(result.names)) if u not in best)],
        "width": max(map(len, result.names)),
        "length": len(excerpt.text),
        "values": base64.b64encode(excerpt.values.tobytes()).decode("ascii"),
    }
    packed = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    return f"""<h3>Every unit</h3>
<noscript><p class="note">This part needs scripts: it colours a text by any unit that you choose.</p></noscript>
<div class="browse" hidden>
<div>
<label>Unit, layer or property {_field("0.c   brackets")}</label>
<label>Find units that stand out at {_field("any string of the text")}</label>
<label>Units, the readable first <select size="20"></select></label>
</div>
<div>
<p class="said" aria-live="polite"></p>
<pre class="text" aria-label="Text coloured by the chosen unit">{escaped(excerpt.text)}</pre>
<p class="note">From <span class="key"></span> least to greatest. Select some of the text to find the units that
stand out there: by how many standard deviations their mean there is off.</p>
</div>
<script type="application/json">{packed}</script>
</div>"""


def _field(example: str) -> str:
    return f'<input type="search" autocomplete="off" spellcheck="false" placeholder="{example}">'


def _method(result: Units) -> str:
    learnt = f", which also learns from {amount(result.more)} characters of what the network learnt from"
    learnt = learnt if result.more else ""
    return f"""<h3>How this was measured</h3>
<p class="note">The text, {amount(result.characters)} characters that the network did not learn from, is cut into
{result.blocks} blocks. Of each state of a unit, its value after a character, in 32 bins by rank, predicts the
property there by the bin’s mean; what is fitted on one half of the text is scored on the other. Its rivals are scored
alike: the best table of the last 1 to 5 characters{learnt}; the best unit of an untrained network of the same plan,
and on top of it as much as one untrained network’s best beats another’s by luck; and the best that any unit reaches
where the property is moved along the text, away from its place. All are corrected for {amount(len(result.names))}
values × {amount(len(result.properties))} properties tried: with a probability of {share_of(1 - result.alpha)} none
is called readable by mistake. The interval is of blocks drawn anew: how the share would differ on other text of this
kind, not in another network.</p>
<p class="note">A unit may follow something that was not asked for, or share it with others; it does not count then.
That makes the share a lower bound, of these properties. What a unit tells need not be what it works out:
properties hang together, as the body of a block is indented. “About 5 %” is from Karpathy, Johnson and Fei-Fei, 2015,
who looked at memory cells by eye.</p>"""


def _r2(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")
