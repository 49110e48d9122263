# SPDX-License-Identifier: Apache-2.0
"""Connections that wait for accept(2), first come first served.

A client is connected as soon as its connection stands here; it may write, and reads once the server has accepted and
answered. Lock: `lock`. The queue is linked through the connections, so that putting one back needs no memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kaa.kernel.locking.spinlock import SpinLock
from kaa.kernel.locking.wait_queue import WaitQueue
from kaa.kernel.net.unix.inbox import Inbox
from kaa.lang import Guarded, Relaxed, noinline, u32

if TYPE_CHECKING:
    from kaa.kernel.net.unix.identity import Identity


class Connection:
    """Two inboxes and who asked."""

    to_server: Final[Inbox]
    to_client: Final[Inbox]
    client: Final[Identity]
    next: Guarded[Connection | None, "Backlog.lock"] = None

    def __init__(self, client: Identity) -> None:
        self.to_server = Inbox(False)
        self.to_client = Inbox(False)
        self.client = client

    def refuse(self) -> None:
        """The listener went before it accepted: the client reads ECONNRESET (unix(7) says nothing; Linux does so)."""
        self.to_server.close_reader()
        self.to_client.close_writer(True)


class Backlog:
    """Of one listening socket."""

    lock: Final[SpinLock]
    arrivals: Final[WaitQueue]
    room: Final[WaitQueue]
    first: Guarded[Connection | None, "lock"]
    last: Guarded[Connection | None, "lock"]
    count: Guarded[u32, "lock"]
    limit: Guarded[u32, "lock"]
    closed: Guarded[Relaxed[bool], "lock"]

    def __init__(self, limit: u32) -> None:
        self.lock = SpinLock("socket backlog")
        self.arrivals = WaitQueue("accept")
        self.room = WaitQueue("connect")
        self.first = None
        self.last = None
        self.count = 0
        self.limit = limit
        self.closed = False

    @noinline
    def waiting(self) -> u32:
        """How many stand here."""
        with self.lock:
            return self.count

    def set_limit(self, limit: u32) -> None:
        """listen(2) again."""
        with self.lock:
            self.limit = limit
        self.room.wake_all()

    @noinline
    def may_enter(self) -> bool:
        """Whether a connect need not wait: one more than the backlog fits, as on Linux."""
        with self.lock:
            return self.count <= self.limit or self.closed

    def enter(self, connection: Connection) -> bool:
        """Queue up; False when full. Raises ConnectionRefusedError when nobody listens any more."""
        with self.lock:
            if self.closed:
                raise ConnectionRefusedError
            if self.count > self.limit:
                return False
            last = self.last
            if last is None:
                self.first = connection
            else:
                last.next = connection
            self.last = connection
            self.count += 1
        self.arrivals.wake_all()
        return True

    def pop(self) -> Connection | None:
        """The oldest."""
        with self.lock:
            connection = self.first
            if connection is None:
                return None
            self.first = connection.next
            connection.next = None
            if self.first is None:
                self.last = None
            self.count -= 1
        self.room.wake_all()
        return connection

    def put_back(self, connection: Connection) -> None:
        """It could not be accepted after all: it is the oldest again, or refused if nobody listens any more."""
        with self.lock:
            closed = self.closed
            if not closed:
                connection.next = self.first
                if self.first is None:
                    self.last = connection
                self.first = connection
                self.count += 1
        if closed:
            connection.refuse()
        self.arrivals.wake_all()

    def shut(self) -> None:
        """shutdown(2): accept and connect fail from now on."""
        with self.lock:
            self.closed = True
        self.arrivals.wake_all()
        self.room.wake_all()

    def close(self) -> None:
        """The listener is gone."""
        self.shut()
        connection = self.pop()
        while connection is not None:
            connection.refuse()
            connection = self.pop()
