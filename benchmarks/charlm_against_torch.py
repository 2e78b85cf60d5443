"""Does a character model trained by rekur learn as the same model does that is written directly in torch?

    python benchmarks/charlm_against_torch.py FILE [--json RESULTS]

Two layers of 128 LSTM units, 50 streams of 50 steps, 2,000 steps of AdamW at one learning rate, no dropout; the
text is cut 90/10 in order. torch's side is torch.nn.LSTM in a plain loop. torch gives a gate two biases, whose sum
is all that counts, and so moves it twice as fast; with one of them held at zero it is rekur's LSTM exactly. Each
of torch's start and rekur's own (the forget gate's bias at 1, other biases at 0) is trained by both, from the very
same weights, with three seeds. The table has the loss on the last tenth, in nats a character. Takes about a
quarter of an hour on one core.
"""

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rekur.nn import torch_layer
from rekur.tasks import CharLM, CharLMConfig
from rekur.tasks.start import begin
from rekur.train import FitConfig, Quiet
from rekur.train.environment import environment

SEEDS = (1, 2, 3)
EVERY = 200  # steps between validations
TRAINING = FitConfig(
    steps=2000, lr=2e-3, warmup=0, decay="constant", weight_decay=0.0, clip=1.0, eval_every=EVERY,
    checkpoint_every=0, threads=1,
)  # fmt: skip
TWO, ONE, OURS, ONE_OWN, OURS_OWN = (
    "torch, two biases",
    "torch, one bias",
    "rekur, torch's start",
    "torch, rekur's start",
    "rekur",
)
Curve = list[float]


