"""Cells that are linear in their state: the gates read the input alone."""
# mypy: allow-untyped-defs

from rekur.graph import affine, cell, gate, named, sigmoid, softplus


@cell
def mingru(x, h):
    """Minimal gated recurrent unit: the gate and the candidate read the input alone.

    Source: Feng, Tung, Ahmed, Bengio and Hajimirsadeghi, "Were RNNs All We Needed?", arXiv:2410.01201, 2024.
    """
    z = gate("update", sigmoid, x)
    n = named("candidate", affine("candidate", x))
    return (1 - z) * h + z * n


@cell
def minlstm(x, h):
    """Minimal LSTM: the gates and the candidate read the input alone, and the gates are scaled to add up to 1.

    Source: Feng, Tung, Ahmed, Bengio and Hajimirsadeghi, "Were RNNs All We Needed?", arXiv:2410.01201, 2024.

    With f = σ(v) and i = σ(w), the share f / (f + i) of the old state is written σ(log f − log i), where
    −log σ(v) = softplus(−v): both gates may round to 0. The value "forget" is this share.
    """
    share = softplus(-affine("input", x)) - softplus(-affine("forget", x))
    f = named("forget", sigmoid(share))
    n = named("candidate", affine("candidate", x))
    return f * h + (1 - f) * n
