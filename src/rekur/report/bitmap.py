"""Values as a small picture for a page: two colours that stand on light and on dark paper, none at zero."""

import base64
import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

ABOVE, BELOW, OPEN = (38, 116, 176), (203, 84, 38), (34, 139, 112)
"""Colours of what is above zero, below it, and of how far a gate is open"""
LEVELS = 40
"""Steps from no colour to full colour"""


def png(values: npt.NDArray[Any], above: tuple[int, int, int], below: tuple[int, int, int] = BELOW) -> bytes:
    """A PNG of `(rows, columns)`, a pixel a value, -1 … 1: the paper shows through the more, the nearer it is to 0.

    What is beyond -1 … 1 has full colour; NaN none.
    """
    levels = np.rint(np.clip(np.nan_to_num(values), -1, 1) * LEVELS).astype(int)
    indices = np.where(levels < 0, LEVELS - levels, levels).astype(np.uint8)
    rows, columns = indices.shape
    alphas = [round(255 * at / LEVELS) for at in range(LEVELS + 1)]
    parts = {
        b"IHDR": struct.pack(">IIBBBBB", columns, rows, 8, 3, 0, 0, 0),
        b"PLTE": bytes(above) * (LEVELS + 1) + bytes(below) * LEVELS,
        b"tRNS": bytes(alphas + alphas[1:]),
        b"IDAT": zlib.compress(np.pad(indices, ((0, 0), (1, 0))).tobytes(), 9),  # each row begins with "no filter"
        b"IEND": b"",
    }
    chunks = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts.items()
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def image(picture: bytes, x: float, y: float, width: float, height: float) -> str:
    """A picture within a drawing, each of its pixels a rectangle with sharp edges."""
    data = base64.b64encode(picture).decode()
    return (
        f'<image x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" preserveAspectRatio="none" '
        f'style="image-rendering: pixelated" href="data:image/png;base64,{data}"/>'
    )
