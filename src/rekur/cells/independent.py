"""Cells whose units do not read each other: the recurrent weight is a vector."""
# mypy: allow-untyped-defs

from rekur.graph import affine, cell, named, relu, weight


@cell
def indrnn(x, h):
    """Rectified linear units that each read their own past alone, by one weight (IndRNN).

    Source: Li, Li, Cook, Zhu and Gao, "Independently Recurrent Neural Network (IndRNN): Building A Longer and
    Deeper RNN", CVPR 2018.

    Units meet in the layer above. The recurrent weights start at 1, so that an untrained network adds its inputs up;
    the paper keeps them within ±2^(1/T) over T steps, which is for the training to do.
    """
    return named("hidden", relu(affine("hidden", x) + weight("hidden.h", init="ones") * h))
