"""Running cells: the time loop, its backends, and the state that goes in and comes out."""

from rekur.run.backends import BACKENDS, Kernel, compile
from rekur.run.call import Backend, Call, Scan
from rekur.run.evaluate import Context, evaluate
from rekur.run.scan import scan
from rekur.run.state import State

__all__ = ["BACKENDS", "Backend", "Call", "Context", "Kernel", "Scan", "State", "compile", "evaluate", "scan"]
