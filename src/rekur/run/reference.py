"""The reference backend: the author's graph, not rewritten, in plain torch, on any dtype and device."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from rekur.graph import Graph, Leaf, Node
from rekur.run.call import Call, Head, Scan, Weights
from rekur.run.evaluate import Context, evaluate
from rekur.run.state import State


class Reference:
    """The semantics of a scan, one step at a time; gradients by autograd, so twice differentiable.

    For every step in order::

        s_in = where(reset, initial, s)
        new  = step(x, s_in)               # evaluated on live rows only: dead values are never read
        s    = where(live, new, s)
        y    = where(live, new[0], 0)
    """

    name = "reference"
    why = "the author's graph in plain torch"

    def __init__(self, graph: Graph) -> None:
        """It runs every graph."""

    def refuses_call(self, call: Call) -> str | None:
        """It does every call."""
        return None

    def stepper(
        self, layers: Sequence[Weights], rows: int, symbols: Collection[str] = (), head: Head | None = None
    ) -> None:
        """It has no other way to take single steps."""

    def run(self, call: Call) -> Scan:
        """Unfold the step in time."""
        return _Loop(call).run()


class _Loop:
    def __init__(self, call: Call) -> None:
        self.call = call
        self.graph = call.graph
        self.lead = call.lead
        self.count = len(self.lead)
        self.flat = {k: v.flatten(0, self.count - 1) for k, v in call.constants.items()}
        self.masks = {a: self._per_row(m) for a, m in call.memory.items()}
        self.wanted = {k: self.graph.named(k) for k in dict.fromkeys([*call.outputs, *call.record])}
        self.roots = [*self.graph.outputs.values(), *self.wanted.values()]
        weights = {n: call.params[n.leaf.name] for n in self.graph.nodes if n.op == "parameter"}
        numbers = [n for n in self.graph.nodes if n.op == "number"]
        self.shared = evaluate(numbers, weights, Context(call.sizes, call.like))
        self.exists = None if call.live is None else call.live.any(1)  # lattice sites that are ever live

    def run(self) -> Scan:
        call, order = self.call, list(range(self.call.steps))
        if call.reverse:
            order.reverse()
        reset = call.boundaries()
        whole = [True] * call.steps if call.live is None else call.live.transpose(0, 1).flatten(1).all(1).tolist()
        state = dict(call.state)
        kept: dict[str, list[Tensor]] = {k: [call.like] * call.steps for k in ("", *self.wanted)}
        first = next(iter(self.graph.outputs))
        for t in order:
            before = state
            if reset is not None:
                before = {k: torch.where(self._like(reset[:, t], v), call.initial[k], v) for k, v in state.items()}
            rows = None
            if not whole[t]:
                assert call.live is not None
                rows = call.live[:, t].flatten().nonzero().squeeze(1)
            values = self._step(t, before, rows)
            for name, node in self.wanted.items():
                kept[name][t] = self._place(values[node], node, rows)
            for name, node in self.graph.outputs.items():
                new = self._full(values[node], node, rows)
                held = state[name].flatten(0, self.count - 1)
                if rows is not None:
                    new = held.index_copy(0, rows, new)
                state = {**state, name: self._unflat(new)}
            kept[""][t] = self._place(values[self.graph.outputs[first]], self.graph.outputs[first], rows)
        series = {k: torch.stack(v, 1) for k, v in kept.items()}
        return Scan(
            series[""],
            State({k: v.clone() for k, v in state.items()}),  # it may be what was handed in, or one value twice
            {k: series[k] for k in call.outputs},
            {k: series[k].detach() for k in call.record},
        )

    def _step(self, t: int, state: dict[str, Tensor], rows: Tensor | None) -> dict[Node, Tensor]:
        values = dict(self.shared)
        for n in self.graph.nodes:
            if n.op == "parameter" or not isinstance(n.attr, Leaf):
                continue
            if n.op == "input":
                v = self.call.inputs[n.leaf.name][:, t].flatten(0, self.count - 1)
            elif n.op == "constant":
                v = self.flat[n.leaf.name]
            else:
                v = state[n.leaf.name]
                v = (self._neighbour(v, n.leaf.offset) if n.leaf.offset else v).flatten(0, self.count - 1)
            values[n] = v if rows is None else v[rows]
        masks = self.masks if rows is None else {a: m[rows] for a, m in self.masks.items()}
        return evaluate(self.roots, values, Context(self.call.sizes, self.call.like, masks))

    def _neighbour(self, v: Tensor, offset: int) -> Tensor:
        """r[l] = v[l + offset] along the lattice; zero outside, and at sites that are never live."""
        if self.exists is not None:
            v = torch.where(self._like(self.exists, v), v, 0.0)
        sites = v.shape[1]
        if abs(offset) >= sites:
            return torch.zeros_like(v)
        edge = torch.zeros_like(v[:, : abs(offset)])
        return torch.cat([v[:, offset:], edge] if offset > 0 else [edge, v[:, :offset]], 1)

    def _per_row(self, mask: Tensor) -> Tensor:
        """(B, S) -> (rows, S): every lattice site of a row reads the same memory."""
        sites = 1
        for size in self.lead[1:]:
            sites *= size
        return mask.repeat_interleave(sites, 0)

    @staticmethod
    def _like(mask: Tensor, v: Tensor) -> Tensor:
        return mask.reshape(mask.shape + (1,) * (v.dim() - mask.dim()))

    def _full(self, value: Tensor, node: Node, rows: Tensor | None) -> Tensor:
        """A value with a row for each row at work: a shared one is repeated."""
        if value.dim() > len(node.axes):
            return value
        count = self.call.like.flatten(0, self.count - 1).shape[0] if rows is None else len(rows)
        return value.expand(count, *(self.call.sizes[a] for a in node.axes))

    def _place(self, value: Tensor, node: Node, rows: Tensor | None) -> Tensor:
        """A value of the rows at work at its place in the batch; zero where a row is not live."""
        value = self._full(value, node, rows)
        if rows is not None:
            total = self.call.like.flatten(0, self.count - 1).shape[0]
            value = value.new_zeros(total, *value.shape[1:]).index_copy(0, rows, value)
        return self._unflat(value)

    def _unflat(self, v: Tensor) -> Tensor:
        return v.reshape(*self.lead, *v.shape[1:])
