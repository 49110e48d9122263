# SPDX-License-Identifier: Apache-2.0
"""Timers: something that happens at a monotonic time, in the timer interrupt.

One heap in order of deadline, and one hardware deadline for its first member (`tick`). A subclass of `Timer` says in
`expired` what happens; that runs with interrupts off and must neither sleep nor raise. A queued timer is kept alive by
the heap; `cancel` takes it out. The heap is guarded by interrupts being off.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from kaa.kernel.arch import machine
from kaa.kernel.sched import core
from kaa.kernel.sched.heap import Heap, HeapNode
from kaa.lang import u64

if TYPE_CHECKING:
    from kaa.kernel.process.task import Task

NEVER: Final = 0xFFFF_FFFF_FFFF_FFFF
FARTHEST: Final = 1 << 61
"""73 years: the hardware is not told of deadlines beyond, which need not fit its clock."""


class Timer(HeapNode):
    """One deadline, monotonic ns, in `key`."""

    armed: bool

    def __init__(self) -> None:
        super().__init__()
        self.armed = False

    def expired(self) -> None:
        """The deadline has passed; the timer is out of the queue, and may be armed again."""


class WakeTimer(Timer):
    """Wakes one task: the timer of a sleep. Each task has its own; it holds the task only while it is armed."""

    task: Task | None

    def __init__(self) -> None:
        super().__init__()
        self.task = None

    def expired(self) -> None:
        """Wake the sleeper."""
        task = self.task
        self.task = None
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


class TimerQueue:
    """All armed timers, and what the hardware was last told."""

    heap: Heap
    # The scheduler's own deadline (end of a slice), kept beside the heap because it moves so often. NEVER: none.
    tick: u64
    # What the hardware will interrupt at. NEVER: nothing.
    programmed: u64

    def __init__(self) -> None:
        self.heap = Heap()
        self.tick = NEVER
        self.programmed = NEVER

    def first(self) -> u64:
        """The earliest deadline of all."""
        root = self.heap.root
        if root is None:
            return self.tick
        return min(root.key, self.tick)

    def program(self) -> None:
        """Let the hardware interrupt at the earliest deadline. Interrupts are off. A deadline that has moved away is
        left to fire in vain: cheaper than telling the hardware each time."""
        first = self.first()
        if first < self.programmed and first < FARTHEST:
            self.programmed = first
            machine.clock.set_deadline(first)

    def set_tick(self, deadline: u64) -> None:
        """The running task's slice ends at `deadline`. Interrupts are off."""
        self.tick = deadline
        if deadline < self.programmed:
            self.programmed = deadline
            machine.clock.set_deadline(deadline)

    def run_expired(self, now: u64) -> None:
        """Take out and run what is due. Interrupts are off."""
        root = self.heap.root
        while root is not None and root.key <= now:
            self.heap.remove(root)
            if isinstance(root, Timer):
                root.armed = False
                root.expired()
            root = self.heap.root

    def interrupted(self) -> None:
        """The hardware fired and is silent now; tell it the next deadline."""
        self.programmed = NEVER
        self.program()


queue = TimerQueue()


def arm(timer: Timer, deadline_ns: u64) -> None:
    """Let `timer` expire at a monotonic time, in place of any earlier request. From anywhere."""
    flags = machine.irq.save()
    if timer.armed:
        queue.heap.remove(timer)
    timer.armed = True
    timer.key = deadline_ns
    queue.heap.insert(timer)
    queue.program()
    machine.irq.restore(flags)


def cancel(timer: Timer) -> bool:
    """Take `timer` out; False if it was not waiting (any more). From anywhere."""
    flags = machine.irq.save()
    was_armed = timer.armed
    if was_armed:
        queue.heap.remove(timer)
        timer.armed = False
    machine.irq.restore(flags)
    return was_armed


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
