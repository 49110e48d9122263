# SPDX-License-Identifier: Apache-2.0
"""A processor's run queue: who wants to run, and who is next.

Fair tasks share by virtual deadline, after "Earliest Eligible Virtual Deadline First" (Stoica and Abdel-Wahab, 1995): a
task's virtual run time is its processor time over its weight; a request for a slice is due one weighted slice after the
virtual time at which it was made; who is due first runs. Sleepers come back at the queue's virtual time, less a small
credit, so that they neither save up time nor lose their turn.

Real-time tasks (SCHED_FIFO, SCHED_RR) are in the same heap with keys below all fair ones: priority, then order of
arrival.

The running task is not in the heap. All is guarded by interrupts being off on the queue's processor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kaa.kernel.abi.sched import Policy
from kaa.kernel.sched.heap import Heap, HeapNode
from kaa.kernel.sched.weights import INVERSE_SHIFT, UNIT
from kaa.lang import inline, u32, u64

if TYPE_CHECKING:
    from kaa.kernel.process.task import Task

SLICE: Final = 3_000_000
"""ns a task may run while others wait."""
REAL_TIME_SLICE: Final = 100_000_000
"""ns a SCHED_RR task may run while others of its priority wait (sched_rr_get_interval(2))."""
WAKE_GRANULARITY: Final = 1_000_000
"""A woken task preempts only one whose request is due this much (virtual ns) later."""
SLEEPER_CREDIT: Final = SLICE
LONGEST_STINT: Final = 1 << 32
"""Stints are weighted as if they were no longer, ns."""

FAIR: Final = 1 << 62
"""Keys from here on are virtual deadlines."""
SEQUENCE_BITS: Final = 48


class RunQueue:
    """The tasks that want one processor."""

    heap: Heap
    # Tasks in the heap.
    waiting: u32
    current: Task | None
    # Whom the switch in progress leaves; kept alive until nobody runs on its stack.
    previous: Task | None
    idle: Task | None
    virtual_time: u64
    sequence: u64
    switches: u64

    def __init__(self) -> None:
        self.heap = Heap()
        self.waiting = 0
        self.current = None
        self.previous = None
        self.idle = None
        self.virtual_time = 0
        self.sequence = 0
        self.switches = 0

    def account(self, task: Task, now: u64) -> None:
        """Charge `task`, which is running, for its time since the last look."""
        stint = now - task.started if now > task.started else u64(0)
        task.started = now
        task.run_time += stint
        if task.weight == UNIT:
            task.vruntime += stint
        else:
            task.vruntime += (min(stint, LONGEST_STINT) * task.inverse_weight) >> INVERSE_SHIFT
        self._advance(task.vruntime)

    @inline
    def _advance(self, virtual: u64) -> None:
        if virtual > self.virtual_time and self.heap.root is None:
            self.virtual_time = virtual

    def request(self, task: Task) -> None:
        """A new request for a slice: sets the key."""
        if is_real_time(task):
            self.sequence += 1
            task.key = (u64(99 - task.rt_priority) << SEQUENCE_BITS) | (self.sequence & ((1 << SEQUENCE_BITS) - 1))
        else:
            task.key = FAIR + task.vruntime + weighted_slice(task)

    def place_woken(self, task: Task) -> None:
        """Set a woken (or new) task's virtual time and request."""
        floor = self.virtual_time - SLEEPER_CREDIT if self.virtual_time > SLEEPER_CREDIT else u64(0)
        task.vruntime = max(task.vruntime, floor)
        self.request(task)

    @inline
    def insert(self, task: Task) -> None:
        """Put a task that has a key into the heap."""
        self.heap.insert(task)
        self.waiting += 1

    def put_back(self, task: Task) -> None:
        """The running task goes on wanting the processor: a used-up request is renewed."""
        if is_real_time(task):
            if task.policy == Policy.SCHED_RR and task.started >= task.slice_end:
                self.request(task)
        elif FAIR + task.vruntime >= task.key:
            self.request(task)
        self.insert(task)

    def take_next(self) -> Task | None:
        """Take the task that is due first out of the heap; None when nobody waits."""
        root = self.heap.root
        if root is None:
            return None
        self.heap.remove(root)
        self.waiting -= 1
        task = as_task(root)
        if not is_real_time(task) and task.vruntime > self.virtual_time:
            self.virtual_time = task.vruntime
        return task

    def remove(self, task: Task) -> None:
        """Take a waiting task out."""
        self.heap.remove(task)
        self.waiting -= 1


def as_task(node: HeapNode) -> Task:
    """The heap's member as what it is."""
    from kaa.kernel.process.task import Task

    assert isinstance(node, Task)
    return node


def is_real_time(task: Task) -> bool:
    """Whether the task is SCHED_FIFO or SCHED_RR."""
    return task.rt_priority != 0


def weighted_slice(task: Task) -> u64:
    """One slice in the task's virtual time."""
    if task.weight == UNIT:
        return u64(SLICE)
    return (SLICE * task.inverse_weight) >> INVERSE_SHIFT
