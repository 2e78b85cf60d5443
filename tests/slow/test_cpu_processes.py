"""The compiled backend in several processes: forks, data-parallel training, and the end of a process."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, distributed
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset

from rekur.nn import Recurrent
from tests.compare import Named, differ

# Python's, of a fork after threads; and torch's, of its own code
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
UNITS = 160
"""Enough work for two threads"""


@pytest.fixture(params=[2])
def of_torch(request: pytest.FixtureRequest) -> Iterator[int]:
    """So many of torch's threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def layer() -> Recurrent:
    return Recurrent("gru", 8, UNITS, backend="cpu", generator=torch.Generator().manual_seed(1))


def inputs(rows: int = 20) -> Tensor:
    return torch.randn(rows, 30, 8, generator=torch.Generator().manual_seed(2))


def gradients(model: Any, x: Tensor) -> Named:
    model.zero_grad()
    y, _ = model(x)
    y.square().mean().backward()
    return {k.split("module.")[-1]: p.grad.clone() for k, p in model.named_parameters() if p.grad is not None}


def send(to: Any, work: Callable[[], Any]) -> None:
    to.send(work())


def in_a_fork(work: Callable[[], Any]) -> Any:
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    child = context.Process(target=send, args=(there, work))
    child.start()
    try:
        assert here.poll(60), "the child hangs"
        found = here.recv()
        child.join(60)
        assert child.exitcode == 0
    finally:
        child.kill()
    return found


@pytest.mark.parametrize("of_torch", [1], indirect=True)
def test_a_fork_has_threads_of_its_own(of_torch: int, monkeypatch: pytest.MonkeyPatch):
    """After the parent used its own, which are not in the child; and the parent goes on.

    Of torch's threads there is one, for with two its own sum of two tensors hangs in a fork.
    """
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    model, x = layer(), inputs()
    want = {k: v.tolist() for k, v in gradients(model, x).items()}
    for _ in range(2):
        assert in_a_fork(lambda: {k: v.tolist() for k, v in gradients(model, x).items()}) == want
        assert {k: v.tolist() for k, v in gradients(model, x).items()} == want


class Encoded(Dataset[Tensor]):
    """Items that a recurrent layer makes, as features of a frozen encoder are."""

    def __init__(self, model: Recurrent, x: Tensor) -> None:
        self.model, self.x = model, x

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, i: int) -> Tensor:
        with torch.no_grad():
            y: Tensor = self.model(self.x[i : i + 1])[0][0]
        return y


def test_workers_of_a_data_loader(of_torch: int):
    model, x = layer(), inputs()
    with torch.no_grad():
        want, _ = model(x)
    data = DataLoader(Encoded(model, x), batch_size=5, num_workers=2, multiprocessing_context="fork", timeout=60)
    assert torch.equal(torch.cat(list(data)), want)


def replica(rank: int, file: str, x: Tensor, to: Any) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=2)
    model = DistributedDataParallel(layer())
    for one in (model, torch.compile(model, backend="aot_eager")):
        to.send({k: v.tolist() for k, v in gradients(one, x[rank::2]).items()})
    distributed.destroy_process_group()


def test_gradients_in_two_processes_are_those_of_one(tmp_path: Path):
    x, context = inputs(), multiprocessing.get_context("spawn")
    pipes = [context.Pipe() for _ in range(2)]
    children = [
        context.Process(target=replica, args=(rank, str(tmp_path / "meet"), x, there))
        for rank, (_, there) in enumerate(pipes)
    ]
    for child in children:
        child.start()
    try:
        found = []
        for here, _ in pipes * 2:
            assert here.poll(120), "a process hangs or has failed"
            found.append({k: torch.tensor(v) for k, v in here.recv().items()})
        for child in children:
            child.join(60)
    finally:
        for child in children:
            child.kill()
    want = gradients(layer(), x)
    for one in found:  # compiled ones, too
        assert differ(one, found[0], 0.0) == {}
        assert differ(one, want, 1e-7) == {}
    assert differ(gradients(layer(), x[::2]), want, 1e-7) != {}  # one process alone has other ones


OPEN = """
import torch
from rekur.nn import Recurrent

torch.set_num_threads(2)
torch.set_grad_enabled(False)
layer = Recurrent("lstm", 300, 300, backend="cpu")
x, state = torch.zeros(1, 300), {"0.h": torch.zeros(1, 300), "0.c": torch.zeros(1, 300)}


def steps():
    with layer.prepared():
        while True:
            yield layer.step(x, state)


stream = steps()
next(stream)
print("left open")
"""


def test_a_process_ends_though_a_layer_is_prepared():
    """Threads that wait for the next step go with it."""
    done = subprocess.run([sys.executable, "-c", OPEN], capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout, done.returncode) == ("left open\n", 0), done.stderr
