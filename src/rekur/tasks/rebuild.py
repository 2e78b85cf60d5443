"""From a checkpoint, which may come from a stranger, to its model."""

from __future__ import annotations

from pathlib import Path

import torch

from rekur.errors import CheckpointError
from rekur.graph import Cell
from rekur.nn import Plan, SequenceModel
from rekur.train import Checkpoint, RunFolder


def find_checkpoint(path: Path) -> Path:
    """A checkpoint as it is; of a run folder, the checkpoint of the best validation, or else the latest."""
    if (path / "meta.json").exists():
        return path
    folder = RunFolder.open(path)
    return folder.checkpoint("best" if (folder.checkpoints / "best").exists() else "latest")


def plan_of(saved: Checkpoint) -> Plan:
    """How the model of a checkpoint is wired; RekurError where it makes no sense."""
    cells = {name: Cell.from_text(text) for name, text in saved.cells.items()}
    return Plan.from_json(saved.meta["model"]["plan"], cells)


def rebuild_model(saved: Checkpoint) -> SequenceModel:
    """The model of a checkpoint's plan with its weights; RekurError or a RuntimeError where it makes no sense."""
    plan = plan_of(saved)
    if plan.num_layers > len(saved.weights):
        raise CheckpointError(f"it has {plan.num_layers} layers and {len(saved.weights)} weights")
    with torch.device("meta"):  # sizes that a stranger made up take no memory
        model = SequenceModel(plan)
    for name, parameter in model.state_dict().items():
        if saved.weights[name].dtype != parameter.dtype:
            raise CheckpointError(f"{name} is of {saved.weights[name].dtype}, not of {parameter.dtype}")
    model.load_state_dict(saved.weights, assign=True)
    return model.eval()
