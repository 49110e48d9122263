# SPDX-License-Identifier: Apache-2.0
"""A processor's run queue: who wants to run, and who is next.

Real-time tasks (real_time.py) go before fair ones (fair.py). The running task is in neither tree. `lock` guards all of
it, and of each task whose `queue` this is: state becoming RUNNING, on_queue, queue, allowed, and all that is grouped
under "queue" in Task. It is held with interrupts off, and across the switch from one task to another: so whoever holds
it sees every task of the queue either running or completely switched away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kaa.kernel.abi.sched import Policy
from kaa.kernel.arch import machine
from kaa.kernel.sched import fair, weights
from kaa.kernel.sched.fair import FairQueue
from kaa.kernel.sched.links import QueueLinks, TreeNode, as_task
from kaa.kernel.sched.queue_lock import QueueLock
from kaa.kernel.sched.real_time import ROUND, RealTimeQueue, is_real_time
from kaa.kernel.sched.tree import before, following
from kaa.kernel.sched.weights import INVERSE_SHIFT, UNIT
from kaa.lang import (
    Atomic,
    Guarded,
    PerCpu,
    Relaxed,
    borrowed,
    cold,
    i64,
    inline,
    noinline,
    u32,
    u64,
    wrapping_add,
    wrapping_sub,
)

if TYPE_CHECKING:
    from kaa.kernel.process.task import Task
    from kaa.kernel.time.timer_queue import TimerQueue

WAKE_GRANULARITY: Final = 1_000_000
"""A woken task preempts only one whose request is due this much (virtual ns) later."""
LONGEST_STINT: Final = 1 << 32
"""Stints are weighted as if they were no longer, ns."""

# Task.on_queue
ABSENT: Final = 0
QUEUED: Final = 1
"""Waiting in a tree, or running."""
MOVING: Final = 2
"""On its way to the queue that Task.queue names: runnable, in no tree, touched by nobody but who moves it."""

# RunQueue.level
LEVEL_IDLE: Final = 0
LEVEL_FAIR: Final = 1
"""A real-time task's level is this and its priority."""


