"""Checkpoints: what is saved comes back, a crash anywhere leaves one that is whole, and nothing bad is read."""

import errno
import json
import math
import os
import re
import stat
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from rekur.errors import CheckpointError, TrainingError
from rekur.train import Checkpoint, RunFolder, checkpoint, disk
from rekur.train.checkpoint import load, rewind, save
from tests.torch.train_disk import Disk
from tests.torch.train_tiny import Crash

PARTS = ("weights", "optimizer", "carry", "generators")


def make(step: int) -> Checkpoint:
    tied = torch.randn(4, 3)
    return Checkpoint(
        step=step,
        weights={"embed.weight": tied, "head.weight": tied, "head.bias": torch.randn(6)[::2]},
        optimizer={"head.bias.step": torch.tensor(float(step)), "head.bias.exp_avg": torch.randn(3)},
        carry={"h": torch.randn(2, 3, dtype=torch.float64)},
        generators={"torch": torch.get_rng_state()},
        cells={"lstm": "cell lstm(x, h, c)\n  ∂ = 1\n"},
        meta={"progress": {"best": 0.1 + 0.2, "none": None}, "symbols": ["ä", "\ud800", "\n"]},
    )


def same(one: Checkpoint, two: Checkpoint) -> bool:
    return (one.step, one.cells, one.meta) == (two.step, two.cells, two.meta) and all(
        getattr(one, part).keys() == getattr(two, part).keys()
        and all(torch.equal(value, getattr(two, part)[name]) for name, value in getattr(one, part).items())
        for part in PARTS
    )


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path, "run", {})


def test_what_is_saved_comes_back(folder: RunFolder):
    saved = make(7)
    path = save(folder, saved)
    assert path == folder.checkpoint() == folder.checkpoints / "step-00000007"
    assert same(load(path), saved)
    assert not same(load(path), make(7))


def test_the_two_latest_and_the_best_are_kept(folder: RunFolder):
    for step in range(0, 70, 10):
        save(folder, make(step), best=step in {10, 30})
    assert folder.checkpoint_steps() == [30, 50, 60]
    assert (folder.checkpoint("best").name, folder.checkpoint().name) == ("step-00000030", "step-00000060")
    assert {entry.name for entry in folder.checkpoints.iterdir()} == {
        "step-00000030", "step-00000050", "step-00000060", "latest", "best"
    }  # fmt: skip


def test_rewinding_takes_back_what_came_later(folder: RunFolder):
    for step in range(0, 50, 10):
        save(folder, make(step), best=step in {10, 40})
    rewind(folder, 30, best_step=10)  # 10 was pruned when 40 became the best
    assert (folder.checkpoint_steps(), folder.checkpoint().name) == ([30], "step-00000030")
    with pytest.raises(CheckpointError, match="no checkpoint yet"):
        folder.checkpoint("best")
    with pytest.raises(CheckpointError, match="no checkpoint of step 10"):
        rewind(folder, 10, best_step=None)


# Crashes ---------------------------------------------------------------------------------------------------


def prepare(root: Path) -> tuple[RunFolder, Checkpoint, Checkpoint]:
    """A folder in which a save replaces both pointers and prunes; and its state before and after."""
    folder = RunFolder.create(root, "run", {})
    save(folder, make(10), best=True)
    save(folder, make(20))
    old = make(30)
    save(folder, old)
    return folder, old, make(40)


def operations(root: Path) -> int:
    folder, _, new = prepare(root)
    with pytest.MonkeyPatch.context() as patch:
        counter = Disk(patch, Crash(), fail_at=-1)
        save(folder, new, best=True)
    return counter.count


