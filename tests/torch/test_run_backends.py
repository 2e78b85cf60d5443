"""Which backend runs a cell, what it says of it, and kernels that travel: copies, pickles, forks, threads."""

from __future__ import annotations

import copy
import pickle
import threading

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from rekur.cells import Cell, affine, cell, find, gate, named, sigmoid, sum_over, tanh
from rekur.nn import Recurrent
from rekur.run import BACKENDS, Kernel, compile, scan
from tests.compare import differ, leaves, with_gradients
from tests.torch.one_by_one import CHAINS, FUSED, LIVE, Problem, lengths_only, one_by_one, through_scan


@pytest.mark.parametrize("name", CHAINS)
def test_who_runs_what(name: str):
    kernel = compile(find(name))
    runs = [b.name for b in kernel.backends]
    assert runs == [b for b in BACKENDS if b in runs]  # in their order, of which the reference is the last
    assert ("fused" in runs) is (name in (*FUSED, "irnn", "mogrifier:0"))
    assert runs[-1] == "reference"
    assert kernel.explain().startswith(f"{find(name).name} runs on {runs[0]} (")
    for other in set(BACKENDS) - set(runs):
        assert f"; not {other}: " in kernel.explain()


def test_a_kernel_explains_itself():
    assert (
        compile(find("lstm"), "reference").explain() == "lstm runs on reference (the author's graph in plain torch)"
    )
    assert compile(find("lstm"), "fused").explain() == "lstm runs on fused (it is torch's LSTM)"
    assert "or on fused for a call that cpu refuses" in compile(find("gru-after")).explain()
    assert "; not fused: it is not an LSTM, a GRU with the reset after" in compile(find("gru")).explain()
    assert Recurrent("lstm", 3, 4, 2, bidirectional=True).explain().startswith("2 × 2 directions of lstm runs on cpu")
    assert Recurrent("lstm", 3, 4, 3).explain().startswith("3 × lstm runs on cpu")


# ---- cells of one's own that are torch's ------------------------------------------------------------------------


@cell
def mine(features, memory, cell=0.5):
    """An LSTM by other names, the sums turned round, and a state that does not start from zero."""
    keep = named("keep", sigmoid(gate("inner", lambda v: v, memory, features)))
    new = gate("new", tanh, memory, features) * gate("write", sigmoid, features, memory)
    cell = new + cell * keep
    return tanh(cell) * gate("show", sigmoid, features, memory), cell


GATES = {"forget": "inner", "input": "write", "candidate": "new", "output": "show"}
READS = {"x": "features", "h": "memory", "bias": "bias"}
WEIGHTS = {f"{a}.{k}": f"{b}.{v}" for a, b in GATES.items() for k, v in READS.items()}


@pytest.mark.parametrize("reverse", [False, True])
def test_an_lstm_by_other_names(reverse: bool):
    lengths = (6, 0, 4, 1, 6, 3)
    p = lengths_only(Problem("lstm", LIVE, reverse=reverse), lengths)
    p.values["state"]["h"].fill_(0.0)  # what `mine` starts from
    p.values["state"]["c"].fill_(0.5)
    assert compile(mine, "fused").explain().startswith("mine runs on fused (it is torch's LSTM)")
    weights = leaves({b: p.values["weight"][a] for a, b in WEIGHTS.items()})
    x = leaves(p.values["input"])
    y, final, _, _ = scan(compile(mine, "fused"), weights, x["x"], lengths=lengths, reverse=reverse)
    names = {"output": "output", "final memory": "final h", "final cell": "final c"}
    cotangents = {k: p.cotangents[v] for k, v in names.items()}
    results = {"output": y, "final memory": final["memory"], "final cell": final["cell"]}
    got = with_gradients(results, cotangents, {"weight": weights, "input": x})
    names |= {f"gradient of weight {b}": f"gradient of weight {a}" for a, b in WEIGHTS.items()}
    names["gradient of input x"] = "gradient of input x"
    want = one_by_one(p)
    assert differ(got, {k: want[v] for k, v in names.items()}) == {}


