"""Every cell of the zoo written a second time, on its own: one row, one step, plain vectors, weights by name.

`m` is numpy or torch: the formulas serve the tests of the step and those of the time loop. A formula takes the
inputs, states and constants by name, and what a lattice cell reads of its neighbours under the names of READS;
it returns the next states. Nothing here reads a graph.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

Formula = Callable[..., tuple[Any, ...]]

READS: Mapping[str, Mapping[str, tuple[str, int]]] = {
    "lstm2d": {"h_up": ("h", -1), "c_up": ("c", -1)},
    "row-lstm": {"h_left": ("h", -1), "h_right": ("h", 1)},
}
"""Cell -> name of a formula's argument -> (state, offset) that it is."""


class Weights(dict[str, Any]):
    """Weights by name, which remembers what was read: a formula must use them all."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.read: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        self.read.add(name)
        return super().__getitem__(name)


def sigmoid(m, v):
    return 1 / (1 + m.exp(-v))


def products(w, name, **reads):
    return sum(w[f"{name}.{key}"] @ v for key, v in reads.items())


def linear(w, name, **reads):
    return products(w, name, **reads) + w[f"{name}.bias"]


def normal(v):
    centred = v - v.mean()
    return centred / ((centred * centred).mean() + 1e-5) ** 0.5


def memory_cell(m, c, forget, input, candidate, output):
    """The LSTM's equations from the sums of its four gates."""
    c = sigmoid(m, forget) * c + sigmoid(m, input) * m.tanh(candidate)
    return sigmoid(m, output) * m.tanh(c), c


def elman(m, w, x, h):
    return (m.tanh(linear(w, "hidden", x=x, h=h)),)


def elman_relu(m, w, x, h):
    v = linear(w, "hidden", x=x, h=h)
    return (v * (v > 0),)


def indrnn(m, w, x, h):
    v = w["hidden.x"] @ x + w["hidden.h"] * h + w["hidden.bias"]
    return (v * (v > 0),)


def lstm(m, w, x, h, c):
    gates = {name: linear(w, name, x=x, h=h) for name in ("forget", "input", "candidate", "output")}
    return memory_cell(m, c, **gates)


def lstm_1997(m, w, x, h, c):
    i, g, o = (linear(w, name, x=x, h=h) for name in ("input", "candidate", "output"))
    c = c + sigmoid(m, i) * (4 / (1 + m.exp(-g)) - 2)
    return sigmoid(m, o) * (2 / (1 + m.exp(-c)) - 1), c


def cifg(m, w, x, h, c):
    f, g, o = (linear(w, name, x=x, h=h) for name in ("forget", "candidate", "output"))
    return memory_cell(m, c, forget=f, input=-f, candidate=g, output=o)  # 1 - sigmoid(f) is sigmoid(-f)


def peephole(m, w, x, h, c):
    f = sigmoid(m, linear(w, "forget", x=x, h=h) + w["forget.peephole"] * c)
    i = sigmoid(m, linear(w, "input", x=x, h=h) + w["input.peephole"] * c)
    new = f * c + i * m.tanh(linear(w, "candidate", x=x, h=h))
    o = sigmoid(m, linear(w, "output", x=x, h=h) + w["output.peephole"] * new)
    return o * m.tanh(new), new


def lstm_projected(m, w, x, h, c):
    hidden, c = lstm(m, w, x, h, c)
    return products(w, "projection", hidden=hidden), c


def gru(m, w, x, h):
    r = sigmoid(m, linear(w, "reset", x=x, h=h))
    z = sigmoid(m, linear(w, "update", x=x, h=h))
    n = m.tanh(linear(w, "candidate", x=x, h=r * h))
    return (n + z * (h - n),)


def gru_after(m, w, x, h):
    r = sigmoid(m, linear(w, "reset", x=x, h=h))
    z = sigmoid(m, linear(w, "update", x=x, h=h))
    n = m.tanh(linear(w, "candidate_x", x=x) + r * linear(w, "candidate_h", h=h))
    return (n + z * (h - n),)


def mgu(m, w, x, h):
    f = sigmoid(m, linear(w, "forget", x=x, h=h))
    return (h + f * (m.tanh(linear(w, "candidate", x=x, h=f * h)) - h),)


def ugrnn(m, w, x, h):
    c = m.tanh(linear(w, "candidate", x=x, h=h))
    return (c + sigmoid(m, linear(w, "update", x=x, h=h)) * (h - c),)


def mut1(m, w, x, h):
    z = sigmoid(m, linear(w, "update", x=x))
    r = sigmoid(m, linear(w, "reset", x=x, h=h))
    return (h + z * (m.tanh(linear(w, "candidate", h=r * h) + m.tanh(x)) - h),)


def mut2(m, w, x, h):
    z = sigmoid(m, linear(w, "update", x=x, h=h))
    r = sigmoid(m, x + linear(w, "reset", h=h))
    return (h + z * (m.tanh(linear(w, "candidate", x=x, h=r * h)) - h),)


