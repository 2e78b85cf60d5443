"""Recurrence over images: each step reads its neighbours on a lattice of states."""
# mypy: allow-untyped-defs

from rekur.graph import affine, cell, gate, named, neighbour, sigmoid, tanh


@cell
def lstm2d(x, h, c):
    """Two-dimensional LSTM on a skewed image: a pixel reads the one to its left and the one above.

    Source: Graves, Fernández and Schmidhuber, "Multi-Dimensional Recurrent Neural Networks", ICANN 2007, here
    without peepholes; the skew: van den Oord, Kalchbrenner and Kavukcuoglu, "Pixel Recurrent Neural Networks",
    ICML 2016.

    The lattice is the rows of the image. With row r delayed by r steps, the pixel to the left is the own state
    before this step, and the pixel above is that of the row before.
    """
    read = {"left": h, "up": neighbour(h, -1)}
    i, f, u, o = (gate(name, sigmoid, x, **read) for name in ("input", "forget_left", "forget_up", "output"))
    g = gate("candidate", tanh, x, **read)
    c = f * c + u * neighbour(c, -1) + i * g
    return o * tanh(c), c


@cell(xi="H", xf="H", xg="H", xo="H")
def row_lstm(xi, xf, xg, xo, /, h, c):
    """LSTM over the rows of an image: a pixel reads the three above it.

    Source: van den Oord, Kalchbrenner and Kavukcuoglu, "Pixel Recurrent Neural Networks", ICML 2016.

    A step is a row and the lattice its columns. The inputs are what a convolution of the image, masked where it
    must not see ahead, gives to each gate. The forget gate's bias starts at 1.
    """
    read = {"above_left": neighbour(h, -1), "above": h, "above_right": neighbour(h, 1)}
    f = named("forget", sigmoid(xf + affine("forget", **read, bias=1.0)))
    i = named("input", sigmoid(xi + affine("input", **read)))
    g = named("candidate", tanh(xg + affine("candidate", **read)))
    o = named("output", sigmoid(xo + affine("output", **read)))
    c = f * c + i * g
    return o * tanh(c), c
