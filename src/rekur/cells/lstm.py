"""Long short-term memory: plain, as of 1997, with coupled gates, with peepholes, with a projected output."""
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
def lstm_1997(x, h, c):
    """LSTM as first published, without a forget gate: its memory cells add up what enters them.

    Source: Hochreiter and Schmidhuber, "Long Short-Term Memory", Neural Computation 9, 1997; here every gate and
    memory cell reads the input and all outputs of the step before.

    Its squashing functions are kept: 4σ(v) − 2 for what enters, which is 2 tanh(v/2), and 2σ(c) − 1 for what comes
    out, which is tanh(c/2).
    """
    i = gate("input", sigmoid, x, h)
    g = named("candidate", 2 * tanh(0.5 * affine("candidate", x, h)))
    o = gate("output", sigmoid, x, h)
    c = c + i * g
    return o * tanh(0.5 * c), c


@cell
def cifg(x, h, c):
    """LSTM whose input gate is one minus its forget gate: coupled input and forget gates (CIFG).

    Source: Greff, Srivastava, Koutník, Steunebrink and Schmidhuber, "LSTM: A Search Space Odyssey", IEEE
    Transactions on Neural Networks and Learning Systems 28, 2017; here without peepholes.

    The forget gate's bias starts at 1.
    """
    f = gate("forget", sigmoid, x, h, bias=1.0)
    g = gate("candidate", tanh, x, h)
    o = gate("output", sigmoid, x, h)
    c = f * c + (1 - f) * g
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
