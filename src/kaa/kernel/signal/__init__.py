# SPDX-License-Identifier: Apache-2.0
"""Signals: sending (`send`), what a process does with them (`handlers`, `calls`), taking them on the way back to user
mode (`deliver`), stopping and continuing (`stop`), signalfd.

Locks: `group.signal_lock` (interrupts off: timers and the terminal send from interrupts) for the pending sets, the
handlers and the job-control state of a process. Order: `tree.lock`, then one `signal_lock`, then the run queue.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kaa.lang import inline

if TYPE_CHECKING:
    from kaa.kernel.process.task import Task

KILL: Final = 1 << 8
"""SIGKILL's bit."""
DYING: Final = 16
"""process.task.DYING; written out because everyone imports this file."""


def must_die(task: Task) -> bool:
    """Whether the task, the caller, has been killed: a sleep in KILLABLE state ends."""
    if (task.work.load() & 1) == 0:
        return False
    group = task.group
    if (task.flags.load() & DYING) != 0 or group.group_exit.load_relaxed():
        return True
    return ((task.pending.mask | group.pending.mask) & KILL) != 0


@inline
def has_pending(task: Task) -> bool:
    """Whether the task, the caller, has a signal to take (or must stop or die): an interruptible sleep ends."""
    return (task.work.load() & 1) != 0
