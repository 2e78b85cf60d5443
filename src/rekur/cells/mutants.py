"""The three best cells that an evolutionary search over ten thousand of them came upon.

In the first two, x stands beside what has a number for each unit, without a weight: so there are as many features as
units. In all three z is the share of the new.
"""
# mypy: allow-untyped-defs

from rekur.graph import affine, cell, gate, named, sigmoid, tanh


@cell(x="H")
def mut1(x, h):
    """Mutant 1 of the GRU: the update gate reads x alone, the candidate tanh(x); as many features as units.

    Source: Jozefowicz, Zaremba and Sutskever, "An Empirical Exploration of Recurrent Network Architectures",
    ICML 2015.
    """
    z = gate("update", sigmoid, x)
    r = gate("reset", sigmoid, x, h)
    n = named("candidate", tanh(affine("candidate", h=r * h) + tanh(x)))
    return n * z + h * (1 - z)


@cell(x="H")
def mut2(x, h):
    """Mutant 2 of the GRU: the reset gate reads x without a weight; as many features as units.

    Source: Jozefowicz, Zaremba and Sutskever, "An Empirical Exploration of Recurrent Network Architectures",
    ICML 2015.
    """
    z = gate("update", sigmoid, x, h)
    r = named("reset", sigmoid(x + affine("reset", h)))
    n = gate("candidate", tanh, x, h=r * h)
    return n * z + h * (1 - z)


@cell
def mut3(x, h):
    """Mutant 3 of the GRU: the update gate reads tanh(h).

    Source: Jozefowicz, Zaremba and Sutskever, "An Empirical Exploration of Recurrent Network Architectures",
    ICML 2015.
    """
    z = gate("update", sigmoid, x, h=tanh(h))
    r = gate("reset", sigmoid, x, h)
    n = gate("candidate", tanh, x, h=r * h)
    return n * z + h * (1 - z)
