"""`rekur predict`: what a trained model says of sequences."""

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import Positional, arg

from rekur.cli.options import Run, named_run, parse, supervised
from rekur.errors import OptionError
from rekur.train.display import printable


@dataclass(frozen=True)
class PredictOptions:
    """Let a trained model predict: of sequences in files, or of some that it was not trained on."""

    run: Run
    """A run's folder, whose best checkpoint is taken, or a checkpoint."""
    files: Annotated[
        tuple[str, ...],
        Positional,
        arg(metavar="[FILE|NAME …]", help_behavior_hint="(default: the run's own test data)"),
    ] = ()
    """Sequences, in files as the task reads them, or data sets by name."""
    text: Annotated[tuple[str, ...], arg(metavar="TEXT …", help_behavior_hint="")] = ()
    """Texts by themselves, instead of files."""
    count: int = 3
    """Sequences to show, the first ones; 0: all."""


def run(arguments: list[str]) -> int:
    """Print what is predicted and, where it is known, what is wanted."""
    options = parse(PredictOptions, "predict", arguments)
    from rekur.tasks.predictor import rebuild
    from rekur.tasks.rebuild import find_checkpoint
    from rekur.tasks.supervised import held_out
    from rekur.train import load

    if options.count < 0:
        raise OptionError(f"count is {options.count}; it must be 0 or more")
    named = named_run(arguments)
    saved = named[1] if named else load(find_checkpoint(options.run))
    if not supervised(saved):
        raise OptionError(f"a run of task {saved.meta.get('task')!r} does not predict; rekur sample lets it write")
    predictor = rebuild(saved)
    if options.text and options.files:
        raise OptionError("text and files are given; give one of the two")
    if options.text:
        examples = predictor.problem.read_text(options.text)
    elif options.files:
        examples = predictor.problem.read_inputs(options.files)
    else:
        _, examples, _ = held_out(options.run, saved, "test")
    shown = examples.select(range(min(len(examples), options.count or len(examples))))
    outputs = predictor.outputs(shown.inputs)
    for note in examples.notes:
        print(printable(f"note: {note}"))
    rows = zip(shown.shown, shown.targets, outputs, strict=True)
    print("\n\n".join(printable(predictor.problem.show(given, wanted, output)) for given, wanted, output in rows))
    if len(shown) < len(examples):
        print(f"\n{len(shown)} of {len(examples):,} sequences; --count 0 shows all")
    return 0
