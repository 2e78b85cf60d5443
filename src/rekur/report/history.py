"""What a run folder says, read with care: its files may come from a stranger or from another version."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from rekur.train import RunFolder

Event = dict[str, Any]
_MOST_STEPS = 10**15  # more is no count but damage, and no axis can show it
Curve = list[tuple[int, float]]  # (step, value), steps ascending


@dataclass(frozen=True)
class History:
    """A run's configuration and events."""

    name: str
    config: dict[str, Any]
    events: list[Event]

    @classmethod
    def read(cls, folder: RunFolder) -> "History":
        """Read a run folder; `CheckpointError` where it is damaged."""
        events = [event for event in folder.events() if 0 <= event["step"] < _MOST_STEPS]
        return cls(folder.path.resolve().name, folder.config(), events)

    @property
    def starts(self) -> list[Event]:
        """The first start, and one for each time that the run went on after a pause."""
        return self.of("start")

    @property
    def start(self) -> Event:
        """The latest start, or an empty event."""
        return self.starts[-1] if self.starts else {}

    @property
    def end(self) -> Event:
        """How the run ended; an empty event if it has not, or went on after that."""
        last = next((e for e in reversed(self.events) if e["kind"] in ("start", "end")), {})
        return last if last.get("kind") == "end" else {}

    def of(self, kind: str) -> list[Event]:
        """The events of a kind; of evaluations, those on the validation data."""
        return [e for e in self.events if e["kind"] == kind and e.get("split", "validation") == "validation"]

    def curve(self, kind: str, field: str) -> Curve:
        """A field of the events of a kind by step, where it is a finite number; of several at a step the last."""
        points = {e["step"]: number(e.get(field)) for e in self.of(kind)}
        return sorted((step, value) for step, value in points.items() if value is not None)

    def samples(self) -> dict[int, dict[str, str]]:
        """By step and by title, both in the order in which they came."""
        found: dict[int, dict[str, str]] = {}
        for event in self.of("sample"):
            found.setdefault(event["step"], {})[str(event.get("title", ""))] = str(event.get("text", ""))
        return found

    def entry(self, name: str) -> dict[str, Any]:
        """A table in the latest start, such as `data`; empty where there is none."""
        table = self.start.get(name)
        return table if isinstance(table, dict) else {}


def number(value: object) -> float | None:
    """A finite number, or nothing."""
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300:
        return float(value)
    return None


def thin(curve: Curve, most: int = 400) -> Curve:
    """At most so many points, each the mean of its neighbours; the first and the last step stay."""
    size = math.ceil(len(curve) / most)
    if size <= 1:
        return curve
    groups = [curve[i : i + size] for i in range(0, len(curve), size)]
    middle = [(group[len(group) // 2][0], mean(value for _, value in group)) for group in groups]
    return [(curve[0][0], middle[0][1]), *middle[1:-1], (curve[-1][0], middle[-1][1])]


def mean(values: Iterable[float]) -> float:
    """The arithmetic mean."""
    found = list(values)
    return math.fsum(found) / len(found)
