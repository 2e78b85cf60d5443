import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from rekur.data import Texts, read_text, stdlib, stdlib_sources
from rekur.data import sources as module
from rekur.errors import DataError


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def names(texts: Texts) -> list[str]:
    return [d.path.name for d in texts.documents]


def reasons(texts: Texts) -> dict[str, str]:
    return {s.path.name: s.reason for s in texts.skipped}


@pytest.fixture(params=[1, 2, 3, 7, 1 << 22])
def piece(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(module, "_PIECE", request.param)
    size: int = request.param
    return size


def test_pieces_of_any_size_make_the_same_text(tmp_path, piece):
    text = "\ufeffα\r\nβ\rγ\n\n\U0001f600 é\r"
    got = read_text(write(tmp_path / "a.txt", text))
    assert got.text == "α\nβ\nγ\n\n\U0001f600 é\n"
    assert [d.characters for d in got.documents] == [len(got.text)]
    assert [d.size for d in got.documents] == [len(text.encode())]


@pytest.mark.parametrize(
    ("content", "at"),
    [
        (b"h\xe9llo", 1),
        (b"\xef\xbb\xbfab\xff", 5),
        ("aé€".encode() + b"\xe2\x82", 6),
        ("é".encode() * 40 + b"\xf0\x9f\x98x", 80),
    ],
)
def test_a_file_that_is_not_utf8_is_named_with_its_byte_and_the_way_out(tmp_path, piece, content, at):
    path = write(tmp_path / "it's.txt", content)
    with pytest.raises(DataError) as caught:
        read_text(path)
    message = str(caught.value)
    assert f"{str(path)!r} is not UTF-8 at byte {at} (0x{content[at]:02x})" in message
    assert "iconv -f LATIN1 -t UTF-8" in message


def test_the_command_it_gives_works(tmp_path):
    path = write(tmp_path / "two words.txt", "naïve café".encode("latin-1"))
    with pytest.raises(DataError) as caught:
        read_text(path)
    command = str(caught.value).split("convert it: ")[1]
    subprocess.run(["/bin/sh", "-c", command], cwd=tmp_path, check=True)
    assert read_text(tmp_path / "two words.utf8.txt").text == "naïve café"


@pytest.mark.parametrize("form", ["UTF-16", "UTF-32"])
def test_wide_text_is_recognised_by_its_mark(tmp_path, form):
    with pytest.raises(DataError, match=f"mark of {form} at byte 0.*iconv -f {form} "):
        read_text(write(tmp_path / "wide.txt", "hello".encode(form)))


def test_binary_is_refused_with_the_place_of_its_nul(tmp_path, piece):
    with pytest.raises(DataError, match=r"is binary, not text: it has a NUL byte at byte 11$"):
        read_text(write(tmp_path / "x.bin", b"abcdefghijk\0l"))


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf"])
def test_an_empty_file_is_refused_alone_and_passed_over_among_others(tmp_path, content):
    empty = write(tmp_path / "empty.txt", content)
    with pytest.raises(DataError, match=r"empty.txt' is empty"):
        read_text(empty)
    texts = read_text([empty, write(tmp_path / "full.txt", "x")])
    assert texts.text == "x"
    assert reasons(texts) == {"empty.txt": "is empty"}


def test_no_source_at_all():
    with pytest.raises(DataError, match="no text was given"):
        read_text([])


def test_a_missing_path_is_told_from_the_nearest_that_exists(tmp_path):
    write(tmp_path / "plays" / "hamlet.txt", "x")
    with pytest.raises(DataError, match=r"no 'hamlt.txt' in .*did you mean 'hamlet.txt'\?"):
        read_text(tmp_path / "plays" / "hamlt.txt")
    with pytest.raises(DataError, match=r"no 'playz' in .*did you mean 'plays'\?"):
        read_text(tmp_path / "playz" / "deep" / "hamlet.txt")
    with pytest.raises(DataError, match=r"no 'zebra' in [^;]*$"):
        read_text(tmp_path / "zebra")
    with pytest.raises(DataError, match=r"hamlet.txt' is a file, not a folder"):
        read_text(tmp_path / "plays" / "hamlet.txt" / "act1")


def test_a_folder_is_read_in_sorted_order_whatever_it_holds(tmp_path):
    found: dict[str, str | bytes] = {
        "b.txt": "B",
        "a/z.txt": "Z",
        "a/y.txt": "Y\n",
        "c.png": b"\x89PNG\0\0",
        "d.txt": b"caf\xe9",
        "e.txt": "",
        ".git/config": "secret",
        ".hidden": "secret",
    }
    for name, content in found.items():
        write(tmp_path / name, content)
    texts = read_text(tmp_path)
    assert names(texts) == ["y.txt", "z.txt", "b.txt"]
    assert texts.text == "Y\nZ\nB"  # a line ending is put between documents, and none is added at the end
    assert texts.name == tmp_path.name
    why = reasons(texts)
    assert set(why) == {"c.png", "d.txt", "e.txt", ".git", ".hidden"}
    assert why["c.png"] == "is binary, not text: it has a NUL byte at byte 4"
    assert why["d.txt"].startswith("is not UTF-8 at byte 3 (0xe9); ")
    assert why["e.txt"] == "is empty"
    assert why[".git"] == why[".hidden"] == "is hidden"


def test_a_folder_with_nothing_readable_says_what_was_there(tmp_path):
    for i in range(7):
        write(tmp_path / f"{i}.bin", b"\0")
    with pytest.raises(DataError, match=r"(?s)no text in .*0.bin' is binary.*4.bin' is binary.*and 2 more$"):
        read_text(tmp_path)
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="there are no files"):
        read_text(tmp_path / "none")


