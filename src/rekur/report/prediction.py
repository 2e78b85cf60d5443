"""What a model expected of a text, as a part of the page: the text coloured by surprise, and where the loss is."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from rekur.inspect.losses import Share, blocks, kinds, places, shares, words, worst
from rekur.report.elements import escaped, figure, headline, section
from rekur.report.figures import SIZE
from rekur.report.surprise import SCRIPT, STEPS, flat, percent, place, scale, sign
from rekur.report.wording import amount, decimal, visible

if TYPE_CHECKING:
    from rekur.inspect import Prediction

_BEFORE, _AFTER = 48, 24  # characters around a bad place
_ROWS = 10  # of a table
_TOP = 3  # guesses beside a bad place


def prediction(found: "Prediction", excerpt: "Prediction", unit: str) -> str:
    """What a model of text expected: of a whole text, and of a part of it place by place.

    :param found: of the whole text.
    :param excerpt: of a part of it, which is shown.
    :param unit: what its symbols are: characters or bytes.
    """
    text = "".join(found.text)
    surprise, rank = found.surprise.values, found.rank.values
    saw = float(found.expected.mean())
    numbers = (
        headline(percent(float((rank == 1).mean())), f"of these {unit} were its first guess"),
        headline(percent(float((rank <= found.likely.sizes["rank"]).mean())), "were among its first five"),
        headline(decimal(saw), f"bits each is what it expected to lose; {_calibration(found.bits, saw)}"),
    )
    return section(
        "What it expects",
        f"""<p>Before each of the {amount(len(found))} {unit} the model gave every symbol a probability, from all that
it had read; the one that came then surprised it by −log<sub>2</sub> of its probability, in bits.</p>
<dl class="numbers">{"".join(numbers)}</dl>
{_coloured(excerpt)}
{_along(text, surprise)}
{_where(text, surprise)}
{_worst(found, text)}""",
    )


def _calibration(bits: float, saw: float) -> str:
    if abs(bits - saw) < 0.02 * bits:
        return "it knows how little it knows"
    return "it is too sure of itself" if saw < bits else "it is less sure than it could be"


def _coloured(part: "Prediction") -> str:
    marks = [f"<span>{escaped(part.text[0])}</span>"]
    rows = zip(
        part.text[1:],
        *(array.values.tolist() for array in (part.surprise, part.rank, part.likely, part.probability)),
        strict=True,
    )
    for at, (symbol, bits, rank, likely, given) in enumerate(rows):
        head = f"{sign(symbol)}  cost {bits:.1f} bits ({percent(2**-bits).strip()})"
        shown = "<i>⏎</i>\n" if symbol == "\n" else escaped(symbol)
        marks.append(place(at == 0, head, likely, given, rank, bits, shown))
    return f"""<figure><figcaption><b>Surprise</b> of each character, in bits: {scale()}. Point at one, or click and
