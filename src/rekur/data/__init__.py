"""From files to batches: text found and checked, a vocabulary, an encoded corpus, contiguous streams.

>>> import pathlib, tempfile
>>> folder = pathlib.Path(tempfile.mkdtemp())
>>> _ = (folder / "song.txt").write_text("row, row, row your boat\\n" * 100)
>>> corpus = prepare(read_text(folder / "song.txt"), cache=folder / "cache")
>>> x, y = ContiguousStream(corpus.split("train"), batch=4, time=12).batch(0)
>>> corpus.vocabulary.decode(x[0]), corpus.vocabulary.decode(y[0])
('row, row, ro', 'ow, row, row')
"""

from rekur.data.corpus import SPLITS, Corpus, prepare
from rekur.data.sources import Document, Skipped, Texts, read_text, stdlib, stdlib_sources
from rekur.data.stream import Chunk, ContiguousStream
from rekur.data.vocabulary import UNKNOWN, Decoder, Symbols, Unit, Unseen, Vocabulary

__all__ = [
    "SPLITS",
    "UNKNOWN",
    "Chunk",
    "ContiguousStream",
    "Corpus",
    "Decoder",
    "Document",
    "Skipped",
    "Symbols",
    "Texts",
    "Unit",
    "Unseen",
    "Vocabulary",
    "prepare",
    "read_text",
    "stdlib",
    "stdlib_sources",
]
