"""Look at a run: from its folder to its model, what it was not trained on, and what is inside."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from rekur.data import Unseen
from rekur.errors import CheckpointError, DataError, OptionError, RekurError
from rekur.inspect import Flows
from rekur.nn import SequenceModel
from rekur.report import flow
from rekur.report.elements import escaped, section
from rekur.report.inspection import write_page
from rekur.tasks.base import DIGEST, ConfiguredTask
from rekur.tasks.companions import SECONDS, flows, kept
from rekur.tasks.config import CACHE, from_json
from rekur.tasks.rebuild import find_checkpoint
from rekur.tasks.table import TASKS
from rekur.tasks.text_model import TASK
from rekur.train import Checkpoint, FitConfig, RunFolder, load

LENGTH = 200_000
Found = TypeVar("Found")

Progress = Callable[[str, float], object]
"""Is told what is done now, and which share of it is done"""
Settings = tuple[Path, float, Progress]
"""`cache`, `seconds` and `progress`"""
Line = tuple[str, str]
"""What about, and what"""


def silent(what: str, share: float) -> None:
    """Tell nobody."""


@dataclass(frozen=True, eq=False)
class Inspection(ABC):
    """A trained model, and data to look at it with. What takes a while is found when first asked for, and kept."""

    path: Path
    """Of the checkpoint"""
    saved: Checkpoint
    model: SequenceModel
    source: str
    """What the data is called"""
    cache: Path
    """Of encoded texts and other prepared data"""
    seconds: float
    """That other cells may learn beside it"""
    progress: Progress
    opened: ConfiguredTask | None
    """What `task` is, where its data has been read already"""

    @property
    def folder(self) -> RunFolder | None:
        """The run's folder; None where there is a checkpoint by itself."""
        return run_folder(self.path)

    @cached_property
    def task(self) -> ConfiguredTask:
        """The run's task as it began: its data, and in `task.model` the network before its first step.

        CheckpointError where there is a checkpoint by itself, DataError where the data is gone or another one.
        """
        return self.opened or begun(self.path, self.saved, self.cache)

    @cached_property
    def training(self) -> FitConfig:
        """How the run was trained; CheckpointError where there is a checkpoint by itself."""
        return from_json(FitConfig, run_config(self.path).get("training"))

    @cached_property
    def untrained(self) -> SequenceModel:
        """The same network as the run began with it; for errors see `task`."""
        return self.task.model.eval()

    @cached_property
    def flows(self) -> Flows:
        """How gradients flow back through the model as the run began and at its kept checkpoints, and through other
        cells that learn the same beside it for `seconds`; for errors see `task`.
        """
        folder = self.folder
        trained = {self.saved.step: self.model} if folder is None else {**kept(folder), self.saved.step: self.model}
        return flows(
            self.task, self.training, trained, cache=self.cache, seconds=self.seconds,
            progress=lambda share: self.progress("how gradients flow", share),
        )  # fmt: skip

    @cached_property
    def _flows(self) -> Flows | RekurError:
        return attempt(lambda: self.flows)

    @property
    @abstractmethod
    def amount(self) -> str:
        """How much data it is, as "200,000 characters"."""

    def summary(self) -> list[Line]:
        """What a person would say of it first, a line each."""
        if isinstance(self._flows, RekurError):
            return [("gradients", line(self._flows, str))]
        return [("gradients" * (not at), said) for at, said in enumerate(self._flows.brief())]

    @abstractmethod
    def numbers(self) -> list[Line]:
        """What stands at the head of the page in large type: a number, and what it is."""

    def sections(self) -> Iterator[str]:
        """The parts of the page, as HTML."""
        yield part(self._flows, "How gradients flow", flow.section)

    def write(self, path: Path | str | None = None) -> Path:
        """Write all of it as a page: `inspection.html` in the run's folder, or where `path` says.

        OptionError where there is no run folder and no path, or no such place; TrainingError where it cannot be
        written.
        """
        if path is None and self.folder is None:
            raise OptionError(f"{self.path} is not in a run's folder: say where the page goes")
        target = self.folder.inspection if path is None and self.folder else Path(str(path))
        if not target.absolute().parent.is_dir():
            raise OptionError(f"the page cannot go to {target}: there is no folder {target.parent}")
        plan = self.model.plan
        parameters = sum(parameter.numel() for parameter in self.model.parameters())
        layers = f"{plan.num_layers} layers" if plan.num_layers > 1 else "one layer"
        ways = " in both directions" if plan.bidirectional else ""
        lede = (
            f"A network of {parameters:,} parameters, {layers} of {plan.hidden_size} units of the cell "
            f"{plan.cell.name}{ways}, at step {self.saved.step:,}, reads {self.amount}: {self.source}."
        )
        name = (self.folder.path if self.folder else self.path).resolve().name
        sections = list(self.sections())
        write_page(target, f"Inside {name}", str(self.saved.meta.get("task", "")), lede, self.numbers(), sections)
        return target


