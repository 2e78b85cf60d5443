"""Single steps through a stack of layers whose weights stay as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from rekur.nn.layer import Layer
from rekur.run import State
from rekur.run.call import Stepper


class Stream:
    """Steps for each layer, made for the number of rows that comes first, and anew where another comes."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self._layers = layers
        self._steppers: list[Stepper | None] = []
        self._rows = -1

    def __call__(self, x: Tensor, state: Mapping[str, Tensor]) -> tuple[Tensor, State]:
        """`(B, feature)` through all layers, and the state after it."""
        if x.shape[0] != self._rows:
            self.close()
            self._rows = x.shape[0]
            self._steppers = [a.kernel.stepper(a.params(), a.sizes, self._rows) for a in self._layers]
        after: dict[str, Tensor] = {}
        given = State(state)
        for i, (layer, stepper) in enumerate(zip(self._layers, self._steppers, strict=True)):
            before = given.under(str(i))
            if stepper is None:
                y, new, *_ = layer(x[:, None], before)
                x = y[:, 0]
            else:
                x, new = stepper({layer.cell.graph.of("input")[0].name: x}, before)
            after |= {f"{i}.{k}": v for k, v in new.items()}
        return x, State(after)

    def close(self) -> None:
        """Let go of memory and threads."""
        for stepper in self._steppers:
            if stepper is not None:
                stepper.close()
        self._steppers, self._rows = [], -1
