"""What the command line and `resume` know of a task, besides what the loop knows."""

from typing import TYPE_CHECKING, Any, ClassVar

from rekur.graph import equations
from rekur.tasks.config import TaskConfig
from rekur.train import Task

if TYPE_CHECKING:
    from rekur.nn import Plan, SequenceModel

DIGEST = "text"
"""Where a task's description has the digest of its data; the name is that of the first checkpoints"""


class ConfiguredTask(Task):
    """A task that is made from a configuration, in a new run or in one that goes on."""

    config: TaskConfig
    plan: "Plan"
    model: "SequenceModel"
    source: str
    """What its data is called"""
    digest: str
    """Of the data that it read; empty where it makes its own"""
    material: ClassVar[str] = "data"

    def notes(self) -> list[str]:
        """What to say before training begins, a line each."""
        return []

    def cells(self) -> dict[str, str]:
        """The cell's text."""
        return {self.plan.cell.name: self.plan.cell.text}

    def about(self) -> dict[str, Any]:
        """How the cell runs, and its equations."""
        cell = self.plan.cell
        return {"backend": self.model.recurrent.explain(), "equations": {cell.name: equations(cell.graph)}}
