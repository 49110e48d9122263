# SPDX-License-Identifier: Apache-2.0
"""Who runs: sleeping, waking, switching.

A task goes to sleep in three steps: it marks itself (`set_state`), it looks once more at what it waits for, and it
calls `schedule`. A waker changes the thing first and calls `wake` after. Whoever comes late meets the other: the mark
is a full barrier on the one side, taking the run queue's lock on the other, and `wake` of a task that has not yet
switched away just marks it running again.

`schedule` is what a task calls of its own will: a task marked as sleeping leaves the run queue. `preempt` is for
those who take the processor away (end of an interrupt, `preempt_enable`): the task stays on the run queue whatever
its mark, so that one which is between marking itself and looking again is not lost.

A task belongs to one run queue at a time, also while it sleeps: `Task.queue`, which changes only under that queue's
lock. The lock is taken with interrupts off, and held across `machine.context.switch`; the task that goes on gives it
back (`finish_switch`). So a waker that has the lock knows that a task which is not on the queue is off its stack, and
may let it run anywhere. One that must run elsewhere is MOVING meanwhile (moving.py). The frames below a switch hold no
counted reference: a dying task never comes back to give it up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from kaa.kernel.arch import machine
from kaa.kernel.arch.sums import STARTED
from kaa.kernel.sched import cpu, links, moving, placement, seeded
from kaa.kernel.sched.fair import SLICE
from kaa.kernel.sched.run_queue import ABSENT, MOVING, QUEUED, RunQueue
from kaa.kernel.time import timer
from kaa.kernel.trace import sched_trace
from kaa.lang import Bytes, borrowed, cold, inline, may_sleep, u64

if TYPE_CHECKING:
    from kaa.kernel.process.task import Task

RUNNING: Final = 0
INTERRUPTIBLE: Final = 1
UNINTERRUPTIBLE: Final = 2
STOPPED: Final = 4
KILLABLE: Final = 8
DEAD: Final = 64
SLEEPING: Final = 11
"""What `wake` ends. A stopped task waits for SIGCONT."""
BLOCKED: Final = 10
"""Counted in the load average as if it ran, if it is a program's."""

KERNEL_THREAD: Final = 1
"""process.task's."""
WORK_RSEQ: Final = 16
"""process.task's: the task has to hear where it runs (rseq(2))."""

LONE_TICK: Final = 8_000_000
"""ns between ticks while nobody else wants the processor: they sample what the time is spent on, and see who has come
meanwhile."""


@inline
def set_state(task: Task, state: u64) -> None:
    """Mark the caller as about to sleep (or as running after all). A full barrier."""
    task.state.store(state)


@may_sleep
def schedule() -> None:
    """Let the next task run; returns when the caller runs again. At once if it is still marked running and alone."""
    flags = machine.irq.save()
    _switch(False)
    machine.irq.restore(flags)


def preempt() -> None:
    """Take the processor from the current task, which stays runnable. Nothing happens while preemption is off."""
    if machine.percpu.preempt_count() != 0:
        return
    flags = machine.irq.save()
    _switch(True)
    machine.irq.restore(flags)


def schedule_until(deadline_ns: u64) -> None:
    """As `schedule` of a task marked as sleeping, but it is woken at a monotonic time at the latest."""
    alarm = machine.percpu.current().timer
    timer.arm(alarm, deadline_ns)
    schedule()
    timer.cancel_sync(alarm)


@may_sleep
def yield_now() -> None:
    """sched_yield(2): the caller gives up what it is owed, so that everyone else who is due goes first."""
    flags = machine.irq.save()
    queue = machine.percpu.here().run_queue
    queue.yields += 1
    if queue.waiting.load_relaxed() != 0:
        queue.lock.acquire()
        task = machine.percpu.current()
        queue.account(task, machine.clock.monotonic_ns())
        queue.give_way(task)
        queue.lock.release()
        _switch(True)
    machine.irq.restore(flags)


def _switch(preempted: bool) -> None:
    previous = machine.percpu.current()
    queue = machine.percpu.here().run_queue
    queue.lock.acquire()
    if _choose(queue, previous, preempted):
        machine.context.switch(previous, machine.percpu.current())
        finish_switch()
    else:
        queue.lock.release()