def crash_everywhere(root: Path, machine: bool | None) -> list[str]:
    """Crash a save at each of its operations in turn; what was then wrong. `machine`: None, only the process
    dies; else the machine does, and names that were not synced are kept or not.
    """
    faults = []
    for at in range(operations(root)):
        folder, old, new = prepare(root)
        with pytest.MonkeyPatch.context() as patch:
            device = Disk(patch, Crash(), at)
            with pytest.raises(Crash):
                save(folder, new, best=True)
        if machine is not None:
            device.crash_the_machine(keep_moves=machine)
        try:
            found = load(folder.checkpoint())
            best = load(folder.checkpoint("best"))
            if not (same(found, old) or same(found, new)):
                faults.append(f"operation {at}: neither the old one nor the new one")
            rewind(folder, found.step, best.step if best.step <= found.step else 10)
            again = make(40)
            if found.step == 30:
                save(folder, again, best=True)
                if not same(load(folder.checkpoint()), again):
                    faults.append(f"operation {at}: the next save does not come back")
        except (CheckpointError, TrainingError) as error:
            faults.append(f"operation {at}: {error}")
        names = {entry.name for entry in folder.checkpoints.iterdir()}
        if any(name.startswith(disk.SCRATCH) for name in names):
            faults.append(f"operation {at}: left {names}")
    return faults


@pytest.mark.parametrize("machine", [None, True, False])
def test_a_crash_at_any_operation_leaves_the_old_checkpoint_or_the_new(machine: bool | None, tmp_path: Path):
    assert operations(tmp_path) > 40
    assert crash_everywhere(tmp_path, machine) == []


