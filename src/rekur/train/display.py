"""What a run shows of itself. The loop knows `Display` and nothing else; what is shown is what is logged."""

import sys
import time
from collections.abc import Mapping
from typing import Any, Protocol, Self, TextIO

from rekur.train.folder import RunFolder
from rekur.train.scores import logged, loss, rest
from rekur.train.task import Measure

_EVERY = 5.0  # seconds between lines about training, at least


class Display(Protocol):
    """Something that is told of a run: a context manager around it, and these calls inside."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def event(self, event: Mapping[str, Any]) -> None:
        """An event was written to `events.jsonl`."""

    def step(self, step: int, loss: float) -> None:
        """A training step is done; `loss` is its batch's."""

    def doing(self, what: str) -> None:
        """Something other than training begins: "validating", "sampling"; the next step ends it."""

    def note(self, text: str) -> None:
        """Something the user should know."""


class Quiet:
    """Shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def event(self, event: Mapping[str, Any]) -> None:
        """Nothing."""

    def step(self, step: int, loss: float) -> None:
        """Nothing."""

    def doing(self, what: str) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""


class Plain(Quiet):
    """Plain lines, for a file or a pipe: nothing moves, and no line is repeated within some seconds."""

    def __init__(self, folder: RunFolder, stream: TextIO) -> None:
        self.folder, self.stream = folder, stream
        self.pace = Pace()
        self.said = -_EVERY

    def event(self, event: Mapping[str, Any]) -> None:
        """A line or some about the event."""
        kind, step = event["kind"], event["step"]
        if kind == "start":
            self.pace = Pace(event)
            self._print(headline(event, self.folder))
        elif kind == "train" and time.monotonic() >= self.said + _EVERY:
            self.said = time.monotonic()
            self._print(f"{self.pace.place(step)}  epoch {event['epoch']}  {training(event, self.pace)}")
        elif kind == "eval":
            self._print(f"{self.pace.place(step)}  {verdict(event)}")
        elif kind == "sample":
            self._print(f"{self.pace.place(step)}  sample, {printable(event['title'])}")
            self._print("\n".join(f"    | {line}" for line in printable(event["text"]).split("\n")))
        elif kind == "end":
            self._print(ending(event, self.folder, self.pace))

    def note(self, text: str) -> None:
        """The note as a line."""
        self._print(f"note: {printable(text)}")

    def _print(self, text: str) -> None:
        encoding = self.stream.encoding or "utf-8"
        print(text.encode(encoding, "backslashreplace").decode(encoding), file=self.stream, flush=True)


class Pace:
    """How far a run is and how long the rest will take, judged by this process's own steps."""

    def __init__(self, start: Mapping[str, Any] | None = None) -> None:
        start = start or {"step": 0, "total": 0, "unit": "items", "measure": "nats"}
        self.first, self.total, self.unit = start["step"], start["total"], start["unit"]
        self.measure: Measure = start["measure"]
        self.began = time.monotonic()

    def place(self, step: int) -> str:
        """`step  400/4000`."""
        return f"step {step:{len(str(self.total))}}/{self.total}"

    def left(self, step: int) -> str:
        """Time until the last step, or nothing where it cannot be known yet."""
        if step <= self.first:
            return ""
        spent = time.monotonic() - self.began
        return duration(spent / (step - self.first) * (self.total - step))


def open_display(folder: RunFolder, stream: TextIO | None = None) -> Display:
    """A live display on a terminal that can show one, else plain lines; standard output by default."""
    from rich.console import Console

    from rekur.train.live import Live

    stream = stream or sys.stdout
    console = Console(file=stream, highlight=False)
    if console.is_terminal and not console.is_dumb_terminal and console.encoding.startswith("utf"):
        return Live(folder, console)
    return Plain(folder, stream)


def headline(start: Mapping[str, Any], folder: RunFolder) -> str:
    """What a run is, from its `start` event."""
    backend = f", {printable(start['backend'])}" if start.get("backend") else ""
    threads = f"{start['threads']} thread" + ("" if start["threads"] == 1 else "s")
    whence = f"going on from step {start['resume']}" if start.get("resume") is not None else "from the start"
    return (
        f"{start['task']}: {start['parameters']:,} parameters{backend}, {threads}\n"
        f"{start['total']:,} steps ({start['chunks']:,} an epoch), {whence}, kept in {folder.path}"
    )


def training(event: Mapping[str, Any], pace: Pace) -> str:
    """The numbers of a `train` event."""
    left = pace.left(event["step"])
    return (
        f"{named(event)}  lr {event['lr']:.3g}  gradient {event['grad_norm']:.2f}  "
        f"{event['items_per_second']:,.0f} {pace.unit}/s" + (f"  {left} left" if left else "")
    )


def verdict(event: Mapping[str, Any]) -> str:
    """The numbers of an `eval` event, and whether they are the best."""
    return f"{event['split']} {loss(event)}{rest(event)}{'  best so far' if event['best'] else ''}"


def ending(event: Mapping[str, Any], folder: RunFolder, pace: Pace) -> str:
    """How a run ended and, where it can go on, how."""
    step, reason = event["step"], event["reason"]
    if reason == "failed":
        return f"stopped at step {step:,}"
    if reason == "interrupted":
        return f"interrupted at step {step:,}, all saved; go on with: rekur train --resume {folder.path}"
    lines = f"{reason} at step {step:,} after {duration(event['seconds'])}, kept in {folder.path}"
    if event["best_loss"] is not None:
        best = loss(logged({"loss": event["best_loss"]}, pace.measure))
        lines += f"\nbest validation {best}, at step {event['best_step']:,}"
    if event["test"]:
        lines += f"\ntest {loss(event['test'])}{rest(event['test']) if 'accuracy_low' in event['test'] else ''}"
    return lines


def named(scores: Mapping[str, Any]) -> str:
    """`loss 2.3000 nats, 3.3182 bits`, and not `loss` twice."""
    return f"loss {loss(scores).removeprefix('loss ')}"


def duration(seconds: float) -> str:
    """`0:41`, `12:05`, `1:02:03`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def printable(text: str) -> str:
    """Text as a terminal may safely show it: control characters become pictures of themselves.

    >>> printable("red \\x1b[31m, over\\rwritten")
    'red ␛[31m, over␍written'
    """
    return "".join(c if c.isprintable() or c == "\n" else _picture(c) for c in text.replace("\t", "    "))


def _picture(character: str) -> str:
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "␡"
    if character in "\u200c\u200d":  # joiners are part of how some scripts are written
        return character
    return " " if character.isspace() else "�"  # no-break spaces; controls of direction, surrogates, unassigned
