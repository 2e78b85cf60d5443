"""Threads that enter compiled code together. Made when first needed, and anew after a fork."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from queue import SimpleQueue

Work = Callable[[int], None]


class _Worker:
    """A thread that waits for work. It is a daemon, so that the end of the process waits for none."""

    def __init__(self, name: str) -> None:
        self._work: SimpleQueue[tuple[Work, int]] = SimpleQueue()
        self._done: SimpleQueue[BaseException | None] = SimpleQueue()
        threading.Thread(target=self._serve, name=name, daemon=True).start()

    def _serve(self) -> None:
        while True:
            run, i = self._work.get()
            error = None
            try:
                run(i)
            except BaseException as e:  # noqa: BLE001 - it is the caller's
                error = e
            del run  # what it holds is the caller's alone
            self._done.put(error)

    def start(self, run: Work, i: int) -> None:
        self._work.put((run, i))

    def wait(self) -> None:
        if (error := self._done.get()) is not None:
            raise error


class _Workers:
    """A fork leaves the threads, and whoever held the lock, in the parent."""

    def __init__(self) -> None:
        self.stranded: list[Work] = []
        self.forget()
        os.register_at_fork(after_in_child=self.forget)

    def forget(self) -> None:
        self.lock = threading.Lock()
        self.threads: list[_Worker] = []

    def some(self, count: int) -> list[_Worker]:
        self.threads += [_Worker(f"rekur-{i}") for i in range(len(self.threads), count)]
        return self.threads[:count]


_workers = _Workers()


def together(count: int, run: Work) -> None:
    """``run(0) … run(count - 1)`` at the same time, one of them here; each may wait for the others.

    Calls from several threads take turns, so that nobody waits for a thread that waits itself.
    """
    if count == 1:
        run(0)
        return
    with _workers.lock:
        others = _workers.some(count - 1)
        try:
            for i, other in enumerate(others, 1):
                other.start(run, i)
            run(0)
            for other in others:
                other.wait()
        except BaseException:
            # A signal came in between. Threads may still be in there, or wait there for those that never come: what
            # they work on must stay, and others take their place.
            _workers.stranded.append(run)
            _workers.threads = []
            raise
