"""The tensors of a call as one list, which is what autograd sees; and the arrays that they go into."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from torch import Tensor

from rekur.graph import Graph
from rekur.run.call import Call
from rekur.run.cpu.memory import Code
from rekur.run.cpu.record import Laid


@dataclass(frozen=True)
class Operands:
    """Which tensor stands where: those of the call by kind and name, then those computed outside of the code."""

    groups: tuple[tuple[str, tuple[str, ...]], ...]
    outside: tuple[str, ...]

    @classmethod
    def of(cls, graph: Graph, outside: Sequence[str]) -> Operands:
        """Those of any call of a graph."""
        inputs, states, constants = (tuple(a.name for a in graph.of(k)) for k in ("input", "state", "constant"))
        kinds = {"inputs": inputs, "state": states, "initial": states, "constants": constants}
        return cls((*kinds.items(), ("params", tuple(graph.parameters))), tuple(outside))

    @cached_property
    def names(self) -> tuple[tuple[str, str], ...]:
        """(kind, name) of each that is the call's own."""
        return tuple((k, name) for k, names in self.groups for name in names)

    @cached_property
    def places(self) -> Mapping[tuple[str, str], int]:
        """(kind, name) -> where it stands; the kind of those from outside is "outside"."""
        return {key: i for i, key in enumerate((*self.names, *(("outside", k) for k in self.outside)))}

    def find(self, kind: str, name: str) -> int:
        """Where a value stands that may be computed outside."""
        return self.places["outside" if name in self.outside else kind, name]

    def tensors(self, call: Call) -> list[Tensor]:
        """The call's own in the order of the list."""
        return [t for k, names in self.groups for t in map(getattr(call, k).__getitem__, names)]

    def put(self, call: Call, tensors: Sequence[Tensor]) -> Call:
        """The call on the tensors of a list."""
        left = iter(tensors)
        groups: dict[str, Any] = {k: {name: next(left) for name in names} for k, names in self.groups}
        return replace(call, **groups)


Source = tuple[int, int, int | None]
"""A weight that the code lays out: which operand, and the fields of its address and of its stride"""


class Wiring:
    """Which array of the code each operand goes into, and which holds its gradient."""

    def __init__(self, code: Code, operands: Operands) -> None:
        def arrays(kind: str, *groups: str) -> list[tuple[str, int]]:
            named = [(a, a.removeprefix(f"{kind} ")) for a in code.arrays if a.startswith(f"{kind} ")]
            keys = [(a, next((key for g in groups if (key := (g, n)) in operands.places), None)) for a, n in named]
            return [(a, operands.places[key]) for a, key in keys if key is not None]

        self.series = arrays("input", "inputs")
        self.rows = arrays("constant", "outside", "constants")
        self.states = arrays("state", "state")
        self.initial = arrays("initial", "initial")
        self.pools = [a for a, place in code.arrays.items() if place.rows == "pool" and a.startswith("state ")]
        self.forward, self.backward = (
            [self._source(code, one, operands.find("params", one.weight)) for one in laid]
            for laid in (code.forward, code.backward)
        )
        indices = dict.fromkeys((c.indices, c.symbols) for c in code.columns.values())
        self.symbols = [(code.record.array(a), operands.places["inputs", k]) for a, k in indices]
        """Symbols: the field that points at them, and which operand they are"""
        self.extra = [a.removeprefix("output ") for a in code.arrays if a.startswith("output ")]
        """The extra outputs"""
        self.gradients = [self._gradient(code, *key) for key in operands.places]
        """Of each operand: the array of its gradient, None where there is none"""

    def gradient(self, i: int, resets: bool) -> str | None:
        """The array with the gradient in an operand; in an initial state there is one only if something resets."""
        array = self.gradients[i]
        return None if array is None or (array.startswith("d initial ") and not resets) else array

    @staticmethod
    def _source(code: Code, one: Laid, i: int) -> Source:
        fields = code.record.fields
        stride = None if one.kind == "vector" else fields[f"stride {one.weight}"]
        return i, fields[f"array weight {one.weight}"], stride

    @staticmethod
    def _gradient(code: Code, kind: str, name: str) -> str | None:
        if kind in ("params", "outside") and any(s.weight == name for s in code.shares):
            return f"d weight {name}"
        what = {"inputs": "input", "constants": "constant", "outside": "constant"}.get(kind, kind)
        array = f"d {what} {name}"
        return array if array in code.arrays else None
