# SPDX-License-Identifier: Apache-2.0
"""select(2) and pselect6(2): sets of descriptors as bit maps, words of 64 bits."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from kaa.kernel.abi.poll import SELECT_EXCEPT, SELECT_IN, SELECT_OUT
from kaa.kernel.abi.restart import RestartUnlessHandled
from kaa.kernel.abi.syscall import syscall
from kaa.kernel.abi.time import Timespec, Timeval, timeval
from kaa.kernel.arch import machine
from kaa.kernel.fs.poll import NEVER, PollTable, Question, deadline_after, passed
from kaa.kernel.fs.poll_calls import store_rest
from kaa.kernel.mm.user import UserBuf, UserPtr
from kaa.kernel.signal import deliver
from kaa.lang import ZERO, Array, as_bytes, i32, struct, trailing_zeros, u32, u64, usize

if TYPE_CHECKING:
    from kaa.kernel.fs.descriptors import FileTable

WORDS = 16
"""Words per piece: 1024 descriptors."""


@struct
class Words:
    """One set's share of a piece."""

    words: Array[u64, WORDS] = ZERO


@struct
class MaskArgument:
    """What pselect6's sixth argument points to."""

    address: u64 = 0
    size: u64 = 0


class SelectPiece:
    """1024 descriptors: three sets asked for and three found."""

    wanted: Array[Words, 3]
    found: Array[Words, 3]
    base: i32

    def __init__(self, base: i32) -> None:
        self.wanted = Array[Words, 3]()
        self.found = Array[Words, 3]()
        self.base = base

    def scan(self, files: FileTable, table: PollTable | None) -> i32:
        """Ask every file that is in a set; how many bits were found. Raises OSError(EBADF)."""
        ready: i32 = i32(0)
        for word in range(WORDS):
            reading = self.wanted[0].words[word]
            writing = self.wanted[1].words[word]
            excepting = self.wanted[2].words[word]
            left = reading | writing | excepting
            found_in: u64 = u64(0)
            found_out: u64 = u64(0)
            found_except: u64 = u64(0)
            while left != 0:
                position = trailing_zeros(left)
                bit = u64(1) << u64(position)
                left &= left - 1
                file = files.get(self.base + i32(word) * 64 + i32(position))
                if table is not None:
                    table.file = file
                events = file.poll(table)
                if events & SELECT_IN and reading & bit:
                    found_in |= bit
                    ready += 1
                if events & SELECT_OUT and writing & bit:
                    found_out |= bit
                    ready += 1
                if events & SELECT_EXCEPT and excepting & bit:
                    found_except |= bit
                    ready += 1
            self.found[0].words[word] = found_in
            self.found[1].words[word] = found_out
            self.found[2].words[word] = found_except
        return ready


class SelectSet(Question):
    """A whole call's sets."""

    pieces: list[SelectPiece]
    bytes: usize

    def __init__(self, count: u32) -> None:
        self.pieces = []
        self.bytes = (usize(count) + 63) // 64 * 8
        base: i32 = i32(0)
        while base < i32(count):
            self.pieces.append(SelectPiece(base))
            base += WORDS * 64

    def load(self, which: u32, address: u64) -> None:
        """Copy one set in; a null one is empty."""
        if address == 0:
            return
        buf = UserBuf(address, self.bytes)
        for piece in self.pieces:
            take = min(buf.remaining(), WORDS * 8)
            buf.copy_in(as_bytes(piece.wanted[which])[0:take])

    def trim(self, count: u32) -> None:
        """Drop bits at and above `count`, which no one asked about."""
        rest = count % 64
        if rest == 0 or len(self.pieces) == 0:
            return
        piece = self.pieces[len(self.pieces) - 1]
        word = (count // 64) % WORDS
        mask = (u64(1) << u64(rest)) - 1
        for which in range(3):
            piece.wanted[which].words[word] &= mask

    def store(self, which: u32, address: u64) -> None:
        """Copy one set of what was found out."""
        if address == 0:
            return
        buf = UserBuf(address, self.bytes)
        for piece in self.pieces:
            take = min(buf.remaining(), WORDS * 8)
            buf.copy_out(as_bytes(piece.found[which])[0:take])

    def scan(self, table: PollTable | None) -> i32:
        """Ask every file."""
        files = machine.percpu.current().files
        ready: i32 = i32(0)
        for piece in self.pieces:
            ready += piece.scan(files, table)
        return ready


def select_until(count: i32, readers: u64, writers: u64, exceptions: u64, deadline: u64) -> i32:
    """The call with an absolute deadline; -1 when a signal came first."""
    if count < 0:
        raise OSError(errno.EINVAL)
    open_limit = u32(machine.percpu.current().files.limit())
    bounded = min(u32(count), (open_limit + 63) // 64 * 64)
    sets = SelectSet(bounded)
    sets.load(0, readers)
    sets.load(1, writers)
    sets.load(2, exceptions)
    sets.trim(bounded)
    ready = sets.wait(deadline)
    if ready == 0 and not passed(deadline):
        return i32(-1)
    sets.store(0, readers)
    sets.store(1, writers)
    sets.store(2, exceptions)
    return ready


@syscall(x86_64=23)
def select(count: i32, readers: u64, writers: u64, exceptions: u64, timeout: UserPtr[Timeval]) -> i32:
    """select(2): wait for one of several files; what is left of the timeout is stored back."""
    deadline = u64(NEVER)
    if not timeout.is_null():
        deadline = deadline_after(timeout.read().total())
    ready = select_until(count, readers, writers, exceptions, deadline)
    if not timeout.is_null():
        now = u64(machine.clock.monotonic_ns())
        try:
            timeout.write(timeval(deadline - now if deadline > now else u64(0)))
        except OSError:
            pass
    if ready < 0:
        raise RestartUnlessHandled
    return ready


@syscall(x86_64=270, arm64=72)
def pselect6(
    count: i32, readers: u64, writers: u64, exceptions: u64, timeout: UserPtr[Timespec], mask: UserPtr[MaskArgument]
) -> i32:
    """pselect(2): select with nanoseconds and a signal mask."""
    deadline = u64(NEVER)
    if not timeout.is_null():
        deadline = timeout.read().deadline(machine.clock.monotonic_ns())
    if not mask.is_null():
        argument = mask.read()
        if argument.address != 0:
            if argument.size != 8:
                raise OSError(errno.EINVAL)
            deliver.block_until_return(machine.percpu.current(), UserPtr[u64](argument.address).read())
    ready = select_until(count, readers, writers, exceptions, deadline)
    store_rest(timeout, deadline)
    if ready < 0:
        raise RestartUnlessHandled
    return ready
