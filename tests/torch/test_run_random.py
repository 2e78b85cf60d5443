"""Random cells over sequences and lattices, where some steps, positions of memories and sites are not real.

Values against numpy, one row, one step and one site at a time. What is not real may hold NaN: results and all
gradients are then the same bits.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from rekur.graph import Leaf
from rekur.run import compile, scan
from tests.compare import Named, differ, leaves, with_gradients
from tests.pure.numpy_eval import Numpy, key
from tests.pure.random_cells import RAGGED, SIZES, random_cell
from tests.torch.one_by_one import poisoned, visits

ROWS, STEPS, SITES = 4, 5, 6
COUNTS = torch.tensor([3, 1, 4, 2])
THERE = torch.arange(SIZES[RAGGED]) < COUNTS[:, None]


class Series:
    """A random cell and what goes through it."""

    def __init__(self, seed: int, lattice: bool) -> None:
        self.graph = random_cell(seed, lattice=lattice).graph
        self.memories = {a.name for a in self.graph.of("constant") if RAGGED in a.axes}
        self.sites = (SITES,) if lattice else ()
        self.reverse = bool(seed % 2)
        rng = np.random.default_rng(seed)
        self.live = torch.from_numpy(rng.random((ROWS, STEPS, *self.sites)) < 0.7)
        self.live[1] = False
        if lattice:
            self.live[2, :, 4:] = False  # a smaller image
        self.reset = torch.from_numpy(rng.random(self.live.shape) < 0.3) & self.live
        batch = (ROWS, *self.sites)

        def random(lead: tuple[int, ...], axes: tuple[str, ...]) -> Tensor:
            return torch.from_numpy(np.array(0.8 * rng.standard_normal((*lead, *(SIZES[a] for a in axes)))))

        states = self.graph.of("state")
        self.values = {
            "weight": {k: random((), p.axes) for k, p in self.graph.parameters.items()},
            "input": {a.name: random(self.live.shape, a.axes) for a in self.graph.of("input")},
            "state": {a.name: random(batch, a.axes) for a in states},
            "initial": {a.name: random((), a.axes) for a in states},
            "constant": {a.name: random(batch, a.axes) for a in self.graph.of("constant")},
        }
        self.cotangents = {f"final {a.name}": random(batch, a.axes) for a in states}

    def through_scan(self, poison: bool) -> Named:
        """Results and gradients; what is not real holds NaN, or an ordinary value."""
        values = dict(self.values)
        if poison:
            values["input"] = {k: poisoned(v, self.live) for k, v in values["input"].items()}
            there = THERE.reshape(ROWS, *[1] * len(self.sites), -1).expand(ROWS, *self.sites, -1)
            held = values["constant"]
            values["constant"] = {k: poisoned(v, there) if k in self.memories else v for k, v in held.items()}
        of = {kind: leaves(named) for kind, named in values.items()}
        y, state, outputs, _ = scan(
            compile(self.graph, "reference"), of["weight"], of["input"], of["state"], constants=of["constant"],
            initial=of["initial"], live=self.live, reset=self.reset, reverse=self.reverse, sizes=SIZES,
            memory_lengths={RAGGED: COUNTS} if self.memories else None, outputs=tuple(self.graph.outputs),
        )  # fmt: skip
        series = {"output": y, **{f"series {k}": v for k, v in outputs.items()}}
        arriving = {k: torch.cos(v.detach()) for k, v in series.items()}
        if poison:
            arriving = {k: poisoned(v, self.live) for k, v in arriving.items()}
        results = series | {f"final {k}": v for k, v in state.items()}
        return with_gradients(results, self.cotangents | arriving, of)

    def by_numpy(self) -> Named:
        """Values only."""
        states = self.values["state"]
        final = {k: v.clone() for k, v in states.items()}
        series = {k: v.new_zeros(*self.live.shape, *v.shape[1 + len(self.sites) :]) for k, v in states.items()}
        for b in range(ROWS):
            row = Row(self, b)
            for t in reversed(range(STEPS)) if self.reverse else range(STEPS):
                for site, new in row.step(t).items():
                    for k, v in new.items():
                        series[k][(b, t, site)[: self.live.dim()]] = torch.from_numpy(v)
            for site, held in row.held.items():
                for k, v in held.items():
                    final[k][(b, site)[: 1 + len(self.sites)]] = torch.from_numpy(np.array(v))
        first = next(iter(states))
        series = {"output": series[first], **{f"series {k}": v for k, v in series.items()}}
        return series | {f"final {k}": v for k, v in final.items()}


class Row:
    """One row of a `Series`, by numpy; a chain is a lattice of one site."""

    def __init__(self, series: Series, b: int) -> None:
        self.of = series
        self.weights = {k: v.numpy() for k, v in series.values["weight"].items()}
        self.numpy = Numpy(SIZES, 1, {RAGGED: THERE[b : b + 1].numpy()} if series.memories else {})
        lattice = bool(series.sites)
        sites = range(SITES if lattice else 1)
        self.live = {s: series.live[b, :, s] if lattice else series.live[b] for s in sites}
        reset = {s: series.reset[b, :, s] if lattice else series.reset[b] for s in sites}
        self.met = {s: {t: anew for anew, t in visits(self.live[s], reset[s], series.reverse)} for s in sites}

        def of_row(kind: str, site: int) -> dict[str, Tensor]:
            return {
                k: v[b].select(-1 - self._rank(k), site) if lattice else v[b] for k, v in series.values[kind].items()
            }

        self.held = {s: {k: v.numpy() for k, v in of_row("state", s).items()} for s in sites}
        self.inputs = {s: of_row("input", s) for s in sites}
        self.constants = {s: {k: v.numpy()[None] for k, v in of_row("constant", s).items()} for s in sites}

    def _rank(self, name: str) -> int:
        return next(len(a.axes) for a in self.of.graph.arguments if a.name == name)

    def step(self, t: int) -> dict[int, dict[str, np.ndarray]]:
        """Move every site on that is live, and give what is new."""
        for site, met in self.met.items():
            if met.get(t):
                self.held[site] = {k: v.numpy() for k, v in self.of.values["initial"].items()}
        before = dict(self.held)
        new = {site: self._site(t, site, before) for site, met in self.met.items() if t in met}
        self.held |= new
        return new

    def _site(self, t: int, site: int, before: dict[int, dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        values = {k: v[None] for k, v in before[site].items()} | self.weights | self.constants[site]
        values |= {k: v[t].numpy()[None] for k, v in self.inputs[site].items()}
        for n in self.of.graph.nodes:
            if isinstance(n.attr, Leaf) and n.leaf.offset:
                other = site + n.leaf.offset
                there = other in self.live and bool(self.live[other].any())
                values[key(n)] = before[other][n.leaf.name][None] if there else np.zeros(self.numpy.shape(n.type))
        return {k: np.array(v[0]) for k, v in self.numpy(self.of.graph, values).items()}


@pytest.mark.parametrize("lattice", [False, True], ids=["chain", "lattice"])
@pytest.mark.parametrize("seed", range(40))
def test_random_cells_in_time(seed: int, lattice: bool):
    series = Series(seed, lattice)
    got = series.through_scan(poison=True)
    values = {k: v for k, v in got.items() if not k.startswith("gradient")}
    assert differ(values, series.by_numpy()) == {}
    assert differ(got, series.through_scan(poison=False), within=0.0) == {}
