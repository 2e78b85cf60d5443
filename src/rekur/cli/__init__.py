"""The command line: `rekur COMMAND …`. Each command is one small file, imported when it is asked for."""

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from io import TextIOWrapper

from rekur import __version__
from rekur.errors import OptionError, RekurError, suggest

COMMANDS = {
    "train": "train a model on your own data, or go on with a run",
    "sample": "let a trained model write",
    "predict": "let a trained model predict",
    "eval": "measure a trained model on a text, or on other data",
    "inspect": "look inside a trained model: what it expects, its gates, states and gradients",
    "runs": "list runs with their results",
    "report": "write a run's report again",
    "data": "list, fetch and find real data sets by name",
    "cells": "list the recurrent cells, or show one in its equations",
    "draw": "draw a cell, a network or an expression",
    "step": "work through one step, or a short text, with all numbers",
    "bench": "time rekur on this machine against what you would use instead",
    "demo": "train a small LSTM for some minutes and watch it learn to write",
}
_LIST = "\n".join(f"  {name:8}{what}" for name, what in COMMANDS.items())
HELP = f"""\
usage: rekur COMMAND [OPTIONS]

Sequence modelling with recurrent networks: write one step of a cell, rekur unfolds it.

{_LIST}

  rekur COMMAND --help says more about one; rekur --version says which rekur this is.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; `arguments` are those of the process by default.

    Returns the exit code: 0 if all went well, 1 after an error, 2 where an option makes no sense, 130 after
    Ctrl-C, 141 where nobody reads the output any more.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a model may write what a terminal cannot show
    try:
        code = _run(list(sys.argv[1:] if arguments is None else arguments))
        sys.stdout.flush()
    except RekurError as error:
        print(f"rekur: error: {error}", file=sys.stderr)
        return 2 if isinstance(error, OptionError) else 1
    except SystemExit as end:  # tyro's, after help or after a word on what it did not understand
        return end.code if isinstance(end.code, int) else 0
    except KeyboardInterrupt:
        print("\nrekur: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more as it ends
        return 141
    return code


def _run(arguments: list[str]) -> int:
    match arguments:
        case [] | ["-h" | "--help", *_]:
            print(HELP, end="")
            return 0 if arguments else 2
        case ["--version", *_]:
            print(f"rekur {__version__}")
            return 0
        case [command, *rest] if command in COMMANDS:
            code: int = import_module(f"rekur.cli.{command}").run(rest)
            return code
    known = ", ".join(COMMANDS)
    raise OptionError(f"there is no command {arguments[0]!r}{suggest(arguments[0], COMMANDS)}; there are {known}")
