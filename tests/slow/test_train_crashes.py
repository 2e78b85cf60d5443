"""A run that crashes at its n-th file operation, whichever it is, goes on to the same bits."""

from dataclasses import replace
from pathlib import Path

import pytest

from rekur.train import Quiet, RunFolder, fit, loop
from tests.torch.train_disk import Disk
from tests.torch.train_tiny import CONFIG, Crash, Tiny, go_on, record

SHORT = replace(CONFIG, steps=6, eval_every=3, checkpoint_every=2)
STRIDE = 8  # every operation of one save is in tests/torch; here some of a whole run


@pytest.fixture(autouse=True)
def _events_that_straddle_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "LOG_EVERY", 1)


def crashed(folder: RunFolder, at: int) -> Disk:
    with pytest.MonkeyPatch.context() as patch:
        device = Disk(patch, Crash(), at)
        try:
            fit(Tiny(), SHORT, folder, Quiet())
        except Crash:
            assert at >= 0
    return device


@pytest.mark.parametrize(("machine", "first"), [(None, 0), (True, 1), (False, 2)])
def test_a_run_that_crashes_at_any_file_operation_goes_on_to_the_same_bits(
    machine: bool | None, first: int, tmp_path: Path
):
    whole = RunFolder.create(tmp_path, "whole", {})
    total = crashed(whole, -1).count
    assert total > 200
    assert [event["step"] for event in whole.events() if event["kind"] == "train"] == [1, 2, 3, 4, 5, 6]
    for at in range(first, total, STRIDE):
        folder = RunFolder.create(tmp_path, "run", {})
        device = crashed(folder, at)
        if machine is not None:
            device.crash_the_machine(keep_moves=machine)
        go_on(folder, SHORT)
        assert record(folder) == record(whole), f"operation {at} of {total}"
