# SPDX-License-Identifier: Apache-2.0
"""/dev/null, zero, full, random, urandom and kmsg: null(4), full(4), random(4). Major number 1, Linux's minors."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from kaa.kernel import log
from kaa.kernel.abi.ioctl import RNDADDENTROPY, RNDADDTOENTCNT, RNDGETENTCNT, RNDRESEEDCRNG
from kaa.kernel.abi.poll import READABLE, WRITABLE
from kaa.kernel.arch import machine
from kaa.kernel.drivers.char.registry import register
from kaa.kernel.fs.file import File, SeekableFile
from kaa.kernel.lib import random
from kaa.kernel.mm.user import UserPtr
from kaa.lang import Array, i32, i64, u8, u32, u64, usize

if TYPE_CHECKING:
    from kaa.kernel.fs.path import Path
    from kaa.kernel.fs.poll import PollTable
    from kaa.kernel.mm.user import UserBuf
    from kaa.kernel.mm.vma import Vma

MAJOR = 1
CAP_SYS_ADMIN = 21
STAGE = 256


class NullFile(File):
    """Reads end at once, writes are swallowed."""

    def read(self, buf: UserBuf) -> usize:
        """Nothing."""
        return usize(0)

    def read_at(self, buf: UserBuf, offset: u64) -> usize:
        """Nothing."""
        return usize(0)

    def write(self, buf: UserBuf) -> usize:
        """All of it."""
        return buf.remaining()

    def write_at(self, buf: UserBuf, offset: u64) -> usize:
        """All of it."""
        return buf.remaining()

    def seek(self, offset: i64, whence: u32) -> u64:
        """Always at 0."""
        return u64(0)

    def seekable(self) -> bool:
        """lseek works."""
        return True


class ZeroFile(NullFile):
    """Endless zeroes."""

    def read(self, buf: UserBuf) -> usize:
        """Zeroes."""
        count = buf.remaining()
        buf.clear(count)
        return count

    def read_at(self, buf: UserBuf, offset: u64) -> usize:
        """Zeroes."""
        return self.read(buf)

    def mmap(self, vma: Vma) -> None:
        """Anonymous memory: no cache is set."""


class FullFile(ZeroFile):
    """As zero, but the disk is full."""

    def write(self, buf: UserBuf) -> usize:
        """ENOSPC."""
        raise OSError(errno.ENOSPC)

    def write_at(self, buf: UserBuf, offset: u64) -> usize:
        """ENOSPC."""
        raise OSError(errno.ENOSPC)


class RandomFile(File):
    """The kernel's generator; what is written is mixed in and not counted."""

    def read(self, buf: UserBuf) -> usize:
        """Random bytes."""
        return random.copy_out(buf)

    def write(self, buf: UserBuf) -> usize:
        """Mixed in."""
        stage = Array[u8, STAGE]()
        count = buf.remaining()
        while buf.remaining() > 0:
            take = min(buf.remaining(), STAGE)
            buf.copy_in(stage[0:take])
            random.mix(stage[0:take])
        return count

    def poll(self, table: PollTable | None) -> u32:
        """Always."""
        return u32(READABLE | WRITABLE)

    def ioctl(self, command: u32, argument: u64) -> i64:
        """random(4): the estimate is always full; additions are CAP_SYS_ADMIN's."""
        if command == RNDGETENTCNT:
            UserPtr[i32](argument).write(i32(256))
            return i64(0)
        if command == RNDADDTOENTCNT or command == RNDADDENTROPY or command == RNDRESEEDCRNG:
            if not machine.percpu.current().credentials.capable(CAP_SYS_ADMIN):
                raise OSError(errno.EPERM)
            return i64(0)
        raise OSError(errno.EINVAL)


class KmsgFile(SeekableFile):
    """The kernel's log as text; a write is a line in it."""

    def __init__(self, path: Path | None, flags: u32) -> None:
        super().__init__(path, flags)
        self.position = log.oldest()

    def seekable(self) -> bool:
        """Only to its ends."""
        return False

    def read(self, buf: UserBuf) -> usize:
        """What was logged since; EAGAIN at the end, as nothing ever waits here."""
        with self.position_lock:
            return self._read(buf)

    def _read(self, buf: UserBuf) -> usize:
        if self.position < log.oldest():
            self.position = log.oldest()
        stage = Array[u8, STAGE]()
        done: usize = usize(0)
        while buf.remaining() > 0:
            take = min(buf.remaining(), STAGE)
            got = log.copy_from(self.position, stage[0:take])
            if got == 0:
                break
            buf.copy_out(stage[0:got])
            self.position += got
            done += got
        if done == 0:
            raise BlockingIOError
        return done

    def write(self, buf: UserBuf) -> usize:
        """One line."""
        count = buf.remaining()
        stage = Array[u8, STAGE]()
        take = min(count, STAGE)
        buf.copy_in(stage[0:take])
        while take > 0 and (stage[take - 1] == 10 or stage[take - 1] == 0):
            take -= 1
        log.info(f"{stage[0:take]}")
        return count

    def seek(self, offset: i64, whence: u32) -> u64:
        """SEEK_SET 0: the oldest line; SEEK_END: only what comes."""
        with self.position_lock:
            self.position = log.newest() if whence == 2 else log.oldest()
        return u64(0)

    def poll(self, table: PollTable | None) -> u32:
        """Readable while something is left."""
        with self.position_lock:
            return u32(READABLE | WRITABLE) if self.position < log.newest() else u32(WRITABLE)


def open_null(flags: u32, path: Path) -> File:
    """/dev/null."""
    return NullFile(path, flags)


def open_zero(flags: u32, path: Path) -> File:
    """/dev/zero."""
    return ZeroFile(path, flags)


def open_full(flags: u32, path: Path) -> File:
    """/dev/full."""
    return FullFile(path, flags)


def open_random(flags: u32, path: Path) -> File:
    """/dev/random, /dev/urandom."""
    return RandomFile(path, flags)


def open_kmsg(flags: u32, path: Path) -> File:
    """/dev/kmsg."""
    return KmsgFile(path, flags)


register(MAJOR, 3, b"null", open_null, 0o666)
register(MAJOR, 5, b"zero", open_zero, 0o666)
register(MAJOR, 7, b"full", open_full, 0o666)
register(MAJOR, 8, b"random", open_random, 0o666)
register(MAJOR, 9, b"urandom", open_random, 0o666)
register(MAJOR, 11, b"kmsg", open_kmsg, 0o644)
