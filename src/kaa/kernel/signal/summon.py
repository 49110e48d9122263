# SPDX-License-Identifier: Apache-2.0
"""Making a thread come by `deliver`, wherever it is: asleep, on its way to sleep, or in user mode on another processor.

The flag is raised first. Who is about to sleep marks itself and then looks at the flag; a processor on its way to user
mode looks with interrupts off, so that the interrupt that `core.kick` sends comes after. All atomic, so one of the two
always sees the other. Under the group's `signal_lock`, where the flag is also taken down (`send.recalculate`).
"""

from __future__ import annotations

from kaa.kernel.arch import machine
from kaa.kernel.process.task import INTERRUPTIBLE, RUNNING, WORK_SIGNAL, Task
from kaa.kernel.sched import core
from kaa.lang import u64


def summon(task: Task, states: u64) -> None:
    """Raise the task's flag, and end its sleep if it is in one of `states`."""
    task.work.fetch_or(WORK_SIGNAL)
    if task is machine.percpu.current() and task.state.load_relaxed() == RUNNING:
        return
    if not core.wake_if(task, states):
        core.kick(task)


def alert(task: Task) -> None:
    """There is a signal to take."""
    summon(task, u64(INTERRUPTIBLE))
