# SPDX-License-Identifier: Apache-2.0
"""Scheduling: `core` (sleep, wake, switch), `run_queue` (who is next), `futex*`, `calls` (sched(7)'s system calls).

Added to docs/architecture.md: `core.preempt()` (what takes the processor away calls this, not `schedule()`: a task
that has marked itself as sleeping but not yet looked again must stay on the run queue), `core.set_state`,
`core.schedule_until`, `core.wake_if`, `core.finish_switch`, `core.idle_loop`.
"""

from __future__ import annotations
