"""What every test shares: hypothesis measures no time, and a failure today is the same failure tomorrow."""

import argparse

import pytest
from hypothesis import settings

settings.register_profile("rekur", deadline=None, derandomize=True)
settings.load_profile("rekur")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--seeds", type=seeds, default="0:48", metavar="FIRST:STOP",
        help="which random cells the compiled backend is held to the reference on, as 232:233 for one of them",
    )  # fmt: skip


def seeds(text: str) -> range:
    try:
        first, stop = map(int, text.split(":"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not FIRST:STOP, as 0:48") from None
    return range(first, stop)
