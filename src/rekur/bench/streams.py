"""Streams: one step at a time, and characters drawn from a model that reads its own output. Ours, and torch's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from rekur.bench.layers import BACKEND, filled, recurrent
from rekur.bench.peers.torch_layers import torch_module
from rekur.bench.problem import Problem
from rekur.bench.sides import Named, Side
from rekur.cells import lstm
from rekur.nn import Plan, SequenceModel, sample, torch_layer

SYMBOLS, EMBEDDING = 100, 64
_TEMPERATURE = 0.8
_CHECKED = 8  # steps whose results are compared


def our_step(problem: Problem) -> Side:
    """`Recurrent.step` of a prepared layer, its state handed from call to call."""
    stack = recurrent(problem)
    side = _steps(problem, stack.step)

    @contextmanager
    def ready() -> Iterator[None]:
        """Prepared, and the weights laid out by a first step; outside of it no thread of ours spins."""
        with stack.prepared():
            for _ in range(2):  # the first has no state yet
                side.run()
            yield

    def results() -> Named:
        with ready():
            return side.results()

    return Side(side.run, results, ready)


def torch_step(problem: Problem) -> Side:
    """torch.nn.LSTM over a sequence of one step."""
    module, _ = torch_module(problem)

    def step(x: Tensor, state: Any) -> tuple[Tensor, Any]:
        y, state = module(x[:, None], state)
        return y[:, 0], state

    return _steps(problem, step)


def cell_step(problem: Problem) -> Side:
    """torch.nn.LSTMCell."""
    module, _ = torch_module(problem)
    cell = nn.LSTMCell(problem.point.hidden, problem.point.hidden)
    cell.load_state_dict({k.removesuffix("_l0"): v for k, v in module.state_dict().items()})

    def step(x: Tensor, state: Any) -> tuple[Tensor, Any]:
        state = cell(x, state)
        return state[0], state

    return _steps(problem, step)


def _steps(problem: Problem, step: Callable[[Tensor, Any], tuple[Tensor, Any]]) -> Side:
    x = problem.x.detach()[:, 0]
    held: list[Any] = [None]

    def run() -> Tensor:
        with torch.no_grad():
            y, held[0] = step(x, held[0])
        return y

    def results() -> dict[str, Tensor]:
        held[0] = None
        return {f"output {t}": run() for t in range(_CHECKED)}

    return Side(run, results)


class _Plain(nn.Module):
    """The model as anybody would write it in torch."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(SYMBOLS, EMBEDDING)
        self.lstm = nn.LSTM(EMBEDDING, hidden, 2, batch_first=True)
        self.head = nn.Linear(hidden, SYMBOLS)

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Logits (B, T, V) and the state after the last step."""
        y, state = self.lstm(self.embedding(x), state)
        return self.head(y), state


def our_sampling(problem: Problem) -> Side:
    """`rekur.nn.sample`: as many characters as the point has steps, from one character, at temperature 0.8.

    It draws by inverse transform and torch's side by `torch.multinomial`, so what is compared is the logits along
    one text.
    """
    p = problem.point
    plain = _plain(p.hidden)
    parameters = dict(plain.lstm.named_parameters())
    weights = [torch_layer(plain.lstm, i)[1].weights(parameters) for i in range(2)]
    plan = Plan(lstm, EMBEDDING, p.hidden, 2, symbols=SYMBOLS, outputs=SYMBOLS, feedback=True)
    model = SequenceModel(plan, backend=BACKEND)
    filled(model.recurrent, *weights)
    model.embedding, model.head = plain.embedding, plain.head
    prompt, generator = torch.zeros(p.batch, 1, dtype=torch.int64), torch.Generator().manual_seed(6)
    run = partial(sample, model, prompt, p.time, temperature=_TEMPERATURE, generator=generator)
    return Side(lambda: list(run()), lambda: _logits(model))


def torch_sampling(problem: Problem) -> Side:
    """The same in a plain loop."""
    p = problem.point
    model = _plain(p.hidden)
    prompt, generator = torch.zeros(p.batch, 1, dtype=torch.int64), torch.Generator().manual_seed(6)

    @torch.no_grad()
    def run() -> list[Tensor]:
        symbols = []
        logits, state = model(prompt)
        for _ in range(p.time):
            chances = torch.softmax(logits[:, -1] / _TEMPERATURE, -1)
            symbol = torch.multinomial(chances, 1, generator=generator)
            symbols.append(symbol)
            logits, state = model(symbol, state)
        return symbols

    return Side(run, lambda: _logits(model))


def _plain(hidden: int) -> _Plain:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        return _Plain(hidden)


def _logits(model: nn.Module) -> dict[str, Tensor]:
    state, out = None, {}
    with torch.no_grad():
        for t in range(_CHECKED):
            out[f"logits {t}"], state = model(torch.tensor([[7 * t % SYMBOLS]]), state)
    return out
