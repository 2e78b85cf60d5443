"""From files to batches: text found and checked, a vocabulary, an encoded corpus, contiguous streams.

And sequences of different length: words and their numbers, splits, buckets, padding, losses that see no padding.

>>> import pathlib, tempfile
>>> folder = pathlib.Path(tempfile.mkdtemp())
>>> _ = (folder / "song.txt").write_text("row, row, row your boat\\n" * 100)
>>> corpus = prepare(read_text(folder / "song.txt"), cache=folder / "cache")
>>> x, y = ContiguousStream(corpus.split("train"), batch=4, time=12).batch(0)
>>> corpus.vocabulary.decode(x[0]), corpus.vocabulary.decode(y[0])
('row, row, ro', 'ow, row, row')
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from rekur.data.arrays import read_idx, read_ts
from rekur.data.buckets import Buckets, by_length
from rekur.data.catalogue import DATASETS, DataSet, Package, dataset
from rekur.data.corpus import Corpus, prepare
from rekur.data.examples import Examples, OnBad, Rejected
from rekur.data.labelled import Series, read_labelled, read_series
from rekur.data.sources import Document, Skipped, Texts, read_text, stdlib, stdlib_sources
from rekur.data.splits import SPLITS, split
from rekur.data.stream import Chunk, ContiguousStream
from rekur.data.tagged import Sentence, is_conllu, read_brown, read_conll, read_conllu
from rekur.data.unlabelled import read_texts
from rekur.data.vectors import WordVectors, read_array, read_vectors
from rekur.data.vocabulary import UNKNOWN, Decoder, Symbols, Unit, Unseen, Vocabulary
from rekur.data.words import Words, tokenize

if TYPE_CHECKING:
    from rekur.data.datasets import load_dataset as load_dataset
    from rekur.data.datasets import load_vectors as load_vectors
    from rekur.data.fetch import find as find
    from rekur.data.fetch import get as get
    from rekur.data.padding import Padded as Padded
    from rekur.data.padding import collate as collate
    from rekur.data.padding import masked_loss as masked_loss

_LATER = {  # imported when first used: a command's help loads no torch, and nothing that fetches
    "Padded": "padding",
    "collate": "padding",
    "find": "fetch",
    "get": "fetch",
    "load_dataset": "datasets",
    "load_vectors": "datasets",
    "masked_loss": "padding",
}
__all__ = [
    "DATASETS",
    "SPLITS",
    "UNKNOWN",
    "Buckets",
    "Chunk",
    "ContiguousStream",
    "Corpus",
    "DataSet",
    "Decoder",
    "Document",
    "Examples",
    "OnBad",
    "Package",
    "Padded",
    "Rejected",
    "Sentence",
    "Series",
    "Skipped",
    "Symbols",
    "Texts",
    "Unit",
    "Unseen",
    "Vocabulary",
    "WordVectors",
    "Words",
    "by_length",
    "collate",
    "dataset",
    "find",
    "get",
    "is_conllu",
    "load_dataset",
    "load_vectors",
    "masked_loss",
    "prepare",
    "read_array",
    "read_brown",
    "read_conll",
    "read_conllu",
    "read_idx",
    "read_labelled",
    "read_series",
    "read_text",
    "read_texts",
    "read_ts",
    "read_vectors",
    "split",
    "stdlib",
    "stdlib_sources",
    "tokenize",
]


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'rekur.data' has no attribute {name!r}")
    return getattr(import_module(f"rekur.data.{_LATER[name]}"), name)
