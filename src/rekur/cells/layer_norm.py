"""Layer normalisation inside the recurrence."""
# mypy: allow-untyped-defs

from rekur.graph import Node, affine, cell, layer_norm, named, sigmoid, standardise, tanh, weight


def _normal(name: str, *vector: Node) -> Node:
    """A sum normalised, with a gain and no shift."""
    return weight(f"{name}.gain", init="ones") * standardise(affine(name, *vector, bias=False))


def _sums(name: str, x: Node, h: Node, bias: float = 0.0) -> Node:
    """What a gate reads: the shifts of its two normalisations are one with its bias."""
    return _normal(f"{name}_x", x) + _normal(f"{name}_h", h) + weight(f"{name}.bias", init=f"constant={bias}")


@cell
def layer_norm_lstm(x, h, c):
    """LSTM whose sums from the input, sums from the state, and memory cell are each normalised.

    Source: Ba, Kiros and Hinton, "Layer Normalization", arXiv:1607.06450, 2016.

    Each gate is normalised by itself, and the shifts of its two normalisations are one with its bias. Gains
    start at 1, shifts at 0, the forget gate's bias at 1.
    """
    f = named("forget", sigmoid(_sums("forget", x, h, bias=1.0)))
    i = named("input", sigmoid(_sums("input", x, h)))
    g = named("candidate", tanh(_sums("candidate", x, h)))
    o = named("output", sigmoid(_sums("output", x, h)))
    c = f * c + i * g
    return o * tanh(layer_norm("cell", c)), c


@cell
def layer_norm_gru(x, h):
    """GRU whose sums from the input and from the state are each normalised; the reset acts after the product.

    Source: Ba, Kiros and Hinton, "Layer Normalization", arXiv:1607.06450, 2016; its update gate is the share of the
    new state.

    Each gate is normalised by itself, and the shifts of its two normalisations are one with its bias; the candidate
    has both. Gains start at 1, shifts at 0.
    """
    r = named("reset", sigmoid(_sums("reset", x, h)))
    z = named("update", sigmoid(_sums("update", x, h)))
    of_h = _normal("candidate_h", h) + weight("candidate_h.bias", init="zeros")
    n = named("candidate", tanh(_normal("candidate_x", x) + weight("candidate_x.bias", init="zeros") + r * of_h))
    return (1 - z) * h + z * n