class Plain(nn.Module):
    """The model as anybody would write it."""

    def __init__(self, size: int, config: CharLMConfig) -> None:
        super().__init__()
        self.embedding = nn.Embedding(size, config.embedding)
        self.lstm = nn.LSTM(config.embedding, config.hidden, config.layers, batch_first=True)
        self.head = nn.Linear(config.hidden, size)

    def forward(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Logits (B, T, V) and the state after the last step."""
        y, state = self.lstm(self.embedding(x), state)
        return self.head(y), state

    def one_bias(self) -> None:
        """Keep the sum of a gate's two biases in the first, and hold the second at zero."""
        for layer in range(self.lstm.num_layers):
            first, second = (getattr(self.lstm, f"bias_{part}_l{layer}") for part in ("ih", "hh"))
            with torch.no_grad():
                first += second
                second.zero_()
            second.requires_grad_(False)


def streams(numbers: np.ndarray, batch: int, time: int) -> tuple[Tensor, Tensor, int]:
    """The text as `batch` rows, the same one symbol on, and how many chunks of `time` they hold."""
    text = torch.from_numpy(numbers.astype("int64"))
    chunks = (len(text) - 1) // (batch * time)
    used = batch * time * chunks
    return text[:used].view(batch, -1), text[1 : used + 1].view(batch, -1), chunks


def plain(model: Plain, task: CharLM) -> Curve:
    """Train in a plain loop."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=TRAINING.lr, weight_decay=0.0)
    time = task.config.time
    x, y, chunks = streams(task.corpus.split("train"), task.config.batch, time)
    curve, state = [], None
    for step in range(TRAINING.steps):
        at = step % chunks * time
        logits, state = model(x[:, at : at + time], state if at else None)
        state = tuple(part.detach() for part in state)
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), y[:, at : at + time].flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), TRAINING.clip)
        optimizer.step()
        if (step + 1) % EVERY == 0:
            curve.append(validation(model, task))
    return curve


@torch.no_grad()
def validation(model: Plain, task: CharLM) -> float:
    """The mean loss over the last tenth, read in as many streams as in training, each to its end."""
    numbers, batch = task.corpus.split("validation"), task.config.batch
    x, y, _ = streams(numbers, batch, (len(numbers) - 1) // batch)
    total, state = 0.0, None
    for a, b in zip(x.split(1000, 1), y.split(1000, 1), strict=True):
        logits, state = model(a, state)
        total += nn.functional.cross_entropy(logits.flatten(0, 1), b.flatten(), reduction="sum").item()
    return total / y.numel()


def ours(task: CharLM, folder: Path) -> Curve:
    """Train as `rekur train charlm` does; the curve is that of the run's own events."""
    run, _ = begin(task, replace(TRAINING, seed=task.seed), folder, "run", lambda _: Quiet())
    return [event["loss"] for event in run.events() if event["kind"] == "eval"]


@torch.no_grad()
def copy(one: Plain, task: CharLM, *, back: bool = False) -> None:
    """The weights of a plain model with one bias for the task's model; `back`, the other way round."""
    mine, theirs = dict(task.model.named_parameters()), dict(one.named_parameters())
    pairs: list[tuple[Tensor, Tensor]] = [
        (mine[name], theirs[name]) for name in ("embedding.weight", "head.weight", "head.bias")
    ]
    for layer in range(one.lstm.num_layers):
        for name, (part, *_) in torch_layer(one.lstm, layer)[1].items():
            weight = mine[f"recurrent.layers.{layer}.weights.{name}"]
            pairs.append((weight, theirs[f"lstm.{part.parameter}"][part.rows]))
    for a, b in pairs:
        (b if back else a).copy_(a if back else b)


def trained(config: CharLMConfig, seed: int, folder: Path) -> dict[str, Curve]:
    """The five curves of a seed."""

    def fresh() -> tuple[Plain, CharLM]:
        torch.manual_seed(seed)
        task = CharLM(config, cache=folder, seed=seed)
        return Plain(len(task.corpus.vocabulary), config), task

    (two, task), (one, like), (own, mine) = fresh(), fresh(), fresh()
    one.one_bias()
    copy(one, like)
    own.one_bias()
    copy(own, mine, back=True)
    curves = {}
    for name, train in {
        TWO: lambda: plain(two, task),
        ONE: lambda: plain(one, like),
        OURS: lambda: ours(like, folder),
        ONE_OWN: lambda: plain(own, mine),
        OURS_OWN: lambda: ours(mine, folder),
    }.items():
        curves[name] = train()
        print(f"seed {seed}, {name}: {curves[name][-1]:.4f}", flush=True)
    return curves


def main() -> None:
    """Train fifteen models; print the table, write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("file", type=Path, help="the text")
    parser.add_argument("--json", type=Path, default=Path("charlm_against_torch.json"), help="where the numbers go")
    options = parser.parse_args()
    torch.set_num_threads(TRAINING.threads)
    config = CharLMConfig(
        files=(options.file,), hidden=128, layers=2, embedding=64, dropout=0.0, batch=50, time=50,
        split=(0.9, 0.1, 0.0), temperatures=(),
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        seeds = [trained(config, seed, Path(name)) for seed in SEEDS]
    curves = {side: [curves[side] for curves in seeds] for side in seeds[0]}
    show({side: np.array(of) for side, of in curves.items()})
    result = {"every": EVERY, "loss": curves, "machine": environment()}
    options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def show(curves: dict[str, np.ndarray]) -> None:
    """The least and the greatest of three seeds (seed, point), and how far apart the pairs are."""
    print("\n step" + "".join(f"{name:>24}" for name in curves))
    for point in range(len(curves[TWO][0])):
        columns = (f"{of[:, point].min():.4f} … {of[:, point].max():.4f}" for of in curves.values())
        print(f"{(point + 1) * EVERY:>5}" + "".join(f"{column:>24}" for column in columns))
    for mine, theirs in ((OURS, ONE), (OURS_OWN, ONE_OWN), (OURS, TWO)):
        low, high, mean = curves[theirs].min(0), curves[theirs].max(0), curves[mine].mean(0)
        inside = ((low <= mean) & (mean <= high)).sum()
        apart = np.abs(curves[mine] - curves[theirs]).max()
        print(
            f"{mine} / {theirs}: our mean lies within their spread at {inside} of {mean.size} points; "
            f"seed by seed at most {apart:.4f} apart"
        )


if __name__ == "__main__":
    main()
