"""Reading sizes off tensors by the names of their axes, with errors that name both places that disagree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import torch
from torch import Tensor

from rekur.errors import ShapeError
from rekur.graph import Graph
from rekur.run.traced import PLAIN, check, traced

_WORDS = {"B": "rows in the batch", "T": "steps", "L": "lattice sites", "I": "features", "H": "units"}


class Sizes:
    """Axis -> size, as the tensors read so far say; all of one dtype and device."""

    def __init__(self, graph: str, like: Tensor | None) -> None:
        if like is not None and not like.is_floating_point():
            raise ShapeError(f"{graph}: weights must be floating point, got {like.dtype}")
        self.graph = graph
        self._like = like
        self.known: dict[str, int] = {}
        self._from: dict[str, str] = {}

    @property
    def like(self) -> Tensor:
        """A tensor of the dtype and device at work."""
        if self._like is None:
            raise ShapeError(f"{self.graph} was given no tensor at all")
        return self._like

    def read_weights(self, graph: Graph, given: Mapping[str, Tensor]) -> None:
        """`read` each weight; where all are alike and their shapes have fitted before, they are not gone through."""
        leaves, like = graph.parameters, self._like
        if like is not None and type(like) in PLAIN:
            kind, device = like.dtype, like.device
            weights = [given[name] for name in leaves]
            alike = [type(v) in PLAIN and v.dtype == kind and v.device == device for v in weights]
            if all(alike):
                found = fitting(graph, tuple([v.shape for v in weights]))
                if found is not None:
                    self.known, self._from = dict(found[0]), dict(found[1])
                    return
        for name, leaf in leaves.items():
            self.read("weight", name, given[name], (), leaf.axes)

    def fill(self, told: Mapping[str, int]) -> None:
        """Take from `told` what no tensor has said."""
        for axis, size in told.items():
            if axis not in self.known:
                self.known[axis], self._from[axis] = size, "sizes"

    def __getitem__(self, axis: str) -> int:
        try:
            return self.known[axis]
        except KeyError:
            raise ShapeError(
                f"{self.graph}: nothing that was given says how large the axis {axis} is; say sizes={{{axis!r}: …}}"
            ) from None

    def read(self, kind: str, name: str, v: Tensor, lead: tuple[str, ...], axes: tuple[str, ...]) -> Tensor:
        """Check `v`, of a kind and named `name`, against `(*lead, *axes)`, and remember what it says of sizes."""
        like = self._like
        alike = like is not None and isinstance(v, Tensor) and v.dtype == like.dtype and v.device == like.device
        if alike and v.shape == tuple(map(self.known.get, (*lead, *axes))):  # nothing is new, and all fits
            return v
        what = f"the {kind} {name!r}"
        if not isinstance(v, Tensor):
            raise ShapeError(f"{self.graph}: {what} must be a tensor, got {type(v).__name__}")
        if self._like is None:
            self._like = v
        self.measure(what, v, (*lead, *axes))
        if v.dtype != self.like.dtype:
            if v.is_floating_point() and torch.is_autocast_enabled(v.device.type):
                return v.to(self.like.dtype)  # under autocast a scan runs in the dtype of its weights
            raise ShapeError(
                f"{self.graph}: {what} is {v.dtype}, the weights are {self.like.dtype}; convert one of them"
            )
        return v

    def measure(self, what: str, v: Tensor, names: tuple[str, ...]) -> Tensor:
        """`read` for a tensor of any dtype."""
        if v.dim() != len(names):
            raise ShapeError(f"{self.graph}: {what} must be ({', '.join(names)}), got {tuple(v.shape)}")
        for axis, size in zip(names, v.shape, strict=True):
            if axis not in self.known:
                self.known[axis], self._from[axis] = size, what
            elif self.known[axis] != size:
                word = _WORDS.get(axis, "places")
                raise ShapeError(
                    f"{self.graph}: {what} has {size} {word} ({axis}), {self._from[axis]} expects {self.known[axis]}"
                )
        if v.device != self.like.device:
            raise ShapeError(f"{self.graph}: {what} is on {v.device}, the weights are on {self.like.device}")
        return v


@lru_cache(maxsize=64)
def fitting(graph: Graph, shapes: tuple[torch.Size, ...]) -> tuple[Mapping[str, int], Mapping[str, str]] | None:
    """(axis -> size, axis -> the weight that says so) of weights whose shapes agree; None of others."""
    known: dict[str, int] = {}
    said: dict[str, str] = {}
    for (name, leaf), shape in zip(graph.parameters.items(), shapes, strict=True):
        if len(shape) != len(leaf.axes):
            return None
        for axis, size in zip(leaf.axes, shape, strict=True):
            if known.setdefault(axis, size) != size:
                return None
            said.setdefault(axis, f"the weight {name!r}")
    return known, said


def lengths_to_live(
    counts: Tensor | Sequence[int], rows: int, size: int, device: torch.device, what: str = "lengths"
) -> Tensor:
    """Counts `(B,)` -> mask `(B, size)`, true before each row's count."""
    return torch.arange(size, device=device) < _counts(counts, rows, size, device, what)[:, None]


def _counts(counts: Tensor | Sequence[int], rows: int, size: int, device: torch.device, what: str) -> Tensor:
    given = torch.as_tensor(counts, device=device)
    if given.numel() and (given.is_floating_point() or given.dtype == torch.bool):
        raise ShapeError(f"{what} must be whole numbers, got {given.dtype}")
    out = given.to(torch.int64)
    if out.shape != (rows,):
        raise ShapeError(f"{what} must be ({rows},), one a row, got {tuple(out.shape)}")
    if traced(out):
        most = size if isinstance(size, int) else "the size of the axis"  # of which a tracer may have a symbol
        check((out >= 0) & (out <= size), f"{what} must lie in 0..{most}")
    elif rows:
        found = out.tolist()  # less work than to ask torch twice
        low, high = min(found), max(found)
        if not 0 <= low <= high <= size:
            raise ShapeError(f"{what} must lie in 0..{size}, got {low}..{high}")
    return out


def live_steps(
    lengths: Tensor | Sequence[int] | None, live: Tensor | None, shape: tuple[int, ...], device: torch.device
) -> tuple[Tensor | None, Tensor | None]:
    """(mask, lengths) of a series of `shape` `(B, T, *lattice)`, at most one of them; None where all is live."""
    if live is not None:
        if lengths is not None:
            raise ShapeError("give lengths or live, not both")
        return flags("live", live, shape, device), None
    if lengths is None:
        return None, None
    counts = _counts(lengths, shape[0], shape[1], device, "lengths")
    if not traced(counts) and all(n == shape[1] for n in counts.tolist()):
        return None, None
    return None, counts


def flags(what: str, v: Tensor | None, shape: tuple[int, ...], device: torch.device) -> Tensor | None:
    """Check a mask of bool; without the lattice axis it counts for all sites."""
    if v is None:
        return None
    if not isinstance(v, Tensor) or v.dtype != torch.bool:
        raise ShapeError(f"{what} must be a tensor of bool, got {getattr(v, 'dtype', type(v).__name__)}")
    if tuple(v.shape) == shape[:2] and len(shape) == 3:
        v = v[..., None].expand(shape)
    if tuple(v.shape) != shape:
        raise ShapeError(f"{what} must be {shape}, got {tuple(v.shape)}")
    return v.to(device)
