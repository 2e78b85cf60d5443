"""Models and weights that were not made with rekur."""

from rekur.interop.accelerate import Acceleration, Outcome, accelerate
from rekur.interop.keras import from_keras, to_keras
from rekur.interop.tensorflow1 import from_tf1, to_tf1

__all__ = ["Acceleration", "Outcome", "accelerate", "from_keras", "from_tf1", "to_keras", "to_tf1"]
