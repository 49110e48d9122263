# SPDX-License-Identifier: Apache-2.0
"""What a socket reads from: bytes in a ring and, in order, the messages that are more than bytes.

A stream's plain bytes need no `Message`: one marks where descriptors or credentials lie. A packet always has its own.
unix(7): a read of a stream takes in bytes before descriptors together with those that came with them, then stops.

Lock: `lock`, a mutex, as copying may fault; queues are woken after it is given back. `no_reader` and `no_writer` go
from False to True once, under the lock; nothing is added from then on. Conditions of waits and poll(2) read single
words without it."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from kaa.kernel.abi.socket import MSG_TRUNC
from kaa.kernel.locking.mutex import Mutex
from kaa.kernel.locking.wait_queue import WaitQueue
from kaa.kernel.net.byte_ring import ByteRing
from kaa.kernel.net.unix.message import graveyard
from kaa.lang import Guarded, Relaxed, i64, inline, u32, u64, usize

if TYPE_CHECKING:
    from kaa.kernel.net.pieces import Pieces
    from kaa.kernel.net.unix.delivery import Delivery
    from kaa.kernel.net.unix.identity import Identity
    from kaa.kernel.net.unix.message import Message

DEFAULT_BUFFER = 212992
"""SO_SNDBUF and SO_RCVBUF at the start; also the most that may be asked for, which doubles it (socket(7))."""
MOST_PACKETS = 10
"""Behind one more than these, senders to a socket that hears everyone wait (unix(7), max_dgram_qlen)."""
PACKET_COST = 768
"""Bytes that each packet counts beside its own."""


class Inbox:
    """One direction of a connection, or all that comes to a datagram socket."""

    lock: Final[Mutex]
    readable: Final[WaitQueue]
    writable: Final[WaitQueue]
    ring: Final[ByteRing]
    first: Guarded[Message | None, "lock"]
    last: Guarded[Message | None, "lock"]
    packets: Guarded[Relaxed[u32], "lock"]
    limit: Relaxed[usize]
    """Bytes that fit."""
    connectionless: Final[bool]
    closed: Guarded[bool, "lock"]
    """The socket that read from it is gone."""
    no_reader: Guarded[Relaxed[bool], "lock"]
    no_writer: Guarded[Relaxed[bool], "lock"]
    reset: Guarded[Relaxed[bool], "lock"]
    """The other side closed with unread bytes: ECONNRESET is to be told once."""
    only_from: Guarded[Identity | None, "lock"]
    """Of a connected datagram socket: from whom it takes messages. Here it is only compared."""
    hears_all: Guarded[Relaxed[bool], "lock"]
    """Whether there is no such."""
    signed: Relaxed[bool]
    """Whether the reader wants to know who wrote (SO_PASSCRED)."""

    def __init__(self, connectionless: bool) -> None:
        self.lock = Mutex("socket inbox")
        self.connectionless = connectionless
        self.closed = False
        self.readable = WaitQueue("socket readers")
        self.writable = WaitQueue("socket writers")
        self.ring = ByteRing()
        self.first = None
        self.last = None
        self.packets = 0
        self.limit = DEFAULT_BUFFER
        self.no_reader = False
        self.no_writer = False
        self.reset = False
        self.only_from = None
        self.hears_all = True
        self.signed = False

    def __del__(self) -> None:
        chain = self.first
        if chain is not None:
            self.first = None
            graveyard.bury(chain)

    @inline
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self.no_writer or self.no_reader

    def hear_only(self, sender: Identity | None) -> None:
        """Take messages from `sender` only, or from everyone."""
        self._exchange_sender(sender)

    def _exchange_sender(self, sender: Identity | None) -> Identity | None:
        """Gives the one before, to be dropped after the lock."""
        with self.lock:
            before = self.only_from
            self.only_from = sender
            self.hears_all = sender is None
            return before

    def hears(self, sender: Identity) -> bool:
        """Whether it takes messages from `sender`."""
        with self.lock:
            return self.only_from is None or self.only_from is sender

    def wake_everyone(self) -> None:
        """The state changed."""
        self.readable.wake_all()
        self.writable.wake_all()

    def _link(self, message: Message) -> None:
        last = self.last
        if last is None:
            self.first = message
        else:
            last.next = message
        self.last = message

    def _unlink_first(self) -> None:
        message = self.first
        assert message is not None
        self.first = message.next
        message.next = None
        if self.first is None:
            self.last = None

    def _unlink_all(self) -> Message | None:
        """All messages, as a chain."""
        chain = self.first
        self.first = None
        self.last = None
        return chain

    def _oldest(self) -> Message | None:
        return self.first

    def close_writer(self, reset: bool) -> None:
        """Nobody will write any more (close, SHUT_WR)."""
        with self.lock:
            self.no_writer = True
            if reset:
                self.reset = True
        self.wake_everyone()

    def shut_reader(self) -> None:
        """SHUT_RD: what is inside may be read, no more comes."""
        with self.lock:
            self.no_reader = True
        self.wake_everyone()

    def close_reader(self) -> bool:
        """The reading socket is closed: its contents go. True when there were any."""
        with self.lock:
            self.no_reader = True
            self.closed = True
            chain = self._unlink_all()
            unread = self.ring.used() > 0 or chain is not None
            self.packets = 0
            self.ring.rewind(0)
            self.ring.trim(0)
        self.wake_everyone()
        if chain is not None:
            graveyard.bury(chain)
        return unread

    def take_reset(self) -> bool:
        """Whether ECONNRESET is to be told, now for the last time."""
        with self.lock:
            reset = self.reset
            self.reset = False
            return reset

    def has_news(self) -> bool:
        """Whether a reader need not wait."""
        return self.ring.used() > 0 or self.packets > 0 or self.no_writer or self.no_reader

    # Streams.

    def append(self, pieces: Pieces, message: Message | None) -> usize:
        """Put in what fits; the message marks it if anything does. Raises BrokenPipeError, OSError(EFAULT),
        MemoryError, and then nothing was put in."""
        with self.lock:
            if self.no_reader or self.no_writer:
                raise BrokenPipeError
            used = self.ring.used()
            if used >= self.limit:
                return usize(0)
            start = self.ring.tail
            moved = self.ring.put(pieces, min(pieces.total, self.limit - used))
            if message is not None and moved > 0:
                self._mark(message, start, start + moved)
        if moved > 0:
            self.readable.wake_all()
        return moved

    def _mark(self, message: Message, start: u64, end: u64) -> None:
        """Bytes `start` to `end` are more than bytes. One mark does for what one writer wrote in a row."""
        last = self.last
        if last is not None and last.end == start and last.signed and last.files is None and message.files is None:
            if last.same_writer(message):
                last.end = end
                return
        message.start = start
        message.end = end
        self._link(message)

    def take(self, pieces: Pieces, delivery: Delivery | None, peek: bool) -> usize:
        """Move out what is there, up to `pieces.total` bytes; 0 when nothing is. `peek`: leave it there. Raises
        OSError(EFAULT), MemoryError (peek with descriptors)."""
        if self.ring.used() == 0:
            return usize(0)
        passed: Message | None = None
        with self.lock:
            count = min(self.ring.used(), pieces.total)
            if self.first is not None:
                count = self._until_barrier(count, delivery)
            moved = self.ring.copy_out(pieces, usize(0), count)
            if self.first is not None:
                passed = self._pass_marks(self.ring.head + moved, delivery, peek)
            if not peek and self.ring.consume(moved) and self.first is None:
                self.ring.rewind(moved)
        if passed is not None:
            graveyard.bury(passed)
        if not peek:
            self.writable.wake_all()
        return moved

    def _until_barrier(self, count: usize, delivery: Delivery | None) -> usize:
        """How many of `count` bytes one read may take."""
        message = self.first
        head = self.ring.head
        writer = message
        while message is not None and message.start < head + count:
            if delivery is not None and delivery.wants_credentials and message.signed and writer is not None:
                if message.start > head and not message.same_writer(writer):
                    return message.start - head
            if message.files is not None:
                return min(count, message.end - head)
            message = message.next
        return count

    def _pass_marks(self, position: u64, delivery: Delivery | None, peek: bool) -> Message | None:
        """Bytes before `position` are read: give what came with them, and unlink what is through. Those unlinked are
        returned, to be dropped outside the lock. Descriptors go with the first of their bytes that is read."""
        passed: Message | None = None
        message = self.first
        while message is not None and message.start < position:
            following = message.next
            if delivery is not None:
                delivery.note(message, peek)
            if not peek:
                if message.end > position and message.signed and message.files is None:
                    break
                self._unlink_first()
                message.next = passed
                passed = message
            message = following
        return passed

    # Packets.

    def _fits(self, length: usize) -> bool:
        if self.packets > MOST_PACKETS and self.connectionless and self.hears_all:
            return False
        return self.ring.used() + u64(self.packets) * PACKET_COST + length <= max(self.limit, length)

    def room_for(self, length: usize) -> bool:
        """Whether a packet, or as much of a stream, can go in, or never will."""
        return self._fits(length) or self.no_reader or self.no_writer

    def post(self, pieces: Pieces, message: Message) -> bool:
        """Put in a whole packet; False when it does not fit now. Raises OSError(ECONNREFUSED) without a reader,
        BrokenPipeError after a shutdown, OSError(EPERM), OSError(EFAULT), MemoryError: then nothing was put in."""
        with self.lock:
            if self.closed and self.connectionless:
                raise ConnectionRefusedError
            if self.no_reader or self.no_writer:
                raise BrokenPipeError
            if self.only_from is not None and self.only_from is not message.sender:
                raise OSError(errno.EPERM)
            length = pieces.total
            if not self._fits(length):
                return False
            message.start = self.ring.tail
            try:
                moved = self.ring.put(pieces, length)
            except (OSError, MemoryError):
                self._settle()
                raise
            if moved < length:
                self.ring.tail = message.start
                self._settle()
                raise OSError(errno.EFAULT)
            message.end = self.ring.tail
            self._link(message)
            self.packets += 1
        self.readable.wake_all()
        return True

    def _settle(self) -> None:
        if self.first is None:
            self.ring.rewind(0)

    def receive(self, pieces: Pieces, delivery: Delivery | None, peek: bool, true_length: bool) -> i64:
        """Take the oldest packet; -1 when there is none. What does not fit is lost. `true_length`: count that too.
        Raises OSError(EFAULT): the packet is gone, as on Linux."""
        with self.lock:
            message = self._oldest()
            if message is None:
                return -1
            length = message.end - message.start
            count = min(length, pieces.total)
            if delivery is not None:
                delivery.note(message, peek)
                if count < length:
                    delivery.flags |= MSG_TRUNC
            moved = self._copy_packet(pieces, count, peek, length)
        if not peek:
            if message.files is not None:
                graveyard.bury(message)
            self.writable.wake_all()
        if moved < count:
            raise OSError(errno.EFAULT)
        return i64(length) if true_length else i64(count)

    def _copy_packet(self, pieces: Pieces, count: usize, peek: bool, length: usize) -> usize:
        """Copy the first packet out and, unless peeked at, remove it. Less than `count` after a fault."""
        moved: usize = usize(0)
        try:
            moved = self.ring.copy_out(pieces, 0, count)
        except OSError:
            moved = usize(0)
        if not peek:
            self._unlink_first()
            self.packets -= 1
            self.ring.consume(length)
            if self.first is None:
                self.ring.rewind(length)
        return moved

    def pending(self) -> usize:
        """FIONREAD: bytes of a stream, or of the first packet."""
        return self.ring.used()

    def first_length(self) -> usize:
        """FIONREAD of packets."""
        with self.lock:
            message = self.first
            return usize(0) if message is None else message.end - message.start