def _choose(queue: RunQueue, previous: Task, preempted: bool) -> bool:
    """Make the next task the current one; False if that is the one that runs already."""
    machine.percpu.clear_need_resched()
    queue.called = False
    now = machine.clock.monotonic_ns()
    queue.account(previous, now)
    if previous is queue.idle:
        if queue.waiting.load_relaxed() == 0:
            return False
    elif preempted or previous.state.load_relaxed() == RUNNING:
        if (previous.allowed & queue.bit) == 0:
            queue.leave(previous)
            previous.on_queue = MOVING
        elif queue.waiting.load_relaxed() == 0:
            queue.renew(previous)
            queue.timers.tick_by(now, LONE_TICK)
            return False
        else:
            queue.put_back(previous)
        previous.involuntary_switches += 1
        if previous.rseq_area != 0:
            previous.work.fetch_or(WORK_RSEQ)
    else:
        _fall_asleep(queue, previous)
    return _make_current(queue, previous, now)


@inline
def _fall_asleep(queue: RunQueue, previous: Task) -> None:
    if (previous.state.load_relaxed() & BLOCKED) != 0 and (previous.flags.load_relaxed() & KERNEL_THREAD) == 0:
        queue.blocked += 1
    queue.leave(previous)
    previous.on_queue = ABSENT
    previous.voluntary_switches += 1


@inline
def _make_current(queue: RunQueue, previous: Task, now: u64) -> bool:
    waiting = queue.take_next(now)
    following = links.idle_of(queue) if waiting is None else waiting
    if waiting is not None:
        if queue.waiting.load_relaxed() == 0:
            queue.timers.tick_by(now, LONE_TICK)
        elif following.slice_ns >= SLICE:
            queue.timers.tick_by(now, SLICE)
        else:
            queue.timers.tick_exactly_by(now + following.slice_ns)
    else:
        queue.idle_switches += 1
    queue.begin(following, now)
    if queue.chance != 0:
        seeded.begin(queue, now)
    if following is previous:
        return False
    queue.switches += 1
    if following.rseq_area != 0 and following.rseq_cpu != queue.number:
        following.rseq_cpu = queue.number
        following.work.fetch_or(WORK_RSEQ)
    machine.percpu.set_current(following)
    sched_trace.switched(previous, following)
    queue.previous = previous
    queue.current = following
    if previous is queue.idle:
        placement.busy(queue)
    return True


def finish_switch() -> None:
    """What the next task does first: let go of the one before. A new thread calls this from its entry."""
    queue = machine.percpu.here().run_queue
    previous = links.previous_of(queue)
    if previous.on_queue == QUEUED:
        queue.lock.release()
    elif previous.on_queue == ABSENT:
        dead = previous.state.load_relaxed() == DEAD
        queue.lock.release()
        if dead:
            _bury(previous)
        links.let_go(previous)
    else:
        moving.send_off(queue, previous)


@cold
def _bury(task: Task) -> None:
    """Nobody runs on the dead task's stack any more."""
    machine.context.free_stack(task.kernel_stack)
    task.kernel_stack = 0


@inline
@borrowed
def lock_queue(task: Task) -> RunQueue:
    """Take the lock of the run queue that `task` belongs to. Interrupts are off."""
    while True:
        queue = links.queue_of(task)
        queue.lock.acquire()
        if task.queue is queue:
            return queue
        queue.lock.release()


def wake(task: Task) -> None:
    """Let a sleeping task run again; no effect on one that does not sleep. From anywhere."""
    wake_if(task, u64(SLEEPING))


def wake_if(task: Task, states: u64) -> bool:
    """Let a task that is in one of `states` run again; says whether it was."""
    flags = machine.irq.save()
    queue = lock_queue(task)
    state = task.state.load_relaxed()
    found = (state & states) != 0
    if found:
        task.state.store_relaxed(RUNNING)
        if task.on_queue == ABSENT:
            if (state & BLOCKED) != 0 and (task.flags.load_relaxed() & KERNEL_THREAD) == 0:
                queue.blocked -= 1
            links.hold(task)
            _count_wake(_let_run(queue, task))
        else:
            queue.lock.release()
    else:
        queue.lock.release()
    machine.irq.restore(flags)
    return found


