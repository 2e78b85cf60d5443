"""torch.nn.LSTM, GRU and RNN: in float32, in bfloat16, and over packed sequences."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from rekur.bench.problem import Problem
from rekur.bench.sides import Side
from rekur.nn import Binding, torch_layer

_MODULES = {"lstm": nn.LSTM, "gru": nn.GRU, "elman": nn.RNN}


def torch_module(problem: Problem) -> tuple[nn.RNNBase, Binding]:
    """torch's layer with the weights of the problem; its second bias is zero where ours has none."""
    module = _MODULES[problem.point.cell](problem.point.hidden, problem.point.hidden, batch_first=True)
    _, binding = torch_layer(module)
    parameters = dict(module.named_parameters())
    with torch.no_grad():
        for parameter in parameters.values():
            parameter.zero_()
        for weight, (first, *_) in binding.items():
            parameters[first.parameter][first.rows] = problem.weights[weight]
    return module, binding


def float32(problem: Problem) -> Side:
    """The layer as it is."""
    module, binding = torch_module(problem)
    return _side(problem, module, binding, torch.float32)


def bfloat16(problem: Problem) -> Side:
    """Weights, input and output in bfloat16."""
    module, binding = torch_module(problem)
    return _side(problem, module.to(torch.bfloat16), binding, torch.bfloat16)


def _side(problem: Problem, module: nn.RNNBase, binding: Binding, dtype: torch.dtype) -> Side:
    names = [k for k, _ in module.named_parameters()]

    def forward(x: Tensor) -> Tensor:
        y: Tensor
        if problem.lengths is None:
            y = module(x)[0]
        else:
            sequence = pack_padded_sequence(x, problem.lengths, batch_first=True, enforce_sorted=False)
            y = pad_packed_sequence(module(sequence)[0], batch_first=True, total_length=problem.point.time)[0]
        return y

    def named(found: Sequence[Tensor]) -> dict[str, Tensor]:
        by_name = dict(zip(names, found, strict=True))
        return {weight: by_name[first.parameter][first.rows] for weight, (first, *_) in binding.items()}

    return problem.side(forward, list(module.parameters()), named, dtype)
