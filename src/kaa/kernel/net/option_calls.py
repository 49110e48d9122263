# SPDX-License-Identifier: Apache-2.0
"""getsockopt(2), setsockopt(2): socket(7)'s options, as far as AF_UNIX knows them."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from kaa.kernel.abi import socket as abi
from kaa.kernel.abi.syscall import Fd, syscall
from kaa.kernel.mm.user import UserBuf, UserPtr
from kaa.kernel.net.calls import socket_of
from kaa.kernel.net.unix.inbox import DEFAULT_BUFFER
from kaa.kernel.process import credentials
from kaa.lang import Slice, as_bytes, i32, i64, struct, u8, u32, u64, usize

if TYPE_CHECKING:
    from kaa.kernel.net.unix.socket import UnixSocket

LEAST_SEND_BUFFER = 4608
LEAST_RECEIVE_BUFFER = 2304
CAP_NET_ADMIN = 12
SECOND = 1_000_000_000


@struct
class Number:
    """An int option."""

    value: i32 = 0


def is_remembered(option: i32) -> bool:
    """Options that change nothing for local sockets, and are given back as they were set."""
    return (
        option == abi.SO_REUSEADDR
        or option == abi.SO_REUSEPORT
        or option == abi.SO_KEEPALIVE
        or option == abi.SO_BROADCAST
        or option == abi.SO_DONTROUTE
        or option == abi.SO_OOBINLINE
    )


def _buffer_size(value: i32, least: u32, forced: bool) -> u32:
    """Twice what is asked for, within bounds (socket(7)). The ring bounds what force may do."""
    if forced:
        credentials.require(CAP_NET_ADMIN)
    wanted = u32(DEFAULT_BUFFER) if value < 0 else min(u32(value), u32(DEFAULT_BUFFER))
    return max(wanted * 2, least)


def _timeout(value: u64, length: u32) -> u64:
    """A struct timeval in nanoseconds. Raises OSError(EINVAL), OSError(EDOM)."""
    if length < 16:
        raise OSError(errno.EINVAL)
    time = UserPtr[abi.TimeValue](value).read()
    if time.microseconds < 0 or time.microseconds >= 1_000_000:
        raise OSError(errno.EDOM)
    if time.seconds < 0:
        return u64(1)
    return u64(min(time.seconds, 1_000_000_000)) * SECOND + u64(time.microseconds) * 1000


@syscall(x86_64=54, arm64=208)
def setsockopt(fd: Fd, level: i32, option: i32, value: u64, length: u32) -> None:
    """setsockopt(2): of level SOL_SOCKET only."""
    own = socket_of(fd)
    if level != abi.SOL_SOCKET:
        raise OSError(errno.EOPNOTSUPP)
    if option == abi.SO_RCVTIMEO:
        own.receive_timeout = _timeout(value, length)
        return
    if option == abi.SO_SNDTIMEO:
        own.send_timeout = _timeout(value, length)
        return
    if length < 4:
        raise OSError(errno.EINVAL)
    _set_number(own, option, UserPtr[i32](value).read())


def _set_number(own: UnixSocket, option: i32, value: i32) -> None:
    if option == abi.SO_PASSCRED:
        own.pass_credentials = value != 0
        inbox = own.incoming
        if inbox is not None:
            inbox.signed = value != 0
    elif option == abi.SO_SNDBUF or option == abi.SO_SNDBUFFORCE:
        own.send_buffer = _buffer_size(value, LEAST_SEND_BUFFER, option == abi.SO_SNDBUFFORCE)
        outgoing = own.outgoing
        if outgoing is not None:
            outgoing.limit = usize(own.send_buffer)
            outgoing.writable.wake_all()
    elif option == abi.SO_RCVBUF or option == abi.SO_RCVBUFFORCE:
        own.receive_buffer = _buffer_size(value, LEAST_RECEIVE_BUFFER, option == abi.SO_RCVBUFFORCE)
    elif is_remembered(option):
        bit = u64(1) << u64(option)
        own.set_flag(bit, value != 0)
    elif option != abi.SO_LINGER and option != abi.SO_PRIORITY:
        raise OSError(errno.ENOPROTOOPT)


def _number(own: UnixSocket, option: i32) -> i32:
    """An option that is an int. Raises OSError(ENOPROTOOPT)."""
    if option == abi.SO_TYPE:
        return i32(own.kind)
    if option == abi.SO_DOMAIN:
        return abi.AF_UNIX
    if option == abi.SO_PROTOCOL or option == abi.SO_PRIORITY or option == abi.SO_DEBUG:
        return 0
    if option == abi.SO_ERROR:
        inbox = own.incoming
        return i32(errno.ECONNRESET) if inbox is not None and inbox.reset and inbox.take_reset() else 0
    if option == abi.SO_ACCEPTCONN:
        return 1 if own.backlog is not None else 0
    if option == abi.SO_PASSCRED:
        return 1 if own.pass_credentials else 0
    if option == abi.SO_SNDBUF:
        return i32(own.send_buffer)
    if option == abi.SO_RCVBUF:
        return i32(own.receive_buffer)
    if option == abi.SO_RCVLOWAT or option == abi.SO_SNDLOWAT:
        return 1
    if is_remembered(option):
        return i32((own.flags_set >> u64(option)) & 1)
    raise OSError(errno.ENOPROTOOPT)


def _give(data: Slice[u8], value: u64, length: UserPtr[i32], room: i32) -> None:
    count = min(usize(room), len(data))
    UserBuf(value, count).copy_out(data[0:count])
    length.write(i32(count))


def _time_value(nanoseconds: u64) -> abi.TimeValue:
    return abi.TimeValue(i64(nanoseconds // SECOND), i64(nanoseconds % SECOND // 1000))


def _peer_credentials(own: UnixSocket) -> abi.PeerCredentials:
    """Who connected or listened; nobody where there is no peer (unix(7))."""
    peer = own.peer_identity()
    if peer is None:
        peer = own.identity if own.backlog is not None else None
    if peer is None:
        return abi.PeerCredentials(0, 0xFFFFFFFF, 0xFFFFFFFF)
    return abi.PeerCredentials(peer.pid, peer.uid, peer.gid)


@syscall(x86_64=55, arm64=209)
def getsockopt(fd: Fd, level: i32, option: i32, value: u64, length: UserPtr[i32]) -> None:
    """getsockopt(2): of level SOL_SOCKET only."""
    own = socket_of(fd)
    if level != abi.SOL_SOCKET:
        raise OSError(errno.EOPNOTSUPP)
    room = length.read()
    if room < 0:
        raise OSError(errno.EINVAL)
    if option == abi.SO_PEERCRED:
        _give(as_bytes(_peer_credentials(own)), value, length, room)
    elif option == abi.SO_RCVTIMEO:
        _give(as_bytes(_time_value(own.receive_timeout)), value, length, room)
    elif option == abi.SO_SNDTIMEO:
        _give(as_bytes(_time_value(own.send_timeout)), value, length, room)
    elif option == abi.SO_LINGER:
        _give(as_bytes(abi.Linger()), value, length, room)
    else:
        _give(as_bytes(Number(_number(own, option))), value, length, room)
