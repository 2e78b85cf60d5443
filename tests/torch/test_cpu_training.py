"""A character model trained on the compiled backend and on the reference: the same losses within rounding."""

from __future__ import annotations

from pathlib import Path

import pytest

from rekur.tasks import train
from tests.torch.charlm_tiny import TRAINING, config, one_thread, quiet, text

pytestmark = pytest.mark.usefixtures("one_thread")
__all__ = ["one_thread"]

BOUND = 2e-5
"""Of the relative difference of a loss, in 60 steps of 0.02"""


def losses(root: Path, backend: str, cell: str, **changes: float) -> dict[str, list[float]]:
    """kind of event -> losses in nats"""
    source = root / "words.txt"
    source.write_text(text(), encoding="utf-8")
    asked = config(source, cell=cell, backend=backend, **changes)
    folder, _ = train(asked, TRAINING, runs=root / backend, cache=root / "cache", display=quiet)
    events = list(folder.events())
    return {kind: [e["loss"] for e in events if e["kind"] == kind] for kind in ("train", "eval")}


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_losses_are_those_of_the_reference(cell: str, tmp_path: Path):
    want = losses(tmp_path, "reference", cell)
    got = losses(tmp_path, "cpu", cell)
    assert len(want["train"]) == len(want["eval"]) == 3
    assert got == {kind: pytest.approx(v, rel=BOUND) for kind, v in want.items()}
    assert want["eval"][-1] < 0.95 * want["eval"][0]


def test_other_losses_are_found(tmp_path: Path):
    want = losses(tmp_path, "cpu", "gru")
    got = losses(tmp_path, "cpu", "gru", dropout=0.21)
    assert got != {kind: pytest.approx(v, rel=BOUND) for kind, v in want.items()}
