# SPDX-License-Identifier: Apache-2.0
"""The timer interrupt: expired timers, then the scheduler's slice, then the next deadline.

There is no periodic tick: the scheduler asks for what it needs (sched/ticks.py), and otherwise only timers interrupt.
"""

from __future__ import annotations

from kaa.kernel.arch import machine
from kaa.kernel.sched import ticks


def interrupt() -> None:
    """What arch calls in the timer interrupt, with interrupts off."""
    now = machine.clock.monotonic_ns()
    timers = machine.percpu.here().timers
    timers.run_expired(now)
    ticks.tick(now)
    timers.interrupted()
