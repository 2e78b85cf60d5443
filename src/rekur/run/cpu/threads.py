"""Threads that enter compiled code together. Made when first needed, and anew after a fork."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


class _Workers:
    """Threads that wait for work. A fork leaves them, and whoever held the lock, in the parent."""

    def __init__(self) -> None:
        self.forget()
        os.register_at_fork(after_in_child=self.forget)

    def forget(self) -> None:
        self.lock = threading.Lock()
        self.pool: ThreadPoolExecutor | None = None
        self.count = 0

    def at_least(self, count: int) -> ThreadPoolExecutor:
        if self.pool is None or self.count < count:
            self.pool, self.count = ThreadPoolExecutor(count, thread_name_prefix="rekur"), count
        return self.pool


_workers = _Workers()


def together(count: int, run: Callable[[int], None]) -> None:
    """``run(0) … run(count - 1)`` at the same time, one of them here; each may wait for the others.

    Calls from several threads take turns, so that nobody waits for a thread that waits itself.
    """
    if count == 1:
        run(0)
        return
    with _workers.lock:
        pool = _workers.at_least(count - 1)
        others = [pool.submit(run, i) for i in range(1, count)]
        run(0)
        for other in others:
            other.result()
