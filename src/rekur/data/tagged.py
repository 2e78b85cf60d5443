"""Sentences with a tag for each word: CoNLL's columns, CoNLL-U, and the Brown corpus's word/tag."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from rekur.data.examples import Examples, OnBad, Sieve, bad_bytes
from rekur.data.sources import show
from rekur.errors import DataError, OptionError, suggest

_APPENDED = re.compile(r"(?<=^fw)-.*|-(?:tl|hl|nc)(?=-|$).*|(?<=.)[+*].*")

Sentence = tuple[str, ...]
Tagged = Examples[Sentence, Sentence]

CONLLU = ("ID", "FORM", "LEMMA", "UPOS", "XPOS", "FEATS", "HEAD", "DEPREL", "DEPS", "MISC")
"""The ten columns of CoNLL-U."""


def read_conll(
    path: Path | str,
    *,
    word: int = 0,
    tag: int = -1,
    ragged: bool = False,
    untagged: bool = False,
    on_bad: OnBad = "skip",
) -> Tagged:
    """Sentences in columns: a word a line, an empty line after each sentence.

    Columns are parted by tabs where a line has any, else by white space. Lines with `-DOCSTART-`, which part
    documents, are none, nor are comments: lines before a sentence that begin with `#` and a space, or with `#` and
    have another number of columns; `notes` say how many. A sentence is broken, and passed over whole, where a line of
    it lacks columns, its word or its tag, or is not UTF-8.

    Args:
        path: the file.
        word, tag: the columns, counted from 0, or from the end as -1.
        ragged: lines may have different numbers of columns. Otherwise another number than the first line's is broken.
        untagged: words may lack their tags, which are "" then.
        on_bad: `skip` passes over broken sentences and keeps account of them in `rejected`; `stop` raises.

    Raises:
        DataError: the file cannot be read, or has no such sentences.
        OptionError: there is no such column.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "names.txt"
    >>> _ = path.write_text("Ada NNP B-PER\\nLovelace NNP I-PER\\nwrites VBZ O\\n\\n")
    >>> names = read_conll(path)
    >>> names.inputs[0], names.labels[0]
    (('Ada', 'Lovelace', 'writes'), ('B-PER', 'I-PER', 'O'))
    """
    path = Path(path)
    width, comments = 0, list[tuple[int, str]]()

    def sentences() -> Iterator[Block]:
        nonlocal width
        for whole in _blocks(path):
            block = [(line, text) for line, text in whole if "-DOCSTART-" not in _columns(text)]
            if not width:
                width = next((len(_columns(text)) for _, text in block if not text.startswith("#")), 0)
                if width:
                    _check_columns(path, width, word, tag, untagged)
            while block and _is_comment(block[0][1], 0 if ragged else width):
                comments.append(block.pop(0))
            yield block

    def pair(text: str) -> tuple[str, str]:
        row = _columns(text)
        if len(row) != width and not ragged:
            raise DataError(f"it has {_columns_of(row)}, the first line has {width}")
        if _has(row, word) and untagged and (not _has(row, tag) or tag % len(row) == word % len(row)):
            return row[word], ""
        if not _has(row, word) or not _has(row, tag) or len(row) < 2:
            raise DataError(f"it has {_columns_of(row)}, too few for a word and its tag")
        return row[word], row[tag]

    found = _read(path, on_bad, sentences(), pair, untagged)
    if not comments:
        return found
    line, text = comments[0]
    are = "1 line is" if len(comments) == 1 else f"{len(comments):,} lines are"
    return replace(found, notes=(f"{are} taken for comments, the first is line {line}: {text[:60]}",))


def _is_comment(text: str, width: int) -> bool:
    if not text.startswith("#"):
        return False
    spaced = "\t" not in text and text[1:2] in ("", " ")
    return spaced or (width > 0 and len(_columns(text)) != width)


def _columns(text: str) -> list[str]:
    return text.split("\t") if "\t" in text else text.split()


def _columns_of(row: Sequence[str]) -> str:
    return f"{len(row)} column{'s' * (len(row) != 1)}"


def _has(row: Sequence[str], column: int) -> bool:
    return -len(row) <= column < len(row)


def _check_columns(path: Path, width: int, word: int, tag: int, untagged: bool) -> None:
    """Raise OptionError where lines of so many columns have no such ones."""
    has = f"{show(path)} has {width} columns" if width > 1 else f"{show(path)} has one column"
    for what, column in (("words", word), *[("tags", tag)] * (not untagged)):
        if not -width <= column < width:
            raise OptionError(
                f"{has}; there is no column {column} for the {what}: they are counted from 0, or from the end as -1"
            )
    if width == 1 and not untagged:
        raise OptionError(f"{has}; a line takes a word and its tag, parted by a tab or by spaces")
    if word % width == tag % width and not untagged:
        raise OptionError(f"{has}; words and tags are both to be in column {word}")


def read_conllu(path: Path | str, *, tag: str = "UPOS", untagged: bool = False, on_bad: OnBad = "skip") -> Tagged:
    """Sentences in CoNLL-U: ten columns parted by tabs, `#` before comments, an empty line after each sentence.

    The words are the syntactic ones: lines of contracted forms (`1-2`) and of words that are not there (`1.1`) are
    left out. A sentence with a line that is not so, or that lacks a tag (`_`), is broken.

    Args:
        path: the file.
        tag: the column with the tags, as `UPOS`, `XPOS` or `DEPREL`.
        untagged: words may lack their tags, which are "" then.
        on_bad: see `read_conll`, which raises the same.
    """
    if tag.upper() not in CONLLU:
        raise OptionError(f"CoNLL-U has no column {tag!r}{suggest(tag.upper(), CONLLU)}; it has {', '.join(CONLLU)}")
    path, at = Path(path), CONLLU.index(tag.upper())

    def pair(text: str) -> tuple[str, str] | None:
        row = text.split("\t")
        if len(row) != len(CONLLU):
            raise DataError(f"it has {_columns_of(row)}, CoNLL-U has {len(CONLLU)}")
        if "-" in row[0] or "." in row[0]:
            return None
        return row[1], "" if row[at] == "_" else row[at]

    blocks = ([(n, text) for n, text in block if not text.startswith("#")] for block in _blocks(path))
    return _read(path, on_bad, blocks, pair, untagged)


def read_brown(folder: Path | str, *, on_bad: OnBad = "skip") -> Tagged:
    """The Brown corpus as it is handed on: a sentence a line, each word with its tag after the last `/`.

    Tags are cut as `brown_tag` does, which leaves 93 of 472.

    Args:
        folder: with the files `ca01` to `cr09`, of which as many are read as there are.
        on_bad: see `read_conll`, which raises the same.
    """
    folder, sieve = Path(folder), Sieve(on_bad)
    paths = sorted(folder.glob("c[a-r][0-9][0-9]"))
    words, tags = [], []
    for path in paths:
        for line, text in enumerate(path.read_text(encoding="latin-1").splitlines(), 1):
            pairs = [token.rpartition("/") for token in text.split()]
            if lost := next((tag for word, _, tag in pairs if not word or not tag), None):
                sieve.drop(path, line, f"{lost!r} has no word or no tag")
            elif pairs:
                words.append(tuple(word for word, _, _ in pairs))
                tags.append(tuple(brown_tag(tag) for _, _, tag in pairs))
    return sieve.examples(folder.name, paths, tuple(words), tuple(tags))


@cache
def brown_tag(tag: str) -> str:
    """A tag of the Brown corpus without what says that it is in a title, a headline or quoted (`-tl -hl -nc`), that
    another word is contracted to it (`+`), or negates it (`*`), and without the kind of a foreign word (`fw-`).

    >>> [brown_tag(tag) for tag in ("nn-tl", "ppss+hvd", "bez*", "*", "--", "---hl", "fw-in+nn-tl")]
    ['nn', 'ppss', 'bez', '*', '--', '--', 'fw']
    """
    return _APPENDED.sub("", tag) or tag


Block = list[tuple[int, str]]


def _blocks(path: Path) -> Iterator[Block]:
    """The lines between empty ones, each with its number."""
    block: Block = []
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape") as file:
            for line, text in enumerate(file, 1):
                if text.strip():
                    block.append((line, text.rstrip("\n")))
                elif block:
                    yield block
                    block = []
    except OSError as error:
        raise DataError(f"{show(path)} cannot be read: {error.strerror}") from None
    if block:
        yield block


def _read(
    path: Path,
    on_bad: OnBad,
    blocks: Iterator[Block] | Sequence[Block],
    pair: Callable[[str], tuple[str, str] | None],
    untagged: bool,
) -> Tagged:
    sieve = Sieve(on_bad)
    words, tags = [], []
    for block in blocks:
        sentence = []
        for line, text in block:
            try:
                if reason := bad_bytes(text):
                    raise DataError(reason)
                # a wide space is a word
                if (found := pair(text)) and not all(part.strip(" ") for part in found[: 1 if untagged else 2]):
                    raise DataError(f"its {'tag' if found[0].strip(' ') else 'word'} is missing")
            except DataError as error:
                sieve.drop(path, line, str(error))
                break
            if found:
                sentence.append(found)
        else:
            if sentence:
                words.append(tuple(word for word, _ in sentence))
                tags.append(tuple(tag for _, tag in sentence))
    return sieve.examples(path.name, [path], tuple(words), tuple(tags))


def is_conllu(path: Path | str) -> bool:
    """Whether a file is in CoNLL-U: by its name, or because its first line, but for comments, has ten columns.

    DataError where it cannot be read.
    """
    path = Path(path)
    if path.suffix.lower() == ".conllu":
        return True
    for block in _blocks(path):
        for _, text in block:
            if not text.startswith("#"):
                row = text.split("\t")
                return len(row) == len(CONLLU) and row[0][:1].isdecimal()
    return False
