"""What the masks inside of a layer are: one a sequence or one a step, fair, and the same forever."""

from __future__ import annotations

import pytest
import torch

from rekur.nn import Recurrent
from rekur.nn.noise import Masks
from tests.torch.noise_by_hand import shows


@pytest.mark.parametrize(("option", "name"), [("input_dropout", "read"), ("recurrent_dropout", "seen")])
def test_one_mask_a_sequence_with_its_share(option: str, name: str):
    of = Recurrent(shows, 50, 50, 2, **{option: 0.25})  # type: ignore[arg-type]
    ones = {k: torch.ones(40, 50) for k in ("0.h", "1.h")}
    record = of.scan(torch.ones(40, 7, 50), ones, record=(name,)).record
    below, above = record[f"0.{name}"], record[f"1.{name}"]
    for seen in (below, above):
        assert torch.equal(seen, seen[:, :1].expand_as(seen))
        assert {round(v, 5) for v in seen.unique().tolist()} == {0.0, round(1 / 0.75, 5)}
        assert abs((seen[:, 0] == 0).float().mean().item() - 0.25) < 0.03
    rows, layers = below[:, 0] == 0, above[:, 0] == 0
    for one, other in ((rows[0], rows[1]), (rows[:, 0], rows[:, 1]), (rows, layers)):
        assert not torch.equal(one, other)


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.9, 0.999999])
def test_draws_are_fair_and_do_not_know_of_each_other(p: float):
    torch.manual_seed(0)
    masks = Masks.of(64, None, torch.device("cpu")).of_layer(0)
    kept = masks.kept("zoneout h", [100], p, 50).double()  # (64, 50, 100)
    assert abs(kept.mean().item() - (1 - p)) < 4 * (p * (1 - p) / kept.numel()) ** 0.5 + 1e-9
    if not 0.05 < p < 0.95:
        return
    other = masks.kept("zoneout c", [100], p, 50).double()
    above = Masks(*masks).of_layer(1).kept("zoneout h", [100], p, 50).double()
    pairs = {
        "rows": (kept[1:], kept[:-1]), "steps": (kept[:, 1:], kept[:, :-1]), "units": (kept[..., 1:], kept[..., :-1]),
        "far units": (kept[..., 64:], kept[..., :36]), "states": (kept, other), "layers": (kept, above),
        "diagonal": (kept[:, 1:, 1:], kept[:, :-1, :-1]),
    }  # fmt: skip
    for what, (a, b) in pairs.items():
        z = ((a - (1 - p)) * (b - (1 - p))).mean() / (p * (1 - p)) * a.numel() ** 0.5
        assert abs(z.item()) < 4.5, what
    same = ((kept - (1 - p)) * (kept - (1 - p))).mean() / (p * (1 - p))
    assert same.item() > 0.9  # what is alike is found


def hashed(v: int) -> int:
    """lowbias32, in Python's own whole numbers."""
    v ^= v >> 16
    v = v * 0x7FEB352D % 2**32
    v ^= v >> 15
    v = v * 0x846CA68B % 2**32
    return v ^ v >> 16


def keeps(key: int, layer: int, what: str, unit: int, p: float, step: int | None = None) -> bool:
    """Whether a unit is kept: written down, since a run that goes on with another version must find its masks."""
    key = hashed((key + (layer + 1) * 0x9E3779B9) % 2**32)
    named = sum(c * 31**i for i, c in enumerate(what.encode()))
    key = hashed((key + named * 0x9E3779B9) % 2**32)
    if step is not None:
        key = hashed(key ^ step)
    drawn = hashed(key ^ hashed((unit + 0x9E3779B9) % 2**32))
    signed = drawn - 2**32 if drawn >= 2**31 else drawn
    return signed + 2**31 >= p * 2**32


def test_masks_are_what_is_written_down():
    keys, starts = [1, 123456789, 2**31 - 2], [0, 7, 10**6]
    masks = Masks(torch.tensor(keys), torch.tensor(starts)).of_layer(1)
    for p in (0.2, 0.5):
        want = [[keeps(k, 1, "state h", u, p) for u in range(20)] for k in keys]
        assert masks.kept("state h", [4, 5], p).flatten(1).tolist() == want
        steps = [[[keeps(k, 1, "zoneout c", u, p, s + t) for u in range(6)] for t in range(3)]
                 for k, s in zip(keys, starts, strict=True)]  # fmt: skip
        assert masks.kept("zoneout c", [6], p, 3).tolist() == steps
    assert masks.kept("zoneout s", [], 0.5, 3).shape == (3, 3)


def test_weights_are_dropped_once_a_call_and_for_all_rows():
    of = Recurrent(shows, 50, 50, weight_drop=0.25)
    ones = {"0.h": torch.ones(4, 50)}
    seen = of.scan(torch.ones(4, 6, 50), ones, record=("seen",)).record["0.seen"]
    assert torch.equal(seen, seen[:1, :1].expand_as(seen))
    assert {round(v, 5) for v in seen.unique().tolist()} == {0.0, round(1 / 0.75, 5)}
    assert not torch.equal(of.scan(torch.ones(4, 6, 50), ones, record=("seen",)).record["0.seen"], seen)
