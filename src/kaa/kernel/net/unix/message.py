# SPDX-License-Identifier: Apache-2.0
"""A message's limits and what travels beside its bytes: descriptors, credentials, the sender's name.

Dropping a message may close a socket whose unread messages hold further sockets, and so on as deep as a malicious
caller built it. So messages that carry files are not dropped where they are found but buried: whoever finds the
graveyard idle empties it, one message after the other, and what closes on the way is only added to it."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from kaa.kernel.arch import machine
from kaa.kernel.locking.spinlock import SpinLock
from kaa.lang import Atomic, Guarded, i32, part, u32, u64

if TYPE_CHECKING:
    from kaa.kernel.fs.file import File
    from kaa.kernel.net.unix.identity import Identity

NOBODY = 65534
"""The user and group of whom nothing is known (credentials(7), overflow ids)."""
MOST_IN_FLIGHT = 16384
"""Files in all messages together: they are in no table, so RLIMIT_NOFILE does not see them."""


class InFlight:
    """How many files are in messages."""

    files: Atomic[u32]

    def __init__(self) -> None:
        self.files = Atomic(0)

    def charge(self, count: u32) -> None:
        """Raises OSError(ETOOMANYREFS)."""
        if self.files.fetch_add(count) + count > MOST_IN_FLIGHT:
            self.files.fetch_sub(count)
            raise OSError(errno.ETOOMANYREFS)


in_flight = InFlight()


@part
class Message:
    """Bytes `start` to `end` of an inbox's ring, and what comes with them. It is its sender's, then the inbox's that it
    stands in, then whose who took it out."""

    start: u64
    end: u64
    files: list[File] | None
    charged: u32
    signed: bool
    """Whether the credentials are to be shown."""
    pid: i32
    uid: u32
    gid: u32
    sender: Identity | None
    next: Message | None = None

    def __init__(self, sender: Identity | None) -> None:
        self.start = 0
        self.end = 0
        self.files = None
        self.charged = 0
        self.signed = False
        self.pid = 0
        self.uid = NOBODY
        self.gid = NOBODY
        self.sender = sender

    def __del__(self) -> None:
        self._uncharge()

    def _uncharge(self) -> None:
        if self.charged != 0:
            in_flight.files.fetch_sub(self.charged)
            self.charged = 0

    def sign(self) -> None:
        """With the caller's real ids."""
        task = machine.percpu.current()
        self.signed = True
        self.pid = task.tgid
        self.uid = task.credentials.uid
        self.gid = task.credentials.gid

    def attach(self, files: list[File]) -> None:
        """Carry these. Raises OSError(ETOOMANYREFS)."""
        in_flight.charge(u32(len(files)))
        self.charged = u32(len(files))
        self.files = files

    def take_files(self) -> list[File] | None:
        """They have arrived."""
        files = self.files
        self.files = None
        self._uncharge()
        return files

    def same_writer(self, other: Message) -> bool:
        """Whether the credentials are the same: a stream shows those of one writer at a time."""
        return self.pid == other.pid and self.uid == other.uid and self.gid == other.gid


class Graveyard:
    """Messages nobody will read."""

    lock: Final[SpinLock]
    first: Guarded[Message | None, "lock"]
    busy: Guarded[bool, "lock"]

    def __init__(self) -> None:
        self.lock = SpinLock("message graveyard")
        self.first = None
        self.busy = False

    def bury(self, chain: Message) -> None:
        """Drop a chain of messages, now or when whoever is at it comes to them. No lock is held."""
        last = chain
        following = last.next
        while following is not None:
            last = following
            following = last.next
        with self.lock:
            last.next = self.first
            self.first = chain
            if self.busy:
                return
            self.busy = True
        self._empty()

    def _empty(self) -> None:
        """Files are closed outside the lock."""
        while True:
            message = self._pop()
            if message is None:
                return
            message.take_files()

    def _pop(self) -> Message | None:
        with self.lock:
            message = self._unlink_first()
            self.busy = message is not None
        return message

    def _unlink_first(self) -> Message | None:
        message = self.first
        if message is not None:
            self.first = message.next
            message.next = None
        return message


graveyard = Graveyard()
