# SPDX-License-Identifier: Apache-2.0
"""Who must know when the real-time clock is set: timerfd's TFD_TIMER_CANCEL_ON_SET.

Sleepers and timers for a real time wait for the monotonic time it had when they began; each looks at its own clock
when that comes, and waits on when the clock was set back. A clock set forward finds them late: by what was set, at
most.
"""

from __future__ import annotations

from typing import Final

from kaa.kernel.locking.wait_queue import WaitQueue
from kaa.lang import Atomic, u64


class ClockChanges:
    """How often the clock was set, and who wants to know."""

    count: Atomic[u64]
    waiters: Final[WaitQueue]

    def __init__(self) -> None:
        self.count = Atomic(0)
        self.waiters = WaitQueue("clock was set")


changes = ClockChanges()


def clock_was_set() -> None:
    """Called after the clock was set."""
    changes.count.fetch_add(1)
    changes.waiters.wake_all()
