"""The scan around a step: which steps are real, where a state starts anew, in both directions, for every cell.

Against a loop over one sequence at a time: values and all gradients in float64, NaN wherever nothing may be read.
"""

from __future__ import annotations

import pytest

from tests.compare import differ, silent
from tests.torch.one_by_one import CHAINS, LIVE, MEMORY, RESET, Problem, one_by_one, through_scan

BOTH = pytest.mark.parametrize("reverse", [False, True], ids=["forwards", "backwards"])
UNREAD = {"gradient of state context", "gradient of initial context"}
"""`attend` puts this state out and never reads it."""


@BOTH
@pytest.mark.parametrize("name", CHAINS)
def test_real_steps_and_boundaries(name: str, reverse: bool):
    problem = Problem(name, LIVE, RESET, reverse, MEMORY)
    want = one_by_one(problem)
    assert silent(want) <= UNREAD
    assert differ(through_scan(problem), want) == {}
