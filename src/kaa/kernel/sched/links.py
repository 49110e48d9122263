# SPDX-License-Identifier: Apache-2.0
"""References of the scheduler that are not counted, each with the reason why what it names is alive.

A run queue owns one reference to each task that it has (`Task.on_queue` is not ABSENT): `hold` takes it when a task
becomes runnable, `let_go` gives it up when the task has switched away for good. In between, being inserted, taken out,
made current or moved to another queue touches no count. Here and nowhere else in the room, so that whoever looks for a
dangling reference has one file to read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kaa.lang import Guarded, PerCpu, RcuHead, Relaxed, borrowed, inline, u32, u64
from kaa.lang.unsafe import Unowned, address_of, adopt, class_at, retain

if TYPE_CHECKING:
    from kaa.kernel.process.task import Task
    from kaa.kernel.sched.run_queue import RunQueue


class TreeNode(RcuHead):
    """Something in a Tree (tree.py); in one at a time, and only while its run queue holds the task that it is. (Tasks
    are looked up under RCU.)"""

    key: Guarded[u64, "RunQueue.lock"]
    vruntime: Guarded[u64, "RunQueue.lock"]
    """What the tree's owner chooses by: when it is due, and from when on it may run."""
    least: Guarded[u64, "RunQueue.lock"]
    """The least vruntime of the node and all below it."""
    rank: Guarded[u32, "RunQueue.lock"]
    left: Guarded[Unowned[TreeNode | None], "RunQueue.lock"] = None
    right: Guarded[Unowned[TreeNode | None], "RunQueue.lock"] = None
    up: Guarded[Unowned[TreeNode | None], "RunQueue.lock"] = None
    queue: Guarded[Relaxed[Unowned[RunQueue | None]], "RunQueue.lock"] = None
    """The run queue that the task is on, or was on last. Queues are for ever."""

    def __init__(self) -> None:
        super().__init__()
        self.key = 0
        self.vruntime = 0
        self.least = 0
        self.rank = 0


class TreeRoot:
    """The top of a Tree."""

    root: Guarded[Unowned[TreeNode | None], "RunQueue.lock"] = None


class QueueLinks:
    """The tasks of a run queue that are not in its trees."""

    current: Guarded[Unowned[Task | None], "RunQueue.lock"] = None
    """Who runs: held by the queue, as all who are on it."""
    previous: PerCpu[Unowned[Task | None]] = None
    """Whom the switch in progress leaves: held until finish_switch."""
    idle: Guarded[Unowned[Task | None], "RunQueue.lock"] = None
    """For ever."""


class SleeperLink:
    """Whom a timer wakes: the task that owns the timer, and stops it before it goes."""

    sleeper: Relaxed[Unowned[Task | None]] = None
    """Set once, before anybody else knows the task."""


def hold(task: Task) -> None:
    """The queue owns one reference from now on."""
    retain(task)


def let_go(task: Task) -> None:
    """The queue gives its reference up; `task` may be gone after."""
    from kaa.kernel.process.task import Task

    adopt(Task, address_of(task))


@inline
@borrowed
def as_task(node: TreeNode) -> Task:
    """A tree's member as what it is."""
    from kaa.kernel.process.task import Task

    return class_at(Task, address_of(node))


@inline
@borrowed
def queue_of(task: Task) -> RunQueue:
    """The run queue that a task belongs to just now; another's, maybe, as soon as its lock is not held."""
    from kaa.kernel.sched.run_queue import RunQueue

    queue = task.queue
    assert queue is not None
    return class_at(RunQueue, address_of(queue))


@inline
@borrowed
def idle_of(queue: QueueLinks) -> Task:
    """Who runs when nobody else wants to."""
    from kaa.kernel.process.task import Task

    idle = queue.idle
    assert idle is not None
    return class_at(Task, address_of(idle))


@inline
@borrowed
def previous_of(queue: QueueLinks) -> Task:
    """Whom the switch in progress leaves."""
    from kaa.kernel.process.task import Task

    previous = queue.previous
    assert previous is not None
    return class_at(Task, address_of(previous))
