"""What the training loop knows of a task. It knows nothing else."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class StepLoss:
    """The loss of one training batch: the mean over its items, in nats, as a scalar with a gradient.

    `items` is how many there are: characters, sentences, days. `carry` is handed to the next batch, detached.
    """

    loss: "Tensor"
    items: int
    carry: "Mapping[str, Tensor] | None" = None


@dataclass(frozen=True)
class Sample:
    """Something to read that the model produced."""

    title: str
    text: str


class Task(ABC):
    """Data, model, loss and metric of one kind of problem.

    The loop asks for a batch by its position in the epoch and for nothing before it, so a run can go on from
    any step. Whatever a task draws at random in `begin`, `evaluate` or `demonstrate` should come from
    generators of its own, seeded from its arguments; torch's default one is dropout's, and the loop's to keep.
    """

    name: ClassVar[str]
    unit: str = "items"  # what an item is, in the plural
    model: "nn.Module"

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Plain JSON: all that is needed to rebuild the model without the data (its plan, the vocabulary)."""

    @abstractmethod
    def cells(self) -> dict[str, str]:
        """The text of each cell's graph, by name."""

    @abstractmethod
    def chunks(self) -> int:
        """How many training batches an epoch has; the same in every epoch."""

    @abstractmethod
    def loss(self, index: int, carry: "Mapping[str, Tensor] | None") -> StepLoss:
        """The loss of training batch `index` of the epoch. `carry` is the one before's; None at the start."""

    @abstractmethod
    def evaluate(self, split: str) -> dict[str, float]:
        """Metrics on "validation" or "test": at least "loss", in nats an item. No such split: an empty dict.

        Called without gradients and with the model in its evaluation mode; so is `demonstrate`.
        """

    def demonstrate(self, step: int) -> Sequence[Sample]:
        """What the model produces after `step` steps, for people to read."""
        return ()

    def begin(self, epoch: int) -> None:  # noqa: B027
        """Called before the first batch that is asked for in `epoch` (0, 1, …): the place to shuffle."""

    def about(self) -> dict[str, Any]:
        """Plain JSON for the run's first event: the backend's explanation, what the data is."""
        return {}
