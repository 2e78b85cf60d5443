"""AdamW over a model, with its state as tensors named after the parameters."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from rekur.errors import CheckpointError
from rekur.train.config import FitConfig

_PARTS = ("step", "exp_avg", "exp_avg_sq")


def adamw(model: nn.Module, config: FitConfig) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter, 2019) in which only matrices decay, not biases or other vectors."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, fused=True)


def tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's state: `layer.weight.exp_avg` and so on."""
    return {
        f"{name}.{part}": value
        for name, parameter in model.named_parameters()
        for part, value in optimizer.state.get(parameter, {}).items()
    }


def restore(model: nn.Module, optimizer: torch.optim.Optimizer, state: Mapping[str, Tensor]) -> None:
    """Put back what `tensors` returned. Names or shapes that do not fit are a CheckpointError."""
    rest = dict(state)
    for name, parameter in model.named_parameters():
        parts = {part: rest.pop(f"{name}.{part}") for part in _PARTS if f"{name}.{part}" in rest}
        if not parts:
            continue  # it had no gradient yet
        shapes = [tuple(value.shape) for value in parts.values()]
        if shapes != [(), tuple(parameter.shape), tuple(parameter.shape)]:
            raise CheckpointError(
                f"the optimiser's state of {name!r} has shapes {shapes}, its parameter {tuple(parameter.shape)}"
            )
        optimizer.state[parameter] = {part: value.to(parameter.device) for part, value in parts.items()}
    if rest:
        raise CheckpointError(f"the optimiser's state {min(rest)!r} belongs to no parameter of the model")
