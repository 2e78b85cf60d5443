"""What the training loop knows of a task. It knows nothing else."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from torch import Tensor, nn


Measure = Literal["nats", "squared error"]


@dataclass(frozen=True)
class StepLoss:
    """The loss of one training batch: the mean over its items, in the task's measure, a scalar with a gradient.

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


@dataclass(frozen=True)
class Track:
    """One thing about a sequence, by step: words `(T,)`, numbers `(T,)`, or `(T, n)` numbers from -1 to 1."""

    name: str
    values: Sequence[str] | Sequence[float] | Sequence[Sequence[float]]


@dataclass(frozen=True)
class Tracks:
    """A sequence and what the model makes of it, to be drawn one under the other with a common time."""

    title: str
    tracks: Sequence[Track]


@dataclass(frozen=True)
class Table:
    """Figures for people to read: the first column names the rows.

    A `shaded` table is one of counts, whose cells are the darker the greater their share of the row is.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str | int | float]]
    note: str = ""
    shaded: bool = False


class Task(ABC):
    """Data, model, loss and metric of one kind of problem.

    The loop asks for a batch by its position in the epoch and for nothing before it, so a run can go on from
    any step. Whatever a task draws at random in `begin`, `evaluate` or `demonstrate` should come from
    generators of its own, seeded from its arguments; torch's default one is dropout's, and the loop's to keep.
    """

    name: str
    unit: str = "items"  # what an item is, in the plural
    measure: Measure = "nats"  # what losses are in
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
        """Metrics on "validation" or "test": at least "loss", a mean over items. No such split: an empty dict.

        Called without gradients and with the model in its evaluation mode; so is `demonstrate`.
        """

    def demonstrate(self, step: int) -> Sequence[Sample]:
        """What the model produces after `step` steps, for people to read."""
        return ()

    def tracks(self) -> Sequence[Tracks]:
        """What the trained model does, step by step, for the report: asked once, at the end of a run."""
        return ()

    def tables(self) -> Sequence[Table]:
        """What the trained model gets right and wrong, for the report: asked once, at the end of a run."""
        return ()

    def begin(self, epoch: int) -> None:  # noqa: B027
        """Called before the first batch that is asked for in `epoch` (0, 1, …): the place to shuffle."""

    def about(self) -> dict[str, Any]:
        """Plain JSON for the run's first event: the backend's explanation, what the data is."""
        return {}
