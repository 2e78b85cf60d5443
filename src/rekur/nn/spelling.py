"""Words by their spelling: a small network over the characters of each, beside the words' own vectors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from rekur.errors import CheckpointError, ShapeError
from rekur.graph import Cell
from rekur.nn.init import embedding
from rekur.nn.layer import positive
from rekur.nn.recurrent import Recurrent
from rekur.run.symbols import DTYPES


@dataclass(frozen=True)
class Spelling:
    """How words are read by their characters."""

    symbols: int
    """V, characters 0 … V-1"""
    hidden_size: int
    """H, the units of each direction, and the size of the characters' vectors"""

    def to_json(self) -> dict[str, int]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Spelling:
        """What `to_json` gave; CheckpointError where it is not that."""
        match values:
            case {"symbols": int(), "hidden_size": int()} if len(values) == 2:
                return cls(**values)
        raise CheckpointError(f"this is not a plan: its spelling is {values!r}")


class Speller(nn.Module):
    """Vectors for words from their characters: the last states of a layer in both directions (Ling et al., 2015).

    A word that is there several times is read once.

    >>> from rekur.cells import lstm
    >>> speller = Speller(Spelling(symbols=30, hidden_size=4), lstm)
    >>> words = torch.tensor([[[7, 2, -1], [7, 2, 9]]])  # a sentence of two words
    >>> speller(words).shape, speller.output_size
    (torch.Size([1, 2, 8]), 8)
    """

    def __init__(
        self,
        spelling: Spelling,
        cell: Cell,
        *,
        sizes: Mapping[str, int] | None = None,
        backend: str = "auto",
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        size = spelling.hidden_size
        positive(**{"spelling.symbols": spelling.symbols, "spelling.hidden_size": size})
        options: dict[str, Any] = {"dtype": dtype, "device": device}
        self.embedding = embedding(spelling.symbols, size, generator, options)
        self.recurrent = Recurrent(
            cell, size, size, bidirectional=True, output="last", sizes=sizes, backend=backend, generator=generator,
            **options,
        )  # fmt: skip
        self.output_size = self.recurrent.output_size

    def forward(self, x: Tensor) -> Tensor:
        """`(B, T, L)` characters of words, -1 after the last of each, in; `(B, T, output_size)` out.

        ShapeError for what is no such thing. A word without characters gives zeros.
        """
        if not isinstance(x, Tensor) or x.dim() != 3 or x.dtype not in DTYPES:
            got = f"{x.dtype} {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
            raise ShapeError(f"spelling must be characters (B, T, L) of int64 or int32, got {got}")
        rows, steps, length = x.shape
        if not bool((x >= 0).any()):
            return self.embedding.weight.new_zeros(rows, steps, self.output_size)
        words, at = torch.unique(x.reshape(rows * steps, length), dim=0, return_inverse=True)
        lengths = (words >= 0).sum(1)
        words = words[:, : int(lengths.max())]
        try:
            read = self.embedding(words.clamp(min=0))
        except IndexError:
            known = f"0..{self.embedding.num_embeddings - 1}, -1 after a word"
            raise ShapeError(f"characters must lie in {known}, got one of {int(words.max())}") from None
        vectors, _ = self.recurrent(read, lengths=lengths)
        out: Tensor = vectors.index_select(0, at).reshape(rows, steps, -1)
        return out
