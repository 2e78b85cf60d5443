"""Look at a model: what is inside it while it reads, and what it expects, as arrays with named axes.

Names are imported when they are first used: what one of them needs, the others do not wait for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

_HOME = {  # public name -> the module that it comes from
    "Looked": "gates",
    "Property": "properties",
    "Record": "record",
    "Told": "told",
    "Units": "units",
    "gates_of": "gates",
    "look": "gates",
    "measure": "units",
    "observe": "record",
    "observed": "record",
    "saturation": "gates",
    "states_of": "gates",
    "tell": "told",
}
__all__ = list(_HOME)

if TYPE_CHECKING:
    from rekur.inspect.gates import Looked as Looked
    from rekur.inspect.gates import gates_of as gates_of
    from rekur.inspect.gates import look as look
    from rekur.inspect.gates import saturation as saturation
    from rekur.inspect.gates import states_of as states_of
    from rekur.inspect.properties import Property as Property
    from rekur.inspect.record import Record as Record
    from rekur.inspect.record import observe as observe
    from rekur.inspect.record import observed as observed
    from rekur.inspect.told import Told as Told
    from rekur.inspect.told import tell as tell
    from rekur.inspect.units import Units as Units
    from rekur.inspect.units import measure as measure


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'rekur.inspect' has no attribute {name!r}")
    return getattr(import_module(f"rekur.inspect.{_HOME[name]}"), name)
