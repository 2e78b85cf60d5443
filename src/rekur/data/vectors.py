"""Vectors for words that somebody has learnt: GloVe's and word2vec's text files, and arrays with an index."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rekur.data.sources import show
from rekur.data.tables import read_parquet
from rekur.data.words import Words
from rekur.errors import DataError


@dataclass(frozen=True, eq=False)
class WordVectors:
    """A vector for each word of a vocabulary: `values` `(V, D)`, zero where `found` `(V,)` is false.

    `lowered` is how many have the vector of their lower-case form, for want of one of their own.
    """

    values: npt.NDArray[np.float32]
    found: npt.NDArray[np.bool_]
    lowered: int = 0


def read_vectors(path: Path | str, words: Words) -> WordVectors:
    """The vectors of a vocabulary's words from a text file: a word and D numbers a line, parted by spaces.

    GloVe's files are so; word2vec's and fastText's have a line with two numbers before, which is told apart. A word
    that has no vector takes that of its lower-case form. The file is read once, line by line, and may be of any size.

    Raises DataError where the file cannot be read, a line has another number of values than the first, or there is
    not a single one of the words.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "glove.txt"
    >>> _ = path.write_text("the 0.5 1\\nrose -1 2\\n")
    >>> vectors = read_vectors(path, Words(("Rose", "nose", "the")))
    >>> vectors.values.tolist(), vectors.found.tolist(), vectors.lowered
    ([[-1.0, 2.0], [0.0, 0.0], [0.5, 1.0]], [True, False, True], 1)
    """
    path = Path(path)
    wanted = {form for word in words.words for form in (word, word.lower())}
    known: dict[str, npt.NDArray[np.float32]] = {}
    size = 0
    try:
        for number, word, values in _lines(path):
            size = size or len(values)
            if len(values) != size:
                raise DataError(
                    f"{path}:{number}: {len(values)} values, the first line has {size}; the file is damaged"
                )
            if word in wanted and word not in known:
                try:
                    known[word] = np.array(values, np.float32)
                except ValueError:
                    raise DataError(f"{path}:{number}: the vector of {word!r} holds what is no number") from None
    except OSError as error:
        raise DataError(f"{show(path)} cannot be read: {error.strerror}") from None
    return _gathered(path, words, known, size)


def read_array(array: Path | str, index: Path | str, words: Words) -> WordVectors:
    """The same from a numpy array `(N, D)` and a Parquet file of one column with the N words of its rows.

    Raises DataError as `read_vectors` does, and where polars, which reads Parquet, is not here.
    """
    array, index = Path(array), Path(index)
    rows = {word: row for row, word in enumerate(read_parquet(index).to_series().to_list())}
    try:
        values = np.load(array, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{show(array)} is no numpy array: {error}") from None
    if values.ndim != 2 or len(values) != len(rows):
        raise DataError(f"{show(array)} is {values.shape}, and {show(index)} names {len(rows)} words")
    forms = {form for word in words.words for form in (word, word.lower())}
    known = {form: values[rows[form]].astype(np.float32) for form in forms if form in rows}
    return _gathered(array, words, known, values.shape[1])


def _lines(path: Path) -> Iterator[tuple[int, str, list[str]]]:
    """Number, word and values of each line; some words of GloVe's largest file have spaces in them."""
    with path.open(encoding="utf-8", errors="surrogateescape") as file:
        size = 0
        for number, line in enumerate(file, 1):
            parts = line.rstrip().split(" ")
            if number == 1 and len(parts) == 2:
                size = int(parts[1]) if parts[1].isdecimal() else 0
                continue
            size = size or len(parts) - 1
            at = max(1, len(parts) - size)
            yield number, " ".join(parts[:at]), parts[at:]


def _gathered(path: Path, words: Words, known: dict[str, npt.NDArray[np.float32]], size: int) -> WordVectors:
    values, found, lowered = np.zeros((len(words), size), np.float32), np.zeros(len(words), np.bool_), 0
    for i, word in enumerate(words.words):
        vector = known.get(word)
        if vector is None and (vector := known.get(word.lower())) is not None:
            lowered += 1
        if vector is not None:
            values[i], found[i] = vector, True
    if not found.any():
        raise DataError(f"{show(path)} has a vector for none of the {len(words)} words; is it of another language?")
    return WordVectors(values, found, lowered)
