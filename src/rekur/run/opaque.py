"""A scan inside torch.compile: Dynamo does not look into it, what it does with tensors is traced by running it.

So the checks and the graph of a cell need not be Python that Dynamo understands, and are not guarded line by line.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from rekur.run.call import Scan
from rekur.run.state import State

Flat = tuple[Tensor, dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]


def opaque(function: Callable[[Mapping[str, Any]], Flat], **given: Any) -> Scan:
    """The scan that `function` gives in parts; Dynamo calls it as it is, with what of `given` is not None."""
    call = torch._dynamo.nonstrict_trace(function)
    y, state, outputs, record = call({k: _plain(v) for k, v in given.items() if v is not None})
    return Scan(y, State(state), outputs, record)


def flat(one: Scan) -> Flat:
    """The parts of a scan, as tracers pass them on."""
    return one.output, dict(one.state), one.outputs, one.record


def _plain(v: Any) -> Any:
    if isinstance(v, Mapping):
        return {k: _plain(v[k]) for k in v}
    if isinstance(v, Sequence) and not isinstance(v, str) and not (v and isinstance(v[0], str)):
        return torch.as_tensor(v)  # lengths: values, not a part of the structure
    return v
