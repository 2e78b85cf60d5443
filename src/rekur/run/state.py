"""`State`: what a recurrent layer carries from one chunk of a sequence to the next, by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from rekur.errors import CheckpointError, ShapeError, suggest


class Packed(Protocol):
    """The tensors of a state in an order of somebody's own."""

    def unpack(self) -> dict[str, Tensor]:
        """By name, each with memory of its own."""


class State(Mapping[str, Tensor]):
    """Named tensors, one a state, each `(batch, …)`; immutable, and a pytree.

    >>> import torch
    >>> state = State(h=torch.ones(2, 3), c=torch.zeros(2, 3))
    >>> state.reset(torch.tensor([True, False]))["h"].tolist()
    [[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]
    """

    __slots__ = ("_packed", "_tensors")

    def __init__(self, tensors: Mapping[str, Tensor] | None = None, **named: Tensor) -> None:
        self._tensors: dict[str, Tensor] = {**(tensors or {}), **named}
        self._packed: Packed | None = None

    @classmethod
    def later(cls, packed: Packed) -> State:
        """A state whose tensors are made once somebody asks for them."""
        state = cls()
        state._packed = packed
        return state

    @property
    def packed(self) -> Packed | None:
        """What `later` was given; None from when somebody has the tensors, who may write into them."""
        return self._packed

    def _named(self) -> dict[str, Tensor]:
        if self._packed is not None:
            self._tensors, self._packed = self._packed.unpack(), None
        return self._tensors

    def __getitem__(self, name: str) -> Tensor:
        tensors = self._named()
        try:
            return tensors[name]
        except KeyError:
            raise KeyError(f"there is no state {name!r}{suggest(name, tensors)}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._named())

    def __len__(self) -> int:
        return len(self._named())

    def __reduce__(self) -> tuple[type[State], tuple[dict[str, Tensor]]]:
        return State, (dict(self),)

    def __repr__(self) -> str:
        return f"State({', '.join(f'{k}={tuple(v.shape)}' for k, v in self.items())})"

    def detach(self) -> State:
        """The same values, cut from the gradient: the truncation of back-propagation through time."""
        return State({k: v.detach() for k, v in self.items()})

    def to(self, *args: Any, **kwargs: Any) -> State:
        """`Tensor.to` on each: another device, or dtype; what is whole numbers keeps its dtype."""
        device, dtype, non_blocking, _ = torch._C._nn._parse_to(*args, **kwargs)
        return State(
            {k: v.to(device, dtype if v.is_floating_point() else None, non_blocking) for k, v in self.items()}
        )

    def select(self, rows: Tensor) -> State:
        """The rows of an index or a mask over the batch, as beam search and bucketing need."""
        return State({k: v[rows] for k, v in self.items()})

    def reset(self, rows: Tensor, initial: Mapping[str, Tensor] | None = None) -> State:
        """The state with the rows of a mask `(B,)` set to `initial`, and to zero what that does not say.

        `Recurrent.initial_state()` says what a layer's sequences start from, where that is not zero.
        """
        out = {}
        for name in initial or {}:
            if name not in self:
                raise ShapeError(f"there is no state {name!r} to reset{suggest(name, self)}")
        for k, v in self.items():
            if rows.dtype != torch.bool or rows.shape != v.shape[:1]:
                raise ShapeError(f"reset wants a mask ({v.shape[0]},) of bool, got {rows.dtype} {tuple(rows.shape)}")
            fresh = initial[k] if initial is not None and k in initial else torch.zeros_like(v)
            out[k] = torch.where(rows.reshape(-1, *[1] * (v.dim() - 1)), fresh, v)
        return State(out)

    def under(self, prefix: str) -> State:
        """The part whose names begin with ``prefix.``, without it: one layer of a stack."""
        start = f"{prefix}."
        return State({k[len(start) :]: v for k, v in self.items() if k.startswith(start)})

    def save(self, path: str | Path) -> None:
        """Write the tensors as safetensors."""
        from safetensors.torch import save_file

        # copies, since one tensor may be two states
        save_file({k: v.detach().clone(memory_format=torch.contiguous_format) for k, v in self.items()}, str(path))

    @classmethod
    def load(cls, path: str | Path) -> State:
        """Read what `save` wrote; CheckpointError where it is not that."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return cls(load_file(str(path)))
        except (OSError, SafetensorError) as e:
            raise CheckpointError(f"{path} is not a saved state: {e}") from None


pytree.register_pytree_node(
    State,
    lambda s: (list(s.values()), tuple(s)),
    lambda values, names: State(dict(zip(names, values, strict=True))),
    serialized_type_name="rekur.State",
)
