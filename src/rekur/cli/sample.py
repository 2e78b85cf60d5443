"""`rekur sample`: a trained model writes."""

import sys
from dataclasses import dataclass
from typing import Annotated

from tyro.conf import arg

from rekur.cli.options import Run, parse
from rekur.data import Unseen
from rekur.train.display import printable


@dataclass(frozen=True)
class SampleOptions:
    """Let a trained model write: it goes on from a prompt, symbol by symbol."""

    run: Run
    """A run's folder, whose best checkpoint is taken, or a checkpoint."""
    prompt: Annotated[str, arg(metavar="TEXT", help_behavior_hint="(default: a new line)")] = ""
    """What to go on from."""
    length: int = 500
    """Symbols to write."""
    temperature: float = 0.8
    """Low: careful; 1: as it learnt; high: bold; 0: always the likeliest symbol."""
    top_k: int = 0
    """Draw from the so many likeliest symbols only; 0: from all."""
    count: int = 1
    """Texts to write."""
    seed: Annotated[int | None, arg(metavar="INT", help_behavior_hint="")] = None
    """The same seed and count give the same texts; without one, each time others."""
    unseen: Unseen = "error"
    """What becomes of a prompt's characters that the model never saw."""


def run(arguments: list[str]) -> int:
    """Write to standard output, the first text as it is drawn."""
    options = parse(SampleOptions, "sample", arguments)
    import torch

    from rekur.tasks import load_model

    generator = torch.Generator()
    generator.seed() if options.seed is None else generator.manual_seed(options.seed)
    pieces = load_model(options.run).stream(
        options.prompt,
        options.length,
        count=options.count,
        temperature=options.temperature,
        top_k=options.top_k or None,
        generator=generator,
        unseen=options.unseen,
    )
    rest = [""] * (options.count - 1)
    for number, (first, *others) in enumerate(pieces):
        if number == 0 and rest:
            _write(f"== 1 of {options.count} ==\n")
        _write(first)
        rest = [text + piece for text, piece in zip(rest, others, strict=True)]
    for number, text in enumerate(rest, 2):
        _write(f"\n\n== {number} of {options.count} ==\n{text}")
    _write("\n")
    return 0


def _write(text: str) -> None:
    """To a file as it is; to a terminal without what would move its cursor or change its colours."""
    print(printable(text) if sys.stdout.isatty() else text, end="", flush=True)
