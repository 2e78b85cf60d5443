"""One cell over one direction of a sequence, with its weights: what a stack is made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from rekur.errors import OptionError
from rekur.graph import Cell, Graph
from rekur.nn.init import initial_weights
from rekur.run import Scan, compile, scan


class Weights(nn.Module):
    """Weights by name; a dot in a name is a level, so `state_dict` has the key ``forget.x``."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        inner: dict[str, dict[str, Tensor]] = {}
        for name, v in tensors.items():
            head, _, tail = name.partition(".")
            try:
                if tail:
                    inner.setdefault(head, {})[tail] = v
                else:
                    self.register_parameter(name, nn.Parameter(v))
            except KeyError:
                raise OptionError(_taken(name)) from None
        for head, group in inner.items():
            try:
                self.add_module(head, Weights(group))
            except KeyError:
                raise OptionError(_taken(head)) from None

    def __getitem__(self, name: str) -> Tensor:
        """By the name in the graph; what torch.nn.utils.parametrize or prune put in its place is read as they say."""
        head, _, tail = name.partition(".")
        own: Mapping[str, Any] = self._modules if tail else self._parameters
        inner = own.get(head)  # at every call, and torch's way takes long
        if inner is None:
            inner = getattr(self, head)
        found: Tensor = inner[tail] if tail else inner
        return found


def _taken(name: str) -> str:
    return f"a weight or gate cannot be called {name!r}: torch's modules use the name; rename it in the cell"


def positive(**sizes: object) -> None:
    """Raise OptionError where one is not a whole number above zero."""
    for name, size in sizes.items():
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise OptionError(f"{name} must be a whole number above zero, got {size!r}")


def checked(cell: object) -> Cell:
    """`cell`, which must be one; what a user forgets is @cell."""
    if not isinstance(cell, Cell):
        raise OptionError(f"{cell!r} is of type {type(cell).__name__}, not a cell: a step under @cell is one")
    return cell


class Layer(nn.Module):
    """A cell with its weights, run over a sequence in one direction.

    :param sizes: the size of every axis that a weight or a state has.
    """

    def __init__(
        self,
        cell: Cell,
        sizes: Mapping[str, int],
        *,
        reverse: bool = False,
        backend: str = "auto",
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        positive(**{f"sizes[{axis!r}]": size for axis, size in sizes.items()})
        self.cell = checked(cell)
        self.sizes = dict(sizes)
        self.reverse = reverse
        self.kernel = compile(cell, backend)
        missing = sorted(needed_axes(cell.graph) - set(sizes))
        if missing:
            raise OptionError(
                f"{cell.name} has the axes {', '.join(missing)}, whose sizes are not known; "
                f"say sizes={{{', '.join(f'{a!r}: …' for a in missing)}}}"
            )
        fresh = initial_weights(cell.graph, sizes, generator=generator, dtype=dtype, device=device)
        self.weights = Weights(fresh)

    @property
    def output_size(self) -> int:
        """The size of the cell's first state."""
        return self.sizes[self.cell.graph.of("state")[0].axes[0]]

    def params(self) -> dict[str, Tensor]:
        """The weights as `scan` takes them."""
        return {name: self.weights[name] for name in self.cell.graph.parameters}

    def forward(self, x: Tensor | Mapping[str, Tensor], state: Mapping[str, Tensor] | None, **options: Any) -> Scan:
        """`scan` with this layer's weights; the options are those of `rekur.run.scan`."""
        return scan(self.kernel, self.params(), x, state, reverse=self.reverse, sizes=self.sizes, **options)

    def extra_repr(self) -> str:
        """The cell, its sizes and the direction, for `print(model)`."""
        sizes = ", ".join(f"{k}={v}" for k, v in self.sizes.items())
        return f"{self.cell.name}, {sizes}" + (", reverse" if self.reverse else "")


def needed_axes(graph: Graph) -> set[str]:
    """The axes of weights, states and inputs; those of a memory come with the memory."""
    weights = {a for leaf in graph.parameters.values() for a in leaf.axes}
    return weights | {a for arg in graph.of("input", "state") for a in arg.axes}
