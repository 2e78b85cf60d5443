"""Writing that a crash cannot leave half done.

A file is whole on the disk once it *and* the directory that names it are synced. What is replaced is written
beside, synced, then renamed over the old one, so that a reader sees the old file or the new one, never a mix.
"""

import os
import shutil
from pathlib import Path

SCRATCH = ".partial-"  # how the name of something half written begins


def write_new(path: Path, data: bytes) -> None:
    """Write a file that must not exist yet, and sync its contents (not yet the directory that names it)."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        _write_all(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def append(path: Path, data: bytes) -> None:
    """Add to the end of a file. A crash of the process loses nothing; one of the machine may tear the end."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        _write_all(descriptor, data)
    finally:
        os.close(descriptor)


def replace(path: Path, data: bytes) -> None:
    """Make `data` the file's contents: after a crash it has the old contents or the new."""
    scratch = path.with_name(SCRATCH + path.name)
    scratch.unlink(missing_ok=True)
    write_new(scratch, data)
    scratch.replace(path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Wait until a file's contents, or the names in a directory, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def discard(directory: Path) -> None:
    """Remove a directory; it is gone under its own name at once, so nobody meets it half removed."""
    if not directory.name.startswith(SCRATCH):
        directory = directory.rename(directory.with_name(f"{SCRATCH}{directory.name}-gone"))
    shutil.rmtree(directory)


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:  # a write may take only part, a full disk's last one for instance
        rest = rest[os.write(descriptor, rest) :]
