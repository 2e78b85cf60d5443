"""The step by hand in jax, under `lax.scan` and `jit`."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from rekur.bench.formulas import Functions
from rekur.bench.problem import Problem, packed, unpacked
from rekur.bench.sides import Side
from rekur.errors import OptionError


def scanned(problem: Problem) -> Side:
    """Forward, or all gradients by `jax.vjp`, as one compiled function; the input's product comes before the scan."""
    _take_threads(torch.get_num_threads())
    import jax
    import jax.numpy as jnp

    formula, hidden = problem.formula, problem.point.hidden
    functions = Functions(jnp.tanh, jax.nn.sigmoid, lambda v, n: jnp.split(v, n, -1))

    def forward(weights: Mapping[str, Any], x: Any) -> Any:
        px = jnp.swapaxes(x @ weights["x"].T + weights["bias"], 0, 1)
        start = (jnp.zeros((x.shape[0], hidden), x.dtype),) * formula.states

        def step(states: tuple[Any, ...], px: Any) -> tuple[tuple[Any, ...], Any]:
            states = formula.step(functions, px, weights, *states)
            return states, states[0]

        return jnp.swapaxes(jax.lax.scan(step, start, px)[1], 0, 1)

    def train(weights: Mapping[str, Any], x: Any, dy: Any) -> Any:
        y, back = jax.vjp(forward, weights, x)
        return y, *back(dy)

    weights = {k: jnp.asarray(v.detach().numpy()) for k, v in packed(problem.weights, formula.packed).items()}
    x, dy = jnp.asarray(problem.x.detach().numpy()), jnp.asarray(problem.dy.numpy())
    function, arguments = (jax.jit(train), (weights, x, dy)) if problem.training else (jax.jit(forward), (weights, x))

    def run() -> Any:
        return jax.block_until_ready(function(*arguments))

    def results() -> dict[str, Tensor]:
        if not problem.training:
            return {"the output": _tensor(run())}
        y, dw, dx = run()
        found = unpacked({k: _tensor(v) for k, v in dw.items()}, formula.packed)
        return {
            "the output": _tensor(y),
            **{f"the gradient of {k}": v for k, v in found.items()},
            "the gradient of the input": _tensor(dx),
        }

    return Side(run, results)


def _tensor(v: Any) -> Tensor:
    import numpy as np

    return torch.from_numpy(np.array(v))


def _take_threads(count: int) -> None:
    """jax asks the environment how many threads to make, once, when its client for the CPU is made."""
    if "jax" not in sys.modules:
        os.environ["NPROC"] = str(count)
    elif os.environ.get("NPROC") != str(count):
        raise OptionError(f"jax has its threads already, and cannot be given {count}: race it in a new process")
