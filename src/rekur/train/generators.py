"""The random generators that dropout draws from: borrowed for a run, and given back as they were."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch


def defaults(device: torch.device) -> dict[str, torch.Generator]:
    """The default generators, by name, that a model on `device` draws from."""
    found = {"torch": torch.default_generator}
    if device.type == "cuda":
        found["cuda"] = torch.cuda.default_generators[device.index]
    return found


@contextmanager
def borrowed(generators: Mapping[str, torch.Generator], seed: int) -> Iterator[None]:
    """Seed the generators for the while, and leave them as they were found."""
    found = {name: generator.get_state() for name, generator in generators.items()}
    for generator in generators.values():
        generator.manual_seed(seed)
    try:
        yield
    finally:
        for name, generator in generators.items():
            generator.set_state(found[name])
