"""Long short-term memory: plain, with peepholes, with a projected output."""
# mypy: allow-untyped-defs

from rekur.graph import affine, cell, gate, named, sigmoid, tanh, weight


@cell
def lstm(x, h, c):
    """Long short-term memory with a forget gate; structurally torch.nn.LSTM.

    Source: Hochreiter and Schmidhuber, "Long Short-Term Memory", Neural Computation 9, 1997; the forget gate:
    Gers, Schmidhuber and Cummins, "Learning to Forget", Neural Computation 12, 2000.

    The forget gate's bias starts at 1, so that an untrained cell remembers (Jozefowicz, Zaremba and Sutskever,
    "An Empirical Exploration of Recurrent Network Architectures", ICML 2015).
    """
    f = gate("forget", sigmoid, x, h, bias=1.0)
    i = gate("input", sigmoid, x, h)
    g = gate("candidate", tanh, x, h)
    o = gate("output", sigmoid, x, h)
    c = f * c + i * g
    return o * tanh(c), c


@cell
def peephole(x, h, c):
    """LSTM whose gates see the memory cell: forget and input the old one, output the new one.

    Source: Gers and Schmidhuber, "Recurrent Nets that Time and Count", IJCNN 2000; as in Graves, "Generating
    Sequences With Recurrent Neural Networks", arXiv:1308.0850, 2013, equations 7 to 11.

    A unit sees its own memory only, so a peephole is a vector. The forget gate's bias starts at 1.
    """
    f = named("forget", sigmoid(affine("forget", x, h, bias=1.0) + weight("forget.peephole") * c))
    i = named("input", sigmoid(affine("input", x, h) + weight("input.peephole") * c))
    g = gate("candidate", tanh, x, h)
    c = f * c + i * g
    o = named("output", sigmoid(affine("output", x, h) + weight("output.peephole") * c))
    return o * tanh(c), c


@cell(h="P")
def lstmp(x, h, c):
    """LSTM that puts out, and reads back, a projection to P units; structurally torch.nn.LSTM with proj_size.

    Source: Sak, Senior and Beaufays, "Long Short-Term Memory Based Recurrent Neural Network Architectures for
    Large Vocabulary Speech Recognition", arXiv:1402.1128, 2014; here without its peepholes.

    The forget gate's bias starts at 1.
    """
    f = gate("forget", sigmoid, x, h, bias=1.0)
    i = gate("input", sigmoid, x, h)
    g = gate("candidate", tanh, x, h)
    o = gate("output", sigmoid, x, h)
    c = f * c + i * g
    return affine("projection", hidden=o * tanh(c), size="P", bias=False), c
