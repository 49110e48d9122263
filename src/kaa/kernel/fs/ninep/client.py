# SPDX-License-Identifier: Apache-2.0
"""A 9P2000.L session: requests, replies, waiting, flushing.

The pool of requests is the list of tags. A request costs a round trip to the host, so nothing here is hot;
what counts is how few of them a path walk or a read needs (inode.py, pages.py).

Waiting is of two kinds. Most requests end soon whatever happens and are waited for without regard to signals. Those
that another party may hold up (open of a FIFO, a lock, fsync) are waited for interruptibly: a signal sends Tflush,
and when its reply is here the old tag is free (flush(5)); a reply that came first counts.
"""

from __future__ import annotations

import errno
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from kaa.kernel.abi.ninep import HEADER, NO_FID, NO_TAG, READ_HEADER, VERSION, Message
from kaa.kernel.fs.ninep import fids
from kaa.kernel.fs.ninep.fids import Fid, FidTable
from kaa.kernel.fs.ninep.request import SEND_SIZE, Request
from kaa.kernel.locking.spinlock import SpinLock
from kaa.kernel.locking.wait_queue import WaitQueue
from kaa.lang import Bytes, Guarded, trailing_zeros, u16, u32

if TYPE_CHECKING:
    from kaa.kernel.fs.ninep.channel import Channel

POOL_LIMIT = 32
"""Most requests at once."""
ALL_TAGS = (1 << POOL_LIMIT) - 1
CLUNKS_AT_ONCE = 4


class Client:
    """One session with a server. `lock` covers the pool and the tags. Any number of tasks use it at once: each
    has its own request from `take` to `give_back`, and its own tag with it."""

    channel: Final[Channel]
    lock: Final[SpinLock]
    msize: u32
    fids: Final[FidTable]
    pool: Guarded[Request | None, "lock"] = None
    pool_wait: Final[WaitQueue]
    tags: Guarded[u32, "lock"] = 0
    """One bit for each request that exists: its tag."""
    uid: u32 = 0

    def __init__(self, channel: Channel, msize: u32) -> None:
        self.channel = channel
        self.lock = SpinLock("9p client")
        self.msize = msize
        self.fids = FidTable()
        self.pool_wait = WaitQueue()

    def take(self) -> Request:
        """A free request; sleeps for one when there are POOL_LIMIT. Raises MemoryError when there is none at all."""
        self.collect()
        while True:
            request = self.try_take()
            if request is not None:
                return request
            self.pool_wait.wait_until(lambda: self.has_free())

    def has_free(self) -> bool:
        """Whether a request was given back that nobody has taken yet."""
        with self.lock:
            return self.pool is not None

    def try_take(self) -> Request | None:
        """A free request, from the pool or new; None when we must wait."""
        with self.lock:
            request = self.take_spare()
            if request is not None:
                return request
            if self.tags == ALL_TAGS:
                return None
            tag = u32(trailing_zeros(~self.tags))
            self.tags |= u32(1) << tag
        try:
            return Request(u16(tag))
        except MemoryError:
            return self.without_memory(tag)

    def take_spare(self) -> Request | None:
        """One from the pool. `lock` is held."""
        request = self.pool
        if request is not None:
            self.pool = request.next
            request.next = None
        return request

    def without_memory(self, tag: u32) -> Request | None:
        """No memory for a new request: wait for another's if others will come back."""
        with self.lock:
            self.tags &= ~(u32(1) << tag)
            if self.tags == 0:
                raise MemoryError
        return None

    def give_back(self, request: Request) -> None:
        """Put a request back into the pool."""
        with self.lock:
            request.next = self.pool
            self.pool = request
        self.pool_wait.wake_one()

    def collect(self) -> None:
        """Take in finished clunks, and send those that are due."""
        finished = self.channel.collect()
        while finished is not None:
            self.fids.free_number(finished.fid)
            self.give_back(finished)
            finished = self.channel.collect()
        for _ in range(CLUNKS_AT_ONCE):
            if not self.send_clunk():
                break

    def send_clunk(self) -> bool:
        """Clunk one buried fid without waiting; False when there is none, or no request for it."""
        if self.fids.dead.load_relaxed() == fids.NONE:
            return False
        try:
            request = self.try_take()
        except MemoryError:
            return False
        if request is None:
            return False
        number = self.fids.exhume()
        if number == fids.NONE:
            self.give_back(request)
            return False
        request.start(Message.TCLUNK)
        request.put32(number)
        request.fid = number
        request.unattended = True
        request.seal(0)
        self.channel.submit(request)
        return True

    def call(self, request: Request, payload: u32 = 0) -> None:
        """Send a request and wait for its reply, signals or not. Raises the error it brings, OSError(EIO)."""
        request.seal(payload)
        self.channel.submit(request)
        request.wait.wait_until(lambda: request.done.load_acquire())
        request.check()

    def call_interruptible(self, request: Request, payload: u32 = 0) -> None:
        """As `call`; a signal ends it with Restart."""
        request.seal(payload)
        self.channel.submit(request)
        try:
            request.wait.wait_interruptible(lambda: request.done.load_acquire())
        except OSError:
            self.flush(request)
            if request.written == 0 and not request.failed:
                raise
        request.check()

    def flush(self, request: Request) -> None:
        """Ask the server to forget a request, flush(5). The transport gives the request back, without a reply if
        forgotten."""
        with message(self, Message.TFLUSH) as flushing:
            flushing.put16(request.tag)
            flushing.seal(0)
            self.channel.submit(flushing)
            flushing.wait.wait_until(lambda: flushing.done.load_acquire())
        request.wait.wait_until(lambda: request.done.load_acquire())

    def start(self, user: Bytes, tree: Bytes, uid: u32) -> Fid:
        """version(5) and attach(5): agree on the protocol and `msize`; the root's fid."""
        self.uid = uid
        with message(self, Message.TVERSION) as request:
            request.set_tag(NO_TAG)
            request.put32(self.msize)
            request.put_text(VERSION)
            self.call(request)
            self.accept_version(request)
        root = fids.new_fid(self)
        with message(self, Message.TATTACH) as request:
            request.put32(root.number)
            request.put32(NO_FID)
            request.put_text(user)
            request.put_text(tree)
            request.put32(uid)
            self.call(request)
            root.known = True
        return root

    def accept_version(self, request: Request) -> None:
        """The server's msize may be smaller than ours; its protocol must be the same."""
        msize = request.get32()
        if request.get_text() != VERSION:
            raise OSError(errno.EPROTONOSUPPORT)
        if msize > self.msize or msize < SEND_SIZE:
            raise OSError(errno.EPROTO)
        self.msize = msize

    def data_limit(self) -> u32:
        """Most bytes of data in one Rread."""
        return self.msize - READ_HEADER

    def write_limit(self) -> u32:
        """Most bytes of data in one Twrite: size, type, tag, fid, offset, count come before."""
        return self.msize - HEADER - 16


@contextmanager
def message(client: Client, kind: u32) -> Generator[Request]:
    """A request of type `kind` for the length of the block, then back into the pool."""
    request = client.take()
    try:
        request.start(kind)
        yield request
    finally:
        client.give_back(request)
