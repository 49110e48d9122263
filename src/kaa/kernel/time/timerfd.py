# SPDX-License-Identifier: Apache-2.0
"""timerfd_create(2) and family: a timer that is read.

The timer and the file are apart, for the queue of timers may hold the timer while the file goes. `TimerFile.__del__`
cancels. The timer's fields are under its `lock`, which the callback takes, and the queue of timers' lock is inside.
Expiries are counted under the wait queue's own rule: change first, wake after.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from kaa.kernel.abi.fcntl import O_CLOEXEC, O_NONBLOCK, O_RDWR
from kaa.kernel.abi.poll import READABLE
from kaa.kernel.abi.syscall import Fd, syscall
from kaa.kernel.abi.time import LONGEST, NEVER, TFD_TIMER_CANCEL_ON_SET, TIMER_ABSTIME, Clock, ITimerSpec, timespec
from kaa.kernel.arch import machine
from kaa.kernel.fs.anonymous import anonymous_files, new_inode
from kaa.kernel.fs.file import File
from kaa.kernel.locking.spinlock import IrqSpinLock
from kaa.kernel.locking.wait_queue import WaitQueue
from kaa.kernel.mm.user import UserPtr
from kaa.kernel.time import clocks, timer
from kaa.kernel.time.real_deadlines import changes
from kaa.kernel.time.timer import Timer
from kaa.lang import Array, Atomic, Guarded, as_bytes, i32, u32, u64, usize

if TYPE_CHECKING:
    from kaa.kernel.fs.inode import Inode
    from kaa.kernel.fs.poll import PollTable
    from kaa.kernel.mm.user import UserBuf


class DescriptorTimer(Timer):
    """The timer of a timerfd."""

    clock: Final[i32]
    lock: Final[IrqSpinLock]
    deadline: Guarded[u64, "lock"]
    interval: Guarded[u64, "lock"]
    expiries: Atomic[u64]
    # The count of clock changes when it was set, for TFD_TIMER_CANCEL_ON_SET; NEVER: not asked for.
    clock_changes: Atomic[u64]
    waiters: Final[WaitQueue]

    def __init__(self, clock: i32) -> None:
        super().__init__()
        self.clock = clock
        self.lock = IrqSpinLock("timerfd")
        self.deadline = 0
        self.interval = 0
        self.expiries = Atomic(0)
        self.clock_changes = Atomic(NEVER)
        self.waiters = WaitQueue("timerfd")

    def now(self) -> u64:
        """The timer's clock."""
        if clocks.is_monotonic(self.clock):
            return machine.clock.monotonic_ns()
        return machine.clock.realtime_ns()

    def expired(self) -> None:
        """Count, and set the next deadline."""
        with self.lock:
            now = self.now()
            if self.deadline != 0 and now >= self.deadline:
                expiries: u64 = u64(1)
                if self.interval != 0:
                    expiries += (now - self.deadline) // self.interval
                    self.deadline += expiries * self.interval
                else:
                    self.deadline = 0
                self.expiries.fetch_add(expiries)
            self._schedule(now)
        self.waiters.wake_all()

    def _schedule(self, now: u64) -> None:
        """Enter the queue for the deadline."""
        if self.deadline == 0:
            return
        rest = self.deadline - now if self.deadline > now else u64(0)
        monotonic = machine.clock.monotonic_ns()
        timer.arm(self, monotonic + rest if rest < NEVER - monotonic else u64(NEVER - 1))

    def set(self, value: u64, interval: u64, absolute: bool, watch: bool) -> None:
        """Expire at a time of its clock, or after a time, and again after each interval; 0: never."""
        with self.lock:
            timer.cancel(self)
            now = self.now()
            self.expiries.store(0)
            self.interval = interval
            self.deadline = 0
            self.clock_changes.store(changes.count.load() if watch else u64(NEVER))
            if value != 0:
                self.deadline = value if absolute else now + min(value, LONGEST - now)
                self._schedule(now)

    def remaining(self) -> tuple[u64, u64]:
        """ns until it expires (0: it does not), and the interval."""
        with self.lock:
            now = self.now()
            if self.deadline == 0:
                return u64(0), self.interval
            return self.deadline - now if self.deadline > now else u64(1), self.interval

    def is_cancelled(self) -> bool:
        """Whether the clock was set under a timer that wants to know."""
        seen = self.clock_changes.load()
        return seen != NEVER and seen != changes.count.load()

    def take(self) -> u64:
        """The number of expiries, which becomes 0. Raises OSError(ECANCELED) when the clock was set."""
        count = self.expiries.exchange(0)
        if self.is_cancelled():
            self.clock_changes.store(changes.count.load())
            raise OSError(errno.ECANCELED)
        return count


