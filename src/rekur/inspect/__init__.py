"""Look at a trained model: what is inside of it, and how its gradients flow. Arrays first, with named axes.

Names are imported when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

_HOME = {  # public name -> the module that it comes from
    "Batch": "moments",
    "Decay": "decay",
    "Flow": "flow",
    "Flows": "moments",
    "Moment": "moments",
    "gradient_flow": "flow",
    "recurrent_radii": "spectrum",
    "step_jacobian": "spectrum",
    "step_radii": "spectrum",
    "vanishing": "flow",
}
__all__ = list(_HOME)

if TYPE_CHECKING:
    from rekur.inspect.decay import Decay as Decay
    from rekur.inspect.flow import Flow as Flow
    from rekur.inspect.flow import gradient_flow as gradient_flow
    from rekur.inspect.flow import vanishing as vanishing
    from rekur.inspect.moments import Batch as Batch
    from rekur.inspect.moments import Flows as Flows
    from rekur.inspect.moments import Moment as Moment
    from rekur.inspect.spectrum import recurrent_radii as recurrent_radii
    from rekur.inspect.spectrum import step_jacobian as step_jacobian
    from rekur.inspect.spectrum import step_radii as step_radii


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'rekur.inspect' has no attribute {name!r}")
    return getattr(import_module(f"rekur.inspect.{_HOME[name]}"), name)
