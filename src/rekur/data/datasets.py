"""The data sets of the catalogue as examples."""

import email
import email.policy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rekur.data.arrays import read_ts
from rekur.data.catalogue import DATASETS, dataset
from rekur.data.examples import Examples, OnBad, Sieve, bad_bytes
from rekur.data.fetch import find
from rekur.data.labelled import read_labelled
from rekur.data.tagged import read_brown, read_conll, read_conllu
from rekur.data.vectors import WordVectors, read_array, read_vectors
from rekur.data.words import Words
from rekur.errors import OptionError

Parts = dict[str, Examples[Any, Any]]
"""`train`, and `test` where whoever made the data set put some of it aside for that."""


def load_dataset(name: str, cache: Path, *, on_bad: OnBad = "skip") -> Parts:
    """A data set of the catalogue, which `get` has fetched into the cache, as examples.

    What is for `classify` has texts or series, and a label each; what is for `tag` has words and their tags.

    Args:
        name: one that `rekur data list` lists.
        cache: the folder that it was fetched into.
        on_bad: what becomes of broken rows; see `read_labelled`.

    Raises:
        OptionError: there is no such data set, or it is files that a task reads itself, or vectors.
        DataError: it was not fetched, or is damaged.
    """
    known = dataset(name)
    if known.use == "vectors":
        raise OptionError(f"{name!r} is vectors for words and has no examples; see load_vectors")
    if name not in _READERS:
        raise OptionError(f"{name!r} is files that {known.use} reads: rekur data where {name} says where they are")
    parts = _READERS[name](find(known, cache), on_bad)
    return {
        part: _called(examples, name if len(parts) == 1 else f"{name} ({part})") for part, examples in parts.items()
    }


def load_vectors(source: Path | str, words: Words, cache: Path) -> WordVectors:
    """The vectors of a vocabulary's words: from a text file (see `read_vectors`), or a data set of the catalogue.

    Raises DataError where there is no such thing, OptionError for a data set that is none of vectors.
    """
    if str(source) not in DATASETS or Path(source).exists():
        return read_vectors(source, words)
    known = dataset(str(source))
    if known.use != "vectors":
        raise OptionError(f"{known.name!r} has no vectors for words; 'glove-50d' has")
    home = find(known, cache)
    return read_array(home / "glove_6B_50d_emb.npy", home / "glove_6B_index.parquet", words)


def _called(examples: Examples[Any, Any], name: str) -> Examples[Any, Any]:
    # The columns are the data set's and not the user's to choose: what was guessed about them is no news.
    return Examples(name, examples.inputs, examples.labels, examples.rejected, (), examples.sha256)


def _snippets(path: Path, on_bad: OnBad) -> Parts:
    """Number, mean rating from −4 to 4, text: more than 0.5 from zero is positive or negative."""
    sieve = Sieve(on_bad)
    texts, labels = [], []
    content = path.read_text(encoding="utf-8", errors="surrogateescape")
    for line, row in enumerate(content.removesuffix("\n").split("\n"), 1):
        parts = row.rstrip("\r").split("\t", 2)
        try:
            _, rating, text = parts
            mean = float(rating)
        except ValueError:
            sieve.drop(path, line, "it is not: number, rating, text, parted by tabs")
            continue
        if reason := bad_bytes(text) or ("" if text.strip() else "the text is empty"):
            sieve.drop(path, line, reason)
            continue
        texts.append(text)
        labels.append("positive" if mean > 0.5 else "negative" if mean < -0.5 else "neutral")
    return {"train": sieve.examples(path.name, [path], tuple(texts), tuple(labels))}


def _tab(stem: str) -> Callable[[Path, OnBad], Parts]:
    def read(folder: Path, on_bad: OnBad) -> Parts:
        options: dict[str, Any] = {"text": "Text", "label": "Category", "on_bad": on_bad}
        return {part: read_labelled(folder / f"{stem}-{part}.tab", **options) for part in ("train", "test")}

    return read


def _vowels(folder: Path, on_bad: OnBad) -> Parts:
    files = {"train": "JapaneseVowels_TRAIN.ts", "test": "JapaneseVowels_TEST.ts"}
    return {part: read_ts(folder / file, on_bad=on_bad) for part, file in files.items()}


def _spam(folder: Path, on_bad: OnBad) -> Parts:
    """Subject and text of each e-mail: other heads tell how it was collected, not what it says."""
    sieve = Sieve(on_bad)
    paths = sorted(folder.glob("*/*.json"))
    texts, labels = [], []
    for path in paths:
        record = json.loads(path.read_bytes())
        text = _written(record["text"])
        if text.strip():
            texts.append(text)
            labels.append("spam" if record["group"].startswith("spam") else "ham")
        else:
            sieve.drop(path, 1, "the e-mail has no subject and no text")
    return {"train": sieve.examples(folder.name, paths, tuple(texts), tuple(labels))}


def _written(raw: str) -> str:
    message = email.message_from_string(raw, policy=email.policy.compat32)
    parts = [str(message["subject"] or "")]
    for part in message.walk():
        if part.get_content_maintype() == "text" and isinstance(content := part.get_payload(decode=True), bytes):
            try:
                parts.append(content.decode(part.get_content_charset() or "utf-8", "replace"))
            except LookupError:  # a character set that nobody knows
                parts.append(content.decode("latin-1"))
    return "\n".join(parts)


_READERS: dict[str, Callable[[Path, OnBad], Parts]] = {
    "snippets": _snippets,
    "snippets-amazon": _snippets,
    "snippets-nyt": _snippets,
    "snippets-tweets": _snippets,
    "reuters-r8": _tab("reuters-r8"),
    "newsgroups": _tab("20newsgroups"),
    "spam": _spam,
    "japanese-vowels": _vowels,
    "brown": lambda folder, on_bad: {"train": read_brown(folder, on_bad=on_bad)},
    "porttinari": lambda path, on_bad: {"train": read_conllu(path, on_bad=on_bad)},
    # its rows have ten or twelve columns
    "hironsan": lambda path, on_bad: {"train": read_conll(path, ragged=True, on_bad=on_bad)},
}
