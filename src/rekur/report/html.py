"""The report: one page that needs nothing beside it, made of what a run folder holds."""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

from rekur.report import figures
from rekur.report.elements import document, escaped, facts, figure, headline, listing, section, words
from rekur.report.history import History, number
from rekur.report.tables import tables
from rekur.report.tracks import tracks
from rekur.report.wording import amount, decimal, duration, moment, percent, value
from rekur.train import RunFolder, disk

_ROWS = 6  # of samples shown


def write_report(folder: RunFolder) -> Path:
    """Write `report.html` of a run: its curves, samples, cells, data, cost and configuration on one page.

    The page is one file without scripts or links, for screens of any width, light or dark, and for paper. It can
    be written at any time, also while the run goes on. Everything that comes from the run is escaped.

    Raises:
        RekurError: matplotlib is missing.
        CheckpointError: the folder's files are damaged.
        TrainingError: the page cannot be written.
    """
    page = _page(History.read(folder))
    with folder.writing():
        disk.replace(folder.report, page.encode("utf-8", "backslashreplace"))
    return folder.report


def _page(history: History) -> str:
    parts = (_curves, _findings, _samples, _cells, _data, _cost, _configuration)
    body = _head(history) + "\n" + "".join(part(history) for part in parts)
    return document(history.name, body, "Written by rekur from config.json and events.jsonl of this run.")


def _head(history: History) -> str:
    start = history.start
    first = history.starts[0] if history.starts else {}
    over = " · ".join(filter(None, (value(start.get("task", "")), moment(first.get("time")))))
    network = f"A network of {amount(start['parameters'])} parameters" if "parameters" in start else "A network"
    source = f" on {value(found)}" if (found := history.entry("data").get("source")) else ""
    steps = amount(max((event["step"] for event in history.events), default=0))
    failed = history.end.get("reason") == "failed"
    ending = _ending(history)
    return f"""<header>
<p class="over">{escaped(over)}</p>
<h1>{escaped(history.name)}</h1>
<p class="lede">{escaped(f"{network}, trained{source} for {steps} steps. {'' if failed else ending}")}</p>
{f'<p class="warning">{escaped(ending)}</p>' if failed else ""}
<dl class="numbers">{"".join(_headlines(history))}</dl>
</header>"""


def _ending(history: History) -> str:
    match history.end.get("reason"):
        case "finished":
            return ""
        case "early stop":
            return "It stopped early, since the validation loss no longer fell."
        case "interrupted":
            return "There it was interrupted; “rekur train --resume” goes on."
        case "failed":
            return value(history.end.get("message", "Training failed."))
        case _:
            return "It had not ended when this page was written."


def _headlines(history: History) -> Iterable[str]:
    nats = _nats(history)
    each = f"bits per {_one(history)}" if nats else "mean squared error"
    scores = [event for event in history.of("eval") if number(event.get("loss")) is not None]
    test = history.end.get("test")
    test = test if isinstance(test, dict) else {}
    if scores:
        best = min(scores, key=lambda event: float(event["loss"]))
        step = f"step\N{NO-BREAK SPACE}{amount(best['step'])}"
        if number(best.get("accuracy")) is not None:
            yield headline(percent(best["accuracy"]), f"of {_unit(history)} right, best validation ({step})")
        if number(test.get("accuracy")) is not None:
            interval = f"{percent(test.get('accuracy_low'))} to {percent(test.get('accuracy_high'))}"
            yield headline(percent(test["accuracy"]), f"of {_unit(history)} right, test ({interval})")
        yield headline(decimal(_loss(best, nats)), f"{each}, best validation ({step})")
        perplexity = number(best.get("perplexity"))
        if perplexity is not None and number(best.get("accuracy")) is None:
            yield headline(decimal(perplexity), "perplexity at that step")
    if (found := _loss(test, nats)) is not None:
        yield headline(decimal(found), f"{each}, test")
    if "parameters" in history.start:
        yield headline(amount(history.start["parameters"]), "parameters")
    if seconds := _seconds(history):
        yield headline(duration(seconds), "of training")
    if rate := _rate(history):
        yield headline(amount(rate), f"{_unit(history)} per second")


def _curves(history: History) -> str:
    field = "bits" if _nats(history) else "loss"
    train, validation = history.curve("train", field), history.curve("eval", field)
    if not train and not validation:
        return section("Learning", '<p class="note">No step of training has been logged yet.</p>')
    what = f"in bits per {escaped(_one(history))}" if _nats(history) else "as the mean squared error"
    caption = f"<b>Loss</b> {what}, by training step. The ring is the best validation."
    body = figure(caption, (1000, 380), lambda w, h: figures.losses(train, validation, w, h))
    pair = ""
    if right := history.curve("eval", "accuracy"):
        caption = f"<b>Share of {escaped(_unit(history))} that is right</b>, of the validation data"
        pair += figure(caption, (476, 200), lambda w, h: figures.quantity("right", right, w, h))
    if rate := history.curve("train", "lr"):
        pair += figure("<b>Learning rate</b>", (476, 200), lambda w, h: figures.quantity("rate", rate, w, h))
    if norm := history.curve("train", "grad_norm"):
        clip = number(history.entry("config").get("clip"))
        level = ("clipped above", clip) if clip else None
        caption = f"<b>Norm of the gradient</b>{f' before it is clipped at {clip:g}' if clip else ''}"
        pair += figure(caption, (476, 200), lambda w, h: figures.quantity("norm", norm, w, h, level))
    return section("Learning", f'{body}<div class="pair">{pair}</div>')


