"""Cells that are linear in their state: the gates read the input alone."""
# mypy: allow-untyped-defs

from rekur.graph import affine, cell, gate, named, sigmoid


@cell
def mingru(x, h):
    """Minimal gated recurrent unit: the gate and the candidate read the input alone.

    Source: Feng, Tung, Ahmed, Bengio and Hajimirsadeghi, "Were RNNs All We Needed?", arXiv:2410.01201, 2024.
    """
    z = gate("update", sigmoid, x)
    n = named("candidate", affine("candidate", x))
    return (1 - z) * h + z * n
