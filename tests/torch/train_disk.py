"""A disk that fails at the n-th operation, or with the machine: what was not synced by then may be lost."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


class Disk:
    """Wraps the file operations. The operation number `fail_at`, counted from 0, raises `error`; if it is a
    write, half of it is done first.
    """

    def __init__(self, patch: pytest.MonkeyPatch, error: BaseException, fail_at: int) -> None:
        self.error, self.fail_at = error, fail_at
        self.count = 0
        self.paths: dict[int, Path] = {}  # by descriptor
        self.synced: dict[Path, int] = {}  # by file: how many of its bytes survive
        self.moves: list[tuple[Path, Path, bytes | None]] = []  # not synced: (from, to, the file it replaced)
        self.real = {name: getattr(os, name) for name in ("open", "write", "fsync", "mkdir", "rename", "replace")}
        for name in ("open", "write", "fsync"):
            patch.setattr(os, name, getattr(self, f"_{name}"))
        for name in ("rename", "replace"):
            patch.setattr(os, name, self._mover(name))
        for name in ("mkdir", "unlink", "rmdir"):
            patch.setattr(os, name, self._plain(name))

    def crash_the_machine(self, *, keep_moves: bool) -> None:
        """What a power cut may leave: files as far as they were synced; names that were not, new or old."""
        if not keep_moves:
            for source, target, old in reversed(self.moves):
                if target.exists():
                    self.real["rename"](target, source)
                    self._rebase(target, source)
                if old is not None:
                    target.write_bytes(old)
                    self.synced[target] = len(old)
        for path, size in self.synced.items():
            if path.exists() and path.stat().st_size > size:
                os.truncate(path, size)

    def _tick(self) -> None:
        self.count += 1
        if self.count - 1 == self.fail_at:
            raise self.error

    def _open(self, path: Any, flags: int, *rest: Any, **named: Any) -> int:
        before = Path(path).stat().st_size if isinstance(path, str | Path) and Path(path).exists() else 0
        if flags & os.O_CREAT:
            self._tick()
        descriptor: int = self.real["open"](path, flags, *rest, **named)
        if isinstance(path, str | Path):
            self.paths[descriptor] = Path(path)
            if flags & os.O_CREAT:
                self.synced.setdefault(Path(path), before)
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
        if path in self.synced:
            self.synced[path] = path.stat().st_size
        self.moves = [move for move in self.moves if move[1].parent != path]

    def _mover(self, name: str) -> Callable[..., None]:
        def move(source: Any, target: Any) -> None:
            self._tick()
            source, target = Path(source), Path(target)
            old = target.read_bytes() if target.is_file() else None
            self.real[name](source, target)
            self.moves.append((source, target, old))
            self._rebase(source, target)

        return move

    def _rebase(self, source: Path, target: Path) -> None:
        moved = {path for path in self.synced if path.is_relative_to(source)}
        self.synced |= {target / path.relative_to(source): self.synced.pop(path) for path in moved}

    def _plain(self, name: str) -> Callable[..., None]:
        real = getattr(os, name)

        def operate(path: Any, *rest: Any, **named: Any) -> None:
            self._tick()
            real(path, *rest, **named)

        return operate