class TimerFile(File):
    """The descriptor's file."""

    timer: Final[DescriptorTimer]
    node: Final[Inode]

    def __init__(self, flags: u32, clock: i32) -> None:
        super().__init__(None, flags)
        self.timer = DescriptorTimer(clock)
        self.node = new_inode(anonymous_files, 0o600)

    def __del__(self) -> None:
        timer.cancel(self.timer)

    def inode(self) -> Inode | None:
        """A nameless one."""
        return self.node

    def read(self, buf: UserBuf) -> usize:
        """Eight bytes: how often it expired since the last read; waits for the first time."""
        if buf.remaining() < 8:
            raise OSError(errno.EINVAL)
        own = self.timer
        count = own.take()
        while count == 0:
            if self.nonblocking():
                raise BlockingIOError
            own.waiters.wait_interruptible(lambda: own.expiries.load() != 0 or own.is_cancelled())
            count = own.take()
        word = Array[u64, 1]()
        word[0] = count
        buf.copy_out(as_bytes(word))
        return usize(8)

    def poll(self, table: PollTable | None) -> u32:
        """Readable once it has expired."""
        own = self.timer
        if table is not None:
            table.add(own.waiters)
            if own.clock_changes.load() != NEVER:
                table.add(changes.waiters)
        return u32(READABLE) if own.expiries.load() != 0 or own.is_cancelled() else u32(0)


@syscall(x86_64=283, arm64=85)
def timerfd_create(clock: i32, flags: i32) -> i32:
    """timerfd_create(2)."""
    if (flags & ~(O_NONBLOCK | O_CLOEXEC)) != 0:
        raise OSError(errno.EINVAL)
    if clock not in (Clock.CLOCK_REALTIME, Clock.CLOCK_MONOTONIC, Clock.CLOCK_BOOTTIME, Clock.CLOCK_REALTIME_ALARM,
                     Clock.CLOCK_BOOTTIME_ALARM):  # fmt: skip
        raise OSError(errno.EINVAL)
    file = TimerFile(u32(O_RDWR | (flags & O_NONBLOCK)), clock)
    return machine.percpu.current().files.install(file, (flags & O_CLOEXEC) != 0)


def _timer_of(file: File) -> DescriptorTimer:
    if not isinstance(file, TimerFile):
        raise OSError(errno.EINVAL)
    return file.timer


@syscall(x86_64=286, arm64=86)
def timerfd_settime(fd: Fd, flags: i32, new: UserPtr[ITimerSpec], old: UserPtr[ITimerSpec]) -> None:
    """timerfd_settime(2)."""
    wanted = new.read()
    value = wanted.value.total()
    interval = wanted.interval.total()
    if (flags & ~(TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET)) != 0:
        raise OSError(errno.EINVAL)
    file = machine.percpu.current().files.get(fd)
    own = _timer_of(file)
    before = _remaining(own)
    _set(own, flags, value, interval)
    if not old.is_null():
        old.write(before)


def _set(own: DescriptorTimer, flags: i32, value: u64, interval: u64) -> None:
    both = TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET
    watch = (flags & both) == both and clocks.is_real(own.clock)
    own.set(value, interval, (flags & TIMER_ABSTIME) != 0, watch)


def _remaining(own: DescriptorTimer) -> ITimerSpec:
    result = ITimerSpec()
    rest, interval = own.remaining()
    result.interval = timespec(interval)
    result.value = timespec(rest)
    return result


@syscall(x86_64=287, arm64=87)
def timerfd_gettime(fd: Fd, into: UserPtr[ITimerSpec]) -> None:
    """timerfd_gettime(2)."""
    file = machine.percpu.current().files.get(fd)
    into.write(_remaining(_timer_of(file)))
