# SPDX-License-Identifier: Apache-2.0
"""One 9P message exchange: the request's bytes, the reply's, and the pages either may carry.

Both messages live in one buffer of two pages, so that a request can be reused without allocating: `put*` append to
the request, `get*` read the reply and fail with EIO beyond its end. Data goes straight to or from page frames, as
further segments behind the message (virtio: read by the device if the request carries it, written if the reply does).

A request belongs to whoever took it from the client's pool; from `Channel.submit` until it is `done` to the channel,
whose lock covers it then.
"""

from __future__ import annotations

import errno
from typing import Final

from kaa.kernel.abi.ninep import HEADER, Message
from kaa.kernel.drivers.virtio.dma import DmaBuffer, Segment
from kaa.kernel.locking.wait_queue import WaitQueue
from kaa.lang import Array, Atomic, Bytes, i64, part, u8, u16, u32, u64, usize

SEND_SIZE = 4608
"""Room for the largest request: Tsymlink with a target of 4095 bytes."""
BUFFER_SIZE = 8192
SEGMENTS = 126
"""Most pieces of one message: a queue of 128 entries holds the longest."""
DATA_SEGMENTS = SEGMENTS - 2


@part
class Request:
    """See the module's docstring."""

    tag: u16
    number: Final[u16]
    buffer: Final[DmaBuffer]
    segments: Array[Segment, SEGMENTS]
    segment_count: u32 = 0
    outputs: u32 = 0
    position: usize = 0
    """Where the next `put` or `get` happens, from the message's start."""
    end: usize = 0
    """Bytes of the reply in our buffer."""
    reply_start: usize = 0
    """Where the reply lies in the buffer: right behind the request."""
    reply_room: u32 = 0
    """Bytes of the reply that go to the buffer; 0: as many as there is room for."""
    kind: u32 = 0
    done: Atomic[bool]
    """Set when all else is: the waiter goes on."""
    failed: bool = False
    unattended: bool = False
    """Nobody waits for the reply; the channel keeps the finished request for the client to collect."""
    written: u32 = 0
    fid: u32 = 0
    """For Tclunk: the number that is free again when the reply is here."""
    wait: Final[WaitQueue]
    next: Request | None = None

    def __init__(self, tag: u16) -> None:
        self.tag = tag
        self.number = tag
        self.buffer = DmaBuffer(1)
        self.segments = Array[Segment, SEGMENTS]()
        self.wait = WaitQueue()
        self.done = Atomic(False)

    def start(self, kind: u32) -> None:
        """Begin a request of type `kind`."""
        self.kind = kind
        self.tag = self.number
        self.position = 4
        self.segment_count = 2
        self.outputs = 1
        self.reply_room = 0
        self.done.store_relaxed(False)
        self.failed = False
        self.unattended = False
        self.written = 0
        self.put8(u8(kind))
        self.put16(self.tag)

    def set_tag(self, tag: u16) -> None:
        """Use another tag than the own one (Tversion's NO_TAG); right after `start`."""
        self.tag = tag
        self.position = 5
        self.put16(tag)

    def put8(self, value: u8) -> None:
        """Append a byte."""
        self.buffer.bytes()[self.position] = value
        self.position += 1

    def put16(self, value: u16) -> None:
        """Append two bytes, little-endian."""
        view = self.buffer.bytes()
        view[self.position] = u8(value)
        view[self.position + 1] = u8(value >> 8)
        self.position += 2

    def put32(self, value: u32) -> None:
        """Append four bytes."""
        self.put16(u16(value))
        self.put16(u16(value >> 16))

    def put64(self, value: u64) -> None:
        """Append eight bytes."""
        self.put32(u32(value))
        self.put32(u32(value >> 32))

    def put_text(self, text: Bytes) -> None:
        """Append a string: its length in two bytes, then itself. Raises OSError(ENAMETOOLONG) when it does not fit."""
        length = usize(len(text))
        if self.position + 2 + length > SEND_SIZE - 16:
            raise OSError(errno.ENAMETOOLONG)
        self.put16(u16(length))
        self.buffer.bytes()[self.position : self.position + length].copy_from(text)
        self.position += length

    def send_page(self, physical: u64, length: u32) -> None:
        """Let the request carry `length` bytes at a physical address behind its own."""
        self.add_segment(physical, length)
        self.outputs = self.segment_count - 1

    def receive_page(self, physical: u64, length: u32) -> None:
        """Let the reply's bytes behind `reply_room` go to a physical address."""
        self.add_segment(physical, length)

    def add_segment(self, physical: u64, length: u32) -> None:
        """Another piece; joined with the one before where they touch."""
        last = self.segments[self.segment_count - 1]
        if self.segment_count > 2 and last.address + last.length == physical:
            last.length += length
            return
        segment = self.segments[self.segment_count]
        segment.address = physical
        segment.length = length
        self.segment_count += 1

    def full(self) -> bool:
        """Whether no further segment fits."""
        return self.segment_count == SEGMENTS

    def seal(self, payload: u32) -> None:
        """The request is complete, with `payload` bytes in segments of its own: write its size, place the segments."""
        length = u32(self.position)
        self.position = 0
        self.put32(length + payload)
        self.position = 0
        reply_at = self.segment_count - 1 if self.outputs > 1 else 1
        if self.outputs > 1:
            self.shift_down()
        self.segments[0].address = self.buffer.physical()
        self.segments[0].length = length
        self.reply_start = (usize(length) + 15) // 16 * 16
        if self.reply_room == 0:
            self.reply_room = u32(BUFFER_SIZE - self.reply_start)
        self.segments[reply_at].address = self.buffer.physical() + self.reply_start
        self.segments[reply_at].length = self.reply_room

    def shift_down(self) -> None:
        """Outgoing data stands right behind the request: the reply's segment comes last."""
        for index in range(2, self.segment_count):
            self.segments[index - 1].address = self.segments[index].address
            self.segments[index - 1].length = self.segments[index].length

    def complete(self, written: u32) -> None:
        """The reply is here. Called by the channel, maybe in an interrupt."""
        self.written = written
        self.done.store_release(True)
        self.wait.wake_all()

    def abort(self) -> None:
        """There will be no reply: the device is broken."""
        self.failed = True
        self.done.store_release(True)
        self.wait.wake_all()

    def check(self) -> None:
        """Look at the reply's head; `get*` then start behind it. Raises what an Rlerror says, OSError(EIO) for
        nonsense."""
        self.position = 0
        self.end = min(usize(self.written), usize(self.reply_room))
        if self.failed:
            raise OSError(errno.EIO)
        size = self.get32()
        kind = u32(self.get8())
        tag = self.get16()
        if tag != self.tag or size > self.written or size < HEADER:
            raise OSError(errno.EIO)
        self.end = min(usize(size), self.end)
        if kind == Message.RLERROR:
            raise OSError(sane_error(self.get32()))
        if kind != self.kind + 1:
            raise OSError(errno.EIO)

    def get8(self) -> u8:
        """The next byte of the reply."""
        if self.position + 1 > self.end:
            raise OSError(errno.EIO)
        value = self.buffer.bytes()[self.reply_start + self.position]
        self.position += 1
        return value

    def get16(self) -> u16:
        """The next two bytes."""
        low = u16(self.get8())
        return low | u16(self.get8()) << 8

    def get32(self) -> u32:
        """The next four bytes."""
        low = u32(self.get16())
        return low | u32(self.get16()) << 16

    def get64(self) -> u64:
        """The next eight bytes."""
        low = u64(self.get32())
        return low | u64(self.get32()) << 32

    def skip(self, count: usize) -> None:
        """Pass over bytes of the reply."""
        if self.position + count > self.end:
            raise OSError(errno.EIO)
        self.position += count

    def get_text(self) -> Bytes:
        """The next string of the reply; a view of the buffer."""
        length = usize(self.get16())
        start = self.reply_start + self.position
        self.skip(length)
        return self.buffer.bytes()[start : start + length]


def sane_error(code: u32) -> i64:
    """An errno a server may tell us; others (zero, our own restart codes) become EIO."""
    return i64(code) if 1 <= code <= 133 else i64(errno.EIO)