go on with the arrow keys, to see the five that the model found likeliest before it.</figcaption>
<pre class="surprise">{"".join(marks)}</pre></figure>
{SCRIPT}"""


def _along(text: str, surprise: npt.NDArray[Any]) -> str:
    starts, means = blocks(surprise)
    size = round(len(surprise) / len(starts))
    if len(starts) < 20 or size < 2:
        return ""
    at = int(means.argmax())
    first = 1 + int(starts[at])
    begins = text[first:][:60].split("\n")
    quoted = max(begins[:3], key=len).strip()
    caption = (
        f"<b>Along the text</b>: mean bits in blocks of {amount(size)} characters. The worst one, from place "
        f"{amount(first)}, costs {means[at]:.2f} a character; there it says “{escaped(quoted)}”."
    )
    return figure(caption, (1000, 150), partial(_strip, means, len(surprise)))


def _strip(means: npt.NDArray[Any], length: int, width: int, height: int) -> str:
    bottom, left = height - 22, 34
    most = max(float(means.max()), 1e-9)
    step = (width - left) / len(means)
    parts = []
    for value in (most, float(means.mean())):
        y = bottom - value / most * (bottom - 12)
        parts.append(_line(left, y, width, "hair" if value == most else "soft"))
        parts.append(f'<text x="0" y="{y + 4:.1f}" style="{_style("soft")}">{value:.1f}</text>')
    for i, value in enumerate(means.tolist()):
        tall = value / most * (bottom - 12)
        colour = "accent" if value == most else "ink"
        parts.append(
            f'<rect x="{left + i * step:.1f}" y="{bottom - tall:.1f}" width="{max(step - 1, 1):.1f}" '
            f'height="{tall:.1f}" style="fill: var(--{colour}); fill-opacity: {1 if colour == "accent" else 0.55}"/>'
        )
    parts.append(_line(left, bottom, width, "soft"))
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        anchor = {0.0: "start", 1.0: "end"}.get(share, "middle")
        x = left + share * (width - left)
        label = amount(1 + share * (length - 1))
        parts.append(
            f'<text x="{x:.1f}" y="{height - 4}" text-anchor="{anchor}" style="{_style("soft")}">{label}</text>'
        )
    return f'<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>'


def _where(text: str, surprise: npt.NDArray[Any]) -> str:
    # the first character is only read: it has a kind, but no surprise
    labels, within = places(text)
    letters = sorted(shares(labels[1:][within[1:]], surprise[within[1:]]), key=lambda one: one.name)
    total = float(surprise.sum())
    tables = (
        _shares("By kind of character", "kind", shares(kinds(text)[1:], surprise), total, len(surprise)),
        _shares("By place in a word", "letter", letters, total, len(surprise)),
        _shares("By word, all its letters", "word", words(text[1:], surprise)[:_ROWS], total, None),
    )
    return f"""<h3>Where the loss is</h3>
<p class="note">A bar is a share of the whole loss; the line across it is the share of the text. Where the bar
goes beyond the line, characters cost more than the mean.</p>
<div class="where">{"".join(tables)}</div>"""


def _shares(title: str, what: str, rows: Sequence[Share], total: float, length: int | None) -> str:
    if not rows:
        return ""
    most = max(max(one.bits / total, one.count / length if length else 0) for one in rows)
    lines = []
    for one in rows:
        share = one.bits / total
        tick = f"; --tick: {100 * one.count / length / most:.1f}%" if length else ""
        of_text = percent(one.count / length).strip() if length else f"{amount(one.count)}×"
        lines.append(
            f'<tr><th scope="row">{escaped(visible(one.name))}</th><td class="number">{of_text}</td>'
            f'<td class="number">{one.each:.2f}</td><td class="number">{percent(share).strip()}</td>'
            f'<td class="bullet"><i style="--share: {100 * share / most:.1f}%{tick}"'
            f"{'' if length else ' class=plain'}></i></td></tr>"
        )
    heads = "".join(
        f'<th scope="col">{head}</th>'
        for head in (what, "of the text" if length else "occurs", "bits each", "of the loss")
    )
    return f"""<div class="table"><table><caption>{title}</caption><thead><tr>{heads}<td></td></tr></thead>
<tbody>{"".join(lines)}</tbody></table></div>"""


def _worst(found: "Prediction", text: str) -> str:
    surprise = found.surprise.values
    first = int(found.surprise.time[0])
    rows = []
    for at in worst(surprise, _ROWS):
        here = at + 1  # in the text, which begins one before
        before, after = text[max(0, here - _BEFORE) : here], text[here + 1 : here + 1 + _AFTER]
        guesses = ", ".join(
            f"{sign(name)} {percent(share).strip()}"
            for name, share in zip(found.likely.values[at, :_TOP], found.probability.values[at, :_TOP], strict=True)
        )
        rows.append(
            f'<tr><td class="number">{surprise[at]:.1f}</td><td class="number">{amount(first + at)}</td>'
            f'<td class="context"><span>{flat(before)}</span><b class="s{len(STEPS)}">{flat(text[here])}</b>'
            f"{flat(after)}</td><td>{escaped(guesses)}</td></tr>"
        )
    heads = "".join(f'<th scope="col">{head}</th>' for head in ("bits", "place", "what came", "what it expected"))
    return f"""<h3>The worst places</h3>
<div class="table worst"><table><thead><tr>{heads}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>"""


def _line(x: float, y: float, to: float, colour: str) -> str:
    return f'<line x1="{x}" x2="{to}" y1="{y:.1f}" y2="{y:.1f}" style="stroke: var(--{colour})"/>'


def _style(colour: str) -> str:
    return f"font-size: {SIZE}px; fill: var(--{colour})"
