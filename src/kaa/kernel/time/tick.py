# SPDX-License-Identifier: Apache-2.0
"""The timer interrupt: expired timers, then the scheduler's slice, then the next deadline.

There is no periodic tick. The scheduler asks for one (`timer.queue.set_tick`) while more than one task wants the
processor or a processor-time timer runs; otherwise only timers interrupt.
"""

from __future__ import annotations

from kaa.kernel.arch import machine
from kaa.kernel.sched import core
from kaa.kernel.time import timer


def interrupt() -> None:
    """What arch calls in the timer interrupt, with interrupts off."""
    now = machine.clock.monotonic_ns()
    timer.queue.run_expired(now)
    core.tick(now)
    timer.queue.interrupted()
