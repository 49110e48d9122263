# SPDX-License-Identifier: Apache-2.0
"""Completion: something that will have happened, and those who wait for that."""

from __future__ import annotations

from typing import Final

from kaa.kernel.locking.wait_queue import WaitQueue
from kaa.lang import Atomic


class Completion:
    """Done once and for ever. Whoever completes it keeps it alive meanwhile, as any object."""

    done: Atomic[bool]
    waiters: Final[WaitQueue]

    def __init__(self, name: str = "completion") -> None:
        self.done = Atomic(False)
        self.waiters = WaitQueue(name)

    def complete(self) -> None:
        """It has happened: everyone goes on. From anywhere."""
        self.done.store_release(True)
        self.waiters.wake_all()

    def is_done(self) -> bool:
        """Whether it has happened; then all that the completer did before can be seen."""
        return self.done.load_acquire()

    def wait(self) -> None:
        """Sleep until it has happened; signals do not disturb."""
        self.waiters.wait_until(lambda: self.done.load_acquire())
