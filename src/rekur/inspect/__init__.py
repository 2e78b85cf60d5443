"""Look at a model: what is inside it while it reads, and what it expects, as arrays with named axes.

Names are imported when they are first used: what one of them needs, the others do not wait for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

_HOME = {  # public name -> the module that it comes from
    "Batch": "moments",
    "Decay": "decay",
    "Flow": "flow",
    "Flows": "moments",
    "Looked": "gates",
    "Moment": "moments",
    "Prediction": "prediction",
    "Property": "properties",
    "Record": "record",
    "Told": "told",
    "Units": "units",
    "foresee": "prediction",
    "foreseen": "prediction",
    "gates_of": "gates",
    "gradient_flow": "flow",
    "look": "gates",
    "measure": "units",
    "observe": "record",
    "observed": "record",
    "recurrent_radii": "spectrum",
    "saturation": "gates",
    "states_of": "gates",
    "step_jacobian": "spectrum",
    "step_radii": "spectrum",
    "tell": "told",
    "vanishing": "flow",
}
__all__ = list(_HOME)

if TYPE_CHECKING:
    from rekur.inspect.decay import Decay as Decay
    from rekur.inspect.flow import Flow as Flow
    from rekur.inspect.flow import gradient_flow as gradient_flow
    from rekur.inspect.flow import vanishing as vanishing
    from rekur.inspect.gates import Looked as Looked
    from rekur.inspect.gates import gates_of as gates_of
    from rekur.inspect.gates import look as look
    from rekur.inspect.gates import saturation as saturation
    from rekur.inspect.gates import states_of as states_of
    from rekur.inspect.moments import Batch as Batch
    from rekur.inspect.moments import Flows as Flows
    from rekur.inspect.moments import Moment as Moment
    from rekur.inspect.prediction import Prediction as Prediction
    from rekur.inspect.prediction import foresee as foresee
    from rekur.inspect.prediction import foreseen as foreseen
    from rekur.inspect.properties import Property as Property
    from rekur.inspect.record import Record as Record
    from rekur.inspect.record import observe as observe
    from rekur.inspect.record import observed as observed
    from rekur.inspect.spectrum import recurrent_radii as recurrent_radii
    from rekur.inspect.spectrum import step_jacobian as step_jacobian
    from rekur.inspect.spectrum import step_radii as step_radii
    from rekur.inspect.told import Told as Told
    from rekur.inspect.told import tell as tell
    from rekur.inspect.units import Units as Units
    from rekur.inspect.units import measure as measure


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'rekur.inspect' has no attribute {name!r}")
    return getattr(import_module(f"rekur.inspect.{_HOME[name]}"), name)
