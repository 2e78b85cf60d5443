"""`rekur train`: a new run, or one that goes on."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, make_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from rekur.cli.options import parse
from rekur.errors import OptionError, RekurError
from rekur.tasks.config import CACHE, TaskConfig
from rekur.tasks.table import TASKS, find
from rekur.train.config import FitConfig

if TYPE_CHECKING:
    from rekur.tasks.base import ConfiguredTask
    from rekur.train import Result, RunFolder

_FOLDER = """\
The run's folder keeps its configuration, events, checkpoints, samples and a report. Ctrl-C saves and says how
to go on."""


@dataclass(frozen=True)
class RunOptions:
    """Where the run is kept."""

    name: Annotated[str, tyro.conf.arg(metavar="NAME")]
    """What the run's folder is called; where there is one, a number is added."""
    runs: Path = Path("runs")
    """The folder of runs."""
    cache: Path = CACHE
    """A folder for encoded texts."""
    cells: Annotated[tuple[str, ...], tyro.conf.arg(metavar="CELL …", help_behavior_hint="")] = ()
    """A run for each of these cells, one after the other, and a table of them; instead of --cell."""


@dataclass(frozen=True)
class ResumeOptions:
    """Go on with a run that was stopped."""

    resume: Annotated[Path | None, tyro.conf.arg(metavar="RUN", help_behavior_hint="")] = None
    """A run's folder, or a checkpoint in it; by default the latest."""
    cache: Path = CACHE
    """A folder for encoded texts."""


def _help() -> str:
    width = max(map(len, TASKS))
    rows = "\n\n".join(f"rekur train {name:{width}} [OPTIONS]: {row.summary}." for name, row in TASKS.items())
    return (
        "Train a model in a new run, or go on with a run that was stopped.\n\n"
        f"{rows}\n\nA new run's options: rekur train charlm --help, and so on."
    )


def run(arguments: list[str]) -> int:
    """`rekur train NAME …` or `rekur train --resume RUN`."""
    match arguments:
        case [name, *rest] if not name.startswith("-"):
            return _several(name, rest)
    options = parse(ResumeOptions, "train", arguments, _help())
    if options.resume is None:
        raise OptionError("say what to train: rekur train charlm [FILE …], or rekur train --resume RUN")
    from rekur.tasks.start import resume

    return finish(*resume(options.resume, cache=options.cache))


def new(name: str, arguments: list[str]) -> tuple["RunFolder", "Result"]:
    """Train in a new run as the arguments of `rekur train NAME` say."""
    config, training, where = options(name, arguments)
    return _begin(_task(config, training, where), training, where, where.name)


def _several(name: str, arguments: list[str]) -> int:
    config, training, where = options(name, arguments)
    if not where.cells:
        return finish(*_begin(_task(config, training, where), training, where, where.name))
    from rekur.cli.compare import called, table

    # All are made before the first is trained: what is wrong with the last cell is said now.
    tasks = [_task(replace(config, cell=cell), training, where) for cell in where.cells]  # type: ignore[call-arg]
    runs, code = [], 0
    for cell, task in zip(where.cells, tasks, strict=True):
        runs.append(_begin(task, training, where, called(where.name, cell)))
        if code := finish(*runs[-1]):
            break
    print(f"\n{table(runs)}")
    return code


def _task(config: TaskConfig, training: FitConfig, where: RunOptions) -> "ConfiguredTask":
    return find(config.task).task_class()(config, cache=where.cache, seed=training.seed)


def _begin(
    task: "ConfiguredTask", training: FitConfig, where: RunOptions, folder: str
) -> tuple["RunFolder", "Result"]:
    from rekur.tasks.start import begin
    from rekur.train import open_display

    for line in task.notes():
        print(line)
    return begin(task, training, where.runs, folder, open_display)


def options(name: str, arguments: list[str]) -> tuple[TaskConfig, FitConfig, RunOptions]:
    """The options of a task: the groups that its configuration is made of, how to train, and where."""
    row = find(name)
    kind = row.config_class()
    default, groups = kind(), list(_groups(kind))
    named: list[tuple[str, type, Any]] = []
    for base in groups:
        values = {one.name: getattr(default, one.name) for one in fields(base)}
        named.append((base.group, base, field(default_factory=_value(base(**values)))))
    named.append(("training", FitConfig, field(default_factory=_value(row.training))))
    named.append(("run", RunOptions, field(default_factory=_value(RunOptions(name)))))
    help = f"Train {row.summary}.\n\n{_FOLDER}"
    asked: Any = parse(make_dataclass("Options", named), f"train {name}", arguments, help)
    given = {key: value for base in groups for key, value in vars(getattr(asked, base.group)).items()}
    return kind(**given), asked.training, asked.run


def _groups(kind: type) -> Iterator[Any]:
    """The bases of a configuration that are groups of options, those of its own first."""
    if "group" in vars(kind):
        yield kind
    else:
        for base in reversed(kind.__bases__):
            yield from _groups(base)


def _value(value: object) -> Callable[[], Any]:
    return lambda: value


def finish(folder: "RunFolder", result: "Result") -> int:
    """Write the report, unless the run is to go on; the exit code."""
    if result.reason != "interrupted":
        from rekur.report import write_report

        try:
            print(f"report: {write_report(folder)}")
        except RekurError as error:
            print(f"note: there is no report, for {error}; the run is whole, `rekur report {folder.path}` writes it")
    return result.exit_code
