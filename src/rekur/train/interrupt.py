"""Ctrl-C, politely."""

import signal
import threading
from types import FrameType
from typing import Self


class Interrupt:
    """The first Ctrl-C asks: whoever works looks at `asked` between steps. A second one stops at once.

    Only the main thread gets signals; elsewhere, and where Ctrl-C is ignored, this does nothing.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before = signal.getsignal(signal.SIGINT)
        self._active = threading.current_thread() is threading.main_thread() and self._before != signal.SIG_IGN

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        signal.signal(signal.SIGINT, self._before)

    def __enter__(self) -> Self:
        if self._active:
            signal.signal(signal.SIGINT, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        if self._active:
            signal.signal(signal.SIGINT, self._before)
