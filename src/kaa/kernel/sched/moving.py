# SPDX-License-Identifier: Apache-2.0
"""Tasks on their way from one run queue to another.

A runnable task that is MOVING is in no tree and nobody's but the mover's; `Task.queue` names where it is going, and is
changed under the lock of the queue that it named before. The mover then takes the lock of that queue, and looks again
at what the task is allowed, for that may have changed in between. So no two run queues' locks are ever held at once.

A running task cannot be moved: its processor is asked to switch away from it (`Task.allowed` lacks that processor), and
finish_switch sends it off when nobody runs on its stack any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kaa.kernel.arch import machine
from kaa.kernel.sched import core, placement, seeded
from kaa.kernel.sched.run_queue import MOVING, QUEUED, RunQueue
from kaa.kernel.trace import sched_trace
from kaa.lang import noinline, u64

if TYPE_CHECKING:
    from kaa.kernel.process.task import Task


@noinline
def send(queue: RunQueue, task: Task, target: RunQueue) -> bool:
    """Take a runnable task that is in no tree to `target`; says whether it came to this processor's queue. Under the
    lock of `queue`, where it belongs; gives it back."""
    task.on_queue = MOVING
    task.migrations += 1
    while True:
        task.queue = target
        sched_trace.moved(task, target.number)
        queue.lock.release()
        queue = target
        queue.lock.acquire()
        if (placement.allowed(task) & queue.bit) != 0:
            break
        target = placement.choose(task, queue)
    return core.enter(queue, task)


@noinline
def send_off(queue: RunQueue, task: Task) -> bool:
    """Let a runnable task that is in no tree, and that nobody runs, run where that is best; says whether that is here.
    Under the lock of `queue`, where it belongs; gives it back."""
    target = placement.choose(task, queue) if queue.chance == 0 else seeded.place(task, queue)
    if target is queue:
        return core.enter(queue, task)
    return send(queue, task, target)


def set_allowed(task: Task, mask: u64) -> None:
    """Let a task run on the processors in `mask` only, at least one of which is active. Returns when it does."""
    flags = machine.irq.save()
    queue = core.lock_queue(task)
    task.allowed = mask
    if task.on_queue != QUEUED or (mask & queue.bit) != 0:
        queue.lock.release()
    elif queue.current is task:
        queue.lock.release()
        _ask_to_leave(queue, task)
    else:
        queue.take_away(task)
        send(queue, task, placement.choose(task, queue))
    machine.irq.restore(flags)
    _wait_until_allowed(task)


def _ask_to_leave(queue: RunQueue, task: Task) -> None:
    if task is machine.percpu.current():
        machine.percpu.set_need_resched()
    else:
        machine.smp.send_reschedule(queue.number)


def _wait_until_allowed(task: Task) -> None:
    """Until it does not run where it must not. (Its mask may be changed again meanwhile, which is as good.)"""
    while not _is_allowed(task):
        core.schedule()


def _is_allowed(task: Task) -> bool:
    flags = machine.irq.save()
    queue = core.lock_queue(task)
    fits = queue.current is not task or (placement.allowed(task) & queue.bit) != 0
    queue.lock.release()
    machine.irq.restore(flags)
    return fits
