"""The run folder: the whole truth about a run, on disk. No torch in here."""

import fcntl
import itertools
import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rekur.errors import CheckpointError, OptionError, TrainingError, suggest
from rekur.train import disk

Event = dict[str, Any]  # "kind", "step", "time" (unix seconds), and what the kind has besides

_CHECKPOINT = re.compile(r"step-(\d{8,18})")
_PATIENCE = 20  # tries at the lock, 0.05 s apart: `locked` holds it for an instant


@dataclass(frozen=True)
class RunFolder:
    """A folder with `config.json`, `events.jsonl`, `checkpoints/`, `samples/` and, later, `report.html`.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as root:
    ...     run = RunFolder.create(Path(root), "charlm", {"task": "charlm"})
    ...     _ = run.log("train", step=20, loss=2.5)
    ...     print(RunFolder.create(Path(root), "charlm", {}).path.name, run.events()[0]["loss"])
    charlm-2 2.5
    """

    path: Path

    @property
    def checkpoints(self) -> Path:
        """Where checkpoints are: one directory each, and the pointers `latest` and `best`."""
        return self.path / "checkpoints"

    @property
    def samples(self) -> Path:
        """Where what the model produced is kept, one text file for each time it was asked."""
        return self.path / "samples"

    @property
    def report(self) -> Path:
        """Where the report goes; nothing in this package writes it."""
        return self.path / "report.html"

    @property
    def inspection(self) -> Path:
        """Where the page about what is inside the model goes, which `rekur inspect` writes."""
        return self.path / "inspection.html"

    @classmethod
    def create(cls, root: Path, name: str, config: Mapping[str, Any]) -> "RunFolder":
        """Make the folder `root/name` and write its configuration.

        Nothing is ever overwritten: where the name is taken, the next free of `name-2`, `name-3`, … is used.
        A name that is not one part of a path is an OptionError, a folder that cannot be made a TrainingError.
        """
        if not re.fullmatch(r"[^\W_][\w. +=,-]{0,99}", name):
            raise OptionError(
                f"{name!r} cannot be a run's name: letters, digits, spaces and . _ + = , - are allowed, "
                "beginning with a letter or a digit, 100 at most"
            )
        try:
            root.mkdir(parents=True, exist_ok=True)
            for number in itertools.count(1):
                run = cls(root / (name if number == 1 else f"{name}-{number}"))
                try:
                    run.path.mkdir()
                except FileExistsError:
                    continue
                break
            run.checkpoints.mkdir()
            run.samples.mkdir()
            disk.replace(run.path / "config.json", _json(config, indent=2))
            disk.sync(root)
        except OSError as error:
            raise TrainingError(f"cannot make a run folder in {root}: {error.strerror}") from error
        return run

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """A run folder that exists; anything else is a CheckpointError."""
        if not path.is_dir():
            near = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
            raise CheckpointError(f"there is no run folder {path}{suggest(path.name, near)}; `rekur runs` lists them")
        run = cls(path)
        if not (path / "config.json").is_file() or not run.checkpoints.is_dir():
            raise CheckpointError(f"{path} is not a run folder: it lacks config.json or checkpoints/")
        return run

    def config(self) -> dict[str, Any]:
        """What the run was asked to do, as it was written when the folder was made."""
        path = self.path / "config.json"
        try:
            config = json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError) as error:
            raise CheckpointError(f"{path} cannot be read ({error}); begin a new run") from error
        if not isinstance(config, dict):
            raise CheckpointError(f"{path} should hold a JSON object, not a {type(config).__name__}")
        return config

    def log(self, kind: str, step: int, **fields: Any) -> Event:
        """Append an event to `events.jsonl` and return it."""
        event = {"kind": kind, "step": step, "time": round(time.time(), 3), **fields}
        with self.writing():
            disk.append(self._events, _json(event))
        return event

    def events(self) -> list[Event]:
        """All events in order. A last line that a crash tore is left out; other damage is a CheckpointError."""
        try:
            raw = self._events.read_bytes()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise CheckpointError(f"{self._events} cannot be read: {error.strerror}") from error
        return [self._event(number, line) for number, line in enumerate(raw.split(b"\n")[:-1], 1)]

    def truncate_after(self, step: int) -> None:
        """Cut the events later than `step`, and a torn last line, so that a run can go on from there."""
        kept = [event for event in self.events() if event["step"] <= step]
        with self.writing():
            disk.replace(self._events, b"".join(map(_json, kept)))

    def sync_events(self) -> None:
        """Wait until all events are on the disk; a checkpoint that relies on them comes after."""
        with self.writing():
            disk.sync(self._events)

    def keep_sample(self, step: int, text: str) -> None:
        """Keep what the model produced at `step`, as text."""
        with self.writing():
            disk.replace(self.samples / f"step-{step:08}.txt", text.encode("utf-8", "backslashreplace"))

    def checkpoint(self, which: Literal["latest", "best"] = "latest") -> Path:
        """The directory of the latest checkpoint, or of the best by validation loss."""
        pointer = self.checkpoints / which
        try:
            with pointer.open("rb") as file:
                target = file.read(100).decode("ascii").removesuffix("\n")
        except FileNotFoundError as error:
            raise CheckpointError(
                f"{self.path} holds no checkpoint yet ({pointer} is missing): begin a new run"
            ) from error
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{pointer} cannot be read ({error}); {self._others()}") from error
        if not _CHECKPOINT.fullmatch(target):
            raise CheckpointError(f"{pointer} is damaged: it names {target!r}; {self._others()}")
        return self.checkpoints / target

    def checkpoint_steps(self) -> list[int]:
        """The steps of the checkpoints in the folder, in order."""
        names = map(_CHECKPOINT.fullmatch, (entry.name for entry in self.checkpoints.iterdir()))
        return sorted(int(match[1]) for match in names if match)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder for writing. It ends with the process, however that ends; a second is refused."""
        with self.writing():
            descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o666)
        try:
            for tries in itertools.count(1):
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if tries == _PATIENCE:
                        holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
                        raise TrainingError(
                            f"another process ({holder}) is training in {self.path}; wait for it, stop it, "
                            "or begin a new run"
                        ) from None
                    time.sleep(0.05)
            os.ftruncate(descriptor, 0)
            with self.writing():
                os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            yield
        finally:
            os.close(descriptor)

    def locked(self) -> bool:
        """Whether a process is training in the folder now."""
        try:
            descriptor = os.open(self.path / "lock", os.O_RDONLY)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Turn a failure to write into a TrainingError that names the folder and what is safe."""
        try:
            yield
        except OSError as error:
            raise TrainingError(f"cannot write to {self.path}: {error.strerror or error}; {self.safe()}") from error

    def safe(self) -> str:
        """The part of a message that says what is not lost, and how to go on."""
        try:
            checkpoint = self.checkpoint()
        except CheckpointError:
            return "no checkpoint had been saved yet"
        return f"the last good checkpoint is {checkpoint}; `rekur train --resume {self.path}` goes on from it"

    @property
    def _events(self) -> Path:
        return self.path / "events.jsonl"

    def _event(self, number: int, line: bytes) -> Event:
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            event = None
        if (
            isinstance(event, dict)
            and isinstance(event.get("kind"), str)
            and isinstance(event.get("step"), int)
            and isinstance(event.get("time"), int | float)
        ):
            return event
        raise CheckpointError(f"{self._events}, line {number}, is not an event; the file is damaged there")

    def _others(self) -> str:
        names = ", ".join(f"step-{step:08}" for step in self.checkpoint_steps())
        return f"checkpoints in the folder: {names or 'none'}"


def _json(value: Mapping[str, Any], indent: int | None = None) -> bytes:
    return (json.dumps(value, indent=indent, allow_nan=False) + "\n").encode()
