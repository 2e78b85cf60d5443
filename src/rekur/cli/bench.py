"""`rekur bench`: how fast rekur is on this machine, against what a user would pick instead."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from rekur.cli.options import parse
from rekur.errors import OptionError

if TYPE_CHECKING:
    from rekur.bench import Result

_SHORT, _FULL = 1.0, 2.0  # seconds for a pair of sides


@dataclass(frozen=True)
class BenchOptions:
    """Time rekur against torch and others, in one process and in turn, after checking that both compute the same.

    LSTM, GRU, Elman and a cell of one's own, in training and inference, with input = hidden; rows of unequal
    lengths; one step of a stream; drawing characters; compiling a new cell; memory. The short form takes
    some minutes, --full an hour or more. Nothing else should run on the machine meanwhile.
    """

    full: bool = False
    """The whole grid: H 64 to 1024, B 1 to 64, T 50 and 100."""
    only: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME …", help_behavior_hint="")] = ()
    """Parts or points: labels in a row, as lstm-training, own-h512, lengths, step, sample, share, compile, memory."""
    peers: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME …", help_behavior_hint="")] = ()
    """Others to race beside torch: jax, onnx, compile (torch.compile: a minute or more a point), scan."""
    threads: Annotated[int | None, tyro.conf.arg(metavar="INT", help_behavior_hint="(default: torch's)")] = None
    """Threads for rekur and for its peers."""
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")] = None
    """Write everything measured there, sample by sample, as it comes."""
    plot: Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")] = None
    """Draw ratios and shares of the floor: a .png, .svg or .pdf file."""
    show: Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")] = None
    """Measure nothing: show what --json wrote."""


def run(arguments: list[str]) -> int:
    """Measure and print; 1 where something failed, as where a peer computed something else."""
    options = parse(BenchOptions, "bench", arguments)
    if options.threads is not None and options.threads < 1:
        raise OptionError(f"threads is {options.threads}; it must be 1 or more")
    if options.show and options != BenchOptions(show=options.show, plot=options.plot):
        raise OptionError("--show measures nothing: beside it there can only be --plot")
    from rich.console import Console

    from rekur.bench import Result
    from rekur.bench.plot import check_plot, draw
    from rekur.bench.table import show

    if options.plot:
        check_plot(options.plot)
    result, code = (Result.read(options.show), 0) if options.show else _measure(options)
    show(result, Console())
    if options.plot:
        draw(result, options.plot)
    return code or int(bool(result.failures))


def _measure(options: BenchOptions) -> "tuple[Result, int]":
    """What could be measured, and the exit code: 130 after Ctrl-C."""
    import torch
    from rich.console import Console
    from rich.progress import Progress

    from rekur.bench import Result, choose, every_point, machine, measure, measure_floor, select, short_points

    peers = choose(options.peers)
    points = select(every_point() if options.full else short_points(), options.only)
    if options.threads:
        torch.set_num_threads(options.threads)
    floor = measure_floor()
    result = Result(machine(floor))
    if options.json:
        result.write(options.json)  # an hour later is too late to find that it cannot be
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task(points[0].name, total=len(points))
        try:
            for done, _ in enumerate(measure(points, peers, result, floor, _FULL if options.full else _SHORT), 1):
                progress.update(bar, completed=done, description=points[min(done, len(points) - 1)].name)
                if options.json:
                    result.write(options.json)
        except KeyboardInterrupt:
            return result, 130
    return result, 0
