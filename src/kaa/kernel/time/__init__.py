# SPDX-License-Identifier: Apache-2.0
"""Time: a queue of timers per processor, on its one hardware deadline (`timer`, `timer_queue`, `tick`), clocks,
sleeping, and the timers of programs: intervals (setitimer), POSIX timers, timerfd, and those that count processor time
(`cpu_timer`).

For other rooms: `timer.Timer` to subclass, `timer.arm`, `timer.cancel`, `timer.cancel_sync`. There is no periodic tick.
Leap seconds are not known; no clock stops. Locks: a process's calls (mutexes in `interval`, `posix_timer_calls`) → a
list of timers → a timer → signals, queues of timers.
"""

from __future__ import annotations

from kaa.kernel import arch as arch  # first: its modules and these know each other
