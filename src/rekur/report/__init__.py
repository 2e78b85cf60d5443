"""A run on one page: `write_report(folder)` makes `report.html`."""

from rekur.report.html import write_report

__all__ = ["write_report"]
