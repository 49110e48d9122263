# SPDX-License-Identifier: Apache-2.0
"""Scheduling on many processors.

`core`: sleep, wake, switch · `run_queue`: a processor's tasks, its lock, who is next · `fair` (EEVDF), `real_time`,
`tree`: the policies · `cpu`: what there is per processor · `placement`, `moving`, `balance`: where tasks run · `ticks`,
`idle`: the timer interrupt's part, and doing nothing · `policy`, `weights`, `calls`, `affinity_calls`,
`priority_calls`, `io_priority_calls`: what programs ask for (sched(7)) · `load`, `counts`: what is told of it ·
`seeded`: schedules that vary with a seed · `futex*`, `robust`: futexes · `kernel_thread`, `work_queue`.

Locks: a run queue's is held with interrupts off, and across the switch; no other lock is taken inside (moving takes one
after the other, never two). A queue of timers' is like it, and apart from it.

For other rooms: `core.set_state`, `schedule`, `schedule_until`, `wake`, `wake_if`, `kick`, `start`, `yield_now`,
`run_time`; `core.preempt()` is for what takes the processor away: a task that has marked itself as sleeping but not yet
looked again must stay on the run queue.
"""

from __future__ import annotations

from kaa.kernel import arch as arch  # first: its modules and these know each other
