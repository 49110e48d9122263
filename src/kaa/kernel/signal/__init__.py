# SPDX-License-Identifier: Apache-2.0
"""Signals: sending (`send`), what a process does with them (`handlers`, `calls`), taking them on the way back to user
mode (`deliver`), stopping and continuing (`stop`), signalfd.

Locks: `group.signal_lock` (interrupts off: timers and the terminal send from interrupts) for the pending sets, the
handlers and the job-control state of a process. Order: `tree.lock`, then one `signal_lock`, then the run queue.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kaa.lang import inline

if TYPE_CHECKING:
    from kaa.kernel.process.task import Task


@inline
def has_pending(task: Task) -> bool:
    """Whether the task, the caller, has a signal to take (or must stop or die): an interruptible sleep ends."""
    return (task.work & 1) != 0
