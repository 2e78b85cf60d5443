"""`Recurrent`: any cell as a layer, stacked, in one or both directions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from rekur.errors import OptionError, ShapeError, suggest
from rekur.graph import Cell, Graph
from rekur.nn.calls import asked, check_names, check_state, last_steps, series
from rekur.nn.connections import CONNECTIONS, axes_of, connected, layers_of, read_at
from rekur.nn.layer import Layer, positive
from rekur.nn.noise import NAME, Masks, Noise, dropped, share
from rekur.nn.stream import Stream, open_stream, streaming
from rekur.run import Scan, State

OUTPUTS = ("every", "last")


class Recurrent(nn.Module):
    """A stack of layers; input and output are `(batch, time, feature)`.

    The first layer of a cell that does nothing with its input but multiply it by weights also reads symbols, integers
    `(batch, time)` from 0 to `input_size` - 1: as if they were one-hot, but looked up.

    :param cell: a cell, or the name of one of the zoo; or one for each layer.
    :param input_size: features of the input.
    :param hidden_size: H, the units of a layer; or those of each layer.
    :param num_layers: how many layers, 1 if nothing else says it; each reads what the one below puts out.
    :param bidirectional: a second chain from the last step to the first; both outputs side by side.
    :param connections: plain; residual, ``y_l = y_{l-1} + f_l(y_{l-1})`` from the second layer on (He et al., 2016;
        as in Wu et al., 2016); or dense, ``y_l = f_l(x, y_1, …, y_{l-1})`` side by side (Huang et al., 2017; as in
        Ding et al., 2018).
    :param dropout: the share of values dropped between layers while training, others at every step (Zaremba et al.,
        2014).
    :param input_dropout: the share of features dropped while training, the same ones at all steps of a sequence, of
        what each layer reads (Gal and Ghahramani, 2016). For this and the next three see `rekur.nn.Noise`.
    :param recurrent_dropout: the same of the output state as products read it: ``U (h ∘ m)`` for ``U h``.
    :param zoneout: the share of units that keep their state in a step, or the share by state, as
        ``{"c": 0.5, "h": 0.05}`` (Krueger et al., 2017).
    :param weight_drop: the share of the recurrent weights dropped while training, the same ones for all rows and
        steps of a call (Merity, Keskar and Socher, 2018).
    :param learn_initial_state: whether the state that sequences start from, and go back to at a reset, is learnt.
    :param output: every, or last: of each row the last real step alone, `(batch, feature)`, in the backward direction
        the first, so each chain's end; zero where a row has no real step.
    :param sizes: further axes of the cells, as ``{"P": 64}``.
    :param backend: see `rekur.run.compile`.
    :param generator: draws the weights; torch's default where none is given.

    The state has one entry a layer and state of the cell: ``0.h``, ``0.c``, ``1.h`` …, and ``0.reverse.h`` in
    the other direction. While training with input_dropout, recurrent_dropout or zoneout it also has ``noise``
    `(batch, 2)`: the key of each row's masks, and how many steps it has gone. Handed on, the masks are those of one
    long sequence; where it is missing or 0, as after `State.reset`, a row gets new ones. A `reset` inside of a call
    leaves a row its masks.

    Raises OptionError for what makes no sense, with the way out.

    >>> import torch
    >>> layer = Recurrent("lstm", 8, 16, num_layers=2)
    >>> y, state = layer(torch.randn(3, 5, 8))
    >>> y, state = layer(torch.randn(3, 5, 8), state)
    >>> y.shape, list(state)
    (torch.Size([3, 5, 16]), ['0.h', '0.c', '1.h', '1.c'])
    >>> y, state = layer(torch.randint(8, (3, 5)))  # symbols
    >>> Recurrent(["lstm", "gru"], 8, [32, 16], recurrent_dropout=0.2)
    Recurrent(8 -> 16, recurrent_dropout=0.2
      0: lstm, H=32, I=8
      1: gru, H=16, I=32
    )
    """

    def __init__(
        self,
        cell: Cell | str | Sequence[Cell | str],
        input_size: int,
        hidden_size: int | Sequence[int],
        num_layers: int | None = None,
        *,
        bidirectional: bool = False,
        connections: str = "plain",
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        zoneout: float | Mapping[str, float] = 0.0,
        weight_drop: float = 0.0,
        learn_initial_state: bool = False,
        output: Literal["every", "last"] = "every",
        sizes: Mapping[str, int] | None = None,
        backend: str = "auto",
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        positive(input_size=input_size)
        share("dropout", dropout)
        for option, given, known in (("connections", connections, CONNECTIONS), ("output", output, OUTPUTS)):
            if given not in known:
                near = suggest(str(given), known)
                raise OptionError(f"{option} must be {' or '.join(known)}, got {given!r}{near}")
        self.noise = Noise(input_dropout, recurrent_dropout, zoneout, weight_drop)
        self.dropout, self.connections, self.output = dropout, connections, output
        each = layers_of(cell, hidden_size, num_layers)
        self.layers, self.reverse_layers = nn.ModuleList(), nn.ModuleList()
        self.input_size, widths = input_size, list[int]()
        for depth, ((one, hidden), axis) in enumerate(zip(each, axes_of(each, sizes or {}), strict=True)):
            read = read_at(connections, depth, input_size, widths)
            if axis == "H" and read != hidden:
                raise OptionError(
                    f"{one.name} has one axis, H, for input and units: layer {depth} reads {read} features and "
                    f"has {hidden} units; make them equal"
                )
            further = {k: v for k, v in (sizes or {}).items() if k in one.graph.axes}
            for stack in (self.layers, self.reverse_layers)[: 2 if bidirectional else 1]:
                stack.append(
                    Layer(
                        one, {"H": hidden, **further, axis: read}, reverse=stack is self.reverse_layers,
                        noise=self.noise, learn_initial_state=learn_initial_state, backend=backend,
                        generator=generator, dtype=dtype, device=device,
                    )
                )  # fmt: skip
            widths.append(self._layer(-1).output_size * (2 if bidirectional else 1))
            if connections == "residual" and depth and read != widths[-1]:
                raise OptionError(
                    f"residual connections add what a layer reads to what it puts out: layer {depth} reads {read} "
                    f"features and puts out {widths[-1]}; give these layers one hidden_size"
                )
        self.output_size = widths[-1]
        self._stream: Stream | None = None

    @property
    def bidirectional(self) -> bool:
        """Whether there is a second chain, from the last step to the first."""
        return len(self.reverse_layers) > 0

    @property
    def cell(self) -> Cell:
        """The cell of the first layer."""
        return self._layer(0).cell

    @property
    def graphs(self) -> dict[str, Graph]:
        """The graph of each layer by what names of its values begin with: ``0``, ``0.reverse``, ``1`` …"""
        return {prefix: layer.cell.graph for layers in self._depths() for prefix, layer in layers}

    def initial_state(self, rows: int = 1) -> State:
        """What sequences start from, learnt or as the cells say, `(rows, …)` each: for `State.reset`."""
        found = {p: layer.initial_state(rows) for layers in self._depths() for p, layer in layers}
        return State({f"{p}.{k}": v for p, state in found.items() for k, v in state.items()})

    def forward(
        self,
        x: Tensor,
        state: Mapping[str, Tensor] | None = None,
        *,
        lengths: Tensor | Sequence[int] | None = None,
        reset: Tensor | None = None,
        constants: Mapping[str, Tensor] | None = None,
        memory_lengths: Mapping[str, Tensor | Sequence[int]] | None = None,
    ) -> tuple[Tensor, State]:
        """The output of the last layer at every step, or the last, and the state after each row's last real step.

        See `rekur.run.scan` for lengths, resets and constants. Raises ShapeError for what does not fit, and
        where a state is carried into a bidirectional stack.
        """
        y, final, *_ = self.scan(
            x, state, lengths=lengths, reset=reset, constants=constants, memory_lengths=memory_lengths
        )
        return y, final

    def scan(
        self,
        x: Tensor,
        state: Mapping[str, Tensor] | None = None,
        *,
        outputs: Sequence[str] = (),
        record: Sequence[str] = (),
        **options: Any,
    ) -> Scan:
        """`forward`, with inner values: a name as ``forget`` asks every layer whose cell has it, ``1.forget`` the
        second.

        `outputs` are differentiable, `record` is detached; both come back as ``layer.name``.
        """
        one = self._every_step(x, state, outputs, record, options)
        if self.output == "every":
            return one
        return one._replace(output=last_steps(one.output, self._layer(-1).output_size, **options))

    def _every_step(
        self,
        x: Tensor,
        state: Mapping[str, Tensor] | None,
        outputs: Sequence[str],
        record: Sequence[str],
        options: Mapping[str, Any],
    ) -> Scan:
        x = series(x, self.input_size)
        if self.bidirectional and state is not None:
            raise ShapeError("a bidirectional stack cannot be handed a state: its second chain starts at the end")
        depths = list(self._depths())
        graphs = self.graphs if state is not None or outputs or record else {}
        check_state(graphs, state)
        check_names(graphs, (*outputs, *record))
        masks = None
        if self.training and self.noise.masks:
            masks = Masks.of(x.shape[0], None if state is None else state.get(NAME), x.device)
        final: dict[str, Tensor] = {}
        kept: tuple[dict[str, Tensor], dict[str, Tensor]] = ({}, {})

        def both(depth: int, read: Tensor) -> Tensor:
            read = dropped(read, self.dropout, self.training) if depth else read
            ys = []
            for direction, (prefix, layer) in enumerate(depths[depth]):
                given = None if state is None else State(state).under(prefix)
                wanted = [asked(names, prefix, graphs[prefix]) if names else [] for names in (outputs, record)]
                own = None if masks is None else masks.of_layer(2 * depth + direction)
                one = layer(read, given, outputs=wanted[0], record=wanted[1], masks=own, **options)
                ys.append(one.output)
                final.update({f"{prefix}.{k}": v for k, v in one.state.items()})
                for into, found in zip(kept, (one.outputs, one.record), strict=True):
                    into.update({f"{prefix}.{k}": v for k, v in found.items()})
            return torch.cat(ys, -1) if len(ys) > 1 else ys[0]

        y = connected(self.connections, x, len(depths), both)
        if masks is not None:
            final[NAME] = masks.carry(x.shape[1], options.get("lengths"))
        return Scan(y, State(final), *kept)

    def step(self, x: Tensor, state: Mapping[str, Tensor] | None = None) -> tuple[Tensor, State]:
        """One step of a stream: `(B, feature)` or symbols `(B,)` in, `(B, feature)` and the state after it out."""
        if (stream := open_stream(self)) is not None:
            if state is None:
                state = self.initial_state(series(x[:, None], self.input_size).shape[0])
            return stream(x, state)
        y, after, *_ = self._every_step(x[:, None], state, (), (), {})
        return y[:, 0], after

    @contextmanager
    def prepared(self) -> Iterator[None]:
        """Within it, `step` without gradients uses the weights as they are at its first call, laid out once.

        Such a step is as in evaluation, whatever the mode. Change no weights in there.

        >>> layer = Recurrent("lstm", 2, 3)
        >>> with torch.no_grad(), layer.prepared():
        ...     y, state = layer.step(torch.zeros(1, 2))
        ...     y, state = layer.step(torch.zeros(1, 2), state)
        """
        with streaming(self, self.stream()):
            yield

    def stream(self, head: nn.Module | None = None) -> Stream:
        """Steps through the stack, and through a head, with the weights as they are at the first."""
        if self.bidirectional:
            raise ShapeError("a bidirectional stack cannot take single steps: its second chain starts at the end")
        layers, graphs = [self._layer(i) for i in range(len(self.layers))], self.graphs
        return Stream(layers, self.connections, lambda state: check_state(graphs, state), head)

    def explain(self) -> str:
        """How the stack runs and why: a line for each run of layers that are alike."""
        directions = "2 directions of " if self.bidirectional else ""
        said = groupby(cast(Layer, layer).explain() for layer in self.layers)
        return "\n".join(f"{len(list(alike))} × {directions}{text}" for text, alike in said)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.extra_repr()}\n"
            + "".join(f"  {prefix}: {layer.chain}\n" for layers in self._depths() for prefix, layer in layers)
            + ")"
        )

    def extra_repr(self) -> str:
        """Sizes, and what holds for the whole stack, for `print(model)`."""
        options = (
            f"{self.connections} connections" if self.connections != "plain" else "",
            f"dropout={self.dropout}" if self.dropout else "",
            str(self.noise),
            "learnt initial state" if self._layer(0).initial is not None else "",
            "output of the last step" if self.output == "last" else "",
        )
        return ", ".join(t for t in (f"{self.input_size} -> {self.output_size}", *options) if t)

    def _layer(self, depth: int, reverse: bool = False) -> Layer:
        return cast(Layer, (self.reverse_layers if reverse else self.layers)[depth])

    def _depths(self) -> Iterator[list[tuple[str, Layer]]]:
        back = [*self.reverse_layers]
        for i, layer in enumerate(self.layers):
            both = [(f"{i}", layer)]
            yield cast(list[tuple[str, Layer]], [*both, (f"{i}.reverse", back[i])] if back else both)
