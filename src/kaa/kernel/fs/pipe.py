# SPDX-License-Identifier: Apache-2.0
"""Pipes: pipe(7). A ring of bytes over page frames that are allocated when first written.

The ring's size is a power of two of whole pages. Positions wrap; byte p is in frame p >> 12. When the ring empties it
starts at 0 again, so that small messages go through one page that stays in the cache. Frames beyond the first are kept
only by a stream that drains much at a time.

Writes of up to PIPE_BUF bytes are atomic: they wait until they fit. Lock: `lock`, a mutex, since copying may fault;
queues are woken after it is released. `readers` and `writers` count open files; `opened_…` count opens ever, for FIFOs:
both without the lock, as an end may be closed anywhere.
Conditions of waits and poll(2) read single words (`used`, `readers`…) without it, and must live with words of different
moments.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from kaa.kernel.abi.poll import POLLERR, POLLHUP, READABLE, WRITABLE
from kaa.kernel.abi.restart import Restart
from kaa.kernel.arch import machine
from kaa.kernel.locking.mutex import Mutex
from kaa.kernel.locking.wait_queue import WaitQueue
from kaa.kernel.mm import buddy, frame
from kaa.kernel.signal import send
from kaa.lang import Atomic, Guarded, Relaxed, u32, u64, usize

if TYPE_CHECKING:
    from kaa.kernel.fs.poll import PollTable
    from kaa.kernel.mm.user import UserBuf

SIGPIPE = 13
PIPE_BUF = 4096
PAGE = 4096
DEFAULT_SIZE = 65536
MAXIMUM_SIZE = 1048576


class Pipe:
    """The ring and those who wait at its ends."""

    lock: Final[Mutex]
    readable: Final[WaitQueue]
    writable: Final[WaitQueue]
    frames: Guarded[list[u64], "lock"]
    """Frame of each page of the ring; 0 where none was needed yet."""
    capacity: Guarded[Relaxed[usize], "lock"] = 0
    """0 until the constructor has all it needs."""
    head: Guarded[usize, "lock"]
    """Position of the oldest byte."""
    used: Guarded[Relaxed[usize], "lock"]
    readers: Atomic[u32]
    writers: Atomic[u32]
    opened_readers: Atomic[u32]
    opened_writers: Atomic[u32]

    def __init__(self) -> None:
        self.lock = Mutex("pipe")
        self.readable = WaitQueue("pipe readers")
        self.writable = WaitQueue("pipe writers")
        self.frames = []
        self.capacity = DEFAULT_SIZE
        self.head = 0
        self.used = 0
        self.readers = Atomic(0)
        self.writers = Atomic(0)
        self.opened_readers = Atomic(0)
        self.opened_writers = Atomic(0)

    def __del__(self) -> None:
        if self.capacity != 0:
            self._trim(0)

    def _trim(self, keep: usize) -> None:
        """Give back the frames from index `keep` on."""
        while len(self.frames) > keep:
            pfn = self.frames.pop()
            if pfn != 0:
                frame.put_page(pfn)

    def _frame(self, index: usize) -> u64:
        """The frame of page `index` of the ring, allocated now if need be. Raises MemoryError."""
        while len(self.frames) <= index:
            self.frames.append(0)
        pfn = self.frames[index]
        if pfn == 0:
            pfn = u64(buddy.allocate_page())
            self.frames[index] = pfn
        return pfn

    def read(self, buf: UserBuf, nonblocking: bool) -> usize:
        """What is there, waiting for the first byte; 0 when no writer is left."""
        if buf.remaining() == 0:
            return usize(0)
        while True:
            with self.lock:
                moved = self._drain(buf)
                ended = self.writers.load() == 0
            if moved > 0:
                self.writable.wake_all()
                return moved
            if ended:
                return usize(0)
            if nonblocking:
                raise BlockingIOError
            self.readable.wait_interruptible(lambda: self.used > 0 or self.writers.load() == 0)

    def _drain(self, buf: UserBuf) -> usize:
        """Move bytes from the ring to `buf`. Raises OSError(EFAULT) if not even the first piece could be copied."""
        done: usize = usize(0)
        wanted = min(buf.remaining(), self.used)
        try:
            while done < wanted:
                within = self.head & (PAGE - 1)
                take = min(wanted - done, PAGE - within)
                pfn = self.frames[self.head >> 12]
                buf.copy_out(frame.contents(pfn)[within : within + take])
                done += take
                self._consume(take)
        except OSError:
            if done == 0:
                raise
        if self.used == 0:
            self.head = 0
            if done < self.capacity // 2 and len(self.frames) > 1:
                self._trim(1)
        return done

    def peek(self, buf: UserBuf, waits: bool) -> usize:
        """As read, but the bytes stay (tee(2))."""
        while True:
            with self.lock:
                done: usize = usize(0)
                wanted = min(buf.remaining(), self.used)
                while done < wanted:
                    at = (self.head + done) & (self.capacity - 1)
                    within = at & (PAGE - 1)
                    take = min(wanted - done, PAGE - within)
                    buf.copy_out(frame.contents(self.frames[at >> 12])[within : within + take])
                    done += take
                ended = self.writers.load() == 0
            if done > 0 or ended:
                return done
            if not waits:
                raise BlockingIOError
            self.readable.wait_interruptible(lambda: self.used > 0 or self.writers.load() == 0)

    def _consume(self, count: usize) -> None:
        self.head = (self.head + count) & (self.capacity - 1)
        self.used -= count

    def write(self, buf: UserBuf, nonblocking: bool) -> usize:
        """All of `buf`, waiting for room; less only when a signal, a fault or O_NONBLOCK cuts it short.
        Raises BrokenPipeError after SIGPIPE when no reader is left."""
        total = buf.remaining()
        if total == 0:
            return usize(0)
        done: usize = usize(0)
        need = total if total <= PIPE_BUF else usize(1)
        while True:
            moved: usize = usize(0)
            with self.lock:
                broken = self.readers.load() == 0
                if not broken:
                    try:
                        moved = self._fill(buf, need)
                    except (OSError, MemoryError):
                        if done == 0:
                            raise
                        return done
            done += moved
            if moved > 0:
                self.readable.wake_all()
            if broken:
                return self._broken(done)
            if done == total:
                return done
            if nonblocking:
                if done == 0:
                    raise BlockingIOError
                return done
            if not self._await_room(need, done > 0):
                return done

    def _await_room(self, need: usize, started: bool) -> bool:
        """Sleep until `need` bytes fit. False when a signal came and something was written already."""
        try:
            self.writable.wait_interruptible(lambda: self.room() >= need or self.readers.load() == 0)
        except Restart:
            if started:
                return False
            raise
        return True

    def _broken(self, done: usize) -> usize:
        send.send_kernel(machine.percpu.current(), SIGPIPE)
        if done > 0:
            return done
        raise BrokenPipeError

    def _fill(self, buf: UserBuf, need: usize) -> usize:
        """Move bytes into the ring if `need` of them fit. Raises OSError(EFAULT), MemoryError if nothing was moved.
        After a fault behind the first piece the next call meets it again at once."""
        room = self.capacity - self.used
        if room < need:
            return usize(0)
        wanted = min(buf.remaining(), room)
        done: usize = usize(0)
        try:
            while done < wanted:
                at = (self.head + self.used) & (self.capacity - 1)
                within = at & (PAGE - 1)
                take = min(wanted - done, PAGE - within)
                pfn = self._frame(at >> 12)
                buf.copy_in(frame.contents(pfn)[within : within + take])
                done += take
                self.used += take
        except (OSError, MemoryError):
            if done == 0:
                raise
        return done

    def room(self) -> usize:
        """Bytes that fit, for those who look without the lock: the two words may be of different moments."""
        capacity = self.capacity
        return capacity - min(self.used, capacity)

    def poll_read(self, table: PollTable | None) -> u32:
        """Events of the reading end."""
        if table is not None:
            table.add(self.readable)
        events: u32 = u32(0)
        if self.used > 0:
            events = u32(READABLE)
        if self.writers.load() == 0 and self.opened_writers.load() > 0:
            events |= POLLHUP
        return events

    def poll_write(self, table: PollTable | None) -> u32:
        """Events of the writing end."""
        if table is not None:
            table.add(self.writable)
        events: u32 = u32(0)
        if self.room() >= PIPE_BUF:
            events = u32(WRITABLE)
        if self.readers.load() == 0:
            events |= POLLERR
        return events

    def resize(self, wanted: u64, privileged: bool) -> usize:
        """F_SETPIPE_SZ: at least `wanted` bytes, a power of two of pages. Raises OSError(EBUSY) when it holds more."""
        if wanted > 1 << 31:
            raise OSError(errno.EINVAL)
        if wanted > MAXIMUM_SIZE and not privileged:
            raise OSError(errno.EPERM)
        size: usize = usize(PAGE)
        while size < wanted:
            size = size * 2
        with self.lock:
            if self.used > size:
                raise OSError(errno.EBUSY)
            if size != self.capacity:
                self._relocate(size)
        self.writable.wake_all()
        return size

    def _copy_of(self, pfn: u64, count: usize) -> u64:
        """A fresh frame that starts as another does. Raises MemoryError."""
        fresh = u64(buddy.allocate_page())
        frame.contents(fresh)[0:count].copy_from(frame.contents(pfn)[0:count])
        return fresh

    def _relocate(self, size: usize) -> None:
        """Rebuild the ring in its new size: its oldest byte moves to the front page, whole frames at a time. Where the
        newest bytes share a frame with the oldest, they get one of their own. Raises OSError(EBUSY), MemoryError, and
        then nothing has changed."""
        fresh: list[u64] = []
        first = self.head >> 12
        pages = (usize(self.head & (PAGE - 1)) + self.used + PAGE - 1) >> 12
        ring = self.capacity >> 12
        if pages > size >> 12:
            raise OSError(errno.EBUSY)
        for index in range(min(pages, ring)):
            fresh.append(self.frames[(first + index) % ring])
        if pages > ring:
            fresh.append(0)
            fresh[ring] = self._copy_of(fresh[0], self.head & (PAGE - 1))
        for index in range(min(pages, ring)):
            self.frames[(first + index) % ring] = 0
        self._trim(0)
        self.frames = fresh
        self.head = self.head & (PAGE - 1)
        self.capacity = size
