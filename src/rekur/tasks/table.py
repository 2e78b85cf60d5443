"""The tasks, a row each: a new one is a file in this package and a row here. No torch until one is asked for."""

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

from rekur.errors import OptionError, suggest
from rekur.tasks.config import TaskConfig
from rekur.train.config import FitConfig

if TYPE_CHECKING:
    from rekur.tasks.base import ConfiguredTask


@dataclass(frozen=True)
class Row:
    """Where the parts of a task are, each as `module:name` in this package."""

    summary: str
    """What `rekur train NAME` does, in a sentence"""
    config: str
    """A `TaskConfig`, from a module that loads no torch"""
    task: str
    """A `ConfiguredTask`, made of (config, cache=, seed=, cell=)"""
    rebuild: str
    """Makes the trained model of a checkpoint"""
    training: FitConfig = field(default_factory=FitConfig)
    """How it is trained where nothing else is said"""

    def config_class(self) -> type[TaskConfig]:
        """The class of the task's options."""
        found: type[TaskConfig] = _import(self.config)
        return found

    def task_class(self) -> Callable[..., "ConfiguredTask"]:
        """The task's class."""
        found: Callable[..., ConfiguredTask] = _import(self.task)
        return found

    def rebuilder(self) -> Callable[..., Any]:
        """What makes the trained model of a checkpoint."""
        found: Callable[..., Any] = _import(self.rebuild)
        return found


def _import(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(import_module(f"rekur.tasks.{module}"), name)


_SUPERVISED = {"task": "supervised:Supervised", "rebuild": "predictor:rebuild"}

TASKS = {
    "charlm": Row(
        "a character model: a network that learns, symbol by symbol, to go on with a text",
        "config:CharLMConfig", "charlm:CharLM", "text_model:rebuild",
    ),
    "icecream": Row(
        "a small network to say, from the weather alone, whether a store has any ice cream left",
        "icecream:IceCreamConfig", **_SUPERVISED, training=FitConfig(epochs=60, lr=0.02, weight_decay=0.0),
    ),
    "classify": Row(
        "a classifier of texts or of series of numbers, from tables with labels",
        "classify:ClassifyConfig", **_SUPERVISED, training=FitConfig(epochs=8, patience=2),
    ),
    "tag": Row(
        "a tagger: for each word of a sentence its part of speech, or whether it is in a name",
        "tag:TagConfig", **_SUPERVISED, training=FitConfig(epochs=3, patience=2),
    ),
    "memory": Row(
        "a network to remember: the adding problem, the copy task, or digits read pixel by pixel",
        "memory:MemoryConfig", **_SUPERVISED,
        training=FitConfig(steps=4000, lr=0.01, warmup=100, decay="linear", weight_decay=0.0, eval_every=250),
    ),
}  # fmt: skip


def find(name: str) -> Row:
    """A task's row; OptionError with the nearest name where there is none."""
    if name not in TASKS:
        raise OptionError(f"there is no task {name!r}{suggest(name, TASKS)}; there are {', '.join(TASKS)}")
    return TASKS[name]
