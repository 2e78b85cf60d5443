"""`rekur train`: a new run, or one that goes on."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from rekur.cli.options import parse
from rekur.errors import OptionError, RekurError, suggest
from rekur.tasks.config import CACHE, CharLMConfig, NetworkConfig, SampleConfig, TextConfig
from rekur.train.config import FitConfig
from rekur.train.display import printable

if TYPE_CHECKING:
    from rekur.train import Result, RunFolder

TASKS = ("charlm",)


@dataclass(frozen=True)
class RunOptions:
    """Where the run is kept."""

    name: Annotated[str, tyro.conf.arg(metavar="NAME")] = "charlm"
    """What the run's folder is called; where there is one, a number is added."""
    runs: Path = Path("runs")
    """The folder of runs."""
    cache: Path = CACHE
    """A folder for encoded texts."""


@dataclass(frozen=True)
class CharLMOptions:
    """Train a character model: a network that learns, symbol by symbol, to go on with a text.

    The run's folder keeps its configuration, events, checkpoints, samples and a report. Ctrl-C saves and says how
    to go on.
    """

    text: TextConfig = field(default_factory=TextConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    sample: SampleConfig = field(default_factory=SampleConfig)
    training: FitConfig = field(default_factory=FitConfig)
    """How long to train, and how."""
    run: RunOptions = field(default_factory=RunOptions)


@dataclass(frozen=True)
class ResumeOptions:
    """Train a model in a new run, or go on with a run that was stopped.

    A new run: rekur train charlm [FILE …] [OPTIONS], see rekur train charlm --help.
    """

    resume: Annotated[Path | None, tyro.conf.arg(metavar="RUN", help_behavior_hint="")] = None
    """A run's folder, or a checkpoint in it; by default the latest."""
    cache: Path = CACHE
    """A folder for encoded texts."""


def run(arguments: list[str]) -> int:
    """`rekur train charlm …` or `rekur train --resume RUN`."""
    match arguments:
        case ["charlm", *rest]:
            return finish(*charlm(rest))
        case [task, *_] if not task.startswith("-"):
            raise OptionError(f"there is no task {task!r}{suggest(task, TASKS)}; there are {', '.join(TASKS)}")
    options = parse(ResumeOptions, "train", arguments)
    if options.resume is None:
        raise OptionError("say what to train: rekur train charlm [FILE …], or rekur train --resume RUN")
    from rekur.tasks.charlm import resume

    return finish(*resume(options.resume, cache=options.cache))


def charlm(arguments: list[str]) -> tuple["RunFolder", "Result"]:
    """Train a character model as the arguments of `rekur train charlm` say."""
    options = parse(CharLMOptions, "train charlm", arguments)
    config = CharLMConfig(**vars(options.text), **vars(options.network), **vars(options.sample))
    from rekur.tasks.charlm import CharLM, begin
    from rekur.train import open_display

    task = CharLM(config, cache=options.run.cache, seed=options.training.seed)
    corpus, texts = task.corpus, task.corpus.texts
    print(f"{printable(texts.name)}: {len(corpus.symbols):,} {task.unit} of {len(corpus.vocabulary):,} kinds")
    if config.files and texts.skipped:
        shown = ", ".join(f"{str(passed.path)!r} {passed.reason}" for passed in texts.skipped[:5])
        more = f", and {len(texts.skipped) - 5} more" if len(texts.skipped) > 5 else ""
        print(f"note: passed over {shown}{more}")
    return begin(task, options.training, options.run.runs, options.run.name, open_display)


def finish(folder: "RunFolder", result: "Result") -> int:
    """Write the report, unless the run is to go on; the exit code."""
    if result.reason != "interrupted":
        from rekur.report import write_report

        try:
            print(f"report: {write_report(folder)}")
        except RekurError as error:
            print(f"note: there is no report, for {error}; the run is whole, `rekur report {folder.path}` writes it")
    return result.exit_code
