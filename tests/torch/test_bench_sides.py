"""That rekur bench races only sides that compute the same: every peer, and peers that we break."""

from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import pytest
import torch

from rekur.bench import Floor, Mismatch, Point, Result, choose, measure
from rekur.bench.peers import EXTRA, OURS, PEERS, Peer, make, torch_layers
from rekur.bench.point import CELLS, MODES
from rekur.bench.problem import Problem
from rekur.bench.sides import Side, check
from rekur.errors import OptionError
from tests.torch.charlm_tiny import one_thread

__all__ = ["one_thread"]
pytestmark = pytest.mark.usefixtures("one_thread")

FLOOR = Floor(1e11, {1 << 20: 1e10})
PARTS = {"layer": MODES, "lengths": MODES, "share": ("training",), "step": ("inference",), "sample": ("inference",)}
POINTS = [
    Point(part, cell, mode, 17, 1 if part in ("step", "sample") else 3, 6)
    for part, modes in PARTS.items()
    for mode in modes
    for cell in (("lstm",) if part in ("share", "step", "sample") else CELLS)
]


def results(point: Point, peer: Peer) -> tuple[dict[str, Any], dict[str, Any]]:
    problem = Problem(point)
    return dict(make(OURS[point.part], problem).results()), dict(peer.side(problem).results())


@pytest.mark.parametrize("point", POINTS, ids=lambda p: p.name)
def test_every_peer_computes_what_rekur_does(point: Point):
    racing = {name: peer for name, peer in PEERS.items() if peer.races(point)}
    assert racing
    for peer in racing.values():
        ours, theirs = results(point, peer)
        assert check(ours, theirs, peer.tolerance) > 0 or point.part == "lengths"
        problem = Problem(point)
        if point.mode == "training":
            wanted = {f"the gradient of {name}" for name in problem.weights}
            assert ours.keys() - {"the output", "the gradient of the input"} == wanted
            assert ("the gradient of the input" in ours) == (point.part != "share")


@pytest.mark.parametrize("name", [name for name, peer in EXTRA.items() if peer.needs])
def test_peers_of_other_packages_compute_it_too(name: str):
    if any(find_spec(package) is None for package in EXTRA[name].needs):
        pytest.skip(f"{name} is not installed")
    points = [point for point in POINTS if EXTRA[name].races(point)]
    assert points
    for point in points:
        check(*results(point, EXTRA[name]), EXTRA[name].tolerance)


def test_lengths_are_from_a_quarter_to_all_steps():
    problem = Problem(Point("lengths", "lstm", "inference", 8, 64, 100))
    assert problem.lengths is not None
    assert 25 <= int(problem.lengths.min()) < 35
    assert 90 < int(problem.lengths.max()) <= 100
    assert problem.fill == pytest.approx(problem.lengths.float().mean().item() / 100)
    assert not problem.dy[0, int(problem.lengths[0]) :].any()


# ---- what is not the same -----------------------------------------------------------------------------------


def swapped(problem: Problem) -> Side:
    """torch's layer with two gates' weights swapped."""
    weights = dict(problem.weights)
    for part in ("x", "h", "bias"):
        weights[f"input.{part}"], weights[f"forget.{part}"] = weights[f"forget.{part}"], weights[f"input.{part}"]
    other = Problem(problem.point)
    other.__dict__["weights"] = weights
    return torch_layers.float32(other)


def altered(alter: Callable[[dict[str, Any]], Any]) -> Callable[[Problem], Side]:
    def broken(problem: Problem) -> Side:
        side = torch_layers.float32(problem)

        def results() -> dict[str, Any]:
            found = {k: v.clone() for k, v in side.results().items()}
            alter(found)
            return found

        return Side(side.run, results)

    return broken


