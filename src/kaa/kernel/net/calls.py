# SPDX-License-Identifier: Apache-2.0
"""The system calls that make, name and join sockets: socket(2), bind(2), connect(2), accept(2)…"""

from __future__ import annotations

import errno

from kaa.kernel import log
from kaa.kernel.abi import unknown_calls
from kaa.kernel.abi.socket import (
    AF_UNIX,
    AF_UNSPEC,
    SHUT_RDWR,
    SOCK_CLOEXEC,
    SOCK_DGRAM,
    SOCK_NONBLOCK,
    SOCK_TYPE_MASK,
    SUN_PATH_OFFSET,
)
from kaa.kernel.abi.syscall import Fd, syscall
from kaa.kernel.arch import machine
from kaa.kernel.fs.descriptors import install_pair
from kaa.kernel.mm.user import UserPtr
from kaa.kernel.net.address import give_name, read_family, read_name
from kaa.kernel.net.unix import connecting
from kaa.kernel.net.unix.socket import UnixSocket, new_socket
from kaa.kernel.process import task as tasks
from kaa.lang import cold, i32, trusted, u32, u64

FAMILY_KEY = 0x8000
"""Where families stand among the numbers of unknown calls, of which the low 16 bits count."""
SOCK_RAW = 3


def socket_of(fd: Fd) -> UnixSocket:
    """Raises OSError(EBADF), OSError(ENOTSOCK)."""
    file = machine.percpu.current().files.get(fd)
    if isinstance(file, UnixSocket):
        return file
    raise OSError(errno.ENOTSOCK)


@cold
def refuse_family(family: i32) -> None:
    """One log line per program, and OSError(EAFNOSUPPORT)."""
    called = tasks.program_name(machine.percpu.current())
    name = called.text()
    if unknown_calls.is_news(u64(FAMILY_KEY | u32(family)), name):
        log.info(f"{name}: sockets of family {family} are not implemented")
    raise OSError(errno.EAFNOSUPPORT)


def checked_kind(family: i32, kind: u32, protocol: i32) -> u32:
    """The kind without its flags. Raises OSError(EINVAL), OSError(EAFNOSUPPORT), OSError(EPROTONOSUPPORT)."""
    if kind & (0xFFFFFFFF - (SOCK_TYPE_MASK | SOCK_NONBLOCK | SOCK_CLOEXEC)) != 0:
        raise OSError(errno.EINVAL)
    if family != AF_UNIX:
        refuse_family(family)
    if protocol != 0 and protocol != AF_UNIX:
        raise OSError(errno.EPROTONOSUPPORT)
    plain = kind & SOCK_TYPE_MASK
    return u32(SOCK_DGRAM) if plain == SOCK_RAW else plain


@syscall(x86_64=41, arm64=198)
def socket(family: i32, kind: u32, protocol: i32) -> i32:
    """socket(2): AF_UNIX only; SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET (SOCK_RAW is SOCK_DGRAM, as on Linux)."""
    made = new_socket(checked_kind(family, kind, protocol), kind & SOCK_NONBLOCK)
    return machine.percpu.current().files.install(made, kind & SOCK_CLOEXEC != 0)


@syscall(x86_64=53, arm64=199)
def socketpair(family: i32, kind: u32, protocol: i32, ends: UserPtr[i32]) -> None:
    """socketpair(2): two sockets connected to each other."""
    plain = checked_kind(family, kind, protocol)
    first = new_socket(plain, kind & SOCK_NONBLOCK)
    second = new_socket(plain, kind & SOCK_NONBLOCK)
    connecting.join(first, second)
    install_pair(first, second, kind & SOCK_CLOEXEC != 0, ends)


@syscall(x86_64=49, arm64=200)
def bind(fd: Fd, address: u64, length: u32) -> None:
    """bind(2): give a socket its name."""
    own = socket_of(fd)
    connecting.bind(own, read_name(address, length))


@syscall(x86_64=50, arm64=201)
def listen(fd: Fd, backlog: i32) -> None:
    """listen(2): let others connect."""
    connecting.listen(socket_of(fd), backlog)


@syscall(x86_64=42, arm64=203)
@trusted("user", "read_name checks the family that it reads, whatever it was before")
def connect(fd: Fd, address: u64, length: u32) -> None:
    """connect(2): to a named socket; AF_UNSPEC takes a datagram socket's peer away."""
    own = socket_of(fd)
    if own.kind == SOCK_DGRAM and read_family(address, length) == AF_UNSPEC:
        own.disconnect()
        return
    name = read_name(address, length)
    if len(name) == 0:
        raise OSError(errno.EINVAL)
    connecting.connect(own, name)


@syscall(x86_64=288, arm64=242)
def accept4(fd: Fd, address: u64, length: UserPtr[i32], flags: u32) -> i32:
    """accept4(2): the oldest connection that waits."""
    if flags & (0xFFFFFFFF - (SOCK_NONBLOCK | SOCK_CLOEXEC)) != 0:
        raise OSError(errno.EINVAL)
    listener = socket_of(fd)
    files = machine.percpu.current().files
    files.require_room()
    queue = connecting.wait_for_connection(listener)
    made = new_socket(listener.kind, flags & SOCK_NONBLOCK)
    connection = queue.pop()
    while connection is None:
        queue = connecting.wait_for_connection(listener)
        connection = queue.pop()
    connecting.take_over(made, listener, connection)
    try:
        accepted = files.install(made, flags & SOCK_CLOEXEC != 0)
    except (OSError, MemoryError):
        made.leave_connection()
        queue.put_back(connection)
        raise
    if address != 0:
        try:
            give_name(connection.client.name, u32(SUN_PATH_OFFSET), address, length)
        except OSError:
            files.withdraw(accepted, made)
            raise
    return accepted


@syscall(x86_64=43, arm64=202)
def accept(fd: Fd, address: u64, length: UserPtr[i32]) -> i32:
    """accept(2): accept4 without flags."""
    return accept4(fd, address, length, 0)


@syscall(x86_64=51, arm64=204)
def getsockname(fd: Fd, address: u64, length: UserPtr[i32]) -> None:
    """getsockname(2): the socket's own name."""
    give_name(socket_of(fd).identity.name, u32(SUN_PATH_OFFSET), address, length)


@syscall(x86_64=52, arm64=205)
def getpeername(fd: Fd, address: u64, length: UserPtr[i32]) -> None:
    """getpeername(2): the name of the other end."""
    peer = socket_of(fd).peer_identity()
    if peer is None:
        raise OSError(errno.ENOTCONN)
    give_name(peer.name, u32(SUN_PATH_OFFSET), address, length)


@syscall(x86_64=48, arm64=210)
def shutdown(fd: Fd, how: i32) -> None:
    """shutdown(2): end one direction of a connection, or both."""
    own = socket_of(fd)
    if how < 0 or how > SHUT_RDWR:
        raise OSError(errno.EINVAL)
    own.shutdown(u32(how) + 1)
