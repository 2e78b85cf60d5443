"""What rekur is raced against: the table of peers. Each is imported when it takes part."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec

import torch

from rekur.bench.point import CELLS, MODES, Point
from rekur.bench.problem import Problem
from rekur.bench.sides import Side
from rekur.errors import OptionError, suggest


@dataclass(frozen=True)
class Peer:
    """One of the others."""

    what: str
    makes: Mapping[str, str]
    """Part -> `module:function`, from a `Problem` to a `Side`"""
    cells: tuple[str, ...] = CELLS
    modes: tuple[str, ...] = MODES
    tolerance: float = 3e-5
    """How far apart results may be, as a share of each tensor's largest value"""
    needs: tuple[str, ...] = ()
    """Packages that are not rekur's own"""

    def races(self, point: Point) -> bool:
        """Whether it takes part at a point."""
        return point.part in self.makes and point.cell in self.cells and point.mode in self.modes

    def side(self, problem: Problem) -> Side:
        """Made ready for a problem."""
        return make(self.makes[problem.point.part], problem)


_LAYERS, _LOOPS, _STREAMS = "rekur.bench.peers.torch_layers", "rekur.bench.peers.loops", "rekur.bench.streams"
_ONNX = "rekur.bench.peers.onnx_layers"
_TORCH = ("lstm", "gru", "elman")  # the cells that others have too

OURS = {
    "layer": "rekur.bench.layers:ours",
    "share": "rekur.bench.layers:ours",
    "lengths": "rekur.bench.layers:ours",
    "step": f"{_STREAMS}:our_step",
    "sample": f"{_STREAMS}:our_sampling",
}
"""Part -> our side"""

PEERS = {
    "torch": Peer(
        "torch.nn in float32",
        {
            "layer": f"{_LAYERS}:float32",
            "share": f"{_LAYERS}:float32",
            "step": f"{_STREAMS}:torch_step",
            "sample": f"{_STREAMS}:torch_sampling",
        },
        cells=_TORCH,
    ),
    "bf16": Peer(
        "torch.nn.LSTM in bfloat16",
        {"layer": f"{_LAYERS}:bfloat16", "share": f"{_LAYERS}:bfloat16"},
        cells=("lstm",),
        tolerance=0.05,
    ),
    "eager": Peer("a Python loop in torch", {"layer": f"{_LOOPS}:eager"}, cells=("own",)),
    "dense": Peer("rekur over every step, times the share of real ones", {"lengths": "rekur.bench.layers:dense"}),
    "packed": Peer("torch.nn over packed sequences", {"lengths": f"{_LAYERS}:float32"}, cells=_TORCH),
    "cell": Peer("torch.nn.LSTMCell", {"step": f"{_STREAMS}:cell_step"}),
}
"""Those that take part unasked; the cost of `dense` is multiplied with the fill"""

EXTRA = {
    "jax": Peer("jax.lax.scan under jit", {"layer": "rekur.bench.peers.jax_scan:scanned"}, needs=("jax",)),
    "onnx": Peer(
        "onnxruntime",
        {"layer": f"{_ONNX}:float32", "step": f"{_ONNX}:stepper"},
        cells=_TORCH,
        modes=("inference",),
        needs=("onnx", "onnxruntime"),
    ),
    "compile": Peer("the Python loop under torch.compile", {"layer": f"{_LOOPS}:compiled"}, cells=("own",)),
    # in training its gradients are wrong: pytorch issue 153679, still so in torch 2.13
    "scan": Peer("torch's prototype scan operator", {"layer": f"{_LOOPS}:scanned"}, modes=("inference",)),
}
"""Those that take part where they are asked for"""


def choose(extra: Iterable[str]) -> dict[str, Peer]:
    """The peers by name: those that always take part, and those asked for.

    bfloat16 takes part where the processor knows it: elsewhere torch imitates it, twenty times as slow as float32.

    Raises OptionError for a name that is none, and where a package is not installed.
    """
    chosen = dict(PEERS)
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        del chosen["bf16"]
    for name in extra:
        if name not in EXTRA:
            raise OptionError(f"there is no peer {name!r}{suggest(name, EXTRA)}; there are {', '.join(EXTRA)}")
        missing = [package for package in EXTRA[name].needs if find_spec(package) is None]
        if missing:
            raise OptionError(f"the peer {name} needs {' and '.join(missing)}: pip install 'rekur[bench]'")
        chosen[name] = EXTRA[name]
    return chosen


def make(place: str, problem: Problem) -> Side:
    """The side that `module:function` makes of a problem."""
    module, _, function = place.partition(":")
    side: Side = getattr(import_module(module), function)(problem)
    return side
