"""A text encoded once, kept in a cache folder as a memory map, and split in order."""

import hashlib
import json
import math
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from rekur.data.sources import Texts
from rekur.data.splits import SPLITS, ends
from rekur.data.vocabulary import Symbols, Unit, Vocabulary
from rekur.errors import DataError, OptionError, suggest

_FORMAT = 1


@dataclass(frozen=True, eq=False)
class Corpus:
    """A text as numbers, on the disk.

    `symbols` is a read-only memory map of the whole; `ends` are the positions at which the three splits
    end, one after the other. `note` says how it came about: encoded now, taken from the cache, or why it
    was encoded again.
    """

    texts: Texts
    vocabulary: Vocabulary
    symbols: Symbols
    ends: tuple[int, int, int]
    note: str

    def split(self, name: str) -> Symbols:
        """The part called `train`, `validation` or `test`: a view, possibly empty."""
        if name not in SPLITS:
            raise OptionError(f"no split {name!r}; there are {', '.join(SPLITS)}{suggest(name, SPLITS)}")
        at = SPLITS.index(name)
        return self.symbols[self.ends[at - 1] if at else 0 : self.ends[at]]

    def describe(self) -> dict[str, str | int]:
        """What a run records of its data."""
        texts = self.texts
        record: dict[str, str | int] = {
            "source": texts.name,
            "files": len(texts.documents),
            "skipped": len(texts.skipped),
            "bytes": sum(d.size for d in texts.documents),
            "sha256": texts.sha256,
            "unit": self.vocabulary.unit,
            "vocabulary": len(self.vocabulary),
        }
        return record | {name: len(self.split(name)) for name in SPLITS}


def prepare(
    texts: Texts,
    cache: Path,
    *,
    unit: Unit = "characters",
    min_count: int = 1,
    fractions: Sequence[float] = (0.9, 0.05, 0.05),
) -> Corpus:
    """Encode a text, or find it encoded in the cache.

    The cache holds a folder for each text and way of encoding it, named by their digest, with `corpus.bin`
    (the numbers, little-endian) and `corpus.json` (vocabulary, digest of the numbers). What lies there is
    checked, and made again where it is damaged. Each file is written beside and then put in place, and what
    is in it depends on the folder's name alone, so any number of processes may prepare the same text at the
    same time.

    Args:
        texts: what `read_text` found.
        cache: a folder for encoded texts; it is made where there is none.
        unit: `characters` or `bytes`.
        min_count: characters that occur less often share one symbol; see `Vocabulary.build`.
        fractions: of training, validation and test; they add up to 1. The text is cut in order.

    Raises:
        DataError: the text changed under our hands, or the cache folder cannot be written.
        OptionError: an option makes no sense.
    """
    if unit not in ("characters", "bytes"):
        raise OptionError(f"no unit {unit!r}; a symbol is one of 'characters' or 'bytes'")
    if unit == "bytes" and min_count != 1:
        raise OptionError(f"min_count is {min_count}, but bytes have no rare symbols; leave it out or use characters")
    cuts = ends(fractions)
    key = hashlib.sha256(json.dumps([_FORMAT, unit, min_count, texts.sha256]).encode()).hexdigest()[:32]
    folder = cache / key
    try:
        vocabulary, symbols = _load(folder)
        note = "taken from the cache"
    except (DataError, OSError) as problem:
        absent = isinstance(problem, FileNotFoundError)
        note = "encoded" if absent else f"encoded again, for the cache was damaged: {problem}"
        if unit == "bytes":
            vocabulary = Vocabulary.of_bytes()
        else:
            vocabulary = Vocabulary.build(texts.pieces(), min_count=min_count)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _store(folder, vocabulary, texts)
            symbols = _load(folder)[1]
        except OSError as error:
            raise DataError(f"cannot keep the encoded text in {str(folder)!r}: {error.strerror}") from None
    first, second, last = (math.floor(len(symbols) * end) for end in cuts)
    return Corpus(texts, vocabulary, symbols, (first, second, last), note)


def _store(folder: Path, vocabulary: Vocabulary, texts: Texts) -> None:
    kind = vocabulary.dtype.newbyteorder("<")
    digest = hashlib.sha256()
    with _put(folder / "corpus.bin") as file:
        for piece in texts.pieces():
            numbers = vocabulary.encode(piece).astype(kind, copy=False).tobytes()
            digest.update(numbers)
            file.write(numbers)
    record = {"format": _FORMAT, "vocabulary": vocabulary.to_json(), "sha256": digest.hexdigest()}
    with _put(folder / "corpus.json") as file:
        file.write(json.dumps(record).encode())


def _load(folder: Path) -> tuple[Vocabulary, Symbols]:
    try:
        record = json.loads((folder / "corpus.json").read_bytes())
        vocabulary, expected = Vocabulary.from_json(record["vocabulary"]), record["sha256"]
    except (ValueError, LookupError, TypeError):
        raise DataError("corpus.json is cut short or altered") from None
    path = folder / "corpus.bin"
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != expected:
            raise DataError("corpus.bin is cut short or altered")
    kind = vocabulary.dtype.newbyteorder("<")
    return vocabulary, np.memmap(path, kind, mode="r").view(np.ndarray)


@contextmanager
def _put(path: Path) -> Iterator[IO[bytes]]:
    """A file to write beside `path`, put in its place at the end: whole or not at all."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f"{path.name}.", delete=False) as file:
        try:
            yield file
            file.close()
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink()
            raise
