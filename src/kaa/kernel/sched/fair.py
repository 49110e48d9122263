# SPDX-License-Identifier: Apache-2.0
"""Sharing a processor by weight: "Earliest Eligible Virtual Deadline First" (Stoica and Abdel-Wahab, 1995).

A task's virtual run time `vruntime` is its processor time over its weight (ns at nice 0). Where all would be had they
been served ideally is the mean of these, weighted: the queue's virtual time. A task whose vruntime is behind it is owed
time (positive lag) and *eligible*; it asks for slices, one at a time, and the slice is due one weighted slice after the
virtual time at which it was asked for. Of the eligible tasks, the one runs whose slice is due first. A shorter slice
(sched_setattr(2), sched_runtime) thus gives earlier turns, not more time.

Lag is kept while a task sleeps and made good when it is back (their strategy 1, sections 3 and 4), within bounds.

The mean is kept as a sum: `moment` is the sum of weight * (vruntime - origin) over the tree, `load` the sum of weights.
Both wrap, which sums that are undone exactly may. The running task is not in the tree; it counts when it is named.
Under the run queue's lock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kaa.kernel.sched.links import TreeNode, as_task
from kaa.kernel.sched.tree import Tree, before
from kaa.lang import Guarded, Relaxed, borrowed, i64, inline, noinline, u64, wrapping_add, wrapping_mul, wrapping_sub

if TYPE_CHECKING:
    from kaa.kernel.process.task import Task

SLICE: Final = 3_000_000
"""ns a task asks for at a time, unless it set another length."""
SHORTEST_SLICE: Final = 100_000
LONGEST_SLICE: Final = 100_000_000
LAG_SLICES: Final = 2
"""A sleeper's lag is kept up to this many of its slices."""
REBASE: Final = 1 << 32
"""The origin follows the virtual time when this far behind."""


class FairQueue(Tree):
    """The fair tasks that wait."""

    load: Guarded[Relaxed[u64], "RunQueue.lock"]
    """Others look without the lock (RunQueue.burden)."""
    moment: Guarded[i64, "RunQueue.lock"]
    origin: Guarded[u64, "RunQueue.lock"]

    def __init__(self) -> None:
        super().__init__()
        self.load = 0
        self.moment = 0
        self.origin = 0

    @inline
    def add(self, task: Task) -> None:
        """Put a task that has a key in."""
        if self.load == 0:
            self.origin = task.vruntime
        else:
            distance = i64(wrapping_sub(task.vruntime, self.origin))
            self.moment = wrapping_add(self.moment, wrapping_mul(distance, i64(task.weight)))
        self.load += task.weight
        self.insert(task)

    @inline
    def take(self, task: Task) -> None:
        """Take a waiting task out."""
        self.remove(task)
        self.load -= task.weight
        if self.load == 0:
            self.origin = task.vruntime
            self.moment = 0
        else:
            distance = i64(wrapping_sub(task.vruntime, self.origin))
            self.moment = wrapping_sub(self.moment, wrapping_mul(distance, i64(task.weight)))

    def virtual_time(self, running: Task | None) -> u64:
        """The weighted mean of all, with the task that runs; where it was last when there is nobody."""
        load, moment = self.load, self.moment
        if running is not None:
            if load == 0:
                return running.vruntime
            distance = i64(wrapping_sub(running.vruntime, self.origin))
            moment = wrapping_add(moment, wrapping_mul(distance, i64(running.weight)))
            load += running.weight
        elif load == 0:
            return self.origin
        shift = moment // i64(load)
        return wrapping_add(self.origin, u64(shift))

    @inline
    @borrowed
    def take_lone(self, root: TreeNode) -> Task:
        """Take the only one out."""
        task = as_task(root)
        self.origin = root.vruntime
        self.root = None
        self.load = 0
        self.moment = 0
        return task

    @borrowed
    def choose(self) -> Task | None:
        """Who is to run next, of those who wait; stays in the tree."""
        root = self.root
        if root is None:
            return None
        now = self.virtual_time(None)
        self._follow(now)
        node = self.first_eligible(now)
        return as_task(root if node is None else node)

    @inline
    def _follow(self, now: u64) -> None:
        """Move the origin, before distances grow beyond what their products have room for."""
        behind = wrapping_sub(now, self.origin)
        if behind > REBASE:
            self.moment = wrapping_sub(self.moment, wrapping_mul(i64(behind), i64(self.load)))
            self.origin = now

    @inline
    def place_beside(self, task: Task, running: Task) -> None:
        """Give a task that comes (back) its virtual time, so that it has the lag it left with, and a request."""
        if self.load == 0 and task.weight == running.weight:
            task.vruntime = wrapping_sub(running.vruntime, wrapping_mul(u64(task.lag), 2))
        else:
            self._place(task, running)
        ask(task)

    def place(self, task: Task, running: Task | None) -> None:
        """As `place_beside`, also when no fair task runs."""
        self._place(task, running)
        ask(task)

    @noinline
    def _place(self, task: Task, running: Task | None) -> None:
        now = self.virtual_time(running)
        lag = task.lag
        if lag != 0:
            load = self.load if running is None else self.load + running.weight
            if load != 0:
                # Its own coming moves the mean towards it: section 4, equation 20.
                lag += lag * i64(task.weight) // i64(load)
                now = wrapping_sub(now, u64(lag))
        task.vruntime = now

    def give_way(self, task: Task) -> None:
        """The running task forgoes what it is owed: it is not eligible until the others have caught up."""
        now = wrapping_add(self.virtual_time(task), 1)
        if before(task.vruntime, now):
            task.vruntime = now
        ask(task)

    @inline
    def leave(self, task: Task) -> None:
        """The running task stops wanting the processor: note what it is owed, or owes."""
        if self.load == 0:
            self.origin = task.vruntime
            task.lag = 0
        elif self.moment == 0 and self.load == task.weight:
            # One like it waits, most often: the mean is half-way to that.
            task.lag = bounded_lag(task, i64(wrapping_sub(self.origin, task.vruntime)) >> 1)
        else:
            task.lag = bounded_lag(task, self._lag(task))

    def _lag(self, running: Task) -> i64:
        """How far the running task is behind the mean of all."""
        weight = i64(running.weight)
        load = i64(self.load)
        distance = i64(wrapping_sub(running.vruntime, self.origin))
        return wrapping_sub(self.moment, wrapping_mul(load, distance)) // (load + weight)


@inline
def bounded_lag(task: Task, lag: i64) -> i64:
    """How far a task is behind the virtual time, within bounds."""
    most = i64(LAG_SLICES * task.virtual_slice)
    return max(-most, min(lag, most))


@inline
def ask(task: Task) -> None:
    """A new request for a slice."""
    task.key = wrapping_add(task.vruntime, task.virtual_slice)


@inline
def is_served(task: Task) -> bool:
    """Whether a task has had the slice that it asked for."""
    return not before(task.vruntime, task.key)


def unserved_ns(task: Task) -> u64:
    """ns of the slice that are left."""
    if is_served(task):
        return u64(0)
    return wrapping_sub(task.key, task.vruntime) * task.weight >> 10
