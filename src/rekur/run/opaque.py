"""A scan inside torch.compile: Dynamo does not look into it, what it does with tensors is traced by running it.

So the checks and the graph of a cell need not be Python that Dynamo understands, and are not guarded line by line.
What such a call is given must be tensors and constants, side by side, and what it gives a list of tensors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from rekur.run.call import Scan
from rekur.run.state import State

Constants = tuple[tuple[str, str, Any], ...]
Names = tuple[tuple[str, str], ...]


def apart(given: Mapping[str, Any]) -> tuple[Constants, Names, list[Tensor]]:
    """Constants, tensors, and the kind and name of each; mappings one by one, and what is None left out."""
    constants: list[tuple[str, str, Any]] = []
    names: list[tuple[str, str]] = []
    tensors: list[Tensor] = []
    for kind, v in given.items():
        for name, one in v.items() if isinstance(v, Mapping) else (("", v),):
            if kind in ("lengths", "memory_lengths") and one is not None:
                one = torch.as_tensor(one)  # values, not a part of the structure
            if isinstance(one, Tensor):
                names.append((kind, name))
                tensors.append(one)
            elif one is not None:
                constants.append((kind, name, one))
    return tuple(constants), tuple(names), tensors


def together(constants: Constants, names: Names, tensors: Sequence[Tensor]) -> dict[str, Any]:
    """What `apart` was given, less what is None and empty mappings."""
    out: dict[str, Any] = {}
    named = [(kind, name, v) for (kind, name), v in zip(names, tensors, strict=True)]
    for kind, name, v in (*constants, *named):
        if name:
            out.setdefault(kind, {})[name] = v
        else:
            out[kind] = v
    return out


def flat(one: Scan) -> list[Tensor]:
    """The tensors of a scan as a list."""
    return [one.output, *one.state.values(), *one.outputs.values(), *one.record.values()]


def scan_of(found: Sequence[Tensor], states: Sequence[str], outputs: Sequence[str], record: Sequence[str]) -> Scan:
    """The scan whose tensors these are."""
    output, *rest = found
    groups = []
    for names in (states, outputs, record):
        keys = list(dict.fromkeys(names))
        groups.append(dict(zip(keys, rest, strict=False)))
        rest = rest[len(keys) :]
    return Scan(output, State(groups[0]), groups[1], groups[2])
