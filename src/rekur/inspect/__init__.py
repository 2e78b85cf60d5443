"""Look at a model: what is inside it while it reads, as arrays with named axes.

Names are imported when they are first used: what one of them needs, the others do not wait for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

_HOME = {  # public name -> the module that it comes from
    "Looked": "gates",
    "Record": "record",
    "Told": "told",
    "gates_of": "gates",
    "look": "gates",
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
    from rekur.inspect.record import Record as Record
    from rekur.inspect.record import observe as observe
    from rekur.inspect.record import observed as observed
    from rekur.inspect.told import Told as Told
    from rekur.inspect.told import tell as tell


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'rekur.inspect' has no attribute {name!r}")
    return getattr(import_module(f"rekur.inspect.{_HOME[name]}"), name)
