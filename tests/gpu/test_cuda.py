"""On a CUDA device: every cell, torch's own kernels, and training, held to float64 on the CPU."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from rekur.cells import find, gru, highway, lstm
from rekur.data import Vocabulary
from rekur.graph import Cell
from rekur.nn import Plan, Recurrent, SequenceModel
from rekur.run.fused import Fused
from rekur.run.reference import Reference
from rekur.tasks import TextModel
from tests.compare import Named, differ, leaves, with_gradients, worse
from tests.torch.cpu_cases import Case, Make, results, run, wave
from tests.torch.one_by_one import CHAINS

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
SIZES = {"I": 5, "H": 17, "P": 3, "A": 4, "D": 6, "S": 3}


@pytest.fixture(autouse=True)
def exact_products() -> Iterator[None]:
    """TF32 keeps 10 bits of a product's operands."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = before


def on_device(case: Case, make: Make, dtype: torch.dtype) -> Named:
    """What a backend gives on the device, with all gradients, brought back."""
    of = {kind: leaves({k: v.to("cuda", dtype) for k, v in named.items()}) for kind, named in case.values.items()}
    found = run(case, of, make)
    ends = {"output": found.output, **{f"final {k}": v for k, v in found.state.items()}}
    return {k: v.cpu() for k, v in with_gradients(ends, {k: wave(v).cuda() for k, v in ends.items()}, of).items()}


@pytest.mark.parametrize("name", CHAINS)
def test_every_cell(name: str):
    for case in (
        Case(find(name).graph, SIZES, 3, 6, (6, 2, 4), resets=True),
        Case(find(name).graph, SIZES, 2, 5, reverse=True),
    ):
        got = on_device(case, Reference, torch.float64)
        want = results(case, Reference, torch.float64)
        assert differ(got, {k: v for k, v in want.items() if k in got}) == {}


@pytest.mark.parametrize("name", ["lstm", "gru", "elman"])
@pytest.mark.parametrize("lengths", [None, (6, 2, 4)])
def test_torchs_own_kernels(name: str, lengths: tuple[int, ...] | None):
    case = Case(find(name).graph, SIZES, 3, 6, lengths, reverse=lengths is not None)
    exact, rounded = (results(case, Reference, dtype) for dtype in (torch.float64, torch.float32))
    got = on_device(case, Fused, torch.float32)
    names = got.keys()
    assert worse(got, {k: rounded[k] for k in names}, {k: exact[k] for k in names}, 2e-5) == {}
    wrong = {**got, "output": got["output"] + 1e-2}
    assert [*worse(wrong, {k: rounded[k] for k in names}, {k: exact[k] for k in names}, 2e-5)] == ["output"]


def losses(device: str, cell: Cell) -> list[float]:
    """Of a few steps of training, all random numbers drawn on the CPU."""
    draw = torch.Generator().manual_seed(1)
    layer = Recurrent(cell, 8, 16, num_layers=2, bidirectional=True, generator=draw).to(device)
    head = nn.Linear(32, 3).to(device)
    with torch.no_grad():
        for p in head.parameters():
            p.copy_(0.1 * torch.randn(p.shape, generator=draw))
    x, target = torch.randn(4, 9, 8, generator=draw).to(device), torch.randint(3, (4,), generator=draw).to(device)
    optimizer = torch.optim.SGD([*layer.parameters(), *head.parameters()], lr=0.5)
    out = []
    for _ in range(5):
        y, _ = layer(x, lengths=torch.tensor([9, 4, 7, 1]))
        loss: Tensor = nn.functional.cross_entropy(head(y.mean(1)), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        out.append(loss.item())
    return out


@pytest.mark.parametrize("cell", [lstm, gru, highway], ids=str)
def test_training_goes_as_on_the_cpu(cell: Cell):
    on_cpu = losses("cpu", cell)
    assert losses("cuda", cell) == pytest.approx(on_cpu, rel=1e-4)
    assert on_cpu[-1] < on_cpu[0]


def test_a_text_model_writes_and_reads():
    vocabulary = Vocabulary.build("row, row, row your boat")
    size = len(vocabulary)
    plan = Plan(lstm, 4, 8, symbols=size, outputs=size, feedback=True)
    made = [SequenceModel(plan, generator=torch.Generator().manual_seed(3)) for _ in range(2)]
    here, there = TextModel(made[0], vocabulary), TextModel(made[1].cuda(), vocabulary)
    for temperature in (0.0, 0.8):
        texts = [m.sample("row", 20, temperature=temperature, generator=torch.Generator().manual_seed(5))
                 for m in (here, there)]  # fmt: skip
        assert texts[0] == texts[1]
    text = "row your boat, row"
    assert there.evaluate(text).loss == pytest.approx(here.evaluate(text).loss, rel=1e-4)
