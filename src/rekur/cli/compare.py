"""One run for each of several cells, and a table of them."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rekur.train.display import duration, printable

if TYPE_CHECKING:
    from rekur.train import Result, RunFolder


def called(name: str, cell: str) -> str:
    """What the run of a cell is called.

    >>> called("memory", "highway:3"), called("memory", "my/cells.py:leaky")
    ('memory-highway-3', 'memory-cells.py-leaky')
    """
    return f"{name}-" + re.sub(r"[^\w.=+-]+", "-", cell.rpartition("/")[2])


def table(runs: Sequence[tuple["RunFolder", "Result"]]) -> str:
    """What the runs came to, a row each: of the best validation's weights, on the test data."""
    share_known = any((result.test or {}).get("accuracy") is not None for _, result in runs)
    rows: list[tuple[str, ...]] = [
        ("run", "cell", "weights", "steps", "time", "loss, test", "right, test (95 %)" if share_known else "")
    ]
    for folder, result in runs:
        test, start = result.test or {}, next(event for event in folder.events() if event["kind"] == "start")
        right = ""
        if (share := test.get("accuracy")) is not None:
            low, high = test.get("accuracy_low") or 0.0, test.get("accuracy_high") or 0.0
            right = f"{share * 100:.2f} % ({low * 100:.2f} to {high * 100:.2f})"
        loss = test.get("loss")
        rows.append(
            (
                str(folder.path), folder.config()["model"]["cell"], f"{start['parameters']:,}", f"{result.step:,}",
                duration(result.seconds), "" if loss is None else f"{loss:.4g}", right,
            )
        )  # fmt: skip
    if not any(row[-1] for row in rows[1:]):
        rows = [row[:-1] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        left = f"{row[0]:{widths[0]}}   {row[1]:{widths[1]}}"
        lines.append(
            "   ".join([left, *(f"{text:>{width}}" for text, width in zip(row[2:], widths[2:], strict=True))])
        )
    return printable("\n".join(lines))