@inline
def _count_wake(own: bool) -> None:
    """This processor woke somebody, who is on its own queue or another's. Interrupts are off."""
    here = machine.percpu.here().run_queue
    here.wakes += 1
    if own:
        here.own_wakes += 1


def start(task: Task) -> None:
    """Let a new task run for the first time. It is owed nothing, so that forking gains nothing."""
    machine.percpu.add(STARTED, u64(1))
    flags = machine.irq.save()
    queue = lock_queue(task)
    links.hold(task)
    _let_run(queue, task)
    machine.irq.restore(flags)


@inline
def _let_run(queue: RunQueue, task: Task) -> bool:
    """Let a task that is on no queue run where that is best; says whether that is here. Gives the lock of its old queue
    back."""
    if cpu.all.active.load_relaxed() == 1:
        return enter(queue, task)
    return moving.send_off(queue, task)


def enter(queue: RunQueue, task: Task) -> bool:
    """Put a task that wants to run into `queue`, whose lock this gives back, and see whether it is to run at once. Says
    whether the queue is this processor's."""
    task.on_queue = QUEUED
    sched_trace.woken(task, queue.number)
    running = queue.current
    assert running is not None
    now = machine.clock.monotonic_ns()
    task.started = now
    if running is queue.idle:
        queue.admit(task, running)
        return _call(queue, True, now)
    queue.account(running, now)
    queue.admit(task, running)
    urgent = queue.is_preempted_by(task, running)
    if queue.chance != 0:
        urgent = seeded.is_urgent(queue, task, urgent)
    return _call(queue, urgent, now)


@inline
def _call(queue: RunQueue, urgent: bool, now: u64) -> bool:
    """Let the queue's processor look at it at once, or a slice from now at the latest; says whether that is this one.
    Gives the lock back."""
    own = queue is machine.percpu.here().run_queue
    if own:
        if urgent:
            machine.percpu.set_need_resched()
        else:
            queue.timers.tick_by(now, SLICE)
        queue.lock.release()
    elif queue.called or (not urgent and queue.timers.ticks_by(now, SLICE)):
        queue.lock.release()
    else:
        queue.called = True
        queue.lock.release()
        machine.smp.send_reschedule(queue.number)
    return own


def kick(task: Task) -> None:
    """Let a task that runs in user mode on another processor look at its `work`."""
    if task is machine.percpu.current():
        return
    flags = machine.irq.save()
    queue = lock_queue(task)
    runs = queue.current is task and queue is not machine.percpu.here().run_queue
    queue.lock.release()
    if runs:
        machine.smp.send_reschedule(queue.number)
    machine.irq.restore(flags)


def allowed_processors(task: Task) -> u64:
    """The active processors that a task may use."""
    return placement.allowed(task)


def run_time(task: Task) -> u64:
    """ns of processor time `task` has had, up to now."""
    flags = machine.irq.save()
    queue = lock_queue(task)
    if queue.current is task:
        queue.account(task, machine.clock.monotonic_ns())
    total = task.run_time
    queue.lock.release()
    machine.irq.restore(flags)
    return total


def standing(task: Task) -> tuple[u64, u64, u64, u64]:
    """For /proc/PID/sched: when its present stint began, its virtual time, when its request is due, its weight."""
    flags = machine.irq.save()
    queue = lock_queue(task)
    found = task.started, task.vruntime, task.key, task.weight
    queue.lock.release()
    machine.irq.restore(flags)
    return found


def spawn_kernel_thread(entry: Callable[[u64], None], argument: u64, name: Bytes) -> Task:
    """A new thread of the kernel that runs `entry(argument)` and then ends. Raises MemoryError, OSError(EAGAIN)."""
    from kaa.kernel.sched import kernel_thread

    return kernel_thread.spawn(entry, argument, name)


def idle_loop() -> None:
    """What the idle task does for ever: halt while nobody wants the processor."""
    from kaa.kernel.sched import idle

    idle.loop()


def want_tick() -> None:
    """A processor-time timer of the running task was set: look at it a slice from now."""
    from kaa.kernel.sched import ticks

    ticks.want_tick()
