"""Models that were not made with rekur."""

from rekur.interop.accelerate import Acceleration, Outcome, accelerate

__all__ = ["Acceleration", "Outcome", "accelerate"]
