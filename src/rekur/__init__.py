"""rekur: sequence modelling with recurrent networks. Write one step of a cell; rekur unfolds it.

A public name is imported when it is first used, so that `import rekur` is quick and loads no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from rekur.errors import suggest as _suggest

__version__ = "0.1.0"

_HOME = {  # public name -> the package that it comes from
    "RekurError": "rekur.errors",
    "Cell": "rekur.graph",
    "Graph": "rekur.graph",
    "Node": "rekur.graph",
    "affine": "rekur.graph",
    "cell": "rekur.graph",
    "gate": "rekur.graph",
    "named": "rekur.graph",
    "neighbour": "rekur.graph",
    "weight": "rekur.graph",
    "State": "rekur.run",
    "Kernel": "rekur.run",
    "compile": "rekur.run",
    "scan": "rekur.run",
    "Recurrent": "rekur.nn",
    "Plan": "rekur.nn",
    "Binding": "rekur.nn",
    "SequenceModel": "rekur.nn",
    "accelerate": "rekur.interop",
}
__all__ = list(_HOME)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})


if TYPE_CHECKING:  # the table again, for type checkers and editors; a test holds the two together
    from rekur.errors import RekurError as RekurError
    from rekur.graph import Cell as Cell
    from rekur.graph import Graph as Graph
    from rekur.graph import Node as Node
    from rekur.graph import affine as affine
    from rekur.graph import cell as cell
    from rekur.graph import gate as gate
    from rekur.graph import named as named
    from rekur.graph import neighbour as neighbour
    from rekur.graph import weight as weight
    from rekur.interop import accelerate as accelerate
    from rekur.nn import Binding as Binding
    from rekur.nn import Plan as Plan
    from rekur.nn import Recurrent as Recurrent
    from rekur.nn import SequenceModel as SequenceModel
    from rekur.run import Kernel as Kernel
    from rekur.run import State as State
    from rekur.run import compile as compile
    from rekur.run import scan as scan
else:

    def __getattr__(name):
        if name not in _HOME:
            raise AttributeError(f"module 'rekur' has no attribute {name!r}{_suggest(name, _HOME)}")
        value = globals()[name] = getattr(import_module(_HOME[name]), name)
        return value
