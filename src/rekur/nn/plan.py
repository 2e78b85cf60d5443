"""`Plan`: how embedding, layers, directions, head and feedback are wired; and the model that is made from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from torch import Tensor, nn

from rekur.errors import CheckpointError, OptionError
from rekur.graph import Cell
from rekur.nn.recurrent import Recurrent
from rekur.run import State


@dataclass(frozen=True)
class Plan:
    """The wiring of a sequence model, read by drawing, sampling, checkpoints and export.

    Symbols go through an embedding, features go in as they are; then a stack of one cell; then a linear head.
    """

    cell: Cell
    input_size: int
    """Features, or the size of the embedding"""
    hidden_size: int
    """H, the units of a layer"""
    num_layers: int = 1
    bidirectional: bool = False
    dropout: float = 0.0
    """On the input, between layers and before the head; never from step to step (Zaremba et al., 2014)"""
    sizes: Mapping[str, int] = field(default_factory=dict)
    """Further axes of the cell, as {"P": 64}"""
    symbols: int | None = None
    """V, where the input is symbols 0 … V-1"""
    outputs: int | None = None
    """What the head puts out at every step; None where the model ends with the stack"""
    feedback: bool = False
    """Whether what comes out is the next thing to go in: such a model can be sampled"""

    def to_json(self) -> dict[str, Any]:
        """Plain values; the cell by its name, its text is kept beside."""
        return {f.name: getattr(self, f.name) for f in fields(self)} | {
            "cell": self.cell.name,
            "sizes": dict(self.sizes),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any], cells: Mapping[str, Cell]) -> Plan:
        """What `to_json` gave, with the cells by name; CheckpointError where it is not that."""
        known = {f.name for f in fields(cls)}
        if set(values) != known or values["cell"] not in cells:
            raise CheckpointError(f"this is not a plan: it must have {', '.join(sorted(known))}, and its cell")
        return cls(**{**values, "cell": cells[values["cell"]]})


class SequenceModel(nn.Module):
    """The module of a `Plan`: embedding, `Recurrent`, head.

    >>> import torch
    >>> from rekur.cells import lstm
    >>> model = SequenceModel(Plan(lstm, 8, 16, symbols=50, outputs=50))
    >>> logits, state = model(torch.randint(50, (3, 7)))
    >>> logits.shape
    torch.Size([3, 7, 50])
    """

    def __init__(
        self,
        plan: Plan,
        *,
        backend: str = "auto",
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        for name, size in (("symbols", plan.symbols), ("outputs", plan.outputs)):
            if size is not None and size < 1:
                raise OptionError(f"{name} must be above zero, got {size}")
        self.plan = plan
        options: dict[str, Any] = {"dtype": dtype, "device": device}
        self.embedding = None
        if plan.symbols is not None:
            self.embedding = nn.Embedding(plan.symbols, plan.input_size, **options)
            nn.init.normal_(self.embedding.weight, generator=generator)
        self.recurrent = Recurrent(
            plan.cell, plan.input_size, plan.hidden_size, plan.num_layers, bidirectional=plan.bidirectional,
            dropout=plan.dropout, sizes=plan.sizes, backend=backend, generator=generator, **options,
        )  # fmt: skip
        self.head = None
        if plan.outputs is not None:
            self.head = nn.Linear(self.recurrent.output_size, plan.outputs, **options)
            bound = self.recurrent.output_size**-0.5
            nn.init.uniform_(self.head.weight, -bound, bound, generator=generator)
            nn.init.zeros_(self.head.bias)

    def forward(
        self,
        x: Tensor,
        state: Mapping[str, Tensor] | None = None,
        *,
        lengths: Tensor | Sequence[int] | None = None,
        reset: Tensor | None = None,
    ) -> tuple[Tensor, State]:
        """`(B, T)` symbols or `(B, T, I)` features in; `(B, T, outputs)` and the state out."""
        if self.embedding is not None:
            x = self.embedding(x)
        x = nn.functional.dropout(x, self.plan.dropout, self.training)
        y, final = self.recurrent(x, state, lengths=lengths, reset=reset)
        if self.head is not None:
            y = self.head(nn.functional.dropout(y, self.plan.dropout, self.training))
        return y, final
