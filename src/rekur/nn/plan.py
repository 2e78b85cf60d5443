"""`Plan`: how embedding, layers, directions, head and feedback are wired; and the model that is made from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import Any, get_args

import torch
from torch import Tensor, nn

from rekur.draw import Wiring, circuit
from rekur.errors import CheckpointError, OptionError, ShapeError
from rekur.graph import Cell
from rekur.nn.init import embedding
from rekur.nn.layer import positive
from rekur.nn.noise import dropped
from rekur.nn.pooling import Pooling, pool
from rekur.nn.recurrent import Recurrent
from rekur.nn.spelling import Speller, Spelling
from rekur.nn.stream import Stream, open_stream, streaming
from rekur.run import State
from rekur.run.symbols import DTYPES


@dataclass(frozen=True)
class Plan:
    """The wiring of a sequence model, read by drawing, sampling, checkpoints and export.

    Symbols go through an embedding or to the first layer themselves, features go in as they are; then a stack of one
    cell; then, where one answer a sequence is wanted, pooling over its steps; then a linear head.
    """

    cell: Cell
    input_size: int
    """Features, or the size of the embedding; 0 where the first layer reads symbols without one"""
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
    """What the head puts out; None where the model ends with the stack"""
    feedback: bool = False
    """Whether what comes out is the next thing to go in: such a model can be sampled"""
    connections: str = "plain"
    """How layers read those below; for this and what follows see `Recurrent`"""
    input_dropout: float = 0.0
    """On what each layer reads, the same features at all steps of a sequence"""
    recurrent_dropout: float = 0.0
    """On the state as products read it, the same units at all steps of a sequence"""
    zoneout: float | Mapping[str, float] = 0.0
    """The share of units that keep their state in a step, for all states or by state"""
    weight_drop: float = 0.0
    """On the weights that multiply the state"""
    learn_initial_state: bool = False
    """Whether what sequences start from is learnt"""
    pooling: Pooling | None = None
    """How the steps of a sequence become one vector: last, mean or max; None where every step has its output"""
    spelling: Spelling | None = None
    """How symbols that are words are also read by their characters; None where they are not"""

    def wiring(self) -> Wiring:
        """The plan as pictures read it; OptionError for a cell on a lattice, which has no such picture."""
        return Wiring(
            self.cell.graph, self.num_layers, self.bidirectional, self.connections, pooling=self.pooling,
            feedback=self.feedback, embedding=self.symbols is not None and self.input_size > 0,
            head=self.outputs is not None,
        )  # fmt: skip

    def _repr_svg_(self) -> str:
        return circuit(self.wiring()).svg()

    def to_json(self) -> dict[str, Any]:
        """Plain values; the cell by its name, its text is kept beside."""
        return {f.name: getattr(self, f.name) for f in fields(self)} | {
            "cell": self.cell.name,
            "sizes": dict(self.sizes),
            "zoneout": dict(self.zoneout) if isinstance(self.zoneout, Mapping) else self.zoneout,
            "spelling": None if self.spelling is None else self.spelling.to_json(),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any], cells: Mapping[str, Cell]) -> Plan:
        """What `to_json` gave, with the cells by name; CheckpointError where it is not that."""
        if isinstance(values, Mapping):
            values = {**_SINCE, **values}
        if not isinstance(values, Mapping) or set(values) != set(_KINDS):
            raise CheckpointError(f"this is not a plan: it must have {', '.join(_KINDS)}")
        for name, kind in _KINDS.items():
            if not isinstance(values[name], kind) or (kind is not bool and isinstance(values[name], bool)):
                raise CheckpointError(f"this is not a plan: its {name} is {values[name]!r}")
        if values["cell"] not in cells:
            raise CheckpointError(f"the plan's cell {values['cell']!r} is not there; there are {', '.join(cells)}")
        spelling = None if values["spelling"] is None else Spelling.from_json(values["spelling"])
        return cls(**{**values, "cell": cells[values["cell"]], "spelling": spelling})


_KINDS: Mapping[str, Any] = {
    "cell": str, "input_size": int, "hidden_size": int, "num_layers": int, "bidirectional": bool,
    "dropout": int | float, "sizes": dict, "symbols": int | None, "outputs": int | None, "feedback": bool,
    "connections": str, "input_dropout": int | float, "recurrent_dropout": int | float,
    "zoneout": int | float | dict, "weight_drop": int | float, "learn_initial_state": bool, "pooling": str | None,
    "spelling": dict | None,
}  # fmt: skip
"""Field -> what it is in JSON"""
_SINCE: Mapping[str, Any] = {
    "connections": "plain", "input_dropout": 0.0, "recurrent_dropout": 0.0, "zoneout": 0.0, "weight_drop": 0.0,
    "learn_initial_state": False, "pooling": None, "spelling": None,
}  # fmt: skip
"""Fields that the first checkpoints have not, and what they mean there"""


class SequenceModel(nn.Module):
    """The module of a `Plan`: embedding, with or without the words' spelling; `Recurrent`; head.

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
        counts = {"symbols": plan.symbols, "outputs": plan.outputs}
        read = plan.input_size or plan.symbols or 0
        positive(input_size=read, **{name: count for name, count in counts.items() if count is not None})
        if plan.feedback and (plan.bidirectional or plan.symbols is None or plan.symbols != plan.outputs):
            raise OptionError(
                "a model with feedback reads its own output: it needs one direction, and as many symbols as outputs; "
                f"got symbols={plan.symbols}, outputs={plan.outputs}, bidirectional={plan.bidirectional}"
            )
        if plan.symbols is not None and not plan.input_size:
            dense = plan.connections == "dense" and plan.num_layers > 1
            for what in [*["input_dropout"] * bool(plan.input_dropout), *["dense connections"] * dense]:
                raise OptionError(
                    f"{what}: the first layer reads symbols, and this is for features; say input_size, the size of "
                    "an embedding"
                )
        if plan.pooling is not None and (plan.feedback or plan.pooling not in get_args(Pooling)):
            raise OptionError(
                f"pooling is one of {', '.join(get_args(Pooling))}, and not for a model with feedback, which needs "
                f"an output at every step; got pooling={plan.pooling!r}, feedback={plan.feedback}"
            )
        if plan.spelling is not None and (plan.symbols is None or not plan.input_size or plan.feedback):
            raise OptionError(
                "spelling is put beside the vectors of words: it needs symbols, and an input_size, that of their "
                f"embedding, and no feedback; got symbols={plan.symbols}, input_size={plan.input_size}, "
                f"feedback={plan.feedback}"
            )
        self.plan = plan
        self._stream: Stream | None = None
        options: dict[str, Any] = {"dtype": dtype, "device": device}
        self.embedding = None
        if plan.symbols is not None and plan.input_size:
            self.embedding = embedding(plan.symbols, plan.input_size, generator, options)
        self.speller = None
        if plan.spelling is not None:
            self.speller = Speller(
                plan.spelling, plan.cell, sizes=plan.sizes, backend=backend, generator=generator, **options
            )
            read += self.speller.output_size
        self.recurrent = Recurrent(
            plan.cell, read, plan.hidden_size, plan.num_layers, bidirectional=plan.bidirectional,
            connections=plan.connections, dropout=plan.dropout, input_dropout=plan.input_dropout,
            recurrent_dropout=plan.recurrent_dropout, zoneout=plan.zoneout, weight_drop=plan.weight_drop,
            learn_initial_state=plan.learn_initial_state, sizes=plan.sizes, backend=backend, generator=generator,
            **options,
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
        """`(B, T)` symbols or `(B, T, I)` features in; `(B, T, outputs)`, or pooled `(B, outputs)`, and the state.

        With spelling it is `(B, T, 1 + L)` that goes in: a word, and its characters, -1 after the last.
        """
        x = self.read(x)
        if x.is_floating_point():  # symbols are there or not
            x = dropped(x, self.plan.dropout, self.training)
        y, final = self.recurrent(x, state, lengths=lengths, reset=reset)
        if self.plan.pooling is not None:
            y = pool(y, self.plan.pooling, lengths, bidirectional=self.plan.bidirectional)
        if self.head is not None:
            y = self.head(dropped(y, self.plan.dropout, self.training))
        return y, final

    def step(self, x: Tensor, state: Mapping[str, Tensor] | None = None) -> tuple[Tensor, State]:
        """One step of a stream, `(B,)` symbols or `(B, I)` features in, `(B, outputs)` out: without dropout on the
        input and before the head; of what is inside, see `Recurrent.step`.

        ShapeError for a model that pools over steps by mean or max: a step by itself has no output.
        """
        if self.plan.pooling not in (None, "last"):
            raise ShapeError(f"the model takes the {self.plan.pooling} over whole sequences: it has no single steps")
        if (stream := open_stream(self)) is not None:
            read = self._look_up(x)
            return stream(read, self.recurrent.initial_state(len(read)) if state is None else state)
        y, after = self.recurrent.step(self.read(x[:, None])[:, 0], state)
        return y if self.head is None else self.head(y), after

    @contextmanager
    def prepared(self) -> Iterator[None]:
        """Within it, `step` without gradients uses the weights as they are at its first call, laid out once.

        Change no weights in there. Hooks on the layers, the embedding and the head are not called.
        """
        with streaming(self, self.recurrent.stream(self.head)):
            yield

    def _look_up(self, x: Tensor) -> Tensor:
        """What the first layer reads of one step, `(B,)` or `(B, I)`."""
        table = self.embedding
        if type(table) is not nn.Embedding or table.max_norm is not None or x.dim() != 1 or x.dtype not in DTYPES:
            return self.read(x[:, None])[:, 0]
        try:
            return torch.embedding(table.weight, x)
        except IndexError:
            return self.read(x[:, None])[:, 0]  # which says what is wrong

    def read(self, x: Tensor) -> Tensor:
        """What the first layer reads of the input of `forward`, before any dropout."""
        if self.plan.symbols is None:
            return x
        spelt = self.speller is not None
        if not isinstance(x, Tensor) or x.dim() != 2 + spelt or x.dtype not in DTYPES:
            shape = "(B, T, 1 + L), a word and its characters," if spelt else "(B, T)"
            got = f"{x.dtype} {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
            raise ShapeError(f"the input must be symbols {shape} of int64 or int32, got {got}")
        words = x[..., 0] if spelt else x
        if self.embedding is None:
            return x
        try:
            out: Tensor = self.embedding(words)
        except IndexError:
            symbols = f"{int(words.min())}..{int(words.max())}"
            raise ShapeError(f"symbols must lie in 0..{self.plan.symbols - 1}, got {symbols}") from None
        return out if self.speller is None else torch.cat([out, self.speller(x[..., 1:])], -1)
