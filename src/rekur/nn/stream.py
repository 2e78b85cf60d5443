"""Single steps through a stack of layers whose weights stay as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from rekur.nn.connections import connected
from rekur.nn.layer import Layer
from rekur.run import State
from rekur.run.call import Stepper
from rekur.run.symbols import symbolic


class Stream:
    """Steps for each layer, made for the rows and the kind of input that come first, and anew where others come."""

    def __init__(self, layers: Sequence[Layer], connections: str = "plain") -> None:
        self._layers, self._connections = layers, connections
        self._steppers: list[Stepper | None] = []
        self._made_for: tuple[int, int, torch.dtype] | None = None

    def __call__(self, x: Tensor, state: Mapping[str, Tensor]) -> tuple[Tensor, State]:
        """`(B, feature)`, or symbols `(B,)`, through all layers, and the state after it."""
        rows, kind = x.shape[0], (x.shape[0], x.dim(), x.dtype)
        if self._made_for != kind:
            self.close()
            graph = self._layers[0].cell.graph
            symbols = symbolic(graph, {graph.of("input")[0].name: x[:, None]}, (), ())
            self._steppers = [
                a.kernel.stepper(a.params(), a.sizes, rows, () if depth else tuple(symbols))
                for depth, a in enumerate(self._layers)
            ]
            self._made_for = kind
        after: dict[str, Tensor] = {}
        given = State(state)

        def one(depth: int, read: Tensor) -> Tensor:
            layer, stepper, before = self._layers[depth], self._steppers[depth], given.under(str(depth))
            if stepper is None:
                series, new, *_ = layer.evaluated(read[:, None], before)
                y = series[:, 0]
            else:
                y, new = stepper({layer.cell.graph.of("input")[0].name: read}, before)
            after.update({f"{depth}.{k}": v for k, v in new.items()})
            return y

        return connected(self._connections, x, len(self._layers), one), State(after)

    def close(self) -> None:
        """Let go of memory and threads."""
        for stepper in self._steppers:
            if stepper is not None:
                stepper.close()
        self._steppers, self._made_for = [], None
