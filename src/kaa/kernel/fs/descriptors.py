# SPDX-License-Identifier: Apache-2.0
"""The descriptor table of a process: small integers to open files, lowest free number first (POSIX).

Lock: `lock`, a spinlock, for slots and the close-on-exec bits. Files are dropped outside it, for the last close may
sleep.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from kaa.kernel.arch import machine
from kaa.kernel.locking.spinlock import SpinLock
from kaa.lang import Atomic, Guarded, Relaxed, cold, i32, inline, u32, u64, usize

if TYPE_CHECKING:
    from kaa.kernel.fs.file import File
    from kaa.kernel.mm.user import UserPtr

MAXIMUM = 1 << 20
"""No process has more descriptors, whatever RLIMIT_NOFILE says (Linux: sysctl fs.nr_open)."""
RLIMIT_NOFILE = 7


def install_pair(first: File, second: File, close_on_exec: bool, ends: UserPtr[i32]) -> None:
    """Two new descriptors of the caller's, told in ends[0] and ends[1]: both, or after an error none. Raises
    OSError(EMFILE, EFAULT), MemoryError."""
    files = machine.percpu.current().files
    one = files.install(first, close_on_exec)
    try:
        other = files.install(second, close_on_exec)
        try:
            ends.write(one)
            ends.offset(1).write(other)
        except OSError:
            files.withdraw(other, second)
            raise
    except (OSError, MemoryError):
        files.withdraw(one, first)
        raise


class FileTable:
    """fd → File."""

    lock: Final[SpinLock]
    slots: Guarded[list[File | None], "lock"]
    on_exec: Guarded[list[u64], "lock"]
    """Close-on-exec, one bit per slot."""
    size: Guarded[Relaxed[u32], "lock"]
    """How many slots there are: len(slots)."""
    lowest: Guarded[u32, "lock"]
    """No free slot is below it."""
    users: Atomic[u32]
    """Tasks that have it: the last to end closes everything, and execve(2) copies a table that it is not alone with."""

    def __init__(self) -> None:
        self.lock = SpinLock("descriptor table")
        self.slots = []
        self.on_exec = []
        self.size = 0
        self.lowest = 0
        self.users = Atomic(1)

    def get(self, fd: i32) -> File:
        """The open file. Raises OSError(EBADF), also for O_PATH files' users: see `File`."""
        with self.lock:
            if usize(fd) < len(self.slots):
                file = self.slots[usize(fd)]
                if file is not None:
                    return file
        raise OSError(errno.EBADF)

    def find(self, fd: i32) -> File | None:
        """The open file, or None; for poll(2) and /proc."""
        with self.lock:
            if usize(fd) < len(self.slots):
                return self.slots[usize(fd)]
        return None

    @inline
    def require_room(self) -> None:
        """Before a file is made that is to be installed: raises OSError(EMFILE) when there is no descriptor for it."""
        limit = descriptor_limit()
        if self.size >= limit:
            self._require_free_slot(limit)

    @cold
    def _require_free_slot(self, limit: u32) -> None:
        with self.lock:
            if self._free_from(self.lowest) >= limit:
                raise OSError(errno.EMFILE)

    def install(self, file: File, close_on_exec: bool = False) -> i32:
        """Give `file` the lowest free descriptor. Raises OSError(EMFILE) at the process's limit, MemoryError."""
        return self.install_from(file, 0, close_on_exec)

    def install_from(self, file: File, minimum: u32, close_on_exec: bool) -> i32:
        """As install, but not below `minimum` (F_DUPFD). Raises OSError(EINVAL) when that is beyond the limit."""
        limit = descriptor_limit()
        if minimum >= limit and minimum > 0:
            raise OSError(errno.EINVAL)
        while True:
            with self.lock:
                fd = self._free_from(max(minimum, self.lowest))
                if fd >= limit:
                    raise OSError(errno.EMFILE)
                self._reserve(fd)
                self.slots[fd] = file
                self._mark(fd, close_on_exec)
                if minimum <= self.lowest:
                    self.lowest = fd + 1
                return i32(fd)

    def _free_from(self, start: u32) -> u32:
        fd = start
        while fd < len(self.slots) and self.slots[fd] is not None:
            fd += 1
        return fd

    def _reserve(self, fd: u32) -> None:
        """Make room for slot `fd`."""
        while len(self.slots) <= fd:
            if len(self.on_exec) * 64 <= len(self.slots):
                self.on_exec.append(0)
            self.slots.append(None)
            self.size = u32(len(self.slots))

    @inline
    def _mark(self, fd: u32, close_on_exec: bool) -> None:
        bit = u64(1) << u64(fd & 63)
        if close_on_exec:
            self.on_exec[fd >> 6] |= bit
        else:
            self.on_exec[fd >> 6] &= ~bit

    def withdraw(self, fd: i32, file: File) -> None:
        """Undo an install, for a call that fails after all: the descriptor may be another's by now."""
        with self.lock:
            if usize(fd) < len(self.slots) and self.slots[usize(fd)] is file:
                self.slots[usize(fd)] = None
                if u32(fd) < self.lowest:
                    self.lowest = u32(fd)

    def take(self, fd: i32) -> File | None:
        """Empty the slot and hand over its file; None if there is none."""
        with self.lock:
            if usize(fd) >= len(self.slots):
                return None
            file = self.slots[usize(fd)]
            if file is not None:
                self.slots[usize(fd)] = None
                if u32(fd) < self.lowest:
                    self.lowest = u32(fd)
            return file

    def close(self, fd: i32) -> None:
        """close(2). Raises OSError(EBADF)."""
        file = self.take(fd)
        if file is None:
            raise OSError(errno.EBADF)
        close_file(file)

    def replace(self, fd: i32, file: File, close_on_exec: bool) -> None:
        """dup2(2): put `file` at `fd`, closing what is there. Raises OSError(EBADF) for a number out of range."""
        if fd < 0 or u32(fd) >= descriptor_limit():
            raise OSError(errno.EBADF)
        with self.lock:
            self._reserve(u32(fd))
            old = self.slots[usize(fd)]
            self.slots[usize(fd)] = file
            self._mark(u32(fd), close_on_exec)
        if old is not None:
            close_file(old)

    def closes_on_exec(self, fd: i32) -> bool:
        """F_GETFD. Raises OSError(EBADF)."""
        with self.lock:
            self._check(fd)
            return (self.on_exec[usize(fd) >> 6] >> u64(fd & 63)) & 1 != 0

    def set_close_on_exec(self, fd: i32, value: bool) -> None:
        """F_SETFD. Raises OSError(EBADF)."""
        with self.lock:
            self._check(fd)
            self._mark(u32(fd), value)

    def _check(self, fd: i32) -> None:
        if usize(fd) >= len(self.slots) or self.slots[usize(fd)] is None:
            raise OSError(errno.EBADF)

    def fork(self) -> FileTable:
        """A copy for a child that does not share (clone(2) without CLONE_FILES). Raises MemoryError."""
        copy = FileTable()
        with self.lock:
            for file in self.slots:
                copy.slots.append(file)
            for bits in self.on_exec:
                copy.on_exec.append(bits)
            copy.size = self.size
            copy.lowest = self.lowest
        return copy

    def close_on_exec(self) -> None:
        """execve(2) goes through: close what is marked."""
        for fd in range(self.limit()):
            if self._marked(fd):
                file = self.take(fd)
                if file is not None:
                    close_file(file)

    def _marked(self, fd: i32) -> bool:
        with self.lock:
            return (self.on_exec[usize(fd) >> 6] >> u64(fd & 63)) & 1 != 0

    def close_range(self, first: u32, last: u32) -> None:
        """close_range(2)."""
        end = min(u64(last) + 1, u64(self.limit()))
        for fd in range(u64(first), end):
            file = self.take(i32(fd))
            if file is not None:
                close_file(file)

    def mark_range(self, first: u32, last: u32) -> None:
        """close_range(2) with CLOSE_RANGE_CLOEXEC."""
        with self.lock:
            end = min(u64(last) + 1, u64(len(self.slots)))
            for fd in range(u64(first), end):
                if self.slots[fd] is not None:
                    self._mark(u32(fd), True)

    def limit(self) -> i32:
        """One above the highest descriptor that may be in use."""
        with self.lock:
            return i32(len(self.slots))

    def close_all(self) -> None:
        """The process ends: every file is closed now, not when the table goes. A file's complaint is nobody's."""
        for fd in range(self.limit()):
            file = self.take(fd)
            if file is not None:
                try:
                    close_file(file)
                except Exception:
                    pass


def close_file(file: File) -> None:
    """What each close of a descriptor does: the file's flush, and POSIX record locks go (fcntl(2)). Errors of flush
    fly."""
    from kaa.kernel.fs import locks

    if file.has_locks():
        inode = file.inode()
        if inode is not None:
            locks.release_process_locks(inode, machine.percpu.current().tgid)
    file.flush()


def descriptor_limit() -> u32:
    """The caller's RLIMIT_NOFILE."""
    return u32(min(machine.percpu.current().group.limits.soft[RLIMIT_NOFILE].load_relaxed(), u64(MAXIMUM)))
