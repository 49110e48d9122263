# SPDX-License-Identifier: Apache-2.0
"""send(2), recv(2) and their forms with addresses, vectors, control messages, many at a time."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from kaa.kernel.abi.fcntl import MAX_RW_COUNT
from kaa.kernel.abi.socket import (
    MSG_CMSG_CLOEXEC,
    MSG_DONTWAIT,
    MSG_OOB,
    MSG_WAITFORONE,
    SOCK_DGRAM,
    SOCK_STREAM,
    UIO_MAXIOV,
    ManyHeader,
    MessageHeader,
)
from kaa.kernel.abi.syscall import Fd, syscall
from kaa.kernel.abi.time import Timespec
from kaa.kernel.abi.uio import Iovec
from kaa.kernel.fs.poll import deadline_after, passed
from kaa.kernel.mm.user import UserBuf, UserPtr
from kaa.kernel.net.address import give_name, read_name, write_name
from kaa.kernel.net.calls import socket_of
from kaa.kernel.net.pieces import Pieces, single, vectored
from kaa.kernel.net.unix import control, transfer
from kaa.kernel.net.unix.connecting import datagram_target
from kaa.kernel.net.unix.delivery import Delivery
from kaa.kernel.net.unix.inbox import Inbox
from kaa.lang import i32, u32, u64, usize

if TYPE_CHECKING:
    from kaa.kernel.net.unix.message import Message
    from kaa.kernel.net.unix.socket import UnixSocket

LENGTH_AT = 56
"""Offset of msg_len in struct mmsghdr."""


def send_to(own: UnixSocket, pieces: Pieces, flags: u32, message: Message | None, address: u64, size: u32) -> usize:
    """Send, to an address if one is given. Raises OSError(EOPNOTSUPP), OSError(EISCONN) for one given to a stream."""
    if flags & MSG_OOB:
        raise OSError(errno.EOPNOTSUPP)
    if own.kind == SOCK_STREAM:
        if size != 0 and address != 0:
            raise OSError(errno.EOPNOTSUPP if own.outgoing is None else errno.EISCONN)
        return transfer.send_stream(own, pieces, flags, message)
    target: Inbox | None = None
    if size != 0 and address != 0 and own.kind == SOCK_DGRAM:
        name = read_name(address, size)
        if len(name) == 0:
            raise OSError(errno.EINVAL)
        target = _target(name)
    return transfer.send_packet(own, pieces, flags, message, target)


def _target(name: bytes) -> Inbox:
    _port, inbox = datagram_target(name)
    return inbox


def receive_from(own: UnixSocket, pieces: Pieces, flags: u32, delivery: Delivery | None) -> usize:
    """Receive."""
    if flags & MSG_OOB:
        raise OSError(errno.EOPNOTSUPP)
    if own.kind == SOCK_STREAM:
        return transfer.receive_stream(own, pieces, flags, delivery)
    return transfer.receive_packet(own, pieces, flags, delivery)


def sender_name(own: UnixSocket, delivery: Delivery) -> bytes:
    """Of what was received: a packet's sender, or a connection's other end."""
    sender = delivery.sender
    if own.kind == SOCK_STREAM:
        sender = own.peer_identity()
    return b"" if sender is None else sender.name


@syscall(x86_64=44, arm64=206)
def sendto(fd: Fd, buf: UserBuf, count: usize, flags: u32, address: u64, size: u32) -> usize:
    """sendto(2), send(2): send bytes, to the peer or to an address."""
    pieces = single(buf.first(min(count, MAX_RW_COUNT)))
    return send_to(socket_of(fd), pieces, flags, None, address, size)


@syscall(x86_64=45, arm64=207)
def recvfrom(fd: Fd, buf: UserBuf, count: usize, flags: u32, address: u64, size: UserPtr[i32]) -> usize:
    """recvfrom(2), recv(2): receive bytes, and from whom."""
    own = socket_of(fd)
    pieces = single(buf.first(min(count, MAX_RW_COUNT)))
    if address == 0:
        return receive_from(own, pieces, flags, None)
    delivery = Delivery(False)
    done = receive_from(own, pieces, flags, delivery)
    give_name(sender_name(own, delivery), u32(0), address, size)
    return done


def send_header(own: UnixSocket, header: MessageHeader, flags: u32) -> usize:
    """sendmsg(2) of what was read in."""
    message: Message | None = None
    if header.control_length != 0:
        message = control.parse(header.control, header.control_length, own.identity)
    pieces = vectored(UserPtr[Iovec](header.vector), header.vector_length)
    if header.name_length < 0:
        raise OSError(errno.EINVAL)
    return send_to(own, pieces, flags, message, header.name, u32(header.name_length))


@syscall(x86_64=46, arm64=211)
def sendmsg(fd: Fd, header: UserPtr[MessageHeader], flags: u32) -> usize:
    """sendmsg(2): send from several buffers, with control messages."""
    own = socket_of(fd)
    return send_header(own, header.read(), flags)


def receive_header(own: UnixSocket, where: u64, flags: u32) -> usize:
    """recvmsg(2) with the header at `where`, which is updated."""
    header = UserPtr[MessageHeader](where).read()
    if header.name_length < 0 and header.name != 0:
        raise OSError(errno.EINVAL)
    pieces = vectored(UserPtr[Iovec](header.vector), header.vector_length)
    delivery = Delivery(own.pass_credentials)
    done = receive_from(own, pieces, flags, delivery)
    if header.name != 0:
        header.name_length = i32(write_name(sender_name(own, delivery), u32(0), header.name, u32(header.name_length)))
    space = control.ControlSpace(header.control, u64(0) if header.control == 0 else header.control_length)
    control.give(space, delivery, flags)
    header.control_length = space.used
    header.flags = delivery.flags | (flags & MSG_CMSG_CLOEXEC)
    UserPtr[MessageHeader](where).write(header)
    return done


@syscall(x86_64=47, arm64=212)
def recvmsg(fd: Fd, header: UserPtr[MessageHeader], flags: u32) -> usize:
    """recvmsg(2): receive into several buffers, with control messages."""
    return receive_header(socket_of(fd), header.address, flags)


@syscall(x86_64=307, arm64=269)
def sendmmsg(fd: Fd, vector: UserPtr[ManyHeader], count: u32, flags: u32) -> u32:
    """sendmmsg(2): one message after the other; how many went."""
    own = socket_of(fd)
    done: u32 = u32(0)
    try:
        while done < min(count, u32(UIO_MAXIOV)):
            where = vector.offset(u64(done)).address
            sent = send_header(own, UserPtr[MessageHeader](where).read(), flags)
            UserPtr[u32](where + LENGTH_AT).write(u32(sent))
            done += 1
    except (OSError, MemoryError):
        if done == 0:
            raise
    return done


@syscall(x86_64=299, arm64=243)
def recvmmsg(fd: Fd, vector: UserPtr[ManyHeader], count: u32, flags: u32, timeout: UserPtr[Timespec]) -> u32:
    """recvmmsg(2): until so many came, none is there any more (MSG_WAITFORONE), or, looked at after each, the time is
    over. What is left of the time is not told."""
    deadline: u64 = u64(0xFFFFFFFFFFFFFFFF)
    if not timeout.is_null():
        limit = timeout.read()
        if limit.seconds < 0 or limit.nanoseconds < 0 or limit.nanoseconds >= 1_000_000_000:
            raise OSError(errno.EINVAL)
        deadline = deadline_after(u64(min(limit.seconds, 1_000_000_000)) * 1_000_000_000 + u64(limit.nanoseconds))
    own = socket_of(fd)
    done: u32 = u32(0)
    wanted = flags & (0xFFFFFFFF - MSG_WAITFORONE)
    try:
        while done < min(count, u32(UIO_MAXIOV)):
            where = vector.offset(u64(done)).address
            got = receive_header(own, where, wanted)
            UserPtr[u32](where + LENGTH_AT).write(u32(got))
            done += 1
            if flags & MSG_WAITFORONE:
                wanted |= MSG_DONTWAIT
            if passed(deadline):
                break
    except (OSError, MemoryError):
        if done == 0:
            raise
    return done
