"""A disk that fails at the n-th operation, or with the machine: what was not synced by then may be lost."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


class Disk:
    """Wraps the file operations under `root`. The operation number `fail_at`, counted from 0, raises `error`;
    if it is a write, half of it is done first.
    """

    def __init__(self, root: Path, patch: pytest.MonkeyPatch, error: BaseException, fail_at: int) -> None:
        self.root, self.error, self.fail_at = root, error, fail_at
        self.count = 0
        self.paths: dict[int, Path] = {}  # by descriptor
        self.unsynced: set[Path] = set()  # files
        self.moves: list[tuple[Path, Path, bytes | None]] = []  # not synced: (from, to, the file it replaced)
        self.real = {name: getattr(os, name) for name in ("open", "write", "fsync", "mkdir", "rename", "replace")}
        for name in ("open", "write", "fsync"):
            patch.setattr(os, name, getattr(self, f"_{name}"))
        for name in ("rename", "replace"):
            patch.setattr(os, name, self._mover(name))
        for name in ("mkdir", "unlink", "rmdir"):
            patch.setattr(os, name, self._plain(name))

    def crash_the_machine(self, *, keep_moves: bool) -> None:
        """What a power cut may leave: files that were not synced are empty; unsynced names are new or old."""
        if not keep_moves:
            for source, target, old in reversed(self.moves):
                if target.exists():
                    self.real["rename"](target, source)
                    self.unsynced = {rebased(path, target, source) for path in self.unsynced}
                if old is not None:
                    target.write_bytes(old)
        for path in self.unsynced:
            if path.exists():
                path.write_bytes(b"")

    def _tick(self) -> None:
        self.count += 1
        if self.count - 1 == self.fail_at:
            raise self.error

    def _open(self, path: Any, flags: int, *rest: Any, **named: Any) -> int:
        if flags & os.O_CREAT:
            self._tick()
        descriptor: int = self.real["open"](path, flags, *rest, **named)
        if isinstance(path, str | Path):
            self.paths[descriptor] = Path(path)
            if flags & os.O_CREAT:
                self.unsynced.add(Path(path))
        return descriptor

    def _write(self, descriptor: int, data: bytes) -> int:
        if self.count == self.fail_at:
            self.real["write"](descriptor, data[: len(data) // 2])
        self._tick()
        written: int = self.real["write"](descriptor, data)
        return written

    def _fsync(self, descriptor: int) -> None:
        self._tick()
        path = self.paths[descriptor]
        self.unsynced.discard(path)
        self.moves = [move for move in self.moves if move[1].parent != path]

    def _mover(self, name: str) -> Callable[..., None]:
        def move(source: Any, target: Any) -> None:
            self._tick()
            source, target = Path(source), Path(target)
            old = target.read_bytes() if target.is_file() else None
            self.real[name](source, target)
            self.moves.append((source, target, old))
            self.unsynced = {rebased(path, source, target) for path in self.unsynced}

        return move

    def _plain(self, name: str) -> Callable[..., None]:
        real = getattr(os, name)

        def operate(path: Any, *rest: Any, **named: Any) -> None:
            self._tick()
            real(path, *rest, **named)

        return operate


def rebased(path: Path, source: Path, target: Path) -> Path:
    return target / path.relative_to(source) if path.is_relative_to(source) else path
