# SPDX-License-Identifier: Apache-2.0
"""POSIX timers: timer_create(2) and family.

Each timer owns the one signal it may have in line; an expiry that finds it still there only counts as an overrun.
Those on processor-time clocks are looked at by `cpu_timer`. A process's list of timers is changed by its own calls
only, under their `lock`.
"""

from __future__ import annotations

import errno
import weakref
from typing import TYPE_CHECKING, Final

from kaa.kernel.abi.signal import SIGNAL_COUNT, Code, SigInfo, Signal
from kaa.kernel.abi.time import NEVER
from kaa.kernel.arch import machine
from kaa.kernel.process import ids
from kaa.kernel.process.task import Task
from kaa.kernel.signal import send
from kaa.kernel.signal.pending import QueuedSignal
from kaa.kernel.time import clocks, timer
from kaa.kernel.time.timer import Timer
from kaa.lang import copy, i32, u32, u64

if TYPE_CHECKING:
    from kaa.kernel.process.group import ThreadGroup

MAXIMUM: Final = 1024
"""Timers of a process."""
OVERRUN_MAX: Final = 0x7FFF_FFFF


class TimerSignal(QueuedSignal):
    """The signal of a timer, which knows its timer."""

    timer: weakref.ref[PosixTimer] | None

    def __init__(self) -> None:
        super().__init__()
        self.from_timer = True
        self.timer = None


class PosixTimer(Timer):
    """One timer. `deadline` and `interval` are ns of its clock; the key in the queue is monotonic ns."""

    number: i32
    clock: i32
    signal: TimerSignal
    silent: bool
    target: i32
    deadline: u64
    interval: u64
    overruns: u64
    last_overrun: u64
    group: weakref.ref[ThreadGroup]
    next: PosixTimer | None

    def __init__(self, group: ThreadGroup, number: i32, clock: i32) -> None:
        super().__init__()
        self.group = weakref.ref(group)
        self.number = number
        self.clock = clock
        self.signal = TimerSignal()
        self.silent = False
        self.target = 0
        self.deadline = 0
        self.interval = 0
        self.overruns = 0
        self.last_overrun = 0
        self.next = None

    def is_processor_time(self) -> bool:
        """Whether its clock is one of processor time."""
        return not clocks.is_monotonic(self.clock) and not clocks.is_real(self.clock)

    def expired(self) -> None:
        """The queue's deadline has come: is the clock's there too? (A real-time clock may have been set back.)"""
        self.fire(self.now())

    def now(self) -> u64:
        """The timer's clock."""
        if clocks.is_monotonic(self.clock):
            return machine.clock.monotonic_ns()
        return machine.clock.realtime_ns()

    def fire(self, now: u64) -> None:
        """Signal if the deadline has passed, and set the next one."""
        if self.deadline == 0:
            return
        if now >= self.deadline:
            missed: u64 = u64(0)
            if self.interval != 0:
                missed = (now - self.deadline) // self.interval
                self.deadline += (missed + 1) * self.interval
            else:
                self.deadline = 0
            self._notify(missed)
        self.schedule(now)

    def schedule(self, now: u64) -> None:
        """Enter the queue for the deadline."""
        if self.deadline == 0 or self.is_processor_time():
            return
        rest = self.deadline - now if self.deadline > now else u64(0)
        monotonic = machine.clock.monotonic_ns()
        timer.arm(self, monotonic + rest if rest < NEVER - monotonic else u64(NEVER - 1))

    def _notify(self, missed: u64) -> None:
        group = self.group()
        if self.silent or group is None:
            return
        target: Task | None = None
        if self.target != 0:
            target = ids.find_task(self.target)
            if target is None:
                return
        if send.queue_timer_signal(group, target, self.signal):
            self.overruns = missed
        else:
            self.overruns = min(self.overruns + missed + 1, u64(OVERRUN_MAX))


def taken(entry: QueuedSignal, info: SigInfo) -> None:
    """The timer's signal is being delivered: tell how many expiries it stands for. Under the signal lock."""
    if not isinstance(entry, TimerSignal):
        return
    reference = entry.timer
    if reference is None:
        return
    found = reference()
    if found is not None:
        found.last_overrun = found.overruns
        found.overruns = 0
        info.word0 = u64(u32(found.number)) | (found.last_overrun << 32)


class PosixTimers:
    """A process's timers."""

    first: PosixTimer | None
    count: u32
    next_number: i32
    processor_timers: u32

    def __init__(self) -> None:
        self.first = None
        self.count = 0
        self.next_number = 0
        self.processor_timers = 0

    def find(self, number: i32) -> PosixTimer:
        """By id. Raises OSError(EINVAL)."""
        found = self.first
        while found is not None:
            if found.number == number:
                return found
            found = found.next
        raise OSError(errno.EINVAL)

    def add(self, new: PosixTimer) -> None:
        """Take it in. Raises OSError(EAGAIN) when there are too many."""
        if self.count >= MAXIMUM:
            raise OSError(errno.EAGAIN)
        new.next = self.first
        self.first = new
        self.count += 1
        if new.is_processor_time():
            self.processor_timers += 1

    def remove(self, gone: PosixTimer) -> None:
        """Take it out, disarmed."""
        before: PosixTimer | None = None
        found = self.first
        while found is not None and found is not gone:
            before = found
            found = found.next
        if before is None:
            self.first = gone.next
        else:
            before.next = gone.next
        gone.next = None
        self.count -= 1
        if gone.is_processor_time():
            self.processor_timers -= 1


def disarm(gone: PosixTimer) -> None:
    """No more expiries."""
    gone.deadline = 0
    timer.cancel(gone)


def delete_all(group: ThreadGroup) -> None:
    """The process ends, or becomes another program (timers are not kept by execve(2))."""
    timers = group.posix_timers
    if timers is None:
        return
    while True:
        found = timers.first
        if found is None:
            break
        disarm(found)
        timers.remove(found)
    group.posix_timers = None


def check_processor(timers: PosixTimers) -> None:
    """In the timer interrupt: fire those on processor-time clocks."""
    found = timers.first
    while found is not None:
        if found.is_processor_time() and found.deadline != 0:
            try:
                found.fire(clocks.read(found.clock))
            except Exception:
                found.deadline = 0
        found = found.next


def check_signal(signo: i32) -> None:
    """sigev_signo. Raises OSError(EINVAL)."""
    if signo < 1 or signo > SIGNAL_COUNT:
        raise OSError(errno.EINVAL)


def prepare_signal(new: PosixTimer, signo: i32, value: u64) -> None:
    """Fill in the signal that the timer will send."""
    info = SigInfo(signo, 0, i32(Code.SI_TIMER))
    info.word0 = u64(u32(new.number))
    info.word1 = value
    new.signal.info = copy(info)
    new.signal.timer = weakref.ref(new)


DEFAULT_SIGNAL: Final = Signal.SIGALRM
