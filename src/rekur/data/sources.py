"""Text from files: found in a fixed order, checked to be text, and read in pieces however large they are."""

import codecs
import hashlib
import os
import platform
import shlex
import stat
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import IncrementalNewlineDecoder
from pathlib import Path

from rekur.errors import DataError, suggest

_PIECE = 1 << 22  # bytes read at a time
_NOT_LIBRARY = {"test", "tests", "idlelib", "lib2to3", "site-packages", "dist-packages", "__pycache__"}


@dataclass(frozen=True)
class Document:
    """A file that has been read through once and is text: UTF-8, no NUL byte, not empty.

    `size` is in bytes and `sha256` is of the file as it lies on the disk; `characters` is the length of its
    text.
    """

    path: Path
    size: int
    characters: int
    sha256: str

    def pieces(self) -> Iterator[str]:
        """The text in pieces of some megabytes, without a byte-order mark, every line ending a single `\\n`.

        Raises `DataError` at the end if the file is no longer the one that was checked.
        """
        digest = hashlib.sha256()
        for raw, text in _read(self.path):
            digest.update(raw)
            if text:
                yield text
        if digest.hexdigest() != self.sha256:
            raise DataError(f"{show(self.path)} changed while it was being read; start again once it is at rest")


@dataclass(frozen=True)
class Skipped:
    """A file that was met and not taken, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Texts:
    """What was found: the documents in the order in which they follow each other, and what was passed over."""

    name: str
    documents: tuple[Document, ...]
    skipped: tuple[Skipped, ...] = ()

    def pieces(self) -> Iterator[str]:
        """All documents' text one after the other; one that lacks a last line ending is given it before the next."""
        last = "\n"
        for document in self.documents:
            if last != "\n":
                yield "\n"
            for piece in document.pieces():
                yield piece
                last = piece[-1]

    @property
    def text(self) -> str:
        """The whole as one string."""
        return "".join(self.pieces())

    @property
    def sha256(self) -> str:
        """A digest of the documents' contents in their order, whatever they are called."""
        return hashlib.sha256("".join(d.sha256 for d in self.documents).encode()).hexdigest()


def read_text(sources: Path | str | Iterable[Path | str], name: str | None = None) -> Texts:
    """Find text in files and folders, and check all of it once.

    A folder is searched through and through, in sorted order. What is not UTF-8 text in it is passed over
    and listed in `skipped`, as are hidden entries (a name that begins with a dot), links to folders, and
    devices. A file that was named itself must be text. Empty files and second mentions of a file are listed
    in `skipped` wherever they come from.

    Line endings `\\r\\n` and `\\r` become `\\n`, and a byte-order mark at the start of a file is dropped,
    so that a model sees one kind of line whatever system the file was written on.

    Args:
        sources: paths of files or folders.
        name: what to call the whole in reports; by default the last part of the path.

    Raises:
        DataError: a path does not exist, a named file is not UTF-8 text, or no text at all was found.
    """
    paths = [Path(s) for s in ([sources] if isinstance(sources, Path | str) else sources)]
    documents: list[Document] = []
    skipped: list[Skipped] = []
    taken: dict[tuple[int, int], Path] = {}  # by device and inode: links and detours lead to the same file

    def take(path: Path) -> None:
        status = _stat(path)
        first = taken.setdefault((status.st_dev, status.st_ino), path)
        if first is not path:
            skipped.append(Skipped(path, f"is the same file as {show(first)}"))
        elif (document := _check(path, status)).characters:
            documents.append(document)
        else:
            skipped.append(Skipped(path, "is empty"))

    for path in paths:
        if not stat.S_ISDIR(_stat(path).st_mode):
            take(path)
            continue
        for file in _walk(path, skipped):
            try:
                take(file)
            except DataError as error:
                skipped.append(Skipped(file, str(error).removeprefix(f"{show(file)} ")))
    if not documents:
        raise DataError(_nothing(paths, skipped))
    if name is None:
        first, *others = paths if len(paths) == 1 else [d.path for d in documents]
        name = f"{first.name} and {len(others)} more" if others else first.resolve().name
    return Texts(name, tuple(documents), tuple(skipped))


def stdlib_sources() -> list[Path]:
    """The running Python's own library as source files, sorted, without its tests and installed packages.

    About 600 files and 11 MB of text that every user of Python has: rekur's default corpus.
    """
    root = Path(sysconfig.get_path("stdlib"))
    files: list[Path] = []
    for at, folders, names in os.walk(root):
        folders[:] = [f for f in folders if f not in _NOT_LIBRARY]  # pruned: site-packages may hold gigabytes
        files += [Path(at, n) for n in names if n.endswith(".py")]
    if not files:
        raise DataError(f"this Python has no library sources in {show(root)}; name a text file or a folder instead")
    return sorted(files)


