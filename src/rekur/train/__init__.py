"""Training: a loop that knows only `Task`, a folder that is the whole truth about a run, and its checkpoints.

Names are imported when they are first used: listing runs or showing help loads no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

_HOME = {  # public name -> the module that it comes from
    "Checkpoint": "checkpoint",
    "Display": "display",
    "FitConfig": "config",
    "Quiet": "display",
    "Result": "loop",
    "RunFolder": "folder",
    "RunRow": "runs",
    "Sample": "task",
    "StepLoss": "task",
    "Task": "task",
    "Table": "task",
    "Track": "task",
    "Tracks": "task",
    "fit": "loop",
    "list_runs": "runs",
    "load": "checkpoint",
    "open_display": "display",
}
__all__ = list(_HOME)

if TYPE_CHECKING:
    from rekur.train.checkpoint import Checkpoint as Checkpoint
    from rekur.train.checkpoint import load as load
    from rekur.train.config import FitConfig as FitConfig
    from rekur.train.display import Display as Display
    from rekur.train.display import Quiet as Quiet
    from rekur.train.display import open_display as open_display
    from rekur.train.folder import RunFolder as RunFolder
    from rekur.train.loop import Result as Result
    from rekur.train.loop import fit as fit
    from rekur.train.runs import RunRow as RunRow
    from rekur.train.runs import list_runs as list_runs
    from rekur.train.task import Sample as Sample
    from rekur.train.task import StepLoss as StepLoss
    from rekur.train.task import Table as Table
    from rekur.train.task import Task as Task
    from rekur.train.task import Track as Track
    from rekur.train.task import Tracks as Tracks


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'rekur.train' has no attribute {name!r}")
    return getattr(import_module(f"rekur.train.{_HOME[name]}"), name)
