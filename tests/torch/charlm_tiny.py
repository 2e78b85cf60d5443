"""A text made on the spot, and character models that learn it in a second."""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from rekur.tasks import CharLMConfig, TextModel
from rekur.train import FitConfig, Quiet, RunFolder

WORDS = (
    "def",
    "return",
    "self",
    "if",
    "else",
    "for",
    "in",
    "value",
    "name",
    "None",
    "import",
    "class",
    "list",
    "key",
)
OWN_CELL = '''"""Cells of mine."""
from rekur.cells import cell, gate, sigmoid, tanh


@cell
def mine(x, h):
    """A gated network of my own."""
    z = gate("update", sigmoid, x, h, bias=-1.0)
    n = gate("candidate", tanh, x, h)
    return h + z * (n - h)
'''


def text(length: int = 6000) -> str:
    """Words in an order that a linear congruence makes: the same on every machine."""
    number, words = 1, []
    for _ in range(length):
        number = (1103515245 * number + 12345) % 2**31
        words.append(WORDS[number // 7 % len(WORDS)] + ("\n" if number // 11 % 6 == 0 else " "))
    return "".join(words)[:length]


def options(source: Path, **changes: Any) -> dict[str, Any]:
    """The configuration of a model that is trained in a second."""
    return {
        "files": (source,),
        "hidden": 16,
        "layers": 2,
        "embedding": 8,
        "dropout": 0.2,
        "batch": 4,
        "time": 16,
        "sample_length": 20,
        "split": (0.8, 0.1, 0.1),
        **changes,
    }


TRAINING = FitConfig(steps=60, lr=0.02, warmup=5, eval_every=20, checkpoint_every=8, threads=1, seed=5)


def arguments(source: Path, root: Path, **changes: Any) -> list[str]:
    """The same for the command line."""
    given = {**options(source, **changes), "runs": root / "runs", "cache": root / "cache"}
    fit = {"steps": 60, "lr": 0.02, "warmup": 5, "eval_every": 20, "checkpoint_every": 8, "threads": 1, "seed": 5}
    out = ["train", "charlm", *map(str, given.pop("files"))]
    for name, value in {**fit, **given}.items():
        out += [f"--{name.replace('_', '-')}", *map(str, value if isinstance(value, tuple) else [value])]
    return out


def quiet(folder: RunFolder) -> Quiet:
    return Quiet()


def config(source: Path, **changes: Any) -> CharLMConfig:
    return CharLMConfig(**options(source, **changes))


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Runs say `threads=1`; this leaves the others' as they were."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def plain_loss(model: TextModel, written: str) -> float:
    """The mean loss in nats by torch.nn.LSTM and a plain loop, one symbol after the other, the state carried."""
    weights = {name: value.double() for name, value in model.model.state_dict().items()}
    layers = sum(name.endswith("forget.bias") for name in weights)
    hidden = len(weights["recurrent.layers.0.weights.forget.bias"])
    size = weights["embedding.weight"].shape[1]
    net = torch.nn.LSTM(size, hidden, layers, batch_first=True).double()
    with torch.no_grad():
        for layer in range(layers):
            put(net, layer, weights)
        symbols = torch.tensor([model.vocabulary.symbols.index(character) for character in written])
        state, losses = None, []
        for now, wanted in pairwise(symbols):
            y, state = net(weights["embedding.weight"][now][None, None], state)
            logits = weights["head.weight"] @ y[0, 0] + weights["head.bias"]
            losses.append(-logits.log_softmax(0)[wanted])
    return float(torch.stack(losses).mean())


def put(net: torch.nn.LSTM, layer: int, weights: Mapping[str, Tensor]) -> None:
    gates = ("input", "forget", "candidate", "output")
    rows = {part: [weights[f"recurrent.layers.{layer}.weights.{gate}.{part}"] for gate in gates] for part in PARTS}
    for part, parameter in PARTS.items():
        getattr(net, f"{parameter}_l{layer}").copy_(torch.cat(rows[part]))
    getattr(net, f"bias_hh_l{layer}").zero_()


PARTS = {"x": "weight_ih", "h": "weight_hh", "bias": "bias_ih"}