def stdlib() -> Texts:
    """The default corpus, called by its Python's version, since the text differs from one to the next."""
    return read_text(stdlib_sources(), name=f"Python {platform.python_version()} standard library")


def show(path: Path) -> str:
    """A path for a message: quoted, so that also a name that is not valid UTF-8 can be printed."""
    return repr(str(path))


def _stat(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(_missing(path)) from None
    except OSError as error:  # a loop of links, a folder that may not be entered, a name that is too long
        raise DataError(f"{show(path)} cannot be read: {error.strerror}") from None


def _missing(path: Path) -> str:
    if path.is_symlink():
        return f"{show(path)} is a link to {show(path.readlink())}, which does not exist"
    absolute = path.absolute()
    parent = next(p for p in absolute.parents if p.exists())
    wanted = absolute.relative_to(parent).parts[0]
    if not parent.is_dir():
        return f"{show(path)} does not exist: {show(parent)} is a file, not a folder"
    try:
        near = suggest(wanted, sorted(entry.name for entry in parent.iterdir()))
    except OSError:
        near = ""
    return f"{show(path)} does not exist: no {wanted!r} in {show(parent)}{near}"


def _walk(folder: Path, skipped: list[Skipped]) -> list[Path]:
    def passed_over(error: OSError) -> None:
        skipped.append(Skipped(Path(error.filename), f"cannot be read: {error.strerror}"))

    files: list[Path] = []
    for at, folders, names in os.walk(folder, onerror=passed_over):
        here = Path(at)
        skipped += [Skipped(here / n, "is hidden") for n in sorted(folders + names) if n.startswith(".")]
        folders[:] = [f for f in folders if not f.startswith(".")]
        skipped += [Skipped(here / f, "is a link to a folder") for f in sorted(folders) if (here / f).is_symlink()]
        files += [here / n for n in names if not n.startswith(".")]
    return sorted(files)


def _check(path: Path, status: os.stat_result) -> Document:
    if not stat.S_ISREG(status.st_mode):
        raise DataError(f"{show(path)} is a pipe or a device, and rekur reads a text more than once; save it first")
    digest = hashlib.sha256()
    characters = 0
    for raw, text in _read(path):
        digest.update(raw)
        characters += len(text)
    return Document(path, status.st_size, characters, digest.hexdigest())


def _read(path: Path) -> Iterator[tuple[bytes, str]]:
    """Pieces of a file as they lie on the disk, each with the text that it completes."""
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    newlines = IncrementalNewlineDecoder(None, translate=True)
    offset = 0
    try:
        with path.open("rb") as file:
            while True:
                raw = file.read(_PIECE)
                if offset == 0 and raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                    guess = "UTF-32" if raw.startswith(codecs.BOM_UTF32_LE) else "UTF-16"
                    raise not_utf8(path, f"is not UTF-8: it begins with the mark of {guess} at byte 0", guess)
                if (nul := raw.find(0)) >= 0:
                    raise DataError(f"{show(path)} is binary, not text: it has a NUL byte at byte {offset + nul}")
                text = decoder.decode(raw, final=not raw)
                yield raw, newlines.decode(text, final=not raw)
                if not raw:
                    return
                offset += len(raw)
    except UnicodeDecodeError as error:
        # What the decoder looked at begins before `raw` by a character cut in two, or after it by the mark.
        at = offset + len(raw) - len(error.object) + error.start
        raise not_utf8(path, f"is not UTF-8 at byte {at} (0x{error.object[error.start]:02x})", "LATIN1") from None
    except OSError as error:
        raise DataError(f"{show(path)} cannot be read: {error.strerror}") from None


def not_utf8(path: Path, what: str, guess: str) -> DataError:
    """An error for a file in another encoding, with the command that converts it."""
    command = f"iconv -f {guess} -t UTF-8 {shlex.quote(str(path))} > {shlex.quote(path.stem + '.utf8' + path.suffix)}"
    return DataError(f"{show(path)} {what}; if it is {guess} text, convert it: {command}")


def _nothing(paths: list[Path], skipped: list[Skipped]) -> str:
    if not paths:
        return "no text was given; name a file or a folder"
    if len(paths) == len(skipped) == 1 and skipped[0].path == paths[0]:
        return f"{show(paths[0])} {skipped[0].reason}; there is nothing to read"
    where = ", ".join(map(show, paths))
    why = "".join(f"\n  {show(s.path)} {s.reason}" for s in skipped[:5])
    more = f"\n  and {len(skipped) - 5} more" if len(skipped) > 5 else ""
    return f"no text in {where}; passed over:{why or ' nothing, there are no files'}{more}"
