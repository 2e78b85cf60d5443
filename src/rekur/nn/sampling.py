"""Drawing symbols from a model that reads its own output."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from rekur.errors import OptionError, ShapeError, TrainingError
from rekur.nn.plan import SequenceModel
from rekur.run.cpu.draw import drawn


def draw(logits: Tensor, uniforms: Tensor, *, temperature: float = 1.0, top_k: int | None = None) -> Tensor:
    """One symbol a row by inverse transform: the first whose cumulative probability exceeds the uniform.

    p = softmax(logits / temperature), over the `top_k` likeliest symbols where that is given (of equal ones the
    first); temperature 0 takes the likeliest. The same uniforms give the same symbols on every device, up to
    rounding.

    :param logits: `(B, V)`
    :param uniforms: `(B,)` in [0, 1)

    Raises OptionError for a temperature or top-k that makes no sense, TrainingError where a row of logits is no
    distribution: NaN, as of a model that has diverged.

    >>> draw(torch.tensor([[0.0, 0.0]]).log_softmax(-1), torch.tensor([0.7]))
    tensor([1])
    """
    _check(temperature, top_k)
    if logits.dim() != 2 or uniforms.shape != logits.shape[:1]:
        raise ShapeError(
            f"logits must be (B, V) and uniforms (B,), got {tuple(logits.shape)} and {tuple(uniforms.shape)}"
        )
    if top_k is not None and top_k < logits.shape[-1]:
        likeliest = logits.argsort(dim=-1, descending=True, stable=True)[:, :top_k]
        kept = torch.full_like(logits, -torch.inf).scatter(-1, likeliest, logits.gather(-1, likeliest))
        logits = torch.where(logits.isnan(), logits, kept)
    symbols = drawn(logits, uniforms, temperature)
    if symbols is None:
        raise TrainingError("no symbol can be drawn: the logits hold NaN or infinity, or rule every symbol out")
    return symbols


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
    if prompt.dim() != 2 or prompt.shape[1] < 1:
        raise OptionError(f"the prompt must be (B, T) symbols with at least one step, got {tuple(prompt.shape)}")
    _check(temperature, top_k)
    return _continued(model, prompt, length, temperature, top_k, generator)


@torch.no_grad()
def _continued(
    model: SequenceModel,
    prompt: Tensor,
    length: int,
    temperature: float,
    top_k: int | None,
    generator: torch.Generator | None,
) -> Iterator[Tensor]:
    symbol: Tensor = prompt[:, -1]
    state: Mapping[str, Tensor] | None = None
    with model.prepared():
        for _ in range(length):
            if state is None:
                with _evaluating(model):
                    series, state = model(prompt)
                logits = series[:, -1]
            else:
                logits, state = model.step(symbol, state)
            uniforms = torch.rand(prompt.shape[0], generator=generator)
            symbol = draw(logits, uniforms, temperature=temperature, top_k=top_k)
            yield symbol


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Without dropout; afterwards each module is as it was."""
    modes = [(m, m.training) for m in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for m, training in modes:
            m.training = training


def _check(temperature: float, top_k: int | None) -> None:
    if not 0 <= temperature < math.inf:
        raise OptionError(f"temperature must not be below zero, and must be finite, got {temperature}")
    if top_k is not None and top_k < 1:
        raise OptionError(f"top-k must be above zero, got {top_k}")
