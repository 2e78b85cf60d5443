"""Attention inside the recurrence: each step looks at a memory before it moves on."""
# mypy: allow-untyped-defs

from rekur.graph import affine, cell, gate, named, sigmoid, softmax, sum_over, tanh, weight


@cell(context="D", memory="S D")
def attend(x, h, context, *, memory):
    """Gated recurrent unit that reads a memory of S vectors by additive attention at every step.

    Source: Bahdanau, Cho and Bengio, "Neural Machine Translation by Jointly Learning to Align and Translate",
    ICLR 2015.

    The state before the step asks; what it gets enters all gates, and comes out as the state `context`, which
    the next step does not read. The weights over the memory are the value "attention".
    """
    query = affine("query", h, size="A", bias=False)
    key = affine("key", memory, size="A", bias=False)
    score = sum_over(weight("score", "A") * tanh(query + key), "A")
    attention = named("attention", softmax(score, "S"))
    context = named("attended", sum_over(attention * memory, "S"))
    r = gate("reset", sigmoid, x, h, context=context)
    z = gate("update", sigmoid, x, h, context=context)
    n = gate("candidate", tanh, x, h=r * h, context=context)
    return (1 - z) * n + z * h, context
