"""A scene as PNG, by the library resvg, which is an extra."""

from __future__ import annotations

from rekur.draw.scene import Scene
from rekur.errors import OptionError

EXTRA = "a PNG is made by the package resvg-py: pip install 'rekur[png]'; SVG needs nothing"


def to_png(scene: Scene, *, dark: bool = False, scale: float = 2.0) -> bytes:
    """The picture in pixels, `scale` to a unit of the scene; OptionError where resvg-py is not installed."""
    try:
        from resvg_py import svg_to_bytes
    except ModuleNotFoundError:
        raise OptionError(EXTRA) from None
    return bytes(svg_to_bytes(svg_string=scene.svg(dark=dark), zoom=scale))
