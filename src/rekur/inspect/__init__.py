"""Look at a model: what is inside it while it reads, as arrays with named axes.

Names are imported when they are first used: what one of them needs, the others do not wait for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

_HOME = {  # public name -> the module that it comes from
    "Property": "properties",
    "Units": "units",
    "measure": "units",
}
__all__ = list(_HOME)

if TYPE_CHECKING:
    from rekur.inspect.properties import Property as Property
    from rekur.inspect.units import Units as Units
    from rekur.inspect.units import measure as measure


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'rekur.inspect' has no attribute {name!r}")
    return getattr(import_module(f"rekur.inspect.{_HOME[name]}"), name)
