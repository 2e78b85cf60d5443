"""Layer normalisation inside the recurrence."""
# mypy: allow-untyped-defs

from rekur.graph import Node, affine, cell, layer_norm, named, sigmoid, standardise, tanh, weight


@cell
def layer_norm_lstm(x, h, c):
    """LSTM whose sums from the input, sums from the state, and memory cell are each normalised.

    Source: Ba, Kiros and Hinton, "Layer Normalization", arXiv:1607.06450, 2016.

    Each gate is normalised by itself, and the shifts of its two normalisations are one with its bias. Gains
    start at 1, shifts at 0, the forget gate's bias at 1.
    """

    def sums(name: str, bias: float = 0.0) -> Node:
        of_x = weight(f"{name}_x.gain", init="ones") * standardise(affine(f"{name}_x", x, bias=False))
        of_h = weight(f"{name}_h.gain", init="ones") * standardise(affine(f"{name}_h", h, bias=False))
        return of_x + of_h + weight(f"{name}.bias", init=f"constant={bias}")

    f = named("forget", sigmoid(sums("forget", bias=1.0)))
    i = named("input", sigmoid(sums("input")))
    g = named("candidate", tanh(sums("candidate")))
    o = named("output", sigmoid(sums("output")))
    c = f * c + i * g
    return o * tanh(layer_norm("cell", c)), c