def _findings(history: History) -> str:
    last = history.events[max(history.events.index(start) for start in history.starts) :] if history.starts else []
    found = {kind: [event for event in last if event["kind"] == kind] for kind in ("tracks", "table")}
    return tables(found["table"]) + tracks(found["tracks"])


def _samples(history: History) -> str:
    samples = history.samples()
    if not samples:
        return ""
    titles = list(dict.fromkeys(title for texts in samples.values() for title in texts))
    steps = _spread(sorted(samples), _ROWS)
    rows = []
    for step in steps:
        places = "".join(
            f'<td data-title="{escaped(title)}">{listing(samples[step].get(title, ""))}</td>' for title in titles
        )
        rows.append(f'<tr><th scope="row">{_occasion(history, step)}</th>{places}</tr>')
    head = "".join(f'<th scope="col">{escaped(title)}</th>' for title in titles)
    # predictions are lines that stand one under the other, and must not be broken
    kind = "samples aligned" if "samples" in history.start else "samples"
    note = f"{len(steps)} of {len(samples)} times; all of them are in the run’s folder, under samples."
    return section(
        value(history.start.get("samples", "What it wrote")),
        f"""{f'<p class="note">{note}</p>' if len(steps) < len(samples) else ""}
<table class="{kind}"><colgroup><col>{"<col>" * len(titles)}</colgroup>
<thead><tr><td></td>{head}</tr></thead>
<tbody>{"".join(rows)}</tbody></table>""",
    )


def _occasion(history: History, step: int) -> str:
    about = [] if step else ["before training"]
    about += [f"epoch {amount(epoch)}" for at, epoch in history.curve("sample", "epoch") if at == step > 0]
    about += [f"{percent(share)} right" for at, share in history.curve("eval", "accuracy") if at == step]
    if len(about) < 2:
        field = "bits" if _nats(history) else "loss"
        about += [
            f"{loss:.2f} bits" if field == "bits" else f"{decimal(loss)} loss"
            for at, loss in history.curve("eval", field)
            if at == step
        ]
    return f"step {amount(step)}" + "".join(f"<small>{escaped(line)}</small>" for line in about)


def _cells(history: History) -> str:
    tables = []
    for equations in history.entry("equations").values():
        signature, *lines = value(equations).strip().splitlines() or [""]
        rows = []
        for line in lines:
            name, equals, formula = line.strip().partition(" = ")
            rows.append(f"<tr><td>{escaped(name)}</td><td>{escaped(equals.lstrip() + formula)}</td></tr>")
        tables.append(f'<table class="equations"><caption>{escaped(signature)}</caption>{"".join(rows)}</table>')
    note = '<p class="note">@ is a matrix times a vector, * is taken unit by unit, a prime marks the next state.</p>'
    return section("The cell" if len(tables) == 1 else "The cells", "".join(tables) + note) if tables else ""


def _data(history: History) -> str:
    data = facts(history.entry("data"))
    return section("Data", data) if data else ""


def _cost(history: History) -> str:
    start = history.start
    found: dict[str, Any] = {"time": duration(_seconds(history))}
    if rate := _rate(history):
        found[f"{_unit(history)} per second"] = f"{amount(rate)} (median)"
    for name in ("parameters", "threads", "processor", "machine", "backend", "rekur", "torch", "python"):
        if start.get(name) is not None:
            found[name] = start[name]
    if resumed := [event["resume"] for event in history.starts if number(event.get("resume")) is not None]:
        found["resumed at step"] = resumed
    return section("What it cost", facts(found))


def _configuration(history: History) -> str:
    plain = {name: found for name, found in history.config.items() if not isinstance(found, dict)}
    groups = {name: found for name, found in history.config.items() if isinstance(found, dict) and found}
    body = facts(plain)
    body += "".join(f"<h3>{escaped(words(name))}</h3>{facts(group)}" for name, group in groups.items())
    return section("Configuration", body) if body else ""


def _spread(steps: list[int], most: int) -> list[int]:
    """At most so many of the steps, from the first to the last, evenly."""
    if len(steps) <= most:
        return steps
    return [steps[round(i * (len(steps) - 1) / (most - 1))] for i in range(most)]


def _seconds(history: History) -> float | None:
    times = history.curve("train", "seconds")
    return number(history.end.get("seconds")) or (times[-1][1] if times else None)


def _rate(history: History) -> float | None:
    rates = [rate for _, rate in history.curve("train", "items_per_second")]
    return median(rates) if rates else None


def _nats(history: History) -> bool:
    return bool(history.start.get("measure", "nats") == "nats")


def _loss(scores: Mapping[str, Any], nats: bool) -> float | None:
    """A loss as it is shown: where it is in nats, in bits."""
    bits, loss = number(scores.get("bits")), number(scores.get("loss"))
    if not nats or loss is None or bits is not None:
        return bits if nats else loss
    return loss / math.log(2)


def _unit(history: History) -> str:
    return value(history.start.get("unit", "items"))


def _one(history: History) -> str:
    return _unit(history).removesuffix("s")
