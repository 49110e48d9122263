# SPDX-License-Identifier: Apache-2.0
"""SCHED_FIFO and SCHED_RR (sched(7), POSIX "Scheduling Policies"): the highest priority runs, in each the first come.

A tree by (priority, turn) stands for the list of each priority: a task that is preempted keeps its turn and so is at
the head of its list, one that used up its round-robin slice, yielded or woke gets a new one and is at the tail.

Bandwidth: of each second, real-time tasks have at most 0.95 when others wait (sched(7), sched_rt_runtime_us); the rest
of the second is the others', so that a runaway real-time task can still be killed. Under the run queue's lock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kaa.kernel.abi.sched import Policy
from kaa.kernel.sched.links import as_task
from kaa.kernel.sched.tree import Tree
from kaa.lang import Guarded, borrowed, inline, u64

if TYPE_CHECKING:
    from kaa.kernel.process.task import Task

ROUND: Final = 100_000_000
"""ns a SCHED_RR task may run while others of its priority wait (sched_rr_get_interval(2))."""
PERIOD: Final = 1_000_000_000
RUNTIME: Final = 950_000_000
TURN_BITS: Final = 48


@inline
def is_real_time(task: Task) -> bool:
    """Whether the task is SCHED_FIFO or SCHED_RR."""
    return task.rt_priority != 0


class RealTimeQueue(Tree):
    """The real-time tasks that wait."""

    turn: Guarded[u64, "RunQueue.lock"]
    used: Guarded[u64, "RunQueue.lock"]
    """ns that real-time tasks had since `period_start`."""
    period_start: Guarded[u64, "RunQueue.lock"]

    def __init__(self) -> None:
        super().__init__()
        self.turn = 1 << (TURN_BITS - 1)
        self.used = 0
        self.period_start = 0

    def queue_up(self, task: Task) -> None:
        """To the tail of its priority's list."""
        self.turn += 1
        self._set_key(task, self.turn)

    def _set_key(self, task: Task, turn: u64) -> None:
        task.key = (u64(99 - task.rt_priority) << TURN_BITS) | (turn & ((1 << TURN_BITS) - 1))

    def renew(self, task: Task) -> None:
        """The running task goes on wanting the processor: a used-up round ends its turn."""
        if task.policy == Policy.SCHED_RR and task.started >= task.slice_end:
            task.slice_end = task.started + ROUND
            self.queue_up(task)

    def charge(self, stint: u64, now: u64) -> None:
        """A real-time task ran for `stint` until now."""
        if now - min(self.period_start, now) >= PERIOD:
            self.period_start = now
            self.used = 0
        self.used += stint

    def is_throttled(self, now: u64) -> bool:
        """Whether the rest of the period is the others'."""
        return self.used >= RUNTIME and now - min(self.period_start, now) < PERIOD

    @borrowed
    def choose(self) -> Task | None:
        """Who is to run next; stays in the tree."""
        node = self.first()
        return None if node is None else as_task(node)
