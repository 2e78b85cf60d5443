"""Scores as events hold them and as people read them. No torch in here."""

import math
from collections.abc import Mapping
from typing import Any

from rekur.train.task import Measure


def logged(scores: Mapping[str, float], measure: Measure = "nats") -> dict[str, float | None]:
    """Scores for an event: a loss in nats also as bits and as perplexity; None for what is no finite number.

    >>> logged({"loss": 0.25}, "squared error")
    {'loss': 0.25}
    >>> logged({"loss": 800.0, "accuracy": 0.5})
    {'loss': 800.0, 'bits': 1154.1560327111708, 'perplexity': None, 'accuracy': 0.5}
    """
    full = dict(scores)
    if measure == "nats":
        loss = scores["loss"]
        perplexity = math.exp(loss) if loss < 700 else math.inf
        full = {"loss": loss, "bits": loss / math.log(2), "perplexity": perplexity, **scores}
    return {name: value if math.isfinite(value) else None for name, value in full.items()}


def loss(scores: Mapping[str, Any]) -> str:
    """A loss: in nats and in bits, or as it is."""
    if scores.get("bits") is None:
        return f"loss {scores['loss']:.4g}"
    return f"{scores['loss']:.4f} nats, {scores['bits']:.4f} bits"


def accuracy(scores: Mapping[str, Any]) -> str:
    """The share that is right, with its interval.

    >>> accuracy({"accuracy": 0.9951, "accuracy_low": 0.994, "accuracy_high": 0.996})
    '99.51 % right (99.40 to 99.60)'
    """
    low, high = scores["accuracy_low"], scores["accuracy_high"]
    return f"{scores['accuracy']:.2%} right ({low * 100:.2f} to {high * 100:.2f})".replace("% ", " % ", 1)


def rest(scores: Mapping[str, Any]) -> str:
    """What is known besides the loss: how much is right or else the perplexity, and whatever the task has more."""
    first, shown = "", _SHOWN
    if "accuracy_low" in scores:
        first, shown = f"  {accuracy(scores)}", _SHOWN | {"accuracy", "accuracy_low", "accuracy_high"}
    elif "perplexity" in scores:
        first = f"  perplexity {number(scores['perplexity'])}"
    return first + "".join(f"  {name} {number(value)}" for name, value in scores.items() if name not in shown)


def number(value: float | None) -> str:
    """A score, or what stands for one that has no finite value."""
    return "-" if value is None else f"{value:.4g}"


_SHOWN = {"kind", "step", "time", "epoch", "split", "best", "loss", "bits", "perplexity"}