forgets_a_gradient = altered(lambda found: found.pop("the gradient of forget.h"))
drops_a_gradient = altered(lambda found: found["the gradient of forget.h"].zero_())
transposes = altered(lambda found: found["the gradient of candidate.h"].t_())
loses_a_step = altered(lambda found: found["the output"][0, 3].zero_())
is_not_a_number = altered(lambda found: found["the output"][0, 0, :1].fill_(torch.nan))
BROKEN = {
    "swapped": "the output",
    "forgets_a_gradient": "ours has .* the gradient of forget.h, .*; the peer has",
    "drops_a_gradient": r"the gradient of forget.h \(16, 16\): apart",
    "transposes": r"the gradient of candidate.h",
    "loses_a_step": "the output",
    "is_not_a_number": "the output",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_peer_that_computes_something_else_is_refused_and_the_others_go_on(name: str):
    points = [Point("layer", "lstm", "training", 16, 2, 5), Point("layer", "lstm", "training", 16, 1, 4)]
    broken = replace(PEERS["torch"], makes={"layer": f"{__name__}:{name}"})
    result = Result({})
    done = list(measure(points, {"broken": broken, "torch": PEERS["torch"]}, result, FLOOR, seconds=0.0))
    assert done == points
    assert [(row.point, row.peer) for row in result.rows] == [(point, "torch") for point in points]
    assert [(f.point, f.peer) for f in result.failures] == [(point, "broken") for point in points]
    for failure in result.failures:
        assert failure.reason.startswith("Mismatch: ")
    with pytest.raises(Mismatch, match=BROKEN[name]):
        check(*results(points[0], broken), broken.tolerance)


def test_the_check_measures_by_the_largest_value_of_each_tensor():
    a, b = {"y": torch.tensor([[1.0, -4.0]])}, {"y": torch.tensor([[1.1, -4.0]])}
    assert check(a, b, 0.03) == pytest.approx(0.025)
    with pytest.raises(Mismatch, match=r"y \(1, 2\): apart by 0.1 where the peer's largest value is 4; at most 0.02"):
        check(a, b, 0.02)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ([1.0, 2.0], [[1.0, 2.0]]),
        ([torch.nan], [1.0]),
        ([1.0], [torch.inf]),
        ([torch.inf], [torch.inf]),
        ([0.0, 0.0], [0.0, 0.0]),
    ],
)
def test_shapes_nan_infinity_and_silence_are_no_agreement(ours: list[Any], theirs: list[Any]):
    with pytest.raises(Mismatch, match="y"):
        check({"y": torch.tensor(ours)}, {"y": torch.tensor(theirs)}, 0.5)


def test_rows_say_how_far_apart_and_how_fast():
    point = Point("lengths", "lstm", "training", 16, 4, 8)
    result = Result({})
    list(measure([point], PEERS, result, FLOOR, seconds=0.0))
    dense, packed = result.rows
    assert (dense.peer, packed.peer, dense.unit) == ("dense", "packed", "seconds")
    assert (dense.fill, packed.fill) == (Problem(point).fill, 1.0)
    assert packed.apart is not None
    assert packed.tolerance is not None
    assert 0 < packed.apart < packed.tolerance
    assert len(packed.ours) == len(packed.theirs) == 7
    # 4 · 16 · 16 weights for x, as many for h; forward, weight and operand: three products of each
    assert packed.floor == pytest.approx(2 * 3 * 2 * 1024 * 4 * 8 * Problem(point).fill / 1e11)
    assert packed.floor is not None
    assert packed.share == pytest.approx(packed.floor / packed.cost.median)


# ---- choosing peers -----------------------------------------------------------------------------------------


def test_a_peer_that_is_not_known_or_not_installed_is_named(monkeypatch: pytest.MonkeyPatch):
    for known in (True, False):
        with monkeypatch.context() as processor:
            processor.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda known=known: known)
            assert choose([]) == {k: v for k, v in PEERS.items() if known or k != "bf16"}
    with pytest.raises(OptionError, match="no peer 'jaxx'; did you mean 'jax'"):
        choose(["jaxx"])
    monkeypatch.setattr("rekur.bench.peers.find_spec", lambda name: None)
    with pytest.raises(OptionError, match=r"onnx needs onnx and onnxruntime: pip install 'rekur\[bench\]'"):
        choose(["onnx"])
    assert "compile" in choose(["compile"])
