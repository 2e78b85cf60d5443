"""Checkpoints: a directory of safetensors and JSON. Opening a stranger's cannot run code.

    checkpoints/
      step-00000400/  weights, optimizer, carry and generators.safetensors; cells.json; meta.json
      latest, best    each holds the name of one of the directories

`meta.json` has the size and the digest of every file and of itself. All is written under another name, synced
and renamed; then the pointers are replaced. So a pointer only ever names a checkpoint that is whole.
"""

import hashlib
import json
import shutil
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from rekur import __version__
from rekur.errors import CheckpointError
from rekur.train import disk
from rekur.train.folder import RunFolder

FORMAT = 1

_TENSORS = ("weights", "optimizer", "carry", "generators")
_FILES = (*(f"{part}.safetensors" for part in _TENSORS), "cells.json")
_MOST_JSON = 64 << 20  # bytes; a vocabulary of a million words fits
_MOST_NAME = 300  # characters


@dataclass(frozen=True)
class Checkpoint:
    """All that a run needs to go on to exactly the losses it would have had, and a model to be used.

    `weights` are the model's `state_dict`; `optimizer` is its state by the parameter's name; `carry` is the
    state handed from chunk to chunk, empty where there is none; `generators` are states of random generators;
    `cells` are graph texts by name; `meta` is plain JSON: the task's description and where the run stands.
    """

    step: int
    weights: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    carry: dict[str, Tensor]
    generators: dict[str, Tensor]
    cells: dict[str, str]
    meta: dict[str, Any]


def save(folder: RunFolder, checkpoint: Checkpoint, *, best: bool = False) -> Path:
    """Write a checkpoint and let `latest`, and `best` if so, point at it; older ones are pruned.

    The two latest and the best are kept. A write that fails is a TrainingError, and the pointers stay.
    """
    target = _directory(folder, checkpoint.step)
    scratch = target.with_name(disk.SCRATCH + target.name)
    with folder.writing():
        _clean(folder)
        try:
            scratch.mkdir()
            for name, data in _serialise(checkpoint).items():
                disk.write_new(scratch / name, data)
            disk.sync(scratch)
        except OSError:
            shutil.rmtree(scratch, ignore_errors=True)  # a full disk needs the room
            raise
        if target.exists():
            disk.discard(target)  # a crash left it before a pointer named it
        scratch.rename(target)
        disk.sync(folder.checkpoints)
        if best:
            _point(folder, "best", target)
        _point(folder, "latest", target)
        _prune(folder)
    return target


def load(path: Path) -> Checkpoint:
    """Read the checkpoint in the directory `path` (see `RunFolder.checkpoint`), tensors on the CPU.

    Whatever is missing, cut short, altered, newer or not a checkpoint is a CheckpointError that names the file.
    """
    try:
        return _load(path)
    except CheckpointError as error:
        others = [name for name in sorted(p.name for p in path.parent.glob("step-*")) if name != path.name]
        rest = f"checkpoints beside it: {', '.join(others)}" if others else "there is no other beside it"
        raise CheckpointError(f"{error}; {rest}") from error


def rewind(folder: RunFolder, step: int, best_step: int | None) -> None:
    """Make the checkpoint of `step` the latest, as it was when it was saved; what is later is removed."""
    if step not in folder.checkpoint_steps():
        raise CheckpointError(f"{folder.path} has no checkpoint of step {step} to go on from")
    with folder.writing():
        _point(folder, "latest", _directory(folder, step))
        if best_step is not None and best_step in folder.checkpoint_steps():
            _point(folder, "best", _directory(folder, best_step))
        else:
            (folder.checkpoints / "best").unlink(missing_ok=True)
        for later in folder.checkpoint_steps():
            if later > step:
                disk.discard(_directory(folder, later))
        _clean(folder)


def _directory(folder: RunFolder, step: int) -> Path:
    return folder.checkpoints / f"step-{step:08}"


def _point(folder: RunFolder, which: str, target: Path) -> None:
    disk.replace(folder.checkpoints / which, f"{target.name}\n".encode())


def _clean(folder: RunFolder) -> None:
    for scratch in folder.checkpoints.glob(f"{disk.SCRATCH}*"):
        if scratch.is_dir():
            shutil.rmtree(scratch)


def _prune(folder: RunFolder) -> None:
    kept = {_directory(folder, step) for step in folder.checkpoint_steps()[-2:]}
    if (folder.checkpoints / "best").exists():
        kept.add(folder.checkpoint("best"))
    for step in folder.checkpoint_steps():
        if _directory(folder, step) not in kept:
            disk.discard(_directory(folder, step))


