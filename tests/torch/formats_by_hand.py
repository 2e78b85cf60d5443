"""Keras's and TensorFlow 1's recurrent layers as loops in numpy, from their documentation; float64.

Each takes `x` `(B, T, I)` and the arrays as the library keeps them, and gives the output at every step and the final
states. Nothing here reads rekur.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Step = Callable[..., tuple[Array, ...]]
ROWS, STEPS, INPUT, HIDDEN = 3, 5, 4, 6


def sigmoid(v):
    return 1 / (1 + np.exp(-v))


def in_time(step: Step, x: Array, states: int) -> tuple[Array, ...]:
    """A step `(x, *states) -> states` over time from zeros; the first state is the output."""
    held: tuple[Array, ...] = (np.zeros((x.shape[0], HIDDEN)),) * states
    y = []
    for t in range(x.shape[1]):
        held = step(x[:, t], *held)
        y.append(held[0])
    return (np.stack(y, 1), *held)


# ---- Keras: kernel (I, nH), recurrent_kernel (H, nH), bias


def keras_simple_rnn(x, kernel, recurrent, bias):
    return in_time(lambda v, h: (np.tanh(v @ kernel + h @ recurrent + bias),), x, 1)


def keras_lstm(x, kernel, recurrent, bias):
    def step(v, h, c):
        i, f, g, o = np.split(v @ kernel + h @ recurrent + bias, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        return sigmoid(o) * np.tanh(c), c

    return in_time(step, x, 2)


def keras_gru_after(x, kernel, recurrent, bias):
    def step(v, h):
        xz, xr, xh = np.split(v @ kernel + bias[0], 3, axis=1)
        hz, hr, hh = np.split(h @ recurrent + bias[1], 3, axis=1)
        z, r = sigmoid(xz + hz), sigmoid(xr + hr)
        return (z * h + (1 - z) * np.tanh(xh + r * hh),)

    return in_time(step, x, 1)


def keras_gru_before(x, kernel, recurrent, bias):
    uz, ur, uh = np.split(recurrent, 3, axis=1)

    def step(v, h):
        xz, xr, xh = np.split(v @ kernel + bias, 3, axis=1)
        z, r = sigmoid(xz + h @ uz), sigmoid(xr + h @ ur)
        return (z * h + (1 - z) * np.tanh(xh + (r * h) @ uh),)

    return in_time(step, x, 1)


# ---- TensorFlow 1: one kernel (I + H, nH) for the input and the state beside it


def tf_basic_rnn(x, kernel, bias):
    return in_time(lambda v, h: (np.tanh(np.concatenate([v, h], 1) @ kernel + bias),), x, 1)


def tf_basic_lstm(x, kernel, bias, *, forget_bias):
    def step(v, h, c):
        i, j, f, o = np.split(np.concatenate([v, h], 1) @ kernel + bias, 4, axis=1)
        c = c * sigmoid(f + forget_bias) + sigmoid(i) * np.tanh(j)
        return np.tanh(c) * sigmoid(o), c

    return in_time(step, x, 2)


def tf_gru(x, gates_kernel, gates_bias, candidate_kernel, candidate_bias):
    def step(v, h):
        r, u = np.split(sigmoid(np.concatenate([v, h], 1) @ gates_kernel + gates_bias), 2, axis=1)
        c = np.tanh(np.concatenate([v, r * h], 1) @ candidate_kernel + candidate_bias)
        return (u * h + (1 - u) * c,)

    return in_time(step, x, 1)


def random(shapes: Sequence[tuple[int, ...]], seed: int) -> list[Array]:
    """Asymmetric random arrays."""
    rng = np.random.default_rng(seed)
    return [0.7 * rng.standard_normal(shape) for shape in shapes]
