# SPDX-License-Identifier: Apache-2.0
"""The lock of a run queue, and of a queue of timers: mutual exclusion for those who have switched interrupts off.

A run queue's lock is held across the switch from one task to the next, which therefore inherits it: there is no place
to keep interrupt flags, and nothing to say about preemption, which cannot happen with interrupts off.
"""

from __future__ import annotations

from kaa.kernel.locking import record
from kaa.kernel.locking.spin_word import SpinWord
from kaa.lang import acquires, inline, lock, releases


@lock
class QueueLock(SpinWord):
    """Taken by hand; interrupts are off from before `acquire` until after `release`."""

    def __init__(self, name: str = "queue lock") -> None:
        super().__init__()
        record.named(self, name)

    @acquires("spin")
    @inline
    def acquire(self) -> None:
        """Take the lock; spins while another processor has it."""
        if not self.try_take_word():
            self.wait_for_word()
        record.acquired(self)

    @releases
    @inline
    def release(self) -> None:
        """Give the lock back."""
        record.releasing(self)
        self.give_word()
