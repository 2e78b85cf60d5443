"""What was measured: rows, what went wrong, and the machine; as JSON and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from rekur.bench.pairs import Interval, interval, rounded
from rekur.bench.point import Point
from rekur.errors import DataError

VERSION = 1


@dataclass(frozen=True)
class Row:
    """A point against one peer, or on its own."""

    point: Point
    peer: str
    """By its name among `PEERS`; empty where ours is measured alone"""
    unit: str
    """`seconds` or `bytes`"""
    ours: tuple[float, ...]
    theirs: tuple[float, ...] = ()
    """The i-th belongs to the i-th of ours"""
    fill: float = 1.0
    """What the peer's cost is multiplied with: the share of real steps, where the peer runs them all"""
    apart: float | None = None
    """How far apart the results were when they were compared, and the most that was allowed"""
    tolerance: float | None = None
    floor: float | None = None
    """Seconds that it must take at the least"""

    @property
    def ratios(self) -> list[float]:
        """Of each pair, theirs over ours: above 1, ours costs less."""
        return [self.fill * b / a for a, b in zip(self.ours, self.theirs, strict=False)]

    @cached_property
    def cost(self) -> Interval:
        """Ours."""
        return interval(self.ours)

    @cached_property
    def ratio(self) -> Interval:
        """Of a row with a peer."""
        return interval(self.ratios)

    @property
    def verdict(self) -> str:
        """`slower` where even the upper end of the ratio's interval is below 1, `faster` where the lower end is
        above, else `even`.
        """
        return "slower" if self.ratio.high < 1 else "faster" if self.ratio.low > 1 else "even"

    @property
    def share(self) -> float | None:
        """The floor over our median."""
        return None if self.floor is None else self.floor / self.cost.median

    def to_json(self) -> dict[str, Any]:
        """All fields; and for whoever reads the file, the ratios and the intervals."""
        out = {**{f.name: getattr(self, f.name) for f in fields(self)}, "point": asdict(self.point)}
        out["ours interval"] = asdict(self.cost)
        if self.theirs:
            out |= {"ratios": [rounded(r) for r in self.ratios], "ratio interval": asdict(self.ratio)}
            out["verdict"] = self.verdict
        return out

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Row:
        """What `to_json` gave."""
        known = {f.name: values[f.name] for f in fields(cls)}
        samples = {k: tuple(values[k]) for k in ("ours", "theirs")}
        return cls(**{**known, **samples, "point": Point(**values["point"])})


@dataclass(frozen=True)
class Failure:
    """A point that has no row against a peer, and why."""

    point: Point
    peer: str
    reason: str


@dataclass
class Result:
    """All of a run."""

    machine: dict[str, Any]
    rows: list[Row] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    def write(self, path: Path) -> None:
        """As JSON with a row a line, put in place whole; DataError where it cannot be."""
        rows = ",\n".join(json.dumps(row.to_json()) for row in self.rows)
        rest = {"version": VERSION, "machine": self.machine, "failures": [asdict(f) for f in self.failures]}
        beside = path.with_name(f".{path.name}.part")
        try:
            beside.write_text(json.dumps(rest)[:-1] + f', "rows": [\n{rows}\n]}}\n', encoding="utf-8")
            beside.replace(path)
        except OSError as e:
            raise DataError(f"the results cannot be written to {path}: {e.strerror}") from e

    @classmethod
    def read(cls, path: Path) -> Result:
        """What `write` wrote; DataError where it is not that."""
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            if values["version"] != VERSION:
                raise DataError(f"{path} is of version {values['version']}; this rekur reads {VERSION}")
            failures = [Failure(Point(**f["point"]), f["peer"], f["reason"]) for f in values["failures"]]
            return cls(values["machine"], [Row.from_json(row) for row in values["rows"]], failures)
        except (OSError, ValueError, KeyError, TypeError) as e:
            raise DataError(f"{path} holds no results of rekur bench: {type(e).__name__}: {e}") from e
