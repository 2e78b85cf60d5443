"""`rekur eval`: how well a trained model foresees a text, or predicts what its task asks for."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from rekur.cli.options import Run, named_run, parse, supervised
from rekur.data import UNKNOWN, Unseen, read_text
from rekur.train.display import printable

if TYPE_CHECKING:
    from rekur.train import Checkpoint

_TIME = 256  # steps of a chunk
_WIDEST = 16  # columns of a table that a terminal has room for


@dataclass(frozen=True)
class EvalOptions:
    """Measure how well a trained model foresees a text: loss, bits and perplexity.

    The text is read once from its beginning to its end, the state carried all the way. Runs of other tasks have
    other options: rekur eval RUN --help.
    """

    run: Run
    """A run's folder, whose best checkpoint is taken, or a checkpoint."""
    files: Annotated[tuple[Path, ...], Positional, arg(metavar="FILE …", help_behavior_hint="(required)")]
    """Text files, or folders of them."""
    unseen: Unseen = "unknown"
    """What becomes of characters that the model never saw."""
    streams: int = 1
    """Parts of the text to read side by side, each from a fresh state: faster, a little less exact."""


@dataclass(frozen=True)
class PredictorOptions:
    """Measure how well a trained model predicts: its loss and, of classes, how much is right (95 % interval)."""

    run: Run
    """A run's folder, whose best checkpoint is taken, or a checkpoint."""
    files: Annotated[
        tuple[str, ...], Positional, arg(metavar="[FILE|NAME …]", help_behavior_hint="(default: the run's own data)")
    ] = ()
    """Other data, in files as the task reads them, or data sets by name."""
    split: Annotated[str, arg(metavar="SPLIT")] = "test"
    """Which part of the run's own data: test or validation."""
    tables: bool = False
    """Also what is right and wrong: by class, what was taken for what, the worst errors; of the run's own data a base
    line. Large tables are in the report alone."""


def run(arguments: list[str]) -> int:
    """Print loss, bits and perplexity, or loss and accuracy."""
    named = named_run(arguments)
    return _predictor(arguments, *named) if named and supervised(named[1]) else _text(arguments)


def _predictor(arguments: list[str], path: Path, saved: "Checkpoint") -> int:
    options = parse(PredictorOptions, "eval", arguments)
    from rekur.tasks.findings import plain
    from rekur.tasks.predictor import rebuild
    from rekur.tasks.supervised import held_out
    from rekur.train.scores import logged, loss, rest

    predictor = rebuild(saved)
    problem = predictor.problem
    if options.files:
        data = None
        source, examples = ", ".join(Path(name).name for name in options.files), problem.read(options.files)
    else:
        source, examples, data = held_out(options.run, saved, options.split)
    for note in examples.notes:
        print(printable(f"note: {note}"))
    result = predictor.score(examples)
    scores = logged(result.scores(), problem.measure)
    print(f"{printable(source)}: {result.items:,} {problem.unit}, by {path}\n{loss(scores)}")
    if "accuracy" in scores:
        print(rest(scores).strip())
    if options.tables:
        for table in problem.tables(examples, predictor.outputs(examples.inputs), data):
            if len(table.columns) <= _WIDEST:
                print(f"\n{printable(plain(table))}")
    return 0


def _text(arguments: list[str]) -> int:
    options = parse(EvalOptions, "eval", arguments)
    texts = read_text(options.files)
    import numpy as np
    from rich.console import Console
    from rich.progress import track

    from rekur.tasks.rebuild import find_checkpoint
    from rekur.tasks.text_model import rebuild, total
    from rekur.train import load

    path = find_checkpoint(options.run)
    model = rebuild(load(path))
    vocabulary = model.vocabulary
    one = vocabulary.unit.removesuffix("s")
    encoded, lost = [], 0
    for piece in texts.pieces():
        encoded.append(vocabulary.encode(piece, options.unseen))
        if vocabulary.unit == "characters":
            lost += len(piece) - len(vocabulary.encode(piece, "skip"))
    if lost:
        fate = "left out" if options.unseen == "skip" else f"read as {UNKNOWN}"
        print(f"note: {lost:,} characters that the model never saw are {fate}")
    symbols = np.concatenate(encoded)
    parts = model.losses(symbols, streams=options.streams, time=_TIME)
    bar = Console(stderr=True)
    count = math.ceil(len(symbols) / max(1, options.streams) / _TIME)
    score = total(track(parts, "reading", count, console=bar, transient=True, disable=not bar.is_terminal))
    print(
        f"{printable(texts.name)}: {score.items:,} {vocabulary.unit}, by {path}\n"
        f"loss        {score.loss:.4f} nats a {one}\n"
        f"            {score.bits:.4f} bits a {one}\n"
        f"perplexity  {score.perplexity:.4g}"
    )
    return 0
