"""`scan`: a cell unfolded over time. Checks what it is given, then hands a `Call` to the kernel's backend."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import torch
from torch import Tensor

from rekur.errors import ShapeError, suggest
from rekur.graph import Argument, Graph, parse
from rekur.run.backends import Kernel, compile
from rekur.run.call import Call, Scan
from rekur.run.opaque import Constants, Names, apart, flat, scan_of, together
from rekur.run.plain import plain
from rekur.run.sizes import Sizes, flags, lengths_to_live, live_steps
from rekur.run.state import State
from rekur.run.symbols import checked, symbolic


def scan(
    kernel: Kernel,
    params: Mapping[str, Tensor],
    x: Tensor | Mapping[str, Tensor],
    state: Mapping[str, Tensor] | None = None,
    *,
    constants: Mapping[str, Tensor] | None = None,
    initial: Mapping[str, Tensor] | None = None,
    lengths: Tensor | Sequence[int] | None = None,
    live: Tensor | None = None,
    reset: Tensor | None = None,
    reverse: bool = False,
    memory_lengths: Mapping[str, Tensor | Sequence[int]] | None = None,
    sizes: Mapping[str, int] | None = None,
    outputs: Sequence[str] = (),
    record: Sequence[str] = (),
) -> Scan:
    """Run a cell over sequences.

    For every step: ``s_in = where(reset, initial, s)``; ``new = step(x, s_in)``; ``s = where(live, new, s)``;
    ``y = where(live, new[0], 0)``. Dead values (padding) are never read and may hold NaN.

    :param kernel: from `compile`.
    :param params: weight name -> tensor, as `kernel.graph.parameters` describes them.
    :param x: the input `(B, T, I)`, or one tensor for each input by name. On a lattice `(B, T, L, I)`. What a cell
        only multiplies by weights may be symbols instead: `(B, T)`, or `(B, T, L)`, of int64 or int32 in 0 … I-1.
        Each stands for a column of the weights, as if it were one-hot; it is looked up, and has no gradient.
    :param state: what the sequence starts from, `(B, H)` each (`(B, L, H)` on a lattice); by default `initial`.
    :param constants: the constants of the sequence by name, `(B, …)`.
    :param initial: what a reset goes back to, one `(H,)` a state; by default the value the cell gives (zero).
    :param lengths: real steps of each row, `(B,)`, from 0 to T; by default T.
    :param live: instead of lengths, which steps are real: `(B, T)` or `(B, T, L)` of bool.
    :param reset: `(B, T)` or `(B, T, L)` of bool: a boundary between t-1 and t, where the state starts anew.
    :param reverse: from the last real step to the first; the final state is then that after the first.
    :param memory_lengths: ragged axis of a constant -> real positions of each row, `(B,)`.
    :param sizes: of axes that only states have, where no state is handed in.
    :param outputs: names of values wanted besides the first state, as differentiable series.
    :param record: names of values to record, detached.

    Raises ShapeError for what does not fit, BackendError where a backend asked for by name cannot do it.

    >>> import torch
    >>> from rekur.cells import elman
    >>> from rekur.run import compile, scan
    >>> params = {"hidden.x": torch.ones(2, 1), "hidden.h": torch.zeros(2, 2), "hidden.bias": torch.zeros(2)}
    >>> y, state, *_ = scan(compile(elman), params, torch.ones(1, 3, 1))
    >>> y.shape, state["h"].shape
    (torch.Size([1, 3, 2]), torch.Size([1, 2]))
    """
    given = {
        "params": params, "x": x, "state": state, "constants": constants, "initial": initial, "lengths": lengths,
        "live": live, "reset": reset, "reverse": reverse, "memory_lengths": memory_lengths, "told": sizes,
        "outputs": tuple(outputs), "record": tuple(record),
    }  # fmt: skip
    if torch.compiler.is_dynamo_compiling():
        weights = _mapping(kernel.graph, "weight", params).values()
        text = kernel.text_for(next((v for v in (*weights, x) if isinstance(v, Tensor)), None))
        if text is not None:
            names = [a.name for a in kernel.graph.of("state")]
            torch._dynamo.comptime.comptime(_let_be)
            plain, named, tensors = apart({"text": text, **given})
            return scan_of(_traced(plain, named, *tensors), names, tuple(outputs), tuple(record))
    return _scan(kernel, given)


def _scan(kernel: Kernel, given: Mapping[str, Any]) -> Scan:
    call = plain(kernel.graph, given)
    if call is None:
        call = _call(kernel.graph, **given)
    if torch.is_autocast_enabled(kind := call.like.device.type):
        with torch.autocast(kind, enabled=False):
            return _run(kernel, call)
    return _run(kernel, call)


def _let_be(_: object) -> None:
    """Have Dynamo call `_traced` as it is; it asks for that while it traces, so that nobody else loads it."""
    torch._dynamo.allow_in_graph(_traced)  # type: ignore[no-untyped-call]


def _traced(constants: Constants, names: Names, *tensors: Tensor) -> list[Tensor]:
    named = {**dict.fromkeys(_OPTIONAL), **together(constants, names, tensors)}
    return flat(_scan(_kernel(named.pop("text")), named))


_OPTIONAL = ("state", "constants", "initial", "lengths", "live", "reset", "memory_lengths", "told")


@cache
def _kernel(text: str) -> Kernel:
    return compile(parse(text), "cpu")


def _run(kernel: Kernel, call: Call) -> Scan:
    result = _nothing(call) if _idle(kernel, call) else kernel.run(call)
    return _zero_dead(call, result) if call.memory else result


def _idle(kernel: Kernel, call: Call) -> bool:
    if 0 in (call.steps, *call.lead):
        return True
    if kernel.recorded(call.like):  # which has no values to look at
        return False
    if call.lengths is not None:
        return not any(call.lengths.tolist())
    return call.mask is not None and not bool(call.mask.any())


def _call(
    graph: Graph,
    params: Mapping[str, Tensor],
    x: Tensor | Mapping[str, Tensor],
    state: Mapping[str, Tensor] | None,
    constants: Mapping[str, Tensor] | None,
    initial: Mapping[str, Tensor] | None,
    lengths: Tensor | Sequence[int] | None,
    live: Tensor | None,
    reset: Tensor | None,
    reverse: bool,
    memory_lengths: Mapping[str, Tensor | Sequence[int]] | None,
    told: Mapping[str, int] | None,
    outputs: tuple[str, ...],
    record: tuple[str, ...],
) -> Call:
    constants, initial = _mapping(graph, "constant", constants), _mapping(graph, "initial state", initial)
    _known(graph, "weight", _mapping(graph, "weight", params), graph.parameters, all_of=True)
    sizes = Sizes(graph.name, next((v for v in params.values() if isinstance(v, Tensor)), None))
    sizes.read_weights(graph, params)
    wanted = graph.of("input")
    if isinstance(x, Tensor):
        if len(wanted) != 1:
            names = ", ".join(a.name for a in wanted)
            raise ShapeError(f"{graph.name} reads the inputs {names or 'none'}: hand x in as a mapping by name")
        x = {wanted[0].name: x}
    if not isinstance(x, Mapping):
        raise ShapeError(f"{graph.name}: the input must be a tensor, or a mapping of them, got {type(x).__name__}")
    _known(graph, "input", x, [a.name for a in wanted], all_of=True)
    symbols = symbolic(graph, x, (*outputs, *record), memory_lengths or ())
    lattice = _on_lattice(graph, x)
    lead = ("B", "L") if lattice else ("B",)
    series = ("B", "T", "L") if lattice else ("B", "T")
    features = [a for a in wanted if a.name not in symbols]
    inputs = {a.name: sizes.read("input", a.name, x[a.name], series, a.axes) for a in features}
    inputs |= {k: sizes.measure(f"the symbols {k!r}", x[k], series) for k in symbols}
    states = graph.of("state")
    _known(graph, "state", initial, [a.name for a in states], all_of=False)
    handed_in = _mapping(graph, "state", state)
    _known(graph, "state", handed_in, [a.name for a in states], all_of=state is not None)
    _known(graph, "constant", constants, [a.name for a in graph.of("constant")], all_of=True)
    held = {a.name: sizes.read("constant", a.name, constants[a.name], lead, a.axes)
            for a in graph.of("constant")}  # fmt: skip
    given = {k: sizes.read("state", k, v, lead, _argument(states, k).axes) for k, v in handed_in.items()}
    sizes.fill(_mapping(graph, "size", told))
    fresh = {a.name: _fresh(a, initial, sizes, lead) for a in states}
    memory = {}
    for axis, counts in _mapping(graph, "memory's lengths", memory_lengths).items():
        holders = [a for a in graph.of("constant") if axis in a.axes]
        if not holders:
            raise ShapeError(f"{graph.name}: memory_lengths names {axis!r}, which is no axis of a constant")
        memory[axis] = lengths_to_live(
            counts, sizes["B"], sizes[axis], sizes.like.device, f"memory_lengths[{axis!r}]"
        )
        for a in holders:
            held[a.name] = _without_dead(held[a.name], memory[axis], len(lead) + a.axes.index(axis))
        for a in states:
            if axis in a.axes and a.name in given:
                given[a.name] = _without_dead(given[a.name], memory[axis], len(lead) + a.axes.index(axis))
    for name in (*outputs, *record):
        graph.named(name)
    mask, counts = live_steps(lengths, live, tuple(sizes[a] for a in series), sizes.like.device)
    call = Call(
        graph=graph, params=params, inputs=inputs, state={**fresh, **given}, initial=fresh, constants=held,
        mask=mask, lengths=counts, reset=flags("reset", reset, tuple(sizes[a] for a in series), sizes.like.device),
        reverse=reverse, memory=memory, outputs=outputs, record=record, sizes=sizes.known,
    )  # fmt: skip
    found = {k: checked(graph.name, k, inputs[k], sizes[axis], call.live) for k, axis in symbols.items()}
    return replace(call, inputs=inputs | found) if found else call


def _argument(arguments: Sequence[Argument], name: str) -> Argument:
    return next(a for a in arguments if a.name == name)


def _mapping(graph: Graph, what: str, given: Mapping[str, Any] | None) -> Mapping[str, Any]:
    if not isinstance(given, Mapping | None):
        raise ShapeError(f"{graph.name}: hand each {what} in by name, as a mapping; got {type(given).__name__}")
    return given or {}


def _known(graph: Graph, what: str, given: Iterable[str], names: Iterable[str], all_of: bool) -> None:
    names = list(names)
    if [*given] == names:
        return
    for name in given:
        if name not in names:
            raise ShapeError(f"{graph.name} has no {what} {name!r}{suggest(name, names)}")
    if all_of:
        for name in names:
            if name not in set(given):
                raise ShapeError(f"{graph.name} needs the {what} {name!r}, which was not given")


def _on_lattice(graph: Graph, x: Mapping[str, Tensor]) -> bool:
    if graph.reads_neighbours:
        return True
    extra = [isinstance(v := x[a.name], Tensor) and v.dim() - 2 - len(a.axes) == 1 for a in graph.of("input")]
    return bool(extra) and all(extra)


def _fresh(a: Argument, initial: Mapping[str, Tensor], sizes: Sizes, lead: tuple[str, ...]) -> Tensor:
    shape = tuple(sizes[axis] for axis in (*lead, *a.axes))
    if a.name in initial:
        return sizes.read("initial", a.name, initial[a.name], (), a.axes).expand(shape)
    return sizes.like.new_full(shape, a.initial)


def _without_dead(v: Tensor, mask: Tensor, dim: int) -> Tensor:
    """`v` with its dead positions holding what the first one holds, so that nothing they hold is ever read.

    A value computed from them is as finite as one computed from a live position, and every reduction skips
    it, so its gradient is an exact zero. An empty memory holds 0.5, whose logarithm, root and quotient are finite.
    """
    if not mask.numel():
        return v
    shape = [1] * v.dim()
    shape[0], shape[dim] = mask.shape
    where = mask.reshape(shape)
    first = torch.where(where.narrow(dim, 0, 1), v.narrow(dim, 0, 1), 0.5)
    return torch.where(where, v, first)


def _zero_dead(call: Call, result: Scan) -> Scan:
    """The result with zeros at the dead positions of a ragged axis."""

    def zero(v: Tensor, axes: Sequence[str]) -> Tensor:
        for i, axis in enumerate(axes, v.dim() - len(axes)):
            if axis in call.memory:
                shape = [1] * v.dim()
                shape[0], shape[i] = call.memory[axis].shape
                v = torch.where(call.memory[axis].reshape(shape), v, 0.0)
        return v

    states = call.graph.of("state")
    return Scan(
        zero(result.output, states[0].axes),
        State({a.name: zero(result.state[a.name], a.axes) for a in states}),
        {k: zero(v, call.graph.named(k).axes) for k, v in result.outputs.items()},
        {k: zero(v, call.graph.named(k).axes) for k, v in result.record.items()},
    )


def _nothing(call: Call) -> Scan:
    """The result where no row has a live step."""
    states = call.graph.of("state")

    def series(axes: Sequence[str]) -> Tensor:
        lead = (call.lead[0], call.steps, *call.lead[1:])
        return call.like.new_zeros(*lead, *(call.sizes[a] for a in axes))

    named = {k: series(call.graph.named(k).axes) for k in (*call.outputs, *call.record)}
    return Scan(
        series(states[0].axes),
        State({k: v.clone() for k, v in call.state.items()}),
        {k: named[k] for k in call.outputs},
        {k: named[k] for k in call.record},
    )
