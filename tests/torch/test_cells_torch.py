"""The cells that say they are torch's: the same values as torch's layers with the same weights."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from rekur.cells import find
from rekur.run import compile, scan
from tests.torch.cells_by_hand import SIZES, TOLERANCE, Problem

LSTM = ("input", "forget", "candidate", "output")
GRU = ("reset", "update", "candidate")
LAYERS: dict[str, tuple[Callable[..., nn.RNNBase], tuple[str, ...]]] = {
    "elman": (nn.RNN, ("hidden",)),
    "elman-relu": (lambda *size, **options: nn.RNN(*size, nonlinearity="relu", **options), ("hidden",)),
    "lstm": (nn.LSTM, LSTM),
    "lstm-projected": (lambda *size, **options: nn.LSTM(*size, proj_size=SIZES["P"], **options), LSTM),
    "gru-after": (nn.GRU, GRU),
}
"""Cell -> torch's layer, and the order in which that packs the gates."""


def fill(layer: nn.RNNBase, gates: tuple[str, ...], weights: dict[str, Tensor]) -> None:
    """Pack the weights as torch does; its second bias is zero but for the candidate of a GRU."""
    split = {"candidate": ("candidate_x", "candidate_h")} if "candidate_h.h" in weights else {}
    of_x = [split.get(gate, (gate, gate))[0] for gate in gates]
    of_h = [split.get(gate, (gate, gate))[1] for gate in gates]
    zero = torch.zeros(SIZES["H"], dtype=torch.float64)
    packed = {
        "weight_ih_l0": [weights[f"{gate}.x"] for gate in of_x],
        "weight_hh_l0": [weights[f"{gate}.h"] for gate in of_h],
        "bias_ih_l0": [weights[f"{gate}.bias"] for gate in of_x],
        "bias_hh_l0": [weights[f"{h}.bias"] if h != x else zero for x, h in zip(of_x, of_h, strict=True)],
    }
    if "projection.hidden" in weights:
        packed["weight_hr_l0"] = [weights["projection.hidden"]]
    layer.load_state_dict({k: torch.cat(v) for k, v in packed.items()})


@pytest.mark.parametrize("name", LAYERS)
def test_the_cell_is_torchs_layer(name: str):
    problem = Problem(name, (3,), 7)
    make, gates = LAYERS[name]
    layer = make(SIZES["I"], SIZES["H"], batch_first=True, dtype=torch.float64)
    fill(layer, gates, problem.weights)
    start = [v[None] for v in problem.state.values()]
    want, last = layer(problem.inputs["x"], tuple(start) if len(start) > 1 else start[0])
    y, final, _, _ = scan(compile(find(name), "reference"), problem.weights, problem.inputs, problem.state)
    assert (y - want).abs().max() < TOLERANCE
    for got, end in zip(final.values(), last if len(start) > 1 else (last,), strict=True):
        assert (got - end[0]).abs().max() < TOLERANCE


def test_the_other_reset_convention_is_not_torchs():
    problem = Problem("gru", (3,), 7)
    layer = nn.GRU(SIZES["I"], SIZES["H"], batch_first=True, dtype=torch.float64)
    fill(layer, GRU, problem.weights)
    want, _ = layer(problem.inputs["x"], problem.state["h"][None])
    y, *_ = scan(compile(find("gru")), problem.weights, problem.inputs, problem.state)
    assert (y - want).abs().max() > 1e-3
