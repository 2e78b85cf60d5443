"""Series of numbers in formats of their own: `.ts` of the time series archives, and the `idx` of MNIST."""

import gzip
from pathlib import Path

import numpy as np

from rekur.data.examples import Examples, OnBad, Sieve, bad_bytes
from rekur.data.labelled import Series
from rekur.data.sources import show
from rekur.errors import DataError


def read_ts(path: Path | str, *, on_bad: OnBad = "skip") -> Examples[Series, str]:
    """Labelled series in the format `.ts` of the UEA and UCR archives.

    After lines that begin with `@`, the last of them `@data`, each line is a series: its features parted by `:`,
    the values of each by `,`, and the label at the end. A line with missing values (`?`), with features of different
    length or another number of them than the first, or with an undeclared label is broken.

    Args:
        path: the file.
        on_bad: `skip` passes over what is broken and keeps account of it in `rejected`; `stop` raises.

    Raises DataError where the file cannot be read, has no labels, or has time stamps, which are not understood.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "waves.ts"
    >>> _ = path.write_text("@timeStamps false\\n@classLabel true up down\\n@data\\n1,2,3:0,0,1:up\\n5:6:down\\n")
    >>> waves = read_ts(path)
    >>> [x.tolist() for x in waves.inputs], waves.labels
    ([[[1.0, 0.0], [2.0, 0.0], [3.0, 1.0]], [[5.0, 6.0]]], ('up', 'down'))
    """
    path, sieve = Path(path), Sieve(on_bad)
    try:
        lines = path.read_text(encoding="utf-8-sig", errors="surrogateescape").splitlines()
    except OSError as error:
        raise DataError(f"{show(path)} cannot be read: {error.strerror}") from None
    head = {words[0].lower(): words[1:] for line in lines if line.startswith("@") and (words := line.split())}
    if "@data" not in head or head.get("@classlabel", ["false"])[0].lower() != "true":
        raise DataError(f"{show(path)} has no line '@data' or no '@classLabel true' with the labels before it")
    if head.get("@timestamps", ["false"])[0].lower() != "false":
        raise DataError(f"{show(path)} has time stamps, which rekur does not read; write the values alone")
    kinds = head["@classlabel"][1:]
    inputs: list[Series] = []
    labels = []
    begun = False
    for number, line in enumerate(lines, 1):
        if not begun or not line.strip():
            begun = begun or line.strip().lower() == "@data"
            continue
        *features, label = line.split(":")
        try:
            value = np.array([[float(x) for x in feature.split(",")] for feature in features], np.float32).T
        except ValueError:
            short = {feature.count(",") for feature in features}
            reason = "its features have different lengths" if len(short) > 1 else "a value is missing or no number"
            sieve.drop(path, number, bad_bytes(line) or reason)
            continue
        if label.strip() not in kinds:
            sieve.drop(path, number, f"its label {label.strip()!r:.40} is not among {', '.join(kinds)}")
        elif not np.isfinite(value).all():
            sieve.drop(path, number, "a value is not a finite number")
        elif inputs and value.shape[1:] != inputs[0].shape[1:]:
            sieve.drop(path, number, f"it has {len(features)} features, the first has {inputs[0].shape[1]}")
        else:
            inputs.append(value)
            labels.append(label.strip())
    return sieve.examples(path.name, [path], tuple(inputs), tuple(labels))


def read_idx(images: Path | str, labels: Path | str) -> Examples[Series, str]:
    """Pictures and their labels in the format of MNIST: each a series of its rows, from 0 to 1.

    Raises DataError where the files, which may be compressed (`.gz`), are not so or do not belong together.
    """
    images, labels = Path(images), Path(labels)
    pixels, numbers = _idx(images, 3), _idx(labels, 1)
    if len(pixels) != len(numbers):
        raise DataError(f"{show(images)} has {len(pixels)} pictures, and {show(labels)} has {len(numbers)} labels")
    values = pixels.astype(np.float32) / 255
    return Sieve("stop").examples(images.name, [images, labels], tuple(values), tuple(map(str, numbers.tolist())))


def _idx(path: Path, axes: int) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    """Bytes with a head: two zeros, 8 for unsigned bytes, the number of axes, and four big-endian bytes an axis."""
    try:
        data = path.read_bytes()
        data = gzip.decompress(data) if path.suffix == ".gz" else data
    except (OSError, EOFError) as error:
        raise DataError(f"{show(path)} cannot be read: {error}") from None
    head = 4 + 4 * axes
    shape = tuple(int(size) for size in np.frombuffer(data[4:head], ">u4")) if len(data) >= head else ()
    if data[:4] != bytes([0, 0, 8, axes]) or len(data) != head + np.prod(shape, dtype=object):
        raise DataError(f"{show(path)} is not an idx file of bytes with {axes} axes, or it is cut short")
    return np.frombuffer(data, np.uint8, offset=head).reshape(shape)
