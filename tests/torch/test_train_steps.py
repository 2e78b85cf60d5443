"""The steps of a run against a plain loop over torch's own AdamW, which walks the weights one operation at a time."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from rekur.train import FitConfig, Quiet, RunFolder, fit, loop
from tests.torch.train_tiny import CHUNKS, CONFIG, Tiny

TOTAL = CONFIG.epochs * CHUNKS


def of_a_run(root: Path, config: FitConfig, monkeypatch: pytest.MonkeyPatch) -> tuple[list[float], list[float]]:
    """Each step's loss, and the norm of its gradient."""
    monkeypatch.setattr(loop, "LOG_EVERY", 1)
    folder = RunFolder.create(root, "run", {"task": "tiny"})
    fit(Tiny(), config, folder, Quiet())
    events = [event for event in folder.events() if event["kind"] == "train"]
    return [event["loss"] for event in events], [event["grad_norm"] for event in events]


def by_hand(config: FitConfig) -> list[float]:
    task = Tiny()
    matrices = [p for p in task.model.parameters() if p.ndim > 1]
    vectors = [p for p in task.model.parameters() if p.ndim == 1]
    groups = [{"params": matrices, "weight_decay": config.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, betas=config.betas, foreach=False, fused=False)
    losses: list[float] = []
    carry: dict[str, torch.Tensor] = {}
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        for step in range(TOTAL):
            epoch, index = divmod(step, CHUNKS)
            task.begin(epoch)
            for group in optimizer.param_groups:
                group["lr"] = config.rate(step, TOTAL)
            out = task.loss(index, carry if index else None)
            carry = {name: value.detach() for name, value in (out.carry or {}).items()}
            losses.append(out.loss.item())
            optimizer.zero_grad()
            out.loss.backward()
            gradients = [p.grad for p in task.model.parameters() if p.grad is not None]
            norm = torch.cat([gradient.flatten() for gradient in gradients]).norm().item()
            for gradient in gradients if config.clip else ():
                gradient *= min(1.0, config.clip / norm)
            optimizer.step()
    return losses


@pytest.mark.parametrize(("clip", "clipped"), [(0.1, TOTAL), (0.5, "some"), (2.0, 0), (0.0, TOTAL)])
def test_losses_are_those_of_a_plain_loop(
    clip: float, clipped: int | str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    config = replace(CONFIG, clip=clip)
    losses, norms = of_a_run(tmp_path, config, monkeypatch)
    above = sum(norm > clip for norm in norms)
    assert 0 < above < TOTAL if clipped == "some" else above == clipped
    assert losses == pytest.approx(by_hand(config), rel=1e-4)


def test_a_plain_loop_that_clips_otherwise_has_other_losses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    losses, _ = of_a_run(tmp_path, CONFIG, monkeypatch)
    assert losses != pytest.approx(by_hand(replace(CONFIG, clip=0.25)), rel=1e-2)