def test_what_is_named_twice_is_read_once(tmp_path):
    first = write(tmp_path / "d" / "a.txt", "A")
    (tmp_path / "d" / "link.txt").symlink_to(first)
    texts = read_text([first, tmp_path / "d", str(tmp_path / "d" / ".." / "d" / "a.txt")])
    assert texts.text == "A"
    assert texts.name == "a.txt"
    assert [s.reason for s in texts.skipped] == [f"is the same file as {str(first)!r}"] * 3


def test_links_that_lead_nowhere_or_round_in_a_circle(tmp_path):
    (tmp_path / "one").symlink_to(tmp_path / "two")
    (tmp_path / "two").symlink_to(tmp_path / "one")
    (tmp_path / "broken").symlink_to(tmp_path / "gone")
    (tmp_path / "up").symlink_to(tmp_path)
    write(tmp_path / "a.txt", "A")
    with pytest.raises(DataError, match=r"one' cannot be read: "):
        read_text(tmp_path / "one")
    with pytest.raises(DataError, match=r"broken' is a link to .*gone', which does not exist"):
        read_text(tmp_path / "broken")
    texts = read_text(tmp_path)
    assert texts.text == "A"
    assert set(reasons(texts)) == {"one", "two", "broken", "up"}
    assert read_text(tmp_path / "up").text == "A"  # named itself, a link is followed


def test_pipes_and_devices_are_refused_without_being_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path(os.devnull)):
        with pytest.raises(DataError, match="is a pipe or a device"):
            read_text(path)
    write(tmp_path / "a.txt", "A")
    assert list(reasons(read_text(tmp_path))) == ["pipe"]


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    secret, open_ = write(tmp_path / "secret.txt", "x"), Path.open

    def refuse(self, *args, **kwargs):
        if self.name == "secret.txt":
            raise PermissionError(13, "Permission denied")
        return open_(self, *args, **kwargs)

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(DataError, match=r"secret.txt' cannot be read: Permission denied"):
        read_text(secret)
    write(tmp_path / "a.txt", "A")
    assert reasons(read_text(tmp_path)) == {"secret.txt": "cannot be read: Permission denied"}


def test_a_subfolder_that_may_not_be_entered_is_listed(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("the superuser may enter every folder")
    write(tmp_path / "locked" / "a.txt", "A")
    write(tmp_path / "b.txt", "B")
    (tmp_path / "locked").chmod(0)
    try:
        texts = read_text(tmp_path)
    finally:
        (tmp_path / "locked").chmod(stat.S_IRWXU)
    assert texts.text == "B"
    assert reasons(texts) == {"locked": "cannot be read: Permission denied"}


def test_a_name_that_is_not_utf8_can_be_reported(tmp_path):
    path = write(tmp_path / os.fsdecode(b"caf\xe9.txt"), b"\0")
    with pytest.raises(DataError) as caught:
        read_text(path)
    str(caught.value).encode()


def test_a_file_that_changes_after_it_was_checked_is_noticed(tmp_path):
    path = write(tmp_path / "a.txt", "before")
    texts = read_text(path)
    write(path, "behind")
    with pytest.raises(DataError, match="changed while it was being read"):
        texts.text  # noqa: B018 - reading is what is tested


def test_the_digest_follows_contents_and_order_not_names(tmp_path):
    a, b = write(tmp_path / "a", "one"), write(tmp_path / "b", "two")
    c = write(tmp_path / "c", "one")
    digest = read_text([a, b]).sha256
    assert read_text([c, b]).sha256 == digest
    assert read_text([b, a]).sha256 != digest
    assert read_text([a]).sha256 != digest


def test_the_default_corpus_is_this_pythons_library_without_its_tests():
    sources = stdlib_sources()
    assert sources == sorted(sources)
    assert {"json", "asyncio"} <= {p.parent.name for p in sources}
    parts = {part for p in sources for part in p.parts[-4:-1]}
    assert not parts & {"test", "tests", "idlelib", "lib2to3", "site-packages"}
    texts = stdlib()
    assert texts.name == f"Python {sys.version.split()[0]} standard library"
    assert len(texts.documents) > 400
    assert {s.reason for s in texts.skipped} <= {"is empty"}
