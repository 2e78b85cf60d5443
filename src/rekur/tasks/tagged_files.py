"""Sentences from files of a user's: with a tag for each word, or to be tagged. No torch in here."""

from __future__ import annotations

from collections.abc import Callable, Collection
from itertools import islice
from pathlib import Path
from typing import Any

from rekur.data import Examples, OnBad, is_conllu, read_brown, read_conll, read_conllu, read_texts, tokenize
from rekur.errors import DataError, OptionError

_LOOKED_AT = 100  # words of a file by which its form is told


def reader(
    word: int, tag: str, on_bad: OnBad = "skip", *, untagged: bool = False
) -> Callable[[Path], Examples[Any, Any]]:
    """What reads a tagged file: columns, CoNLL-U, or the folder of the Brown corpus.

    `tag` is the number of a column, or the name of one of CoNLL-U's; where it is empty, the last column, or UPOS.
    """

    def read(path: Path) -> Examples[Any, Any]:
        number = _number(tag)
        if path.is_dir():
            if word or tag:
                raise OptionError(
                    f"{str(path)!r} is a folder, read as the Brown corpus, which has no columns: leave out word and "
                    "tag, or name the files in it"
                )
            return read_brown(path, on_bad=on_bad)
        if (tag and number is None) or is_conllu(path):
            if word or number is not None:
                raise OptionError(
                    f"{str(path)!r} is CoNLL-U, whose words are in FORM, and whose columns have names: --tag UPOS, "
                    "XPOS or DEPREL"
                )
            return read_conllu(path, tag=tag or "UPOS", untagged=untagged, on_bad=on_bad)
        return read_conll(path, word=word, tag=-1 if number is None else number, untagged=untagged, on_bad=on_bad)

    return read


def read_to_tag(path: Path, word: int, tag: str, known: Collection[str]) -> Examples[Any, Any]:
    """Sentences to predict of: as `reader` reads them, with tags or without, or text, a sentence a line.

    It is text where it has several columns, parted by spaces, and the last one, or the one of the tags, does not have
    such tags as are `known`.
    """
    read = reader(word, tag, untagged=True)
    if path.is_dir() or is_conllu(path):
        return read(path)
    try:
        found: Examples[Any, Any] | None = read(path)
    except (OptionError, DataError):  # it has no such columns, or not the same number in every line
        if _tabs(path):
            raise
        found = None
    if found is not None and _tabs(path):
        return found
    if found is not None and len(found) > len(found.rejected):
        seen = list(islice((one for its in found.labels for one in its), _LOOKED_AT))
        if not any(seen) or (sum(one in known for one in seen) * 2 > len(seen) and len({*seen}) > 1):
            return found
    texts = read_texts(path)
    words = tuple(tuple(tokenize(text, lower=False)) for text in texts.inputs)
    note = f"{path.name} is read as text, a sentence a line"
    return Examples(
        texts.name, words, tuple(("",) * len(one) for one in words), texts.rejected, (note,), texts.sha256
    )


def _tabs(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return any("\t" in line for line in islice(file, _LOOKED_AT))
    except OSError:
        return False


def _number(tag: str) -> int | None:
    try:
        return int(tag)
    except ValueError:
        return None
