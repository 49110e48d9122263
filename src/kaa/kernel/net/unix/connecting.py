# SPDX-License-Identifier: Apache-2.0
"""bind(2), listen(2), connect(2), accept(2), socketpair(2) of AF_UNIX."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from kaa.kernel.abi.restart import Restart
from kaa.kernel.abi.socket import SOCK_DGRAM, SOMAXCONN
from kaa.kernel.net.unix import names
from kaa.kernel.net.unix.backlog import Backlog, Connection
from kaa.kernel.net.unix.names import Port
from kaa.kernel.net.unix.socket import UnixSocket
from kaa.kernel.net.unix.transfer import deadline_of
from kaa.lang import i32, u32, u64

if TYPE_CHECKING:
    from kaa.kernel.net.unix.inbox import Inbox


def bind(socket: UnixSocket, name: bytes) -> None:
    """Give it a name; an empty one asks for an automatic one. Raises OSError(EINVAL) when it has one, and what
    names.bind_path does."""
    with socket.lock:
        if socket.port is not None or len(socket.identity.name) > 0:
            if len(name) == 0:
                return
            raise OSError(errno.EINVAL)
        inbox = socket.incoming if socket.kind == SOCK_DGRAM else None
        port = Port(socket.kind, socket.identity, inbox)
        if len(name) == 0:
            names.bind_automatic(port)
        elif name[0] == 0:
            names.table.add_abstract(name, port)
        else:
            names.bind_path(name, port)
        socket.port = port


def listen(socket: UnixSocket, backlog: i32) -> None:
    """Raises OSError(EOPNOTSUPP) of datagrams, OSError(EINVAL) when it has no name or is connected."""
    if socket.kind == SOCK_DGRAM:
        raise OSError(errno.EOPNOTSUPP)
    limit = u32(SOMAXCONN) if backlog < 0 else min(u32(backlog), u32(SOMAXCONN))
    with socket.lock:
        port = socket.port
        if port is None or socket.outgoing is not None:
            raise OSError(errno.EINVAL)
        queue = socket.backlog
        if queue is None:
            queue = Backlog(limit)
            socket.identity.sign()
            socket.backlog = queue
            names.table.listen_at(port, queue)
            socket.tell_change()
    queue.set_limit(limit)


def connect(socket: UnixSocket, name: bytes) -> None:
    """To whoever is bound to `name`. Raises OSError(EPROTOTYPE) for another kind of socket, ConnectionRefusedError,
    OSError(EISCONN), OSError(EINVAL) of a listening socket, BlockingIOError when the backlog is full."""
    if socket.kind == SOCK_DGRAM:
        _associate(socket, name)
        return
    deadline = deadline_of(socket.send_timeout)
    connection = Connection(socket.identity)
    while True:
        port = names.find(name)
        if socket.outgoing is not None:
            raise OSError(errno.EISCONN)
        if socket.backlog is not None:
            raise OSError(errno.EINVAL)
        queue = names.table.backlog_at(port)
        if port.kind != socket.kind:
            raise OSError(errno.EPROTOTYPE)
        if queue is None:
            raise ConnectionRefusedError
        if _enter(socket, queue, connection, port):
            return
        if socket.waits_not(0):
            raise BlockingIOError
        _await_turn(queue, deadline)


def _enter(socket: UnixSocket, queue: Backlog, connection: Connection, port: Port) -> bool:
    """Be connected if there is room in the backlog."""
    with socket.lock:
        if socket.outgoing is not None:
            raise OSError(errno.EISCONN)
        socket.identity.sign()
        if not queue.enter(connection):
            return False
        socket.connect_to(connection.to_client, connection.to_server, port.identity)
    if socket.shut != 0:
        socket.shutdown(socket.shut)
    return True


def _await_turn(queue: Backlog, deadline: u64) -> None:
    if deadline == 0:
        queue.room.wait_interruptible(lambda: queue.may_enter())
        return
    try:
        if not queue.room.wait_interruptible_timeout(lambda: queue.may_enter(), deadline):
            raise BlockingIOError
    except Restart:
        raise InterruptedError from None


def _associate(socket: UnixSocket, name: bytes) -> None:
    """Send to one, and hear only that one."""
    port, target = datagram_target(name)
    if not target.hears(socket.identity):
        raise OSError(errno.EPERM)
    socket.exchange_target(target, port.identity)


def datagram_target(name: bytes) -> tuple[Port, Inbox]:
    """Where datagrams for `name` go. Raises OSError(EPROTOTYPE), and what names.find does."""
    port = names.find(name)
    inbox = port.inbox
    if inbox is None:
        raise OSError(errno.EPROTOTYPE)
    return port, inbox


def wait_for_connection(socket: UnixSocket) -> Backlog:
    """Wait until one is there to be accepted, or may be. Raises OSError(EOPNOTSUPP) of datagrams, OSError(EINVAL) when
    it does not listen (any more), BlockingIOError."""
    if socket.kind == SOCK_DGRAM:
        raise OSError(errno.EOPNOTSUPP)
    queue = socket.backlog
    if queue is None:
        raise OSError(errno.EINVAL)
    if queue.waiting() == 0:
        if queue.closed:
            raise OSError(errno.EINVAL)
        if socket.waits_not(0):
            raise BlockingIOError
        _await_arrival(queue, deadline_of(socket.receive_timeout))
    return queue


def _await_arrival(queue: Backlog, deadline: u64) -> None:
    if deadline == 0:
        queue.arrivals.wait_interruptible(lambda: queue.waiting() > 0 or queue.closed)
        return
    try:
        if not queue.arrivals.wait_interruptible_timeout(lambda: queue.waiting() > 0 or queue.closed, deadline):
            raise BlockingIOError
    except Restart:
        raise InterruptedError from None


def take_over(made: UnixSocket, listener: UnixSocket, connection: Connection) -> None:
    """`made`, which nobody else knows yet, becomes the server's end: it has the listener's name and options."""
    made.identity = listener.identity
    made.pass_credentials = listener.pass_credentials
    connection.to_server.signed = made.pass_credentials
    made.send_buffer = listener.send_buffer
    made.connect_to(connection.to_server, connection.to_client, connection.client)


def join(first: UnixSocket, second: UnixSocket) -> None:
    """socketpair(2): nobody else knows them yet. Raises MemoryError."""
    first.identity.sign()
    second.identity.sign()
    if first.kind == SOCK_DGRAM:
        _join_datagrams(first, second)
        _join_datagrams(second, first)
        return
    connection = Connection(first.identity)
    first.connect_to(connection.to_client, connection.to_server, second.identity)
    second.connect_to(connection.to_server, connection.to_client, first.identity)


def _join_datagrams(socket: UnixSocket, other: UnixSocket) -> None:
    inbox = socket.incoming
    assert inbox is not None
    inbox.hear_only(other.identity)
    socket.target = other.incoming
    socket.peer = other.identity
