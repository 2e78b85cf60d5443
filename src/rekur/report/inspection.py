"""The page of an inspection: what is inside a model, section by section, in one file."""

from collections.abc import Sequence
from pathlib import Path

from rekur.errors import TrainingError
from rekur.report.elements import document, escaped, headline
from rekur.train import disk

_STYLES = ("style.css", "inspection.css")


def write_page(
    path: Path,
    title: str,
    over: str,
    lede: str,
    numbers: Sequence[tuple[str, str]],
    sections: Sequence[str],
) -> None:
    """Write the page: one file for screens of any width, light or dark, and for paper.

    It needs nothing beside it. Scripts in it are for what a hand does; without them everything else is there.

    :param path: where it goes; what lies there is replaced at once, or stays.
    :param over: a short line above the title.
    :param lede: what is looked at, in a sentence or two.
    :param numbers: in large type: a number, and what it is.
    :param sections: HTML, as the other modules here make it.

    Raises TrainingError where it cannot be written.
    """
    head = f"""<header>
<p class="over">{escaped(over)}</p>
<h1>{escaped(title)}</h1>
<p class="lede">{escaped(lede)}</p>
<dl class="numbers">{"".join(headline(*one) for one in numbers)}</dl>
</header>
"""
    page = document(title, head + "".join(sections), "Written by rekur inspect.", _STYLES)
    try:
        disk.replace(path, page.encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise TrainingError(f"cannot write {path}: {error.strerror or error}") from error