def attempt(make: Callable[[], Found]) -> Found | RekurError:
    """What is found or, where it cannot be, why: the rest can be seen all the same."""
    try:
        return make()
    except RekurError as error:
        return error


def part(found: Found | RekurError, title: str, make: Callable[[Found], str]) -> str:
    """A part of the page or, where nothing was found, why."""
    if isinstance(found, RekurError):
        return section(title, f'<p class="note">This could not be found: {escaped(str(found))}.</p>')
    return make(found)


def line(found: Found | RekurError, make: Callable[[Found], str]) -> str:
    """The same for a summary."""
    return f"not found: {found}" if isinstance(found, RekurError) else make(found)


def inspect_run(
    run: Path | str,
    files: Sequence[Path | str] | Path | str = (),
    *,
    unseen: Unseen = "error",
    length: int = LENGTH,
    properties: Sequence[str] = (),
    seconds: float = SECONDS,
    cache: Path = CACHE,
    progress: Progress = silent,
) -> Inspection:
    """Open a run, or a checkpoint, to look at its model: a `TextInspection` or a `SequenceInspection`.

    Args:
        run: a run's folder, whose best checkpoint is taken, or a checkpoint.
        files: what to look at it with, as the task reads it; by default the run's own held-out data.
        unseen: what becomes of characters in texts that a character model never saw.
        length: how many characters of a text are read at most, from the beginning.
        properties: that units of a text model may follow, besides the usual ones: ``upper=c.isupper()``, see
            `rekur.inspect.properties.parse`.
        seconds: that other cells may learn beside the run's, for their gradients; 0: none are made.
        cache: a folder for encoded texts.
        progress: is told what is done now, and which share of it is done.

    Raises:
        CheckpointError: there is no run or no checkpoint, or its task is not known.
        OptionError: an option makes no sense, or a property fails on the text.
        DataError: there is no data, it is gone or another one, or it has characters that the model never saw.

    >>> import tempfile
    >>> from rekur.tasks import CharLMConfig, TextInspection, train
    >>> from rekur.train import Quiet
    >>> here = Path(tempfile.mkdtemp())
    >>> _ = (here / "song.txt").write_text("row, row, row your boat\\n" * 200)
    >>> config = CharLMConfig(files=here / "song.txt", hidden=32, layers=1, batch=4, time=32)
    >>> training = FitConfig(steps=60, lr=0.02, threads=1)
    >>> run, _ = train(config, training, runs=here, cache=here / "cache", display=lambda folder: Quiet())
    >>> seen = inspect_run(run.path, cache=here / "cache")
    >>> assert isinstance(seen, TextInspection)
    >>> bool(seen.prediction.surprise[24:].mean() < 1)
    True
    """
    if seconds < 0:
        raise OptionError(f"seconds is {seconds}; it must be 0 or more")
    path = find_checkpoint(Path(run))
    saved = load(path)
    names = [files] if isinstance(files, Path | str) else list(files)
    if saved.meta.get("task") == TASK:
        from rekur.tasks.inspected_text import open_text

        return open_text(path, saved, names, unseen, length, properties, (cache, seconds, progress))
    from rekur.tasks.inspected_sequences import open_sequences

    return open_sequences(path, saved, names, (cache, seconds, progress))


def begun(path: Path, saved: Checkpoint, cache: Path) -> ConfiguredTask:
    """The task of a checkpoint as its run began it.

    CheckpointError where there is no run folder, which says what the data was, or the task is not known; DataError
    where the data is gone, or another one.
    """
    asked = run_config(path)
    if (row := TASKS.get(str(asked.get("task")))) is None or asked.get("task") != saved.meta.get("task"):
        raise CheckpointError(f"the run of {path} and this checkpoint are of tasks that do not fit, or are not known")
    config, training = from_json(row.config_class(), asked.get("model")), from_json(FitConfig, asked.get("training"))
    task = row.task_class()(config, cache=cache, seed=training.seed, cell=row.rebuilder()(saved).model.plan.cell)
    if task.digest != saved.meta["model"].get(DIGEST):
        raise DataError(
            f"{task.source!r} is no longer the {task.material} that the run was trained on, so nobody knows "
            "what of it is held out; give another: rekur inspect RUN FILE"
        )
    return task


def run_config(path: Path) -> Mapping[str, Any]:
    """What the run of a checkpoint was asked to do; CheckpointError where the checkpoint is by itself."""
    if (folder := run_folder(path)) is None:
        raise CheckpointError(f"{path} is not in a run's folder, which says what its data was; give files")
    return folder.config()


def run_folder(path: Path) -> RunFolder | None:
    """The folder of the run that a checkpoint is of; None where it is by itself."""
    root = path.resolve().parents[1]
    return RunFolder(root) if (root / "config.json").is_file() else None
