"""A run of any task: begun, or gone on with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from rekur.errors import CheckpointError, DataError
from rekur.tasks.base import DIGEST, ConfiguredTask
from rekur.tasks.config import CACHE, TaskConfig, from_json
from rekur.tasks.table import TASKS, find
from rekur.train import Display, FitConfig, Result, RunFolder, fit, load, open_display


def train(
    config: TaskConfig,
    training: FitConfig | None = None,
    *,
    runs: Path | str = "runs",
    name: str = "",
    cache: Path = CACHE,
    display: Callable[[RunFolder], Display] = open_display,
) -> tuple[RunFolder, Result]:
    """Train what a configuration says in a new folder `name` in `runs`, as `rekur train` does.

    The name is the task's where none is given. For errors see the task and `rekur.train.fit`.

    >>> import tempfile
    >>> from rekur.tasks import CharLMConfig, load_model
    >>> from rekur.train import Quiet
    >>> here = Path(tempfile.mkdtemp())
    >>> _ = (here / "song.txt").write_text("row, row, row your boat\\n" * 200)
    >>> config = CharLMConfig(files=here / "song.txt", hidden=32, layers=1, batch=4, time=32)
    >>> training = FitConfig(steps=60, lr=0.02, threads=1)
    >>> run, result = train(config, training, runs=here, cache=here / "cache", display=lambda folder: Quiet())
    >>> model = load_model(run.path)
    >>> model.sample("row, row, ", 6, temperature=0)
    ['row, row, row yo']
    >>> model.evaluate("row, row, row your boat").bits < 1
    True
    """
    row = find(config.task)
    training = training or row.training
    task = row.task_class()(config, cache=cache, seed=training.seed)
    return begin(task, training, Path(runs), name or config.task, display)


def begin(
    task: ConfiguredTask, training: FitConfig, runs: Path, name: str, display: Callable[[RunFolder], Display]
) -> tuple[RunFolder, Result]:
    """Make the run's folder and train."""
    config = {"task": task.name, "model": task.config.to_json(), "training": asdict(training)}
    folder = RunFolder.create(runs, name, config)
    return folder, fit(task, training, folder, display(folder))


def resume(
    run: Path | str, *, cache: Path = CACHE, display: Callable[[RunFolder], Display] = open_display
) -> tuple[RunFolder, Result]:
    """Go on with a run from its latest checkpoint, or from the checkpoint that is named; `rekur train --resume`.

    It needs the same data as before, and not the file that the cell was written in.

    Raises CheckpointError where the run cannot be gone on with, DataError where its data is gone or another.
    """
    path = Path(run)
    named = (path / "meta.json").exists()
    folder = RunFolder.open(path.resolve().parents[1] if named else path)
    saved, asked = load(path if named else folder.checkpoint()), folder.config()
    if (row := TASKS.get(str(asked.get("task")))) is None:
        known = ", ".join(map(repr, TASKS))
        raise CheckpointError(f"{folder.path} is a run of task {asked.get('task')!r}, not of {known}")
    config, training = from_json(row.config_class(), asked.get("model")), from_json(FitConfig, asked.get("training"))
    cell = row.rebuilder()(saved).model.plan.cell
    task = row.task_class()(config, cache=cache, seed=training.seed, cell=cell)
    if task.digest != (then := saved.meta["model"].get(DIGEST)):
        raise DataError(
            f"{task.source!r} is no longer the {task.material} that {folder.path} was begun with: its digest was "
            f"{then}, it is {task.digest}; put the old {task.material} back, or begin a new run"
        )
    return folder, fit(task, training, folder, display(folder), resume=saved)