def mut3(m, w, x, h):
    z = sigmoid(m, linear(w, "update", x=x, h=m.tanh(h)))
    r = sigmoid(m, linear(w, "reset", x=x, h=h))
    return (h + z * (m.tanh(linear(w, "candidate", x=x, h=r * h)) - h),)


def highway(m, w, x, h, depth):
    for d in range(depth):
        reads = {"x": x, "h": h} if d == 0 else {"h": h}
        t = sigmoid(m, linear(w, f"transform{d}", **reads))
        h = h + t * (m.tanh(linear(w, f"candidate{d}", **reads)) - h)
    return (h,)


def gained(w, name, **read):
    return w[f"{name}.gain"] * normal(products(w, name, **read))


def layer_norm_lstm(m, w, x, h, c):
    def gate(name):
        return gained(w, f"{name}_x", x=x) + gained(w, f"{name}_h", h=h) + w[f"{name}.bias"]

    c = sigmoid(m, gate("forget")) * c + sigmoid(m, gate("input")) * m.tanh(gate("candidate"))
    return sigmoid(m, gate("output")) * m.tanh(w["cell.gain"] * normal(c) + w["cell.bias"]), c


def layer_norm_gru(m, w, x, h):
    r, z = (
        sigmoid(m, gained(w, f"{name}_x", x=x) + gained(w, f"{name}_h", h=h) + w[f"{name}.bias"])
        for name in ("reset", "update")
    )
    of_x = gained(w, "candidate_x", x=x) + w["candidate_x.bias"]
    of_h = gained(w, "candidate_h", h=h) + w["candidate_h.bias"]
    return (h + z * (m.tanh(of_x + r * of_h) - h),)


def mogrifier(m, w, x, h, c, rounds):
    for k in range(rounds):
        if k % 2 == 0:
            x = 2 * sigmoid(m, w[f"q{k + 1}.h"] @ h) * x
        else:
            h = 2 * sigmoid(m, w[f"r{k + 1}.x"] @ x) * h
    return lstm(m, w, x, h, c)


def mingru(m, w, x, h):
    z = sigmoid(m, linear(w, "update", x=x))
    return (h + z * (linear(w, "candidate", x=x) - h),)


def minlstm(m, w, x, h):
    f, i = (sigmoid(m, linear(w, name, x=x)) for name in ("forget", "input"))
    return ((f * h + i * linear(w, "candidate", x=x)) / (f + i),)


def attend(m, w, x, h, context, memory):
    scores = [w["score"] @ m.tanh(w["query.h"] @ h + w["key.memory"] @ entry) for entry in memory]
    shares = [m.exp(score) for score in scores]
    read = sum(share * entry for share, entry in zip(shares, memory, strict=True))
    context = read / sum(shares) if shares else 0 * context  # an empty memory gives nothing
    reads = {"x": x, "context": context}
    r = sigmoid(m, linear(w, "reset", h=h, **reads))
    z = sigmoid(m, linear(w, "update", h=h, **reads))
    n = m.tanh(linear(w, "candidate", h=r * h, **reads))
    return n + z * (h - n), context


def lstm2d(m, w, x, h, c, h_up, c_up):
    gates = ("input", "forget_left", "forget_up", "output", "candidate")
    i, left, up, o, g = (linear(w, name, x=x, left=h, up=h_up) for name in gates)
    c = sigmoid(m, left) * c + sigmoid(m, up) * c_up + sigmoid(m, i) * m.tanh(g)
    return sigmoid(m, o) * m.tanh(c), c


def row_lstm(m, w, xi, xf, xg, xo, h, c, h_left, h_right):
    inputs = {"forget": xf, "input": xi, "candidate": xg, "output": xo}
    reads = {"above_left": h_left, "above": h, "above_right": h_right}
    return memory_cell(m, c, **{name: x + linear(w, name, **reads) for name, x in inputs.items()})


CASES: Mapping[str, Formula] = {
    "elman": elman,
    "elman-relu": elman_relu,
    "irnn": elman_relu,  # which differs in how it starts
    "indrnn": indrnn,
    "lstm": lstm,
    "lstm-1997": lstm_1997,
    "cifg": cifg,
    "peephole": peephole,
    "lstm-projected": lstm_projected,
    "gru": gru,
    "gru-after": gru_after,
    "mgu": mgu,
    "ugrnn": ugrnn,
    "mut1": mut1,
    "mut2": mut2,
    "mut3": mut3,
    "highway:1": partial(highway, depth=1),
    "highway": partial(highway, depth=5),
    "layer-norm-lstm": layer_norm_lstm,
    "layer-norm-gru": layer_norm_gru,
    "mogrifier:0": partial(mogrifier, rounds=0),
    "mogrifier:1": partial(mogrifier, rounds=1),
    "mogrifier": partial(mogrifier, rounds=5),
    "mingru": mingru,
    "minlstm": minlstm,
    "attend": attend,
    "lstm2d": lstm2d,
    "row-lstm": row_lstm,
}
"""Name for `find` -> its formula; every name of the zoo is here."""
