# SPDX-License-Identifier: Apache-2.0
"""Who runs: sleeping, waking, switching.

A task goes to sleep in three steps: it marks itself (`set_state`), it looks once more at what it waits for, and it
calls `schedule`. A waker changes the thing first and calls `wake` after. Whoever comes late meets the other: `wake`
of a task that has not yet switched away just marks it running again.

`schedule` is what a task calls of its own will: a task marked as sleeping leaves the run queue. `preempt` is for
those who take the processor away (end of an interrupt, `preempt_enable`): the task stays on the run queue whatever
its mark, so that one which is between marking itself and looking again is not lost.

Guarded by interrupts being off, which they are across `machine.context.switch`. The frames below a switch hold no
counted reference: a dying task never comes back to give it up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from kaa.kernel.arch import machine
from kaa.kernel.sched.run_queue import (
    FAIR,
    REAL_TIME_SLICE,
    SLICE,
    WAKE_GRANULARITY,
    RunQueue,
    is_real_time,
    weighted_slice,
)
from kaa.kernel.time import timer
from kaa.lang import cold, inline, u64

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

run_queue = RunQueue()
"""The boot processor's. A second processor's tasks will find theirs through percpu."""


@inline
def set_state(task: Task, state: u64) -> None:
    """Mark the caller as about to sleep (or as running after all)."""
    task.state = state


def sleep_current(state: u64) -> None:
    """Mark the caller and switch away. Only when nothing can wake it in between, or a lost wake-up is harmless."""
    machine.percpu.current().state = state
    schedule()


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
    task = machine.percpu.current()
    alarm = task.timer
    alarm.task = task
    timer.arm(alarm, deadline_ns)
    schedule()
    timer.cancel(alarm)
    alarm.task = None


def yield_now() -> None:
    """sched_yield(2): let everyone else who is due within a slice go first."""
    if run_queue.waiting == 0:
        return
    flags = machine.irq.save()
    task = machine.percpu.current()
    if is_real_time(task):
        run_queue.request(task)
    else:
        task.key = FAIR + max(task.vruntime, run_queue.virtual_time) + 2 * weighted_slice(task)
    _switch(True)
    machine.irq.restore(flags)


def _switch(preempted: bool) -> None:
    previous = machine.percpu.current()
    if _choose(previous, preempted):
        machine.context.switch(previous, machine.percpu.current())
        finish_switch()


def _choose(previous: Task, preempted: bool) -> bool:
    """Make the next task the current one; False if that is the one that runs already."""
    machine.percpu.clear_need_resched()
    queue = run_queue
    now = machine.clock.monotonic_ns()
    queue.account(previous, now)
    if previous is queue.idle:
        if queue.waiting == 0:
            return False
    elif preempted or previous.state == RUNNING:
        if queue.waiting == 0:
            _begin_slice(previous, now)
            return False
        queue.put_back(previous)
        previous.involuntary_switches += 1
    else:
        previous.on_queue = False
        previous.voluntary_switches += 1
    return _make_current(previous, now)


def _make_current(previous: Task, now: u64) -> bool:
    queue = run_queue
    following = queue.take_next()
    if following is None:
        following = queue.idle
        assert following is not None
    _begin_slice(following, now)
    if (queue.waiting != 0 or following.group.cpu_timers != 0) and timer.queue.tick == timer.NEVER:
        timer.queue.set_tick(following.slice_end)
    if following is previous:
        return False
    queue.switches += 1
    machine.percpu.set_current(following)
    queue.previous = queue.current
    queue.current = following
    return True


def _begin_slice(task: Task, now: u64) -> None:
    task.started = now
    task.slice_end = now + (REAL_TIME_SLICE if is_real_time(task) else SLICE)


def finish_switch() -> None:
    """What the next task does first: let go of the one before. A new thread calls this from its entry."""
    previous = run_queue.previous
    if previous is not None and previous.state == DEAD:
        _bury(previous)
    run_queue.previous = None


@cold
def _bury(task: Task) -> None:
    """Nobody runs on the dead task's stack any more."""
    machine.context.free_stack(task.kernel_stack)
    task.kernel_stack = 0


