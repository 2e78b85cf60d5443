"""Drawing symbols from a model that reads its own output."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from rekur.errors import OptionError
from rekur.nn.plan import SequenceModel


def draw(logits: Tensor, uniforms: Tensor, *, temperature: float = 1.0, top_k: int | None = None) -> Tensor:
    """One symbol a row by inverse transform: the first whose cumulative probability exceeds the uniform.

    p = softmax(logits / temperature), over the `top_k` likeliest symbols where that is given; temperature 0 takes
    the likeliest. The same uniforms give the same symbols on every device, up to rounding.

    :param logits: `(B, V)`
    :param uniforms: `(B,)` in [0, 1)

    >>> draw(torch.tensor([[0.0, 0.0]]).log_softmax(-1), torch.tensor([0.7]))
    tensor([1])
    """
    if temperature < 0:
        raise OptionError(f"temperature must not be below zero, got {temperature}")
    if top_k is not None and top_k < 1:
        raise OptionError(f"top-k must be above zero, got {top_k}")
    if temperature == 0:
        return logits.argmax(-1)
    scaled = logits.double() / temperature
    if top_k is not None and top_k < logits.shape[-1]:
        least = scaled.topk(top_k, -1).values[:, -1:]
        scaled = scaled.masked_fill(scaled < least, -torch.inf)
    cumulative = scaled.softmax(-1).cumsum(-1)
    target = uniforms.double().unsqueeze(-1) * cumulative[:, -1:]
    return torch.searchsorted(cumulative, target, right=True).squeeze(-1).clamp(max=logits.shape[-1] - 1)


@torch.no_grad()
def sample(
    model: SequenceModel,
    prompt: Tensor,
    length: int,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    generator: torch.Generator | None = None,
) -> Iterator[Tensor]:
    """Continue a prompt: yields `length` times one symbol a row, `(B,)`, as they are drawn.

    :param prompt: `(B, T)` symbols, at least one.
    """
    if not model.plan.feedback:
        raise OptionError("this model does not read its own output (feedback), so it cannot be sampled")
    if prompt.shape[1] < 1:
        raise OptionError("the prompt must have at least one symbol")
    training = model.training
    model.eval()
    try:
        logits, state = model(prompt)
        for _ in range(length):
            uniforms = torch.rand(prompt.shape[0], generator=generator)
            symbol = draw(logits[:, -1], uniforms.to(logits.device), temperature=temperature, top_k=top_k)
            yield symbol
            logits, state = model(symbol[:, None], state)
    finally:
        model.train(training)