class RunQueue(QueueLinks):
    """The tasks that want one processor."""

    number: Final[u32]
    bit: Final[u64]
    lock: Final[QueueLock]
    fair: Final[FairQueue]
    real_time: Final[RealTimeQueue]
    timers: Final[TimerQueue]
    """The same processor's: its `tick` is the end of a slice."""
    waiting: Atomic[u32]
    """Tasks in the trees. Others look without the lock, and may be late."""
    level: Atomic[u32]
    """How important what runs is; to be looked at from anywhere."""
    called: Guarded[bool, "RunQueue.lock"]
    """A reschedule interrupt is on its way."""
    blocked: Guarded[Relaxed[i64], "RunQueue.lock"]
    """Tasks that sleep uninterruptibly, counted where they fell asleep and woke: only the sum over queues says."""
    switches: Guarded[Relaxed[u64], "RunQueue.lock"]
    idle_switches: Guarded[Relaxed[u64], "RunQueue.lock"]
    """Those of them to the idle task."""
    waited_ns: Guarded[Relaxed[u64], "RunQueue.lock"]
    """How long those who ran here had waited for it. Only grows, as do the next three."""
    yields: PerCpu[Relaxed[u64]]
    wakes: PerCpu[Relaxed[u64]]
    """Sleepers that this processor woke, and those of them that it put into its own queue."""
    own_wakes: PerCpu[Relaxed[u64]]
    chance: Guarded[Relaxed[u64], "RunQueue.lock"]
    """The state of the generator that varies schedules (seeded.py); 0: they do not vary."""
    running_weight: Guarded[Relaxed[u64], "RunQueue.lock"]
    before_ns: Guarded[Relaxed[u64], "RunQueue.lock"]
    """When the processor started."""
    balanced: PerCpu[u64]
    """When balance was last looked at."""
    system_ns: Guarded[Relaxed[u64], "RunQueue.lock"]
    """Time that was spent in the kernel, and in programs of low priority, by samples. Only grows."""
    nice_ns: Guarded[Relaxed[u64], "RunQueue.lock"]

    def __init__(self, number: u32, timers: TimerQueue) -> None:
        self.number = number
        self.bit = u64(1) << u64(number)
        self.lock = QueueLock("run queue")
        self.fair = FairQueue()
        self.real_time = RealTimeQueue()
        self.timers = timers
        self.waiting = Atomic(0)
        self.level = Atomic(0)
        self.called = False
        self.blocked = 0
        self.switches = 0
        self.idle_switches = 0
        self.waited_ns = 0
        self.yields = 0
        self.wakes = 0
        self.own_wakes = 0
        self.chance = 0
        self.running_weight = 0
        self.before_ns = 0
        self.balanced = 0
        self.system_ns = 0
        self.nice_ns = 0

    @inline
    def account(self, task: Task, now: u64) -> None:
        """Charge `task`, which is running, for its time since the last look."""
        stint = now - task.started if now > task.started else u64(0)
        task.started = now
        task.run_time += stint
        if task.weight == UNIT:
            task.vruntime = wrapping_add(task.vruntime, stint)
        else:
            weighted = (min(stint, LONGEST_STINT) * task.inverse_weight) >> INVERSE_SHIFT
            task.vruntime = wrapping_add(task.vruntime, weighted)
        if is_real_time(task):
            self.real_time.charge(stint, now)

    @inline
    def fair_running(self) -> Task | None:
        """The running task if it shares with the fair ones."""
        running = self.current
        if running is None or running is self.idle or is_real_time(running):
            return None
        return running

    def place(self, task: Task) -> None:
        """Say when a woken (or new, or moved) task is due. The running task was charged just before."""
        if is_real_time(task):
            self.real_time.queue_up(task)
        else:
            self.fair.place(task, self.fair_running())

    @inline
    def insert(self, task: Task) -> None:
        """Let a task that is due at some time wait."""
        if is_real_time(task):
            self.real_time.insert(task)
        else:
            self.fair.add(task)
        self.waiting.store_relaxed(self.waiting.load_relaxed() + 1)

    @inline
    def admit(self, task: Task, running: Task) -> None:
        """Place and insert a task, while `running` runs, which was just charged."""
        if (task.policy | running.policy) == Policy.SCHED_OTHER and running is not self.idle:
            self.fair.place_beside(task, running)
            self.fair.add(task)
            self.waiting.store_relaxed(self.waiting.load_relaxed() + 1)
        else:
            self._admit(task)

    @noinline
    def _admit(self, task: Task) -> None:
        self.place(task)
        self.insert(task)

    @inline
    def remove(self, task: Task) -> None:
        """Take a waiting task out."""
        if is_real_time(task):
            self.real_time.remove(task)
        else:
            self.fair.take(task)
        self.waiting.store_relaxed(self.waiting.load_relaxed() - 1)

    def put_back(self, task: Task) -> None:
        """The running task goes on wanting the processor: a used-up request is renewed."""
        self.renew(task)
        self.insert(task)

    @inline
    def renew(self, task: Task) -> None:
        """Ask anew if the request was served."""
        if is_real_time(task):
            self.real_time.renew(task)
        elif fair.is_served(task):
            fair.ask(task)

    def give_way(self, task: Task) -> None:
        """sched_yield(2): the running task, just charged, goes behind all who are due."""
        if is_real_time(task):
            self.real_time.queue_up(task)
        else:
            self.fair.give_way(task)

    def leave(self, task: Task) -> None:
        """The running task is to be elsewhere, or nowhere: note its lag."""
        if is_real_time(task):
            task.lag = 0
        else:
            self.fair.leave(task)

    def take_away(self, task: Task) -> None:
        """Take a waiting task out to put it elsewhere: note its lag."""
        if is_real_time(task):
            task.lag = 0
            self.remove(task)
        else:
            running = self.fair_running()
            lag = i64(wrapping_sub(self.fair.virtual_time(running), task.vruntime))
            self.remove(task)
            task.lag = fair.bounded_lag(task, lag)

    @inline
    @borrowed
    def take_next(self, now: u64) -> Task | None:
        """Take who is to run next out of the trees; None when nobody waits."""
        if self.waiting.load_relaxed() == 1:
            root = self.fair.root
            if root is not None:
                self.waiting.store_relaxed(0)
                return self.fair.take_lone(root)
        return self._take_next(now)

    @noinline
    @borrowed
    def _take_next(self, now: u64) -> Task | None:
        if not self.real_time.is_empty() and (self.fair.is_empty() or not self.real_time.is_throttled(now)):
            task = self.real_time.choose()
        elif self.chance != 0:
            task = _by_chance(self)
        else:
            task = self.fair.choose()
        if task is not None:
            self.remove(task)
        return task

    @inline
    def is_preempted_by(self, task: Task, running: Task) -> bool:
        """Whether a task that was just placed goes before the running one (not the idle task), which was just
        charged."""
        if (task.policy | running.policy) != Policy.SCHED_OTHER:
            return _is_more_important(task, running)
        return task.lag >= 0 and _is_due_before(task, running)

    def is_used_up(self, task: Task, now: u64) -> bool:
        """Whether the running task, just charged, has had its slice and another is to be chosen."""
        if not is_real_time(task):
            return fair.is_served(task) or (not self.real_time.is_empty() and not self.real_time.is_throttled(now))
        if not self.fair.is_empty() and self.real_time.is_throttled(now):
            return True
        return task.policy == Policy.SCHED_RR and now >= task.slice_end

    @inline
    def begin(self, task: Task, now: u64) -> None:
        """`task` runs from now on."""
        if task is self.idle:
            task.started = now
            self.level.store_relaxed(LEVEL_IDLE)
            self.running_weight = 0
            return
        if now > task.started:
            waited = now - task.started
            task.waited_ns += waited
            self.waited_ns += waited
            task.started = now
        if is_real_time(task):
            self._begin_real_time(task, now)
        else:
            self.level.store_relaxed(LEVEL_FAIR)
            self.running_weight = task.weight

    def _begin_real_time(self, task: Task, now: u64) -> None:
        self.level.store_relaxed(LEVEL_FAIR + task.rt_priority)
        self.running_weight = weights.HEAVIEST
        if task.slice_end <= now:
            task.slice_end = now + ROUND

    def burden(self) -> u64:
        """The sum of weights of all fair tasks. Others look without the lock."""
        return self.fair.load + self.running_weight

    @borrowed
    def first(self) -> TreeNode | None:
        """Some waiting task, the most important first."""
        found = self.real_time.first()
        return self.fair.first() if found is None else found

    @borrowed
    def after(self, node: TreeNode) -> TreeNode | None:
        """The next one."""
        found = following(node)
        return self.fair.first() if found is None and is_real_time(as_task(node)) else found

    def set_idle(self, task: Task) -> None:
        """Before the processor starts: it runs its idle task. The caller keeps that for ever."""
        task.finished()
        flags = machine.irq.save()
        self.lock.acquire()
        task.queue = self
        task.on_queue = QUEUED
        task.allowed = self.bit
        self.idle = task
        self.current = task
        self.lock.release()
        machine.irq.restore(flags)


@inline
def _is_due_before(task: Task, running: Task) -> bool:
    if fair.is_served(running):
        fair.ask(running)
    return before(wrapping_add(task.key, WAKE_GRANULARITY), running.key)


@noinline
def _is_more_important(task: Task, running: Task) -> bool:
    """One of the two is not of the ordinary policy."""
    if is_real_time(task) or is_real_time(running):
        return task.rt_priority > running.rt_priority
    if running.policy == Policy.SCHED_IDLE:
        return task.policy != Policy.SCHED_IDLE
    return task.policy == Policy.SCHED_OTHER and task.lag >= 0 and _is_due_before(task, running)


@cold
@borrowed
def _by_chance(queue: RunQueue) -> Task | None:
    from kaa.kernel.sched import seeded

    return seeded.choose(queue.fair, queue)