def wake(task: Task) -> None:
    """Let a sleeping task run again; no effect on one that does not sleep. From anywhere."""
    flags = machine.irq.save()
    if (task.state & SLEEPING) != 0:
        _make_runnable(task)
    machine.irq.restore(flags)


def wake_if(task: Task, states: u64) -> bool:
    """Let a task that is in one of `states` run again; says whether it was."""
    flags = machine.irq.save()
    found = (task.state & states) != 0
    if found:
        _make_runnable(task)
    machine.irq.restore(flags)
    return found


@inline
def kick(task: Task) -> None:
    """The task's `work` was changed: whatever processor runs it looks before it goes on in user mode. Call `wake_if`
    first; of one processor, nothing more is needed."""


def start(task: Task) -> None:
    """Let a new task run for the first time. Its virtual time starts at the queue's, so that forking gains nothing."""
    flags = machine.irq.save()
    task.vruntime = run_queue.virtual_time
    _make_runnable(task)
    machine.irq.restore(flags)


def _make_runnable(task: Task) -> None:
    task.state = RUNNING
    if task.on_queue:
        return
    task.on_queue = True
    queue = run_queue
    running = machine.percpu.current()
    if running is queue.idle:
        queue.place_woken(task)
        machine.percpu.set_need_resched()
    else:
        now = machine.clock.monotonic_ns()
        queue.account(running, now)
        queue.place_woken(task)
        _consider_preemption(task, running, now)
    queue.insert(task)


def _consider_preemption(task: Task, running: Task, now: u64) -> None:
    if not is_real_time(running) and FAIR + running.vruntime >= running.key:
        run_queue.request(running)
    if task.key + WAKE_GRANULARITY < running.key:
        machine.percpu.set_need_resched()
    elif timer.queue.tick == timer.NEVER:
        timer.queue.set_tick(now + SLICE)


def tick(now: u64) -> None:
    """In the timer interrupt: see whether the running task has had its slice."""
    if timer.queue.tick > now:
        return
    timer.queue.tick = timer.NEVER
    running = machine.percpu.current()
    if running is run_queue.idle:
        return
    run_queue.account(running, now)
    if running.group.cpu_timers != 0:
        _check_cpu_timers()
        timer.queue.tick = now + SLICE
    if run_queue.waiting != 0:
        timer.queue.tick = now + SLICE
        if now >= running.slice_end:
            machine.percpu.set_need_resched()


@cold
def _check_cpu_timers() -> None:
    from kaa.kernel.time import cpu_timer

    cpu_timer.check()


def want_tick() -> None:
    """A processor-time timer of the running task was set: look at it a slice from now."""
    flags = machine.irq.save()
    if timer.queue.tick == timer.NEVER:
        timer.queue.set_tick(machine.clock.monotonic_ns() + SLICE)
    machine.irq.restore(flags)


def requeue(task: Task) -> None:
    """The task's policy or weight was changed: find its place anew. From anywhere but interrupts."""
    flags = machine.irq.save()
    if task.on_queue and task is not machine.percpu.current():
        run_queue.remove(task)
        run_queue.request(task)
        run_queue.insert(task)
    else:
        run_queue.request(task)
    machine.percpu.set_need_resched()
    machine.irq.restore(flags)


def run_time(task: Task) -> u64:
    """ns of processor time `task` has had, up to now."""
    flags = machine.irq.save()
    if task is machine.percpu.current():
        run_queue.account(task, machine.clock.monotonic_ns())
    total = task.run_time
    machine.irq.restore(flags)
    return total


def runnable_count() -> u64:
    """Tasks that run or want to: /proc/loadavg, /proc/stat."""
    queue = run_queue
    busy = 0 if queue.current is queue.idle else 1
    return u64(queue.waiting) + u64(busy)


def spawn_kernel_thread(entry: Callable[[u64], None], argument: u64, name: str) -> Task:
    """A new thread of the kernel that runs `entry(argument)` and then ends. Raises MemoryError, OSError(EAGAIN)."""
    from kaa.kernel.sched import kernel_thread

    return kernel_thread.spawn(entry, argument, name)


def idle_loop() -> None:
    """What the idle task does for ever: halt while nobody wants the processor."""
    while True:
        machine.irq.disable()
        if run_queue.waiting == 0:
            machine.irq.halt()
        else:
            machine.irq.enable()
        schedule()
