"""The runs in a folder, as rows of a table. No torch in here."""

import math
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rekur.errors import CheckpointError
from rekur.train.folder import Event, RunFolder


@dataclass(frozen=True)
class RunRow:
    """What a run came to. What is not known of it, or not yet, is None.

    `status` is "running", "finished", "early stop", "interrupted", "failed", "stopped" (it was killed: it can
    go on from its last checkpoint) or "damaged"; `note` says more where there is more to say.
    """

    name: str
    status: str
    task: str | None = None
    best_loss: float | None = None
    bits: float | None = None  # the same in bits, where it is in nats
    steps: int | None = None
    seconds: float | None = None
    size: int = 0  # bytes
    note: str = ""


def list_runs(root: Path) -> list[RunRow]:
    """A row for every run in `root`, by name; a folder that is damaged gets a row with a note.

    Folders that hold neither a configuration nor events are not runs and are left out.
    """
    if not root.is_dir():
        return []
    return [
        _row(path)
        for path in sorted(root.iterdir())
        if path.is_dir() and ((path / "config.json").exists() or (path / "events.jsonl").exists())
    ]


def _row(path: Path) -> RunRow:
    try:
        run = RunFolder.open(path)
        config, events, running = run.config(), run.events(), run.locked()
    except CheckpointError as error:
        return RunRow(path.name, "damaged", size=_size(path), note=str(error))
    losses = _numbers([event for event in events if event["kind"] == "eval"], "loss")
    best = min(losses, default=None)
    start = next((event for event in events if event["kind"] == "start"), {})
    task = start.get("task", config.get("task"))
    status, note = _status(events)
    return RunRow(
        name=path.name,
        status="running" if running else status,
        task=task if isinstance(task, str) else None,
        best_loss=best,
        bits=None if best is None or start.get("measure", "nats") != "nats" else best / math.log(2),
        steps=events[-1]["step"] if events else 0,
        seconds=max(_numbers(events, "seconds"), default=None),
        size=_size(path),
        note="" if running else note,
    )


def _status(events: list[Event]) -> tuple[str, str]:
    if not events or events[-1]["kind"] != "end":
        return "stopped", "it did not end by itself"
    return str(events[-1].get("reason")), str(events[-1].get("message", ""))


def _numbers(events: list[Event], field: str) -> list[float]:
    values = (event.get(field) for event in events)
    return [float(value) for value in values if isinstance(value, int | float)]


def _size(path: Path) -> int:
    total = 0
    for file in path.rglob("*"):
        with suppress(OSError):  # a run that goes on meanwhile removes old checkpoints
            total += file.lstat().st_size
    return total
