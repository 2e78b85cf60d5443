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
from rekur.run.cpu.moves import Move
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
    """Which array of the code each operand goes into, which become the results, and which hold gradients."""

    def __init__(self, code: Code, operands: Operands) -> None:
        self.states = dict(operands.groups)["state"]
        self.extra = [a.removeprefix("output ") for a in code.arrays if a.startswith("output ")]
        """The extra outputs"""
        self.pools = [a for a, place in code.arrays.items() if place.rows == "pool" and a.startswith("state ")]
        self.forward, self.backward = (
            [self._source(code, one, operands.find("params", one.weight)) for one in laid]
            for laid in (code.forward, code.backward)
        )
        self.gradients = [self._gradient(code, *key) for key in operands.places]
        """Of each operand: the array of its gradient, None where there is none"""
        places = operands.places
        series = [Move(places["inputs", k], f"input {k}", "places") for k in dict(operands.groups)["inputs"]]
        symbols = dict.fromkeys((c.indices, c.symbols) for c in code.columns.values())
        self.symbols = [Move(places["inputs", k], a, "places") for a, k in symbols]
        """Symbols: arrays of integers"""
        rows = [
            Move(i, f"constant {k}", "rows") for (kind, k), i in places.items() if kind in ("outside", "constants")
        ]
        before = [Move(places["state", k], f"state {k}", "rows") for k in self.states]
        initial = [Move(places["initial", k], f"initial {k}", "rows") for k in self.states]
        there = [m for m in (*series, *rows, *before, *initial) if m.array in code.arrays]
        finals = [Move(i, f"state {k}", "finals") for i, k in enumerate(self.states, 1)]
        extra = [Move(i, f"output {k}", "places") for i, k in enumerate(self.extra, 1 + len(finals))]
        results = [Move(0, f"state {self.states[0]}", "places", later=True), *finals, *extra]
        arriving = [Move(0, "d y", "places"), *(m._replace(array=f"d {m.array}", table="ends") for m in finals)]
        arriving += [m._replace(array=f"d {m.array}") for m in extra]
        again = [m._replace(tensor=m.tensor + len(results)) for m in self.symbols]
        found = [(i, a) for i, a in enumerate(self.gradients) if a is not None and not a.startswith("d weight ")]
        self.moves = {
            "forward arriving": [*there, *self.symbols],
            "forward leaving": results,
            "backward arriving": [*(m for m in arriving if m.array in code.arrays), *again],
            "backward leaving": [Move(i, a, "places" if a.startswith("d input ") else "rows") for i, a in found],
        }
        """Of operands; of results; of gradients in results, and operands; of gradients in operands"""

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
