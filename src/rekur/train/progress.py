"""Where a run stands, besides its tensors. Kept in every checkpoint. No torch in here."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, get_type_hints

from rekur.errors import CheckpointError


@dataclass
class Progress:
    """Counters of a run. The epoch and the place in it follow from `step`; losses are in nats an item."""

    step: int = 0
    seconds: float = 0.0  # of the whole run, without the time between being stopped and going on
    grad_norm: float | None = None  # of the step before, not yet clipped
    best_loss: float | None = None
    best_step: int | None = None
    stale: int = 0  # validations since the best one
    # since the last `train` event
    window_loss: float = 0.0  # the sum over items
    window_items: int = 0
    window_seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Plain JSON; floats come back bit for bit."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Any) -> "Progress":
        """What `to_json` returned. Anything else is a CheckpointError."""
        kinds = get_type_hints(cls)
        if (
            isinstance(data, Mapping)
            and data.keys() == kinds.keys()
            and all(isinstance(data[name], kind) for name, kind in kinds.items())
            and data["step"] >= 0
        ):
            return cls(**data)
        raise CheckpointError("the checkpoint does not say where its run stands; it cannot be gone on from")

    def record(self, loss: float, items: int, seconds: float) -> None:
        """Count one more step."""
        self.step += 1
        self.window_loss += loss * items
        self.window_items += items
        self.window_seconds += seconds

    def close_window(self) -> tuple[float, float]:
        """(mean loss, items a second) since the last call."""
        loss = self.window_loss / max(1, self.window_items)
        rate = self.window_items / max(1e-9, self.window_seconds)
        self.window_loss, self.window_items, self.window_seconds = 0.0, 0, 0.0
        return loss, rate

    def judge(self, loss: float) -> bool:
        """Whether a validation loss is the best so far; it is counted either way."""
        best = self.best_loss is None or loss < self.best_loss
        if best:
            self.best_loss, self.best_step, self.stale = float(loss), self.step, 0
        else:
            self.stale += 1
        return best
