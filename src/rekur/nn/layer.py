"""One cell over one direction of a sequence, with its weights: what a stack is made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from rekur.errors import OptionError, ShapeError
from rekur.graph import Cell, Graph, recurrent_weights
from rekur.graph.noise import KEEP, MASK
from rekur.nn.init import initial_weights
from rekur.nn.noise import Masks, Noise, dropped
from rekur.run import Kernel, Scan, State, compile, scan


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

    def __repr__(self) -> str:
        return "Weights(" + ", ".join(f"{k} {tuple(v.shape)}" for k, v in self.state_dict().items()) + ")"

    def __getitem__(self, name: str) -> Tensor:
        """By the name in the graph; what torch.nn.utils.parametrize or prune put in its place is read as they say."""
        *heads, last = name.split(".")
        group: Any = self
        for head in heads:
            group = group._modules.get(head) or getattr(group, head)
        found: Tensor | None = group._parameters.get(last)  # at every call, and torch's way takes long
        return getattr(group, last) if found is None else found


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
    :param noise: what training disturbs; not on a lattice.
    :param learn_initial_state: whether what the states start from, and go back to at a reset, is learnt: parameters
        ``initial.h`` …, which start as the cell says.
    """

    def __init__(
        self,
        cell: Cell,
        sizes: Mapping[str, int],
        *,
        reverse: bool = False,
        noise: Noise | None = None,
        learn_initial_state: bool = False,
        backend: str = "auto",
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        positive(**{f"sizes[{axis!r}]": size for axis, size in sizes.items()})
        self.cell, graph = checked(cell), cell.graph
        self.sizes = dict(sizes)
        self.reverse = reverse
        self.noise = Noise() if noise is None else noise
        self.kernel = compile(self.noise.in_evaluation(graph), backend)
        noisy = self.noise.in_training(graph)
        self.training_kernel = compile(noisy, backend) if noisy is not graph else self.kernel
        self._hit = recurrent_weights(graph) if self.noise.weight_drop else ()
        missing = sorted(needed_axes(graph) - set(sizes))
        if missing:
            raise OptionError(
                f"{cell.name} has the axes {', '.join(missing)}, whose sizes are not known; "
                f"say sizes={{{', '.join(f'{a!r}: …' for a in missing)}}}"
            )
        fresh = initial_weights(graph, sizes, generator=generator, dtype=dtype, device=device)
        self.weights = Weights(fresh)
        self.initial: Weights | None = None
        if learn_initial_state:
            shapes = {a.name: [sizes[axis] for axis in a.axes] for a in graph.of("state")}
            starts = {a.name: a.initial for a in graph.of("state")}
            self.initial = Weights(
                {k: torch.full(shape, starts[k], dtype=dtype, device=device) for k, shape in shapes.items()}
            )

    @property
    def output_size(self) -> int:
        """The size of the cell's first state."""
        return self.sizes[self.cell.graph.of("state")[0].axes[0]]

    def params(self) -> dict[str, Tensor]:
        """The weights as `scan` takes them."""
        weights = self.weights  # torch takes its time to find it
        return {name: weights[name] for name in self.cell.graph.parameters}

    def learnt(self) -> dict[str, Tensor]:
        """What the states start from, where that is learnt."""
        return {} if self.initial is None else {a.name: self.initial[a.name] for a in self.cell.graph.of("state")}

    def initial_state(self, rows: int = 1) -> State:
        """What a sequence starts from, learnt or as the cell says, `(rows, …)` each."""
        like, learnt = next(self.parameters(), torch.zeros(())), self.learnt()
        shapes = {a.name: (rows, *(self.sizes[axis] for axis in a.axes)) for a in self.cell.graph.of("state")}
        return State(
            {
                a.name: learnt[a.name].expand(shapes[a.name])
                if a.name in learnt
                else like.new_full(shapes[a.name], a.initial)
                for a in self.cell.graph.of("state")
            }
        )

    def forward(
        self,
        x: Tensor | Mapping[str, Tensor],
        state: Mapping[str, Tensor] | None = None,
        *,
        masks: Masks | None = None,
        **options: Any,
    ) -> Scan:
        """`scan` with this layer's weights; the options are those of `rekur.run.scan`.

        :param masks: which masks the rows have while training; new ones where none are given.
        """
        if not (self.training and self.noise):
            return self.evaluated(x, state, **options)
        params = self.params()
        params |= {k: dropped(params[k], self.noise.weight_drop, True) for k in self._hit}
        if self.noise.masks:
            x, constants = self._masked(x, params, masks)
            if constants:
                options["constants"] = {**(options.get("constants") or {}), **constants}
        return self._scan(self.training_kernel, params, x, state, **options)

    def evaluated(
        self, x: Tensor | Mapping[str, Tensor], state: Mapping[str, Tensor] | None = None, **options: Any
    ) -> Scan:
        """`forward` as in evaluation, whatever the mode."""
        return self._scan(self.kernel, self.params(), x, state, **options)

    def _scan(
        self,
        kernel: Kernel,
        params: Mapping[str, Tensor],
        x: Tensor | Mapping[str, Tensor],
        state: Mapping[str, Tensor] | None,
        *,
        initial: Mapping[str, Tensor] | None = None,
        **options: Any,
    ) -> Scan:
        start = {**self.learnt(), **(initial or {})}
        return scan(kernel, params, x, state, reverse=self.reverse, sizes=self.sizes, initial=start, **options)

    def _masked(
        self, x: Tensor | Mapping[str, Tensor], params: Mapping[str, Tensor], masks: Masks | None
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The inputs with what noise adds to them, and the constants that it adds."""
        graph = self.cell.graph
        inputs: dict[str, Any] = dict(x) if isinstance(x, Mapping) else {a.name: x for a in graph.of("input")}
        for k, v in inputs.items():
            if not isinstance(v, Tensor) or v.dim() < 2:
                raise ShapeError(f"{graph.name}: the input {k!r} must be a series, a tensor (B, T, …)")
        first = next(iter(inputs.values()))
        rows, steps = first.shape[:2]
        dtype = next(iter(params.values()), first).dtype
        masks = Masks.of(rows, None, first.device) if masks is None else masks
        if p := self.noise.input_dropout:
            for k, v in inputs.items():
                if not v.is_floating_point():
                    raise ShapeError(
                        f"{graph.name}: input_dropout drops features, and the input {k!r} is symbols; embed them"
                    )
                inputs[k] = v * masks.scaled(f"input {k}", v.shape[2:], p, dtype)[:, None]
        sizes = {a.name: [self.sizes[axis] for axis in a.axes] for a in graph.of("state")}
        for s, p in self.noise.rates(graph).items():
            inputs[KEEP + s] = masks.kept(f"zoneout {s}", sizes[s], p, steps).logical_not().to(dtype)
        p, state = self.noise.recurrent_dropout, graph.of("state")[0].name
        return inputs, {MASK + state: masks.scaled(f"state {state}", sizes[state], p, dtype)} if p else {}

    def explain(self) -> str:
        """In a line, how the layer runs and why; of a layer with masks also how it trains."""
        line = self.kernel.explain()
        return (
            line if self.training_kernel is self.kernel else f"{line}; in training {self.training_kernel.explain()}"
        )

    def __repr__(self) -> str:
        return f"Layer({self.extra_repr()})"

    def extra_repr(self) -> str:
        """The layer and what holds for it, for `print(model)`."""
        learnt = "learnt initial state" if self.initial is not None else ""
        return ", ".join(t for t in (self.chain, str(self.noise), learnt) if t)

    @property
    def chain(self) -> str:
        """The cell, its sizes and the direction."""
        return ", ".join([self.cell.name, *(f"{k}={v}" for k, v in self.sizes.items()), *["reverse"] * self.reverse])


def needed_axes(graph: Graph) -> set[str]:
    """The axes of weights, states and inputs; those of a memory come with the memory."""
    weights = {a for leaf in graph.parameters.values() for a in leaf.axes}
    return weights | {a for arg in graph.of("input", "state") for a in arg.axes}
