"""Input and state gate each other in turn before an LSTM reads them."""
# mypy: allow-untyped-defs

from rekur.errors import OptionError
from rekur.graph import Cell, affine, cell, gate, sigmoid, tanh


def mogrifier(rounds: int = 5) -> Cell:
    """The mogrifier LSTM of `rounds` rounds: odd ones gate x by h, even ones h by x; 0 is the plain LSTM.

    OptionError where `rounds` is below 0.
    """
    if rounds < 0:
        raise OptionError(f"a mogrifier needs 0 rounds or more, got {rounds}")

    @cell
    def mogrifier_lstm(x, h, c):
        """LSTM whose input and state gate each other in turn before it reads them.

        Source: Melis, Kočiský and Blunsom, "Mogrifier LSTM", ICLR 2020; here with full-rank matrices.

        The factor 2 keeps an untrained round close to the identity. The forget gate's bias starts at 1.
        """
        for k in range(1, rounds + 1):
            if k % 2:
                x = 2 * sigmoid(affine(f"q{k}", h=h, size="I", bias=False)) * x
            else:
                h = 2 * sigmoid(affine(f"r{k}", x=x, bias=False)) * h
        f = gate("forget", sigmoid, x=x, h=h, bias=1.0)
        i = gate("input", sigmoid, x=x, h=h)
        g = gate("candidate", tanh, x=x, h=h)
        o = gate("output", sigmoid, x=x, h=h)
        c = f * c + i * g
        return o * tanh(c), c

    return mogrifier_lstm
