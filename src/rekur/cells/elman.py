"""Elman networks: the hidden state is read back at the next step."""
# mypy: allow-untyped-defs

from rekur.errors import OptionError
from rekur.graph import Cell, cell, gate, relu, tanh


@cell
def elman(x, h):
    """Simple recurrent network; structurally torch.nn.RNN.

    Source: Elman, "Finding Structure in Time", Cognitive Science 14, 1990; here with tanh.

    All weights start uniform in ±1/√H, the bias at zero.
    """
    return gate("hidden", tanh, x, h)


@cell
def elman_relu(x, h):
    """Simple recurrent network of rectified linear units; structurally torch.nn.RNN with relu.

    Source: Elman, "Finding Structure in Time", Cognitive Science 14, 1990; here with relu.

    All weights start uniform in ±1/√H, the bias at zero.
    """
    return gate("hidden", relu, x, h)


def irnn(percent: int = 100) -> Cell:
    """The IRNN whose recurrent matrix starts as so many hundredths of the identity.

    OptionError where `percent` does not lie in 1..100.
    """
    if not 1 <= percent <= 100:
        raise OptionError(f"an IRNN starts from 1 to 100 percent of the identity, got {percent}")

    @cell
    def irnn(x, h):
        """Rectified linear units whose recurrent matrix starts as the identity, or a small part of it (IRNN).

        Source: Le, Jaitly and Hinton, "A Simple Way to Initialize Recurrent Networks of Rectified Linear Units",
        arXiv:1504.00941, 2015.

        An untrained network adds its inputs up; with 1 percent, which the paper takes for speech, it forgets them
        soon. The other weights start normal, with a deviation of 0.001.
        """
        return gate("hidden", relu, x, h, init={"x": "normal=0.001", "h": f"identity={percent / 100:g}"})

    return irnn
