"""ONNX's LSTM, GRU and RNN operators, run by onnxruntime."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from rekur.bench.formulas import gates
from rekur.bench.problem import Problem, packed
from rekur.bench.sides import Side

_OPERATORS: dict[str, tuple[str, dict[str, tuple[str, ...]], tuple[str, ...]]] = {
    "lstm": ("LSTM", gates("input", "output", "forget", "candidate"), ()),
    "gru": (
        "GRU",
        {
            "x": ("update.x", "reset.x", "candidate_x.x"),
            "h": ("update.h", "reset.h", "candidate_h.h"),
            "bias": ("update.bias", "reset.bias", "candidate_x.bias"),
        },
        ("candidate_h.bias",),
    ),
    "elman": ("RNN", gates("hidden"), ()),
}
"""The operator, the order in which it has the gates, and those that have a second bias: the last ones"""


def float32(problem: Problem) -> Side:
    """A session with the one layer in it, over whole sequences."""
    p = problem.point
    session = _session(problem, p.batch, p.time)
    x = problem.x.detach().transpose(0, 1).contiguous().numpy()
    zeros = _zeros(problem)

    def run() -> Any:
        return session.run(None, {"x": x, **zeros})

    return Side(run, lambda: {"the output": torch.from_numpy(run()[0][:, 0]).transpose(0, 1)})


def stepper(problem: Problem) -> Side:
    """The same session, one step a call, with the state handed from call to call."""
    session = _session(problem, problem.point.batch, 1)
    x = problem.x.detach().transpose(0, 1).contiguous().numpy()[:1]
    state = [_zeros(problem)]

    def run() -> Any:
        y, *states = session.run(None, {"x": x, **state[0]})
        state[0] = dict(zip(state[0], states, strict=True))
        return y

    def results() -> dict[str, Tensor]:
        state[0] = _zeros(problem)
        return {f"output {t}": torch.from_numpy(run()[0, 0]) for t in range(8)}

    return Side(run, results)


def _zeros(problem: Problem) -> dict[str, Any]:
    h0 = torch.zeros(1, problem.point.batch, problem.point.hidden).numpy()
    return {"h0": h0, "c0": h0} if problem.formula.states == 2 else {"h0": h0}


def _session(problem: Problem, batch: int, time: int) -> Any:
    import onnx
    import onnxruntime

    hidden = problem.point.hidden
    operator, *_ = _OPERATORS[problem.point.cell]
    tensors = _weights(problem)
    states = list(_zeros(problem))
    finals = [f"final {name}" for name in states]
    options = {"linear_before_reset": 1} if operator == "GRU" else {}
    node = onnx.helper.make_node(
        operator, ["x", *tensors, "", *states], ["y", *finals], hidden_size=hidden, **options
    )
    number = onnx.TensorProto.FLOAT
    state = [1, batch, hidden]
    graph = onnx.helper.make_graph(
        [node],
        "layer",
        [_value("x", [time, batch, hidden]), *(_value(name, state) for name in states)],
        [_value("y", [time, 1, batch, hidden]), *(_value(name, state) for name in finals)],
        [onnx.helper.make_tensor(k, number, v.shape, v.numpy().tobytes(), raw=True) for k, v in tensors.items()],
    )
    opset = onnx.helper.make_opsetid("", 21)
    model = onnx.helper.make_model(graph, opset_imports=[opset], ir_version=10)
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = torch.get_num_threads()
    return onnxruntime.InferenceSession(model.SerializeToString(), settings, providers=["CPUExecutionProvider"])


def _value(name: str, shape: Sequence[int]) -> Any:
    import onnx

    return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)


def _weights(problem: Problem) -> dict[str, Tensor]:
    """W, R and B as the operator takes them, with one direction; B has the biases of W, then those of R."""
    _, names, second = _OPERATORS[problem.point.cell]
    w = packed(problem.weights, names)
    more = torch.zeros_like(w["bias"])
    for name in second:
        more[-problem.point.hidden :] = problem.weights[name]
    bias = torch.cat([w["bias"], more])
    return {k: v.detach()[None].contiguous() for k, v in {"W": w["x"], "R": w["h"], "B": bias}.items()}
