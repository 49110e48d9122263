# SPDX-License-Identifier: Apache-2.0
"""Timers: something that happens at a monotonic time, in the timer interrupt of the processor where it was asked for.

A subclass of `Timer` says in `expired` what happens; that runs with interrupts off, without any lock, and must neither
sleep nor raise. A queued timer is kept alive by its queue, and so is one whose callback runs.

`arm` moves a timer to the queue of the processor that it is called on, unless its callback is running elsewhere just
now: then it stays there, which costs nothing, for that processor looks at its queue again afterwards. A timer's `home`
names the queue whose lock guards it; on its way between two it has none, and whoever wants it spins a moment.

`cancel` takes a timer out, but its callback may be under way on another processor; `cancel_sync` waits for that, and
so must not be called where the callback could be waiting for something that the caller holds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from kaa.kernel.arch import machine
from kaa.kernel.sched import core
from kaa.kernel.sched.heap import HeapNode
from kaa.kernel.sched.links import SleeperLink
from kaa.kernel.time.timer_queue import FARTHEST, NEVER, TimerQueue
from kaa.lang import Atomic, Guarded, borrowed, u32, u64

__all__ = ["FARTHEST", "NEVER", "CallbackTimer", "Timer", "WakeTimer", "add", "arm", "cancel", "cancel_sync"]

ON_ITS_WAY: Final = 0xFFFF_FFFF
"""Timer.home of one that is between two queues."""


class Timer(HeapNode):
    """One deadline, monotonic ns, in `key`."""

    home: Atomic[u32]
    """Number of the processor whose queue's lock guards the timer."""
    armed: Guarded[bool, "TimerQueue.lock"]

    def __init__(self) -> None:
        super().__init__()
        self.home = Atomic(0)
        self.armed = False

    def expired(self) -> None:
        """The deadline has passed; the timer is out of the queue, and may be armed again."""


class WakeTimer(Timer):
    """Wakes one task: the timer of a sleep. Each task has its own, and stops it before it goes on."""

    link: Final[SleeperLink]

    def __init__(self) -> None:
        super().__init__()
        self.link = SleeperLink()

    def expired(self) -> None:
        """Wake the sleeper."""
        task = self.link.sleeper
        if task is not None:
            core.wake(task)


class CallbackTimer(Timer):
    """Calls a function with one word."""

    callback: Callable[[u64], None]
    argument: u64

    def __init__(self, callback: Callable[[u64], None], argument: u64) -> None:
        super().__init__()
        self.callback = callback
        self.argument = argument

    def expired(self) -> None:
        """Make the call. An error that it lets out has nobody to go to."""
        try:
            self.callback(self.argument)
        except Exception:
            pass


@borrowed
def _lock_home(timer: Timer) -> TimerQueue:
    """Take the lock that guards `timer`. Interrupts are off."""
    from kaa.kernel.sched import cpu

    while True:
        number = timer.home.load()
        if number != ON_ITS_WAY:
            home = cpu.get(number)
            assert home is not None
            queue = home.timers
            queue.lock.acquire()
            if timer.home.load_relaxed() == number:
                return queue
            queue.lock.release()


def arm(timer: Timer, deadline_ns: u64) -> None:
    """Let `timer` expire at a monotonic time, in place of any earlier request. From anywhere."""
    flags = machine.irq.save()
    here = machine.percpu.here()
    queue = _lock_home(timer)
    if timer.armed:
        queue.heap.remove(timer)
    if queue is not here.timers and queue.running is not timer:
        timer.home.store(ON_ITS_WAY)
        queue.lock.release()
        queue = here.timers
        queue.lock.acquire()
        timer.home.store(here.number)
    timer.armed = True
    timer.key = deadline_ns
    queue.heap.insert(timer)
    if queue is here.timers:
        queue.program()
    queue.lock.release()
    machine.irq.restore(flags)


def cancel(timer: Timer) -> bool:
    """Take `timer` out; False if it was not waiting (any more). From anywhere."""
    flags = machine.irq.save()
    queue = _lock_home(timer)
    was_armed = timer.armed
    if was_armed:
        queue.heap.remove(timer)
        timer.armed = False
    queue.lock.release()
    machine.irq.restore(flags)
    return was_armed


def cancel_sync(timer: Timer) -> bool:
    """As `cancel`, and the callback has ended when this returns, and has not armed the timer again. Not from the
    callback, nor under a lock that it takes, nor with interrupts off."""
    found = False
    while True:
        flags = machine.irq.save()
        queue = _lock_home(timer)
        if timer.armed:
            queue.heap.remove(timer)
            timer.armed = False
            found = True
        busy = queue.running is timer
        queue.lock.release()
        machine.irq.restore(flags)
        if not busy:
            return found



def add(deadline_ns: u64, callback: Callable[[u64], None], argument: u64) -> CallbackTimer:
    """Call `callback(argument)` in the timer interrupt at a monotonic time. Raises MemoryError. `cancel` undoes it."""
    timer = CallbackTimer(callback, argument)
    arm(timer, deadline_ns)
    return timer


def sleep_until(deadline_ns: u64) -> None:
    """Sleep, undisturbed by signals, until a monotonic time."""
    task = machine.percpu.current()
    while machine.clock.monotonic_ns() < deadline_ns:
        core.set_state(task, core.UNINTERRUPTIBLE)
        core.schedule_until(deadline_ns)
    core.set_state(task, core.RUNNING)
