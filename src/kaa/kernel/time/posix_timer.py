# SPDX-License-Identifier: Apache-2.0
"""POSIX timers: timer_create(2) and family.

Each timer owns the one signal it may have in line; an expiry that finds it still there only counts as an overrun.
Those on processor-time clocks are looked at by `cpu_timer`, in interrupts on any processor.

Lock order: `posix_timer.lock` (the process's calls) → `PosixTimers.lock` (the list) → `PosixTimer.lock` (deadline
and interval) → the group's `signal_lock` and the queue of timers. A callback that comes after `disarm` finds no
deadline and does nothing.
"""

from __future__ import annotations

import errno
import weakref
from typing import TYPE_CHECKING, Final

from kaa.kernel.abi.signal import SIGNAL_COUNT, Code, SigInfo, Signal
from kaa.kernel.abi.time import NEVER
from kaa.kernel.arch import machine
from kaa.kernel.locking.mutex import Mutex
from kaa.kernel.locking.spinlock import IrqSpinLock
from kaa.kernel.process import ids
from kaa.kernel.process.task import Task
from kaa.kernel.signal import send
from kaa.kernel.signal.pending import QueuedSignal
from kaa.kernel.time import clocks, timer
from kaa.kernel.time.timer import Timer
from kaa.lang import Atomic, Guarded, copy, i32, u32, u64

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


lock = Mutex("posix timers")
"""The calls of a process's threads exclude one another by it."""


class PosixTimer(Timer):
    """One timer. `deadline` and `interval` are ns of its clock; the key in the queue is monotonic ns."""

    number: i32
    clock: i32
    signal: TimerSignal
    silent: bool
    target: i32
    lock: Final[IrqSpinLock]
    deadline: Guarded[u64, "lock"]
    interval: Guarded[u64, "lock"]
    overruns: Atomic[u64]
    last_overrun: Atomic[u64]
    group: Final[weakref.ref[ThreadGroup]]
    next: Guarded[PosixTimer | None, "PosixTimers.lock & posix_timer.lock"]
    """In the process's list, under its lock."""

    def __init__(self, group: ThreadGroup, number: i32, clock: i32) -> None:
        super().__init__()
        self.group = weakref.ref(group)
        self.number = number
        self.clock = clock
        self.signal = TimerSignal()
        self.silent = False
        self.target = 0
        self.lock = IrqSpinLock("POSIX timer")
        self.deadline = 0
        self.interval = 0
        self.overruns = Atomic(0)
        self.last_overrun = Atomic(0)
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
        with self.lock:
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
            self._schedule(now)

    def set(self, now: u64, deadline: u64, interval: u64) -> None:
        """Expire at a time of its clock, 0: never, and again after each interval."""
        with self.lock:
            timer.cancel(self)
            self.deadline = deadline
            self.interval = interval
            self.overruns.store(0)
            self._schedule(now)

    def remaining(self, now: u64) -> tuple[u64, u64]:
        """ns until it expires (0: it does not), and the interval."""
        with self.lock:
            if self.deadline == 0:
                return u64(0), self.interval
            return self.deadline - now if self.deadline > now else u64(1), self.interval

    def _schedule(self, now: u64) -> None:
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
        self.overruns.fetch_add(missed)
        if not send.queue_timer_signal(group, target, self.signal):
            self.overruns.fetch_add(1)


def taken(entry: QueuedSignal, info: SigInfo) -> None:
    """The timer's signal is being delivered: tell how many expiries it stands for. Under the signal lock."""
    if not isinstance(entry, TimerSignal):
        return
    reference = entry.timer
    if reference is None:
        return
    found = reference()
    if found is not None:
        overruns = min(found.overruns.exchange(0), u64(OVERRUN_MAX))
        found.last_overrun.store(overruns)
        info.word0 = u64(u32(found.number)) | (overruns << 32)


class PosixTimers:
    """A process's timers. The list is changed under `lock` and the mutex of the calls, so either will do to read it."""

    lock: Final[IrqSpinLock]
    first: Guarded[PosixTimer | None, "lock & posix_timer.lock"]
    count: Guarded[u32, "lock & posix_timer.lock"]
    next_number: Guarded[i32, "posix_timer.lock"]
    processor_timers: Atomic[u32]

    def __init__(self) -> None:
        self.lock = IrqSpinLock("POSIX timers")
        self.first = None
        self.count = 0
        self.next_number = 0
        self.processor_timers = Atomic(0)

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
        with self.lock:
            new.next = self.first
            self.first = new
            self.count += 1
            if new.is_processor_time():
                self.processor_timers.fetch_add(1)

    def remove(self, gone: PosixTimer) -> None:
        """Take it out, disarmed. The caller keeps it beyond the lock."""
        with self.lock:
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
                self.processor_timers.fetch_sub(1)

    def clear(self) -> None:
        """No more timers."""
        while True:
            found = self.first
            if found is None:
                break
            disarm(found)
            self.remove(found)
        self.next_number = 0

    def check_processor(self) -> None:
        """In the timer interrupt: fire those on processor-time clocks."""
        with self.lock:
            found = self.first
            while found is not None:
                if found.is_processor_time():
                    found.fire(_clock_of(found))
                found = found.next


def _clock_of(of: PosixTimer) -> u64:
    try:
        return clocks.read(of.clock)
    except Exception:
        return u64(0)


def disarm(gone: PosixTimer) -> None:
    """No more expiries, but for one that is under way."""
    gone.set(u64(0), u64(0), u64(0))


def delete_all(group: ThreadGroup) -> None:
    """The process ends, or becomes another program (timers are not kept by execve(2)): the caller is its only thread,
    but for those on their last way."""
    if not group.has_timers.load_relaxed():
        return
    timers = of(group)
    if timers is not None:
        with lock:
            timers.clear()


def of(group: ThreadGroup) -> PosixTimers | None:
    """A process's timers, if it ever had any; as long as the process."""
    with group.signal_lock:
        return group.posix_timers


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