def unsynced(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    os.write(descriptor, data)
    os.close(descriptor)


def in_place(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    os.write(descriptor, data)
    os.fsync(descriptor)
    os.close(descriptor)


@pytest.mark.parametrize(
    ("name", "worse", "machine"),
    [
        ("write_new", unsynced, True),
        ("replace", in_place, None),
        ("sync", lambda path: None, False),
    ],
)
def test_that_test_sees_a_careless_writer(
    name: str, worse: Callable[..., None], machine: bool | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Negative tests: files not synced; pointers written in place; directories not synced."""
    monkeypatch.setattr(disk, name, worse)
    assert crash_everywhere(tmp_path, machine) != []


def test_a_full_disk_at_any_operation_is_said_and_the_pointers_stay(tmp_path: Path):
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    refused = 0
    for at in range(operations(tmp_path)):
        folder, old, new = prepare(tmp_path)
        with pytest.MonkeyPatch.context() as patch:
            Disk(patch, full, at)
            with pytest.raises(TrainingError) as caught:
                save(folder, new, best=True)
        said = str(caught.value)
        assert f"cannot write to {folder.path}: No space left on device" in said
        assert f"the last good checkpoint is {folder.checkpoint()}" in said
        assert f"rekur train --resume {folder.path}" in said
        found = load(folder.checkpoint())
        assert same(found, old) or same(found, new)
        refused += same(found, old)
    assert refused > 20


# Damage ----------------------------------------------------------------------------------------------------


@pytest.fixture
def path(folder: RunFolder) -> Path:
    save(folder, make(3))
    return save(folder, make(4))


def files(path: Path) -> list[Path]:
    found = sorted(path.iterdir())
    assert [file.name for file in found] == [
        "carry.safetensors", "cells.json", "generators.safetensors", "meta.json", "optimizer.safetensors",
        "weights.safetensors",
    ]  # fmt: skip
    return found


def refused(path: Path, file: Path, why: str = "") -> None:
    with pytest.raises(CheckpointError) as caught:
        load(path)
    assert str(file) in str(caught.value)
    assert "checkpoints beside it: step-00000003" in str(caught.value)
    assert re.search(why, str(caught.value)), caught.value


def test_a_file_that_is_missing_cut_short_or_no_file_is_named(path: Path):
    for file in files(path):
        raw = file.read_bytes()
        for size in {0, 1, len(raw) // 2, len(raw) - 1}:
            file.write_bytes(raw[:size])
            refused(path, file)
        file.write_bytes(raw + b"\n")
        refused(path, file)
        file.unlink()
        refused(path, file, "No such file")
        file.mkdir()
        refused(path, file, "not a plain file")
        file.rmdir()
        os.mkfifo(file)
        refused(path, file, "not a plain file")
        file.unlink()
        file.symlink_to("/dev/zero")
        refused(path, file, "not a plain file")
        file.unlink()
        file.write_bytes(raw)
    assert load(path).step == 4


def test_any_single_altered_byte_is_found(path: Path):
    for file in files(path):
        raw = bytearray(file.read_bytes())
        for place in range(0, len(raw), max(1, len(raw) // 300)):
            for flip in (1, 0x20, 0x80):
                raw[place] ^= flip
                file.write_bytes(raw)
                refused(path, file)
                raw[place] ^= flip
        file.write_bytes(raw)
    assert load(path).step == 4


def test_a_directory_that_is_no_checkpoint_is_said(tmp_path: Path):
    with pytest.raises(CheckpointError, match=r"meta.json cannot be read.*no other beside it"):
        load(tmp_path / "nowhere")


def test_the_pointers_are_read_with_care(folder: RunFolder, path: Path):
    for text in (b"", b"../../elsewhere\n", b"step-00000004/../step-00000003", b"\xff\n", b"step-4\n", b"s" * 1000):
        (folder.checkpoints / "latest").write_bytes(text)
        with pytest.raises(CheckpointError, match=r"latest.*checkpoints in the folder: step-00000003, step-0000000"):
            folder.checkpoint()
    (folder.checkpoints / "latest").unlink()
    (folder.checkpoints / "latest").mkdir()
    with pytest.raises(CheckpointError, match="latest cannot be read"):
        folder.checkpoint()


# A stranger's checkpoint has digests that are right --------------------------------------------------------


Change = Callable[[dict[str, Any]], Any]


def forge(path: Path, change: Change, file: str = "meta.json", raw: bytes | None = None) -> None:
    """Change a file and meta.json, and give both the digests that fit."""
    meta = json.loads((path / "meta.json").read_bytes())
    del meta["sha256"]
    if raw is not None:
        (path / file).write_bytes(raw)
        meta["files"][file] = {"bytes": len(raw), "sha256": sha256(raw).hexdigest()}
    change(meta)
    (path / "meta.json").write_bytes(checkpoint._seal(meta))


def test_forging_as_such_works(path: Path):
    forge(path, lambda meta: meta.update(step=5))
    assert load(path).step == 5


def test_a_newer_format_is_told_from_damage(path: Path):
    forge(path, lambda meta: meta.update(format=2, rekur="7.1"))
    refused(path, path / "meta.json", r"format 2, made by rekur '7\.1'.*reads up to format 1: install a newer rekur")


@pytest.mark.parametrize(
    "change",
    [
        lambda meta: meta.update(step=-1),
        lambda meta: meta.update(step="4"),
        lambda meta: meta.update(step=10**30),
        lambda meta: meta.update(step=4.5),
        lambda meta: meta.pop("step"),
        lambda meta: meta.update(meta=[]),
        lambda meta: meta.pop("meta"),
        lambda meta: meta.update(files=None),
        lambda meta: meta["files"].pop("cells.json"),
        lambda meta: meta["files"].update({"../../../etc/passwd": {"bytes": 1, "sha256": ""}}),
        lambda meta: meta["files"].update({"weights.pickle": {"bytes": 1, "sha256": ""}}),
    ],
)
def test_a_meta_that_is_not_a_checkpoints_is_refused(change: Callable[[dict[str, Any]], Any], path: Path):
    forge(path, change)
    refused(path, path / "meta.json", "should list just|not a checkpoint's")


@pytest.mark.parametrize(
    "entry", [None, [], 3, {}, {"bytes": "no"}, {"bytes": 10**15}, {"bytes": None}, {"sha256": None}]
)
def test_entries_of_files_are_read_with_care(entry: object, path: Path):
    forge(path, lambda meta: meta["files"].update({"carry.safetensors": entry}))
    with pytest.raises(CheckpointError, match=r"carry\.safetensors|meta\.json"):
        load(path)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"[1]",
        b"{",
        b'{"format": 1e999}',
        b'{"format": 1, "format": 1}',
        b'{"format": NaN}',
        b'{"format": 1, "step": ' + b"9" * 10_000 + b"}",
        b"[" * 1_000_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b'{"format": 1, "meta": ' + b"[" * 2_000 + b"]" * 2_000 + b"}",
        b'\xff\xfe{"format": 1}',
        b'{"format": true, "sha256": 3}',
    ],
    ids=lambda raw: raw[:24].decode("latin-1") or "nothing",
)
@pytest.mark.parametrize("file", ["meta.json", "cells.json"])
def test_hostile_json_is_refused(raw: bytes, file: str, path: Path):
    if file == "meta.json":
        (path / file).write_bytes(raw)
    else:
        forge(path, lambda meta: None, file, raw)
    if (file, raw[:9]) != ("cells.json", b'{"format"') or b"NaN" in raw or b"9" * 5000 in raw:
        refused(path, path / file)


def test_repeated_keys_and_nan_are_refused_even_with_a_digest_that_fits(path: Path):
    sealed = (path / "meta.json").read_bytes()
    meta = json.loads(sealed)
    digest = meta.pop("sha256")
    for old, new in ((b'"step": 4', b'"step": 4,\n "step": 4'), (b'"none": null', b'"none": NaN')):
        body = checkpoint._json(meta).replace(old, new)
        assert body.count(new) == 1
        forged = sealed.replace(old, new).replace(digest.encode(), sha256(body).hexdigest().encode())
        (path / "meta.json").write_bytes(forged)
        refused(path, path / "meta.json", "altered")


def test_json_beyond_the_limit_is_not_even_read(path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("meta.json", "cells.json"):
        raw = (path / name).read_bytes()
        size = checkpoint._MOST_JSON + 1
        if name == "cells.json":
            forge(path, lambda meta: meta["files"][name].update(bytes=checkpoint._MOST_JSON + 1))  # noqa: B023
        with (path / name).open("wb") as file:
            file.truncate(size)
        with monkeypatch.context() as patch:
            patch.setattr(Path, "read_bytes", reading_except(path / name))
            refused(path, path / name, "at most")
        (path / name).write_bytes(raw)


def reading_except(forbidden: Path) -> Callable[[Path], bytes]:
    real = Path.read_bytes

    def read(path: Path) -> bytes:
        assert path != forbidden
        return real(path)

    return read


@pytest.mark.parametrize("name", ["../../escape", "a/b", "a\\b", "", "x\x1b[31m", "n" * 301, "two\nlines"])
def test_names_with_paths_or_controls_are_refused_when_read_and_when_written(
    name: str, path: Path, folder: RunFolder
):
    forge(path, lambda meta: None, "cells.json", json.dumps({name: "cell"}).encode())
    refused(path, path / "cells.json", "has the name")
    if name:
        save(folder, make(4))
        raw = safetensors.torch.save({name: torch.zeros(1)})
        forge(path, lambda meta: None, "carry.safetensors", raw)
        refused(path, path / "carry.safetensors", "has the name")
    for part in ("cells", *PARTS):
        bad: dict[str, Any] = {part: {name: "" if part == "cells" else torch.zeros(1)}}
        with pytest.raises(CheckpointError, match="has the name"):
            save(folder, replace(make(5), **bad))
    assert folder.checkpoint().name == "step-00000004"


def test_cells_that_are_no_texts_are_refused(path: Path):
    for value in (3, None, ["x"]):
        forge(path, lambda meta: None, "cells.json", json.dumps({"lstm": value}).encode())
        refused(path, path / "cells.json", "one text for each cell")


def header(text: str, body: bytes = b"") -> bytes:
    return len(text.encode()).to_bytes(8, "little") + text.encode() + body


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff" * 8,
        (10**12).to_bytes(8, "little") + b"{}",
        header("{" * 5000),
        header('{"a": ' * 5000),
        header('{"w": {"dtype": "F32", "shape": [4], "data_offsets": [0, 8]}}', bytes(8)),
        header('{"w": {"dtype": "F32", "shape": [2], "data_offsets": [8, 16]}}', bytes(16)),
        header('{"w": {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]}}', bytes(8)),
        header('{"w": {"dtype": "O", "shape": [1], "data_offsets": [0, 8]}}', bytes(8)),
        header('{"w": {"dtype": "F32", "shape": [4611686018427387904, 4], "data_offsets": [0, 0]}}'),
        header('{"w": {"dtype": "F4", "shape": [2], "data_offsets": [0, 1]}}', bytes(1)),
        b"\x80\x04\x95pickle",
    ],
)
def test_hostile_tensors_are_refused(raw: bytes, path: Path):
    forge(path, lambda meta: None, "weights.safetensors", raw)
    refused(path, path / "weights.safetensors", "does not hold tensors")


def test_nothing_in_a_checkpoint_is_executable_or_pickled(path: Path):
    for file in files(path):
        assert file.suffix in {".json", ".safetensors"}
        assert not file.stat().st_mode & stat.S_IXUSR
    assert math.isclose(load(path).meta["progress"]["best"], 0.1 + 0.2, rel_tol=0)
