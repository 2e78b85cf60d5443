"""Elman networks: the hidden state is read back at the next step."""
# mypy: allow-untyped-defs

from rekur.graph import cell, gate, relu, tanh


@cell
def elman(x, h):
    """Simple recurrent network; structurally torch.nn.RNN.

    Source: Elman, "Finding Structure in Time", Cognitive Science 14, 1990; here with tanh.

    All weights start uniform in ±1/√H, the bias at zero.
    """
    return gate("hidden", tanh, x, h)


@cell
def elman_relu(x, h):
    """Simple recurrent network of rectified linear units (IRNN); structurally torch.nn.RNN with relu.

    Source: Le, Jaitly and Hinton, "A Simple Way to Initialize Recurrent Networks of Rectified Linear Units",
    arXiv:1504.00941, 2015.

    The recurrent matrix starts as the identity, so that an untrained network adds its inputs up.
    """
    return gate("hidden", relu, x, h, init={"h": "identity"})
