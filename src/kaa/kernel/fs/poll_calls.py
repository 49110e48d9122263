# SPDX-License-Identifier: Apache-2.0
"""poll(2) and ppoll(2)."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from kaa.kernel.abi.poll import POLLERR, POLLHUP, POLLNVAL, PollFd
from kaa.kernel.abi.restart import RestartBlock, RestartUnlessHandled
from kaa.kernel.abi.syscall import syscall
from kaa.kernel.abi.time import Timespec, timespec
from kaa.kernel.arch import machine
from kaa.kernel.fs.descriptors import descriptor_limit
from kaa.kernel.fs.poll import NEVER, PollTable, Question, deadline_after, passed
from kaa.kernel.mm.user import UserBuf, UserPtr
from kaa.kernel.process.task import RESTART_POLL
from kaa.kernel.signal import deliver
from kaa.lang import ZERO, Array, as_bytes, i16, i32, struct, u32, u64, usize

if TYPE_CHECKING:
    from kaa.kernel.fs.descriptors import FileTable

BLOCK = 64
NS_PER_MS = 1_000_000


@struct
class PollBlock:
    """Some entries in a row."""

    items: Array[PollFd, BLOCK] = ZERO


class PollPiece:
    """A block of the caller's array; longer arrays are several."""

    block: PollBlock
    count: u32

    def __init__(self, count: u32) -> None:
        self.block = PollBlock()
        self.count = count

    def scan(self, files: FileTable, table: PollTable | None) -> i32:
        """Ask every file; how many have something to tell."""
        ready: i32 = i32(0)
        for index in range(self.count):
            item = self.block.items[index]
            item.revents = i16(0)
            if item.fd < 0:
                continue
            file = files.find(item.fd)
            if file is None:
                item.revents = i16(POLLNVAL)
                ready += 1
                continue
            if table is not None:
                table.file = file
            wanted = u32(item.events) & 0xFFFF | POLLERR | POLLHUP
            events = file.poll(table) & wanted
            if events != 0:
                item.revents = i16(events)
                ready += 1
        return ready


class PollSet(Question):
    """The whole array, in the kernel."""

    pieces: list[PollPiece]

    def __init__(self) -> None:
        self.pieces = []

    def load(self, address: u64, count: u64) -> None:
        """Copy in. Raises OSError(EFAULT), MemoryError."""
        buf = UserBuf(address, count * 8)
        left = count
        while left > 0:
            take = min(left, BLOCK)
            piece = PollPiece(u32(take))
            buf.copy_in(as_bytes(piece.block)[0 : take * 8])
            self.pieces.append(piece)
            left -= take

    def store(self, address: u64, count: u64) -> None:
        """Copy out. Raises OSError(EFAULT)."""
        buf = UserBuf(address, count * 8)
        for piece in self.pieces:
            buf.copy_out(as_bytes(piece.block)[0 : usize(piece.count) * 8])

    def scan(self, table: PollTable | None) -> i32:
        """Ask every file."""
        files = machine.percpu.current().files
        ready: i32 = i32(0)
        for piece in self.pieces:
            ready += piece.scan(files, table)
        return ready


def poll_until(address: u64, count: u64, deadline: u64) -> i32:
    """poll(2) with an absolute deadline. Raises RestartBlock when a signal came first."""
    wanted = PollSet()
    wanted.load(address, count)
    ready = wanted.wait(deadline)
    if ready == 0 and not passed(deadline):
        task = machine.percpu.current()
        task.restart_kind = RESTART_POLL
        task.restart_address = address
        task.restart_value = count
        task.restart_deadline = deadline
        raise RestartBlock
    wanted.store(address, count)
    return ready


@syscall(x86_64=7)
def poll(address: u64, count: u32, timeout: i32) -> i32:
    """poll(2): wait for one of several files; the timeout is in ms, negative for none."""
    if count > descriptor_limit():
        raise OSError(errno.EINVAL)
    deadline = u64(NEVER) if timeout < 0 else deadline_after(u64(timeout) * NS_PER_MS)
    return poll_until(address, u64(count), deadline)


@syscall(x86_64=271, arm64=73)
def ppoll(address: u64, count: u32, timeout: UserPtr[Timespec], mask: UserPtr[u64], size: usize) -> i32:
    """ppoll(2): poll with nanoseconds and a signal mask; what is left of the timeout is stored back."""
    deadline = u64(NEVER)
    if not timeout.is_null():
        deadline = timeout.read().deadline(machine.clock.monotonic_ns())
    if not mask.is_null():
        if size != 8:
            raise OSError(errno.EINVAL)
        deliver.block_until_return(machine.percpu.current(), mask.read())
    if count > descriptor_limit():
        raise OSError(errno.EINVAL)
    wanted = PollSet()
    wanted.load(address, u64(count))
    ready = wanted.wait(deadline)
    store_rest(timeout, deadline)
    if ready == 0 and not passed(deadline):
        raise RestartUnlessHandled
    wanted.store(address, u64(count))
    return ready


def store_rest(timeout: UserPtr[Timespec], deadline: u64) -> None:
    """Tell how much of a timeout was left. A fault is ignored, as the call has its result."""
    if timeout.is_null():
        return
    now = u64(machine.clock.monotonic_ns())
    rest = deadline - now if deadline > now else u64(0)
    try:
        timeout.write(timespec(rest))
    except OSError:
        return
