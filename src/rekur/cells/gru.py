"""Gated recurrent units: the reset gate acts before the product, or after it."""
# mypy: allow-untyped-defs

from rekur.graph import affine, cell, gate, named, sigmoid, tanh


@cell
def gru(x, h):
    """Gated recurrent unit, as published: the reset acts on the state before the product.

    Source: Cho et al., "Learning Phrase Representations using RNN Encoder–Decoder for Statistical Machine
    Translation", EMNLP 2014, equations 5 to 8.
    """
    r = gate("reset", sigmoid, x, h)
    z = gate("update", sigmoid, x, h)
    n = gate("candidate", tanh, x, h=r * h)
    return (1 - z) * n + z * h


@cell
def gru_after(x, h):
    """Gated recurrent unit whose reset acts after the product; structurally torch.nn.GRU.

    Source: the convention of cuDNN and torch.nn.GRU, for the cell of Cho et al., EMNLP 2014.

    All products with h can be made at once, which is why the libraries do it so; the candidate has two biases.
    """
    r = gate("reset", sigmoid, x, h)
    z = gate("update", sigmoid, x, h)
    n = named("candidate", tanh(affine("candidate_x", x) + r * affine("candidate_h", h)))
    return (1 - z) * n + z * h
