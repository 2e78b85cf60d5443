"""The display on a terminal: what is settled scrolls by, what changes stays at the foot."""

import re
import time
from collections.abc import Mapping
from typing import Any, Self

import rich.live
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from rekur.train.display import Pace, Quiet, duration, ending, headline, printable, verdict
from rekur.train.folder import RunFolder
from rekur.train.scores import loss as wording

_LINES = 12  # that the samples of one time may take; the folder has the rest
_NARROWEST = 34  # columns that a sample needs to stand beside another
_BARS = "▁▂▃▄▅▆▇█"
_MOST_BARS = 40


class Live(Quiet):
    """Validations and samples scroll by; a bar, the latest numbers and the curve stay at the foot."""

    def __init__(self, folder: RunFolder, console: Console) -> None:
        self.folder, self.console = folder, console
        self.pace = Pace()
        self.at = 0  # the step
        self.loss: float | None = None  # of the latest batch
        self.train: Mapping[str, Any] = {}  # the latest of its kind
        self.curve: list[float] = []  # validation losses, in bits where they are in nats
        self.samples: list[Mapping[str, Any]] = []  # not shown yet: they stand side by side
        self.busy = ""
        self.live = rich.live.Live(get_renderable=self._foot, console=console, refresh_per_second=4, transient=True)

    def __enter__(self) -> Self:
        self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._show_samples()
        self.live.stop()

    def event(self, event: Mapping[str, Any]) -> None:
        """Show an event: at once, or at the foot from now on."""
        kind = event["kind"]
        if kind == "sample":
            self.samples.append(event)
            return
        self._show_samples()
        if kind == "start":
            self.pace, self.at = Pace(event), event["step"]
            title, _, rest = headline(event, self.folder).partition("\n")
            self._print(Text(title, "bold"), Text(rest, "dim"))
        elif kind == "train":
            self.train = event
        elif kind == "eval":
            self.curve.append(event.get("bits", event["loss"]))
            style = "bold green" if event["best"] else ""
            self._print(Text(f"{self.pace.place(event['step'])}  {verdict(event)}", style))
        elif kind == "end":
            style = "bold" if event["reason"] != "failed" else "bold red"
            self._print(Text(ending(event, self.folder, self.pace), style))

    def step(self, step: int, loss: float) -> None:
        """Move the bar."""
        self.at, self.loss, self.busy = step, loss, ""

    def doing(self, what: str) -> None:
        """Say what keeps the bar from moving."""
        self.busy = what

    def note(self, text: str) -> None:
        """The note, once."""
        self._print(Text(f"note: {printable(text)}", "yellow"))

    def _print(self, *lines: RenderableType) -> None:
        for line in lines:
            self.console.print(line, soft_wrap=isinstance(line, Text))

    def _show_samples(self) -> None:
        if not self.samples:
            return
        beside = self.console.width >= _NARROWEST * len(self.samples)
        width = self.console.width // len(self.samples) if beside else self.console.width
        most = _LINES if beside else max(3, _LINES // len(self.samples))
        texts = [_fitted(sample["text"], self.console, width - 4, most) for sample in self.samples]
        height = max(len(lines) for lines in texts) + 2
        panels = [
            Panel(
                Text("\n").join(lines),
                title=Text(printable(sample["title"])),
                title_align="left",
                border_style="dim",
                width=width,
                height=height if beside else None,
            )
            for sample, lines in zip(self.samples, texts, strict=True)
        ]
        self.samples = []
        row = Table.grid()
        if beside:
            row.add_row(*panels)
        self._print(*([row] if beside else panels))

    def _foot(self) -> RenderableType:
        total = self.pace.total
        if not total:
            return Text("")
        bar = Table.grid(padding=(0, 2), expand=True)
        bar.add_column(ratio=1)
        bar.add_column(justify="right", no_wrap=True)
        spent = duration(time.monotonic() - self.pace.began)
        left = self.pace.left(self.at)
        times = f"{spent}, {left} left" if left else spent
        place = Text.assemble((f"{self.at:,}", "bold"), f"/{total:,}", (f"  {times}", "cyan"))
        bar.add_row(ProgressBar(total, self.at, complete_style="cyan", finished_style="green"), place)
        return Group(bar, *self._numbers(), *self._curve())

    def _numbers(self) -> list[RenderableType]:
        if self.busy:
            return [Text(f"{self.busy} …", "italic dim")]
        if not self.train:
            return [Text("" if self.loss is None else f"loss {self.loss:.4f}{self._unit('nats')}", "dim")]
        now = self.train
        return [
            Text.assemble(
                ("loss ", "dim"),
                (wording(now).removeprefix("loss "), "bold"),
                ("   lr ", "dim"),
                f"{now['lr']:.3g}",
                ("   gradient ", "dim"),
                f"{now['grad_norm']:.2f}",
                f"   {now['items_per_second']:,.0f}",
                (f" {self.pace.unit}/s", "dim"),
            )
        ]

    def _curve(self) -> list[RenderableType]:
        if len(self.curve) < 2:
            return []
        return [
            Text.assemble(
                ("validation ", "dim"),
                f"{self.curve[0]:.3g} ",
                (sparkline(self.curve), "green"),
                f" {self.curve[-1]:.3g}",
                (self._unit("bits"), "dim"),
            )
        ]

    def _unit(self, unit: str) -> str:
        return f" {unit}" if self.pace.measure == "nats" else ""


def sparkline(values: list[float]) -> str:
    """Values as bars of eight heights; of many, the latest.

    >>> sparkline([3.0, 2.0, 1.0])
    '█▅▁'
    """
    values = values[-_MOST_BARS:]
    low, high = min(values), max(values)
    scale = (len(_BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(_BARS[round((value - low) * scale)] for value in values)


def _fitted(text: str, console: Console, width: int, most: int) -> list[Text]:
    """The first lines of a text, wrapped to a width; of blank lines in a row, one is enough here."""
    squeezed = re.sub(r"\n\s*\n", "\n\n", printable(text).strip("\n"))
    return list(Text(squeezed).wrap(console, width, overflow="fold"))[:most]
