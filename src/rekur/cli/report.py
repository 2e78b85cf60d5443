"""`rekur report`: a run on one page."""

from dataclasses import dataclass

from rekur.cli.options import Run, parse


@dataclass(frozen=True)
class ReportOptions:
    """Write a run's report.html again, also while it goes on."""

    run: Run
    """A run's folder."""


def run(arguments: list[str]) -> int:
    """Write the report and say where it is."""
    options = parse(ReportOptions, "report", arguments)
    from rekur.report import write_report
    from rekur.train import RunFolder

    print(write_report(RunFolder.open(options.run)))
    return 0