@cell
def coupled(x, h, c):
    f = gate("forget", sigmoid, x, h)
    g = gate("candidate", tanh, x, h)
    o = gate("output", sigmoid, x, h)
    c = f * c + (1 - f) * g
    return o * tanh(c), c


@cell
def tied(x, h, c):
    f = gate("forget", sigmoid, x, h)
    g = gate("candidate", tanh, x, h)
    o = gate("output", sigmoid, x, h)
    c = f * c + o * g
    return o * tanh(c), c


@cell
def one_bias_less(x, h):
    return gate("hidden", tanh, x, h, bias=False)


@cell
def turned_round(x, h):
    r = gate("reset", sigmoid, x, h)
    z = gate("update", sigmoid, x, h)
    n = named("candidate", tanh(affine("of_x", x) + r * affine("of_h", h)))
    return (1 - z) * h + z * n


@cell
def cell_put_out(x, c, h):
    f = gate("forget", sigmoid, x, h)
    i = gate("input", sigmoid, x, h)
    g = gate("candidate", tanh, x, h)
    o = gate("output", sigmoid, x, h)
    c = f * c + i * g
    return c, o * tanh(c)


@cell
def another_activation(x, h):
    return gate("hidden", sigmoid, x, h)


ALMOST = [coupled, tied, one_bias_less, turned_round, cell_put_out, another_activation]


@pytest.mark.parametrize("almost", ALMOST, ids=lambda c: c.name)
def test_what_is_almost_torchs_is_not_taken_for_it(almost: Cell):
    assert "fused" not in [b.name for b in compile(almost).backends]


@cell
def observed(x, h):
    """torch's RNN with a name for something else besides."""
    named("energy", sum_over(h * h))
    return gate("hidden", tanh, x, h)


def test_a_value_besides_is_no_hindrance_until_it_is_asked_for():
    kernel = Kernel(observed.graph, tuple(BACKENDS[k](observed.graph) for k in ("fused", "reference")), {}, "auto")
    weights = {k: torch.ones([{"I": 2, "H": 3}[a] for a in p.axes]) for k, p in observed.graph.parameters.items()}
    x = torch.rand(1, 3, 2)
    one, other = scan(kernel, weights, x), scan(kernel, weights, x, outputs=("energy",))
    assert differ({"y": other.output}, {"y": one.output}, within=1e-6) == {}
    assert torch.allclose(other.outputs["energy"][:, 1:], one.output[:, :-1].square().sum(-1))


# ---- kernels that travel ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["auto", "reference", "fused"])
def test_copied_and_pickled(backend: str):
    kernel = compile(find("lstm"), backend)
    for again in (copy.copy(kernel), copy.deepcopy(kernel), pickle.loads(pickle.dumps(kernel))):
        assert isinstance(again, Kernel)
        assert again.asked == backend
        assert again.explain() == kernel.explain()
        assert again.graph.outputs == kernel.graph.outputs  # the same nodes: they are hash-consed


class Answers(Dataset[Tensor]):
    """What each backend gives, worked out where it is asked."""

    backends = ("auto", "reference")

    def __len__(self) -> int:
        return len(self.backends)

    def __getitem__(self, i: int) -> Tensor:
        lengths = (6, 0, 4, 1, 6, 3)
        p = lengths_only(Problem("lstm", LIVE), lengths)
        got = through_scan(p, self.backends[i], live=None, lengths=lengths)
        return torch.cat([got["output"].flatten(), got["gradient of weight forget.h"].flatten()])


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_in_the_worker_of_a_loader():
    """Which is a fork of a process that has run scans before."""
    answers = Answers()
    want = [answers[i] for i in range(len(answers))]
    loader = DataLoader(answers, batch_size=None, num_workers=1, multiprocessing_context="fork", timeout=60)
    assert all(torch.equal(a, b) for a, b in zip(loader, want, strict=True))


def test_from_several_threads():
    """One layer, used by all of them at once."""
    layer = Recurrent("mogrifier", 3, 4)
    x = torch.rand(5, 2, 6, 3)
    want = [layer(one)[0] for one in x]
    got: dict[int, Tensor] = {}

    def work(i: int) -> None:
        got[i] = layer(x[i])[0]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(got[i], want[i]) for i in range(5))
