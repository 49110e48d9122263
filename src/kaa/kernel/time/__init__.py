# SPDX-License-Identifier: Apache-2.0
"""Time: the queue of timers on one hardware deadline (`timer`, `tick`), clocks, sleeping, and the timers of programs:
intervals (setitimer), POSIX timers, timerfd, and those that count processor time (`cpu_timer`).

The queue is guarded by interrupts being off. There is no periodic tick. Leap seconds are not known; no clock stops.

Added to docs/architecture.md: `timer.Timer` to subclass, `timer.arm`, `timer.cancel`.
"""

from __future__ import annotations
