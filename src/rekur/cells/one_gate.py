"""Cells with a single gate."""
# mypy: allow-untyped-defs

from rekur.graph import cell, gate, sigmoid, tanh


@cell
def mgu(x, h):
    """Minimal gated unit: one gate resets the state before the product, and mixes old and new.

    Source: Zhou, Wu, Zhang and Zhou, "Minimal Gated Unit for Recurrent Neural Networks", International Journal of
    Automation and Computing 13, 2016.
    """
    f = gate("forget", sigmoid, x, h)
    n = gate("candidate", tanh, x, h=f * h)
    return (1 - f) * h + f * n


@cell
def ugrnn(x, h):
    """Update-gate network: an Elman network with one gate, which keeps the old state or takes the new.

    Source: Collins, Sohl-Dickstein and Sussillo, "Capacity and Trainability in Recurrent Neural Networks", ICLR 2017.

    The gate's bias starts at 1, so that an untrained cell mostly keeps its state.
    """
    c = gate("candidate", tanh, x, h)
    g = gate("update", sigmoid, x, h, bias=1.0)
    return g * h + (1 - g) * c