def _serialise(checkpoint: Checkpoint) -> dict[str, bytes]:
    files = {}
    for part in _TENSORS:
        tensors: dict[str, Tensor] = getattr(checkpoint, part)
        _check_names(part, tensors)
        # A copy each: tied weights share memory, which the format does not know.
        whole = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
        files[f"{part}.safetensors"] = safetensors.torch.save(whole)
    _check_names("cells", checkpoint.cells)
    files["cells.json"] = _json(checkpoint.cells)
    meta = {
        "format": FORMAT,
        "rekur": __version__,
        "step": checkpoint.step,
        "files": {
            name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in files.items()
        },
        "meta": checkpoint.meta,
    }
    return {**files, "meta.json": _seal(meta)}


def _json(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=1, allow_nan=False) + "\n").encode()


def _seal(meta: Mapping[str, Any]) -> bytes:
    """`meta.json` with its own digest as the last entry."""
    return _json({**meta, "sha256": hashlib.sha256(_json(meta)).hexdigest()})


def _load(path: Path) -> Checkpoint:
    raw = _read(path / "meta.json")
    meta = _parse(path / "meta.json", raw)
    if isinstance(version := meta.get("format"), int) and version > FORMAT:
        raise CheckpointError(
            f"{path / 'meta.json'} has format {version}, made by rekur {meta.get('rekur')!r}; this is rekur "
            f"{__version__}, which reads up to format {FORMAT}: install a newer rekur"
        )
    try:
        meta.pop("sha256", None)
        intact = _seal(meta) == raw  # finds altered bytes, and also repeated keys, NaN, and any other spelling
    except (ValueError, RecursionError):
        intact = False
    if not intact:
        raise CheckpointError(f"{path / 'meta.json'} has been altered or cut short")
    parts = {name: _verified(path / name, meta.get("files")) for name in _FILES}
    cells = _parse(path / "cells.json", parts["cells.json"])
    step, inner = meta.get("step"), meta.get("meta")
    if not isinstance(step, int) or not 0 <= step < 10**18 or not isinstance(inner, dict):
        raise CheckpointError(f"{path / 'meta.json'} is not a checkpoint's: its step or its meta is missing")
    if not all(isinstance(text, str) for text in cells.values()):
        raise CheckpointError(f"{path / 'cells.json'} should hold one text for each cell")
    _check_names(path / "cells.json", cells)
    tensors = {part: _tensors(path / f"{part}.safetensors", parts[f"{part}.safetensors"]) for part in _TENSORS}
    return Checkpoint(step=step, cells=cells, meta=inner, **tensors)


def _read(path: Path, size: object = None) -> bytes:
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode):
            raise CheckpointError(f"{path} is not a plain file")
        if size is not None and status.st_size != size:
            raise CheckpointError(f"{path} has {status.st_size} bytes instead of {size}: it is not whole")
        if path.suffix == ".json" and status.st_size > _MOST_JSON:
            raise CheckpointError(f"{path} has {status.st_size} bytes; at most {_MOST_JSON} are read")
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error


def _parse(path: Path, raw: bytes) -> dict[str, Any]:
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is not valid JSON: it was altered or cut short") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} should hold a JSON object, not a {type(value).__name__}")
    return value


def _verified(path: Path, files: Any) -> bytes:
    entry = files.get(path.name) if isinstance(files, dict) and set(files) == set(_FILES) else None
    if not isinstance(entry, dict):
        raise CheckpointError(f"{path.parent / 'meta.json'} should list just {', '.join(_FILES)}")
    raw = _read(path, entry.get("bytes", 0))
    if hashlib.sha256(raw).hexdigest() != entry.get("sha256"):
        raise CheckpointError(f"{path} has been altered: its digest is not the one in meta.json")
    return raw


def _tensors(path: Path, raw: bytes) -> dict[str, Tensor]:
    try:
        tensors = safetensors.torch.load(raw)
    except (SafetensorError, ValueError, TypeError, KeyError, RuntimeError) as error:
        raise CheckpointError(f"{path} does not hold tensors as safetensors does ({error})") from error
    _check_names(path, tensors)
    return tensors


def _check_names(where: Path | str, named: Mapping[str, object]) -> None:
    for name in named:
        if not 0 < len(name) <= _MOST_NAME or not name.isprintable() or "/" in name or "\\" in name:
            raise CheckpointError(
                f"{where} has the name {name[:60]!r}: names are 1 to {_MOST_NAME} printable characters "
                "without / and \\"
            )
