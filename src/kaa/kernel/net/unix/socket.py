# SPDX-License-Identifier: Apache-2.0
"""An AF_UNIX socket as an open file: its state and life, poll, ioctl. Moving data: transfer.py.

`lock` guards what connects it. `incoming` and `outgoing` of a connection and a listener's `backlog` are set once. A
datagram socket has its own `incoming` from the start, and its `target` and `peer` change. A connection's directions end
one by one, in the inboxes. Two sockets' locks are never held together."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from kaa.kernel.abi.fcntl import O_NONBLOCK, O_RDWR
from kaa.kernel.abi.ioctl import FIONREAD
from kaa.kernel.abi.poll import POLLERR, POLLHUP, POLLRDHUP, POLLWRBAND, READABLE, WRITABLE
from kaa.kernel.abi.socket import MSG_DONTWAIT, SIOCOUTQ, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM
from kaa.kernel.abi.stat import S_IFSOCK
from kaa.kernel.fs.anonymous import new_inode
from kaa.kernel.fs.file import File
from kaa.kernel.fs.superblock import FileSystemType, SuperBlock
from kaa.kernel.locking.mutex import Mutex
from kaa.kernel.locking.wait_queue import WaitQueue
from kaa.kernel.mm.user import UserPtr
from kaa.kernel.net.pieces import single
from kaa.kernel.net.unix import names, transfer
from kaa.kernel.net.unix.identity import Identity
from kaa.kernel.net.unix.inbox import DEFAULT_BUFFER, Inbox
from kaa.lang import Bytes, Guarded, Once, Relaxed, i32, i64, inline, u32, u64, usize

if TYPE_CHECKING:
    from kaa.kernel.fs.inode import Inode
    from kaa.kernel.fs.poll import PollTable
    from kaa.kernel.mm.user import UserBuf
    from kaa.kernel.net.pieces import Pieces
    from kaa.kernel.net.unix.backlog import Backlog
    from kaa.kernel.net.unix.names import Port

SOCKFS_MAGIC = 0x534F434B
SHUT_READING = 1
SHUT_WRITING = 2


def _not_mountable(source: bytes, flags: u64, data: bytes) -> SuperBlock:
    raise OSError(errno.EINVAL)


SOCKFS = FileSystemType(b"sockfs", _not_mountable, False)
socket_files = SuperBlock(SOCKFS, SOCKFS_MAGIC, 0)


class UnixSocket(File):
    """A socket of any of the three kinds."""

    kind: Final[u32]
    node: Final[Inode]
    lock: Final[Mutex]
    identity: Identity
    peer: Guarded[Identity | None, "lock"]
    incoming: Guarded[Once[Inbox | None], "lock"] = None
    outgoing: Guarded[Once[Inbox | None], "lock"] = None
    """Of a connection."""
    target: Guarded[Inbox | None, "lock"] = None
    """Of a datagram socket: where it sends to, unless told otherwise."""
    backlog: Guarded[Once[Backlog | None], "lock"] = None
    left: Guarded[bool, "lock"] = False
    """The connection lives on without this socket."""
    port: Guarded[Port | None, "lock"]
    changes: Guarded[WaitQueue | None, "lock"] = None
    """Who polls a socket before it is connected or listens; made under `lock` when first needed."""
    shut: Guarded[Relaxed[u32], "lock"]
    """SHUT_ bits of shutdown(2) where no inbox can hold them: datagrams, not yet connected."""
    pass_credentials: Relaxed[bool]
    receive_timeout: Relaxed[u64]
    send_timeout: Relaxed[u64]
    """Nanoseconds; 0: none."""
    send_buffer: Relaxed[u32]
    receive_buffer: Relaxed[u32]
    flags_set: Guarded[Relaxed[u64], "lock"]
    """Options that are only remembered, one bit each."""

    def __init__(self, kind: u32, nonblocking: u32) -> None:
        super().__init__(None, O_RDWR | nonblocking)
        self.peer = None
        self.port = None
        self.shut = 0
        self.pass_credentials = False
        self.receive_timeout = 0
        self.send_timeout = 0
        self.send_buffer = DEFAULT_BUFFER
        self.receive_buffer = DEFAULT_BUFFER
        self.flags_set = 0
        self.kind = kind
        self.node = new_inode(socket_files, u32(S_IFSOCK | 0o777))
        self.lock = Mutex("socket")
        self.identity = Identity()
        if kind == SOCK_DGRAM:
            self.incoming = Inbox(True)

    def __del__(self) -> None:
        port = self.port
        if port is not None:
            names.table.remove(port)
        backlog = self.backlog
        if backlog is not None:
            backlog.close()
        incoming = self.incoming
        unread = False
        if incoming is not None and not self.left:
            unread = incoming.close_reader()
        outgoing = self.outgoing
        if outgoing is not None and not self.left:
            outgoing.close_writer(unread)
        super().__del__()

    def inode(self) -> Inode | None:
        """A nameless one of sockfs, whatever the socket is bound to."""
        return self.node

    def kind_name(self) -> Bytes:
        """For /proc/PID/fd."""
        return b"socket"

    @inline
    def waits_not(self, flags: u32) -> bool:
        """Whether a call with these MSG_ flags fails instead of waiting."""
        return (self.flags & O_NONBLOCK) != 0 or (flags & MSG_DONTWAIT) != 0

    def connect_to(self, incoming: Inbox, outgoing: Inbox, peer: Identity) -> None:
        """Be one end of a connection."""
        outgoing.limit = self.send_buffer
        self.peer = peer
        self.incoming = incoming
        self.outgoing = outgoing
        self.tell_change()

    def leave_connection(self) -> None:
        """Undo connect_to: nobody knows this socket, and the connection lives on."""
        with self.lock:
            self.left = True

    def tell_change(self) -> None:
        """Other queues than before tell of this socket: who polls it looks again."""
        self.poll_generation.fetch_add(1)
        changes = self.changes
        if changes is not None:
            changes.wake_all()
        incoming = self.incoming
        if incoming is not None and self.kind == SOCK_DGRAM:
            incoming.readable.wake_all()

    def receiver(self) -> Inbox | None:
        """Where it sends to now."""
        if self.kind != SOCK_DGRAM:
            return self.outgoing
        with self.lock:
            return self.target

    def exchange_target(self, outgoing: Inbox | None, peer: Identity | None) -> Inbox | None:
        """Of datagrams: send to another from now on, and hear only that one. Gives the one before, which may close
        files as it is dropped."""
        with self.lock:
            before = self.target
            self.target = outgoing
            self.peer = peer
            inbox = self.incoming
            if inbox is not None:
                inbox.hear_only(peer)
            self.tell_change()
            return before

    def disconnect(self) -> None:
        """A datagram socket talks to everyone again."""
        self.exchange_target(None, None)

    def peer_identity(self) -> Identity | None:
        """Of whom it is connected to."""
        with self.lock:
            return self.peer

    def set_flag(self, bit: u64, on: bool) -> None:
        """Remember an option."""
        with self.lock:
            self.flags_set = self.flags_set | bit if on else self.flags_set & ~bit

    def read(self, buf: UserBuf) -> usize:
        """recv(2) without flags."""
        return self.receive(single(buf))

    def receive(self, pieces: Pieces) -> usize:
        """recv(2) without flags, into one buffer or several."""
        if self.kind == SOCK_STREAM:
            return transfer.receive_stream(self, pieces, 0, None)
        return transfer.receive_packet(self, pieces, 0, None)

    def write(self, buf: UserBuf) -> usize:
        """send(2) without flags."""
        return self.send(single(buf))

    def send(self, pieces: Pieces) -> usize:
        """send(2) without flags, of one buffer or several."""
        if self.kind == SOCK_STREAM:
            return transfer.send_stream(self, pieces, 0, None)
        return transfer.send_packet(self, pieces, 0, None, None)

    def shutdown(self, how: u32) -> None:
        """shutdown(2); `how` in SHUT_ bits."""
        backlog = self.backlog
        if backlog is not None and how & SHUT_READING:
            backlog.shut()
        with self.lock:
            self.shut |= how
        incoming = self.incoming
        if incoming is not None and how & SHUT_READING:
            incoming.shut_reader()
        if how & SHUT_WRITING and self.kind != SOCK_DGRAM:
            outgoing = self.outgoing
            if outgoing is not None:
                outgoing.close_writer(False)

    def poll(self, table: PollTable | None) -> u32:
        """As Linux's unix sockets: what is there, room, ends."""
        backlog = self.backlog
        if backlog is not None:
            return self._poll_backlog(backlog, table)
        incoming = self.incoming
        outgoing = self.receiver()
        if incoming is None:
            if table is not None:
                table.add(self._change_queue())
            return POLLHUP | WRITABLE | POLLWRBAND
        if table is not None:
            table.add(incoming.readable)
            if outgoing is not None:
                table.add(outgoing.writable)
        return self._events(incoming, outgoing)

    def _change_queue(self) -> WaitQueue:
        """Raises MemoryError."""
        with self.lock:
            queue = self.changes
            if queue is None:
                queue = WaitQueue("socket changes")
                self.changes = queue
            return queue

    def _poll_backlog(self, backlog: Backlog, table: PollTable | None) -> u32:
        if table is not None:
            table.add(backlog.arrivals)
        events: u32 = u32(0)
        if backlog.waiting() > 0:
            events |= READABLE
        if backlog.closed:
            events |= READABLE | POLLRDHUP
        return events

    def _events(self, incoming: Inbox, outgoing: Inbox | None) -> u32:
        events: u32 = u32(0)
        if incoming.ring.used() > 0 or incoming.packets > 0:
            events = u32(READABLE)
        if incoming.reset:
            events |= POLLERR
        if incoming.ended():
            events |= READABLE | POLLRDHUP
            if outgoing is not None and self.kind != SOCK_DGRAM and outgoing.ended():
                events |= POLLHUP
        if outgoing is None or outgoing.ended() or self._has_room(outgoing):
            events |= WRITABLE | POLLWRBAND
        return events

    def _has_room(self, outgoing: Inbox) -> bool:
        """As Linux: not more than a quarter of the send buffer is under way."""
        if self.kind == SOCK_STREAM:
            return outgoing.ring.used() * 4 <= outgoing.limit
        return outgoing.room_for(usize(1))

    def ioctl(self, command: u32, argument: u64) -> i64:
        """FIONREAD (SIOCINQ): bytes to be read, of packets the first one's. SIOCOUTQ: bytes sent and not yet read."""
        if command == FIONREAD:
            UserPtr[i32](argument).write(i32(self._unread()))
            return 0
        if command == SIOCOUTQ:
            outgoing = self.receiver()
            UserPtr[i32](argument).write(i32(0) if outgoing is None else i32(outgoing.ring.used()))
            return 0
        raise OSError(errno.ENOTTY)

    def _unread(self) -> usize:
        incoming = self.incoming
        if self.backlog is not None:
            raise OSError(errno.EINVAL)
        if incoming is None:
            return usize(0)
        return incoming.pending() if self.kind == SOCK_STREAM else incoming.first_length()


def new_socket(kind: u32, nonblocking: u32) -> UnixSocket:
    """Raises OSError(ESOCKTNOSUPPORT), MemoryError."""
    if kind != SOCK_STREAM and kind != SOCK_DGRAM and kind != SOCK_SEQPACKET:
        raise OSError(errno.ESOCKTNOSUPPORT)
    return UnixSocket(kind, nonblocking)
