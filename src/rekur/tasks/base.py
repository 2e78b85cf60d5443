"""What the command line and `resume` know of a task, besides what the loop knows."""

from typing import ClassVar

from rekur.tasks.config import TaskConfig
from rekur.train import Task

DIGEST = "text"
"""Where a task's description has the digest of its data; the name is that of the first checkpoints"""


class ConfiguredTask(Task):
    """A task that is made from a configuration, in a new run or in one that goes on."""

    config: TaskConfig
    source: str
    """What its data is called"""
    digest: str
    """Of the data that it read; empty where it makes its own"""
    material: ClassVar[str] = "data"

    def notes(self) -> list[str]:
        """What to say before training begins, a line each."""
        return []
