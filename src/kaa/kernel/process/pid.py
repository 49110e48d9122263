# SPDX-License-Identifier: Apache-2.0
"""Numbers for threads, processes, process groups and sessions.

One `Pid` stands for one number as long as anything is called by it: a thread, a process group, a session. The number is
free for reuse when all three are gone (POSIX "Process ID Reuse").

What is called by a number changes under `tree.lock`; inside it, the table's lock is for giving numbers out and taking
them back. From a number to its thread one gets without: `with rcu.read():`, or under `tree.lock`, which alone says that
the number still means the same a moment later.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from kaa.kernel.locking.spinlock import IrqSpinLock
from kaa.lang import Array, Atomic, Guarded, Rcu, RcuHead, borrowed, guarded, i32, noinline, u32, u64

if TYPE_CHECKING:
    from kaa.kernel.locking.wait_queue import WaitQueue
    from kaa.kernel.process.group import ThreadGroup
    from kaa.kernel.process.task import Task

PID_MAX: Final = 32768
"""Numbers stay below this (proc(5), pid_max)."""
RESERVED: Final = 300
"""After the first wrap, numbers below are left to what started with the system."""
BLOCK: Final = 256


class Pid(RcuHead):
    """A number and who is called by it."""

    number: Final[i32]
    task: Rcu[Task | None]
    # The process group and the session of this number, as lists through ThreadGroup.
    group_first: Guarded[ThreadGroup | None, "tree.lock"]
    # Who waits for the end of what is called so (process/pidfd.py); made with the first descriptor.
    watchers: Guarded[WaitQueue | None, "tree.lock"]
    session_first: Guarded[ThreadGroup | None, "tree.lock"]

    def __init__(self, number: i32) -> None:
        super().__init__()
        self.number = number
        self.task = None
        self.group_first = None
        self.session_first = None
        self.watchers = None

    def tell_watchers(self) -> None:
        """What is called so has ended. Under `tree.lock`."""
        watchers = self.watchers
        if watchers is not None:
            watchers.wake_all()

    def unused(self) -> bool:
        """Whether nothing is called by the number any more."""
        return self.task is None and self.group_first is None and self.session_first is None


class PidBlock(RcuHead):
    """256 consecutive numbers."""

    entries: Rcu[Array[Pid | None, 256]]

    def __init__(self) -> None:
        self.entries = Array[Pid | None, 256]()  # first, while it is known that nothing is replaced
        super().__init__()


@guarded("self")
class PidTable(IrqSpinLock):
    """All numbers: a table of blocks, each made when its first number is given out and kept; its own lock, so that what
    each fork and exit changes lies in one cache line."""

    last: i32
    count: Atomic[u32]
    """Numbers in use."""
    apart: Final[Array[u64, 3]]
    """Fills the cache line: it is written all the time, what follows is read by everyone."""
    blocks: Rcu[Array[PidBlock | None, 128]]

    def __init__(self) -> None:
        self.blocks = Array[PidBlock | None, 128]()  # as above
        self.apart = Array[u64, 3]()
        super().__init__("process numbers")
        self.last = 0
        self.count = Atomic(0)

    def find(self, number: i32) -> Pid | None:
        """The Pid of a number in use. Inside rcu.read(), or under the lock."""
        if number <= 0 or number >= PID_MAX:
            return None
        block = self.blocks[number // BLOCK]
        if block is None:
            return None
        return block.entries[number % BLOCK]

    def allocate_exactly(self, number: i32) -> Pid:
        """A number of the caller's choice. Raises OSError(EINVAL), FileExistsError, MemoryError."""
        if number < 1 or number >= PID_MAX:
            raise OSError(errno.EINVAL)
        with self:
            if self.find(number) is not None:
                raise FileExistsError
            return self._take(number)

    def allocate(self) -> Pid:
        """A fresh number: the next free one after the last given. Raises OSError(EAGAIN), MemoryError."""
        with self:
            number = self.last
            for _ in range(PID_MAX):
                number += 1
                if number >= PID_MAX:
                    number = RESERVED
                if self.find(number) is None:
                    taken = self._take(number)
                    self.last = number
                    return taken
        raise OSError(errno.EAGAIN)

    def _take(self, number: i32) -> Pid:
        if self.blocks[number // BLOCK] is None:
            self.blocks[number // BLOCK] = PidBlock()
        pid = Pid(number)
        block = _block_in(self, number // BLOCK)
        assert block is not None
        block.entries[number % BLOCK] = pid
        self.count.fetch_add(1)
        return pid

    def next_in_use(self, number: i32) -> i32:
        """The first number from `number` on that something is called by; PID_MAX when there is none. As find."""
        while number < PID_MAX:
            block = _block_in(self, number // BLOCK)
            at = number % BLOCK
            number -= at
            while block is not None and at < BLOCK:
                if block.entries[at] is not None:
                    return number + at
                at += 1
            number += BLOCK
        return i32(PID_MAX)

    def free_if_unused(self, pid: Pid) -> None:
        """Give the number back when nothing is called by it. Under `tree.lock`."""
        if pid.unused():
            self.give_back(pid)

    def give_back(self, pid: Pid) -> None:
        """Give back a number that nothing was called by any more under `tree.lock`."""
        with self:
            block = _block_in(self, pid.number // BLOCK)
            if block is not None and block.entries[pid.number % BLOCK] is pid:
                block.entries[pid.number % BLOCK] = None
                self.count.fetch_sub(1)


@borrowed
@noinline
def _block_in(numbers: PidTable, index: i32) -> PidBlock | None:
    """A block, which is for ever: not counted, as all processors would."""
    return numbers.blocks[index]


table = PidTable()
