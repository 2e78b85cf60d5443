"""Recurrent highway networks: several transitions a step, each of which may carry the state past itself."""
# mypy: allow-untyped-defs

from rekur.errors import OptionError
from rekur.graph import Cell, cell, gate, sigmoid, tanh


def highway(depth: int = 5) -> Cell:
    """The recurrent highway cell of `depth` transitions a step; OptionError where that is below 1."""
    if depth < 1:
        raise OptionError(f"a recurrent highway cell needs a depth of at least 1, got {depth}")

    @cell
    def rhn(x, h):
        """Recurrent highway network; the carry gate is one minus the transform gate.

        Source: Zilly, Srivastava, Koutník and Schmidhuber, "Recurrent Highway Networks", ICML 2017.

        The transform gates' biases start at -1, so that an untrained cell mostly carries its state on.
        """
        for d in range(depth):
            xs = (x,) if d == 0 else ()
            n = gate(f"candidate{d}", tanh, *xs, h=h)
            t = gate(f"transform{d}", sigmoid, *xs, h=h, bias=-1.0)
            h = n * t + h * (1 - t)
        return h

    return rhn
