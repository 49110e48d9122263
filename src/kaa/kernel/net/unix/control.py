# SPDX-License-Identifier: Apache-2.0
"""Control messages: cmsg(3), SCM_RIGHTS and SCM_CREDENTIALS of unix(7)."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from kaa.kernel.abi.socket import (
    MSG_CMSG_CLOEXEC,
    MSG_CTRUNC,
    SCM_CREDENTIALS,
    SCM_MAX_FD,
    SCM_RIGHTS,
    SOL_SOCKET,
    ControlHeader,
    PeerCredentials,
)
from kaa.kernel.arch import machine
from kaa.kernel.mm.user import UserPtr
from kaa.kernel.net.unix.message import Message
from kaa.lang import i32, struct, u32, u64

if TYPE_CHECKING:
    from kaa.kernel.fs.file import File
    from kaa.kernel.net.unix.delivery import Delivery
    from kaa.kernel.net.unix.identity import Identity

HEADER = 16
CREDENTIALS_SIZE = 12
MOST = 20480
"""Bytes of control messages in one call (Linux: sysctl net.core.optmem_max)."""
CAP_SETGID = 6
CAP_SETUID = 7
CAP_SYS_ADMIN = 21


def aligned(length: u64) -> u64:
    """CMSG_ALIGN."""
    return (length + 7) & ~u64(7)


def parse(address: u64, length: u64, sender: Identity) -> Message | None:
    """The message that carries what sendmsg(2) was given; None when that is nothing. Raises OSError(EINVAL),
    OSError(EBADF), PermissionError, OSError(ETOOMANYREFS), OSError(ENOBUFS), OSError(EFAULT), MemoryError."""
    if length > MOST:
        raise OSError(errno.ENOBUFS)
    if address == 0 or length < HEADER:
        return None
    if not machine.user.valid(address, length):
        raise OSError(errno.EFAULT)
    message = Message(sender)
    message.sign()
    message.signed = False
    files: list[File] = []
    at: u64 = u64(0)
    while at + HEADER <= length:
        header = UserPtr[ControlHeader](address + at).read()
        if header.length < HEADER or header.length > length - at:
            raise OSError(errno.EINVAL)
        if header.level == SOL_SOCKET:
            _take(address + at + HEADER, header.length - HEADER, header.type, message, files)
        at += aligned(header.length)
    if len(files) > 0:
        message.attach(files)
    if not message.signed and len(files) == 0:
        return None
    message.signed = True
    return message


def _take(address: u64, size: u64, kind: i32, message: Message, files: list[File]) -> None:
    """One control message."""
    if kind == SCM_RIGHTS:
        count = size // 4
        if u64(len(files)) + count > SCM_MAX_FD:
            raise OSError(errno.EINVAL)
        table = machine.percpu.current().files
        for index in range(count):
            files.append(table.get(UserPtr[i32](address + 4 * index).read()))
    elif kind == SCM_CREDENTIALS:
        if size != CREDENTIALS_SIZE:
            raise OSError(errno.EINVAL)
        claimed = UserPtr[PeerCredentials](address).read()
        _check_claim(claimed)
        message.pid = claimed.pid
        message.uid = claimed.uid
        message.gid = claimed.gid
        message.signed = True
    else:
        raise OSError(errno.EINVAL)


def _check_claim(claimed: PeerCredentials) -> None:
    """Own ids, or any with privilege. Raises PermissionError."""
    task = machine.percpu.current()
    who = task.credentials
    if claimed.pid != task.tgid and not who.capable(CAP_SYS_ADMIN):
        raise PermissionError
    if claimed.uid != who.uid and claimed.uid != who.euid and claimed.uid != who.suid and not who.capable(CAP_SETUID):
        raise PermissionError
    if claimed.gid != who.gid and claimed.gid != who.egid and claimed.gid != who.sgid and not who.capable(CAP_SETGID):
        raise PermissionError


@struct
class ControlSpace:
    """The caller's room for control messages."""

    address: u64 = 0
    left: u64 = 0
    used: u64 = 0

    def put_header(self, kind: i32, size: u64) -> u64:
        """Write a header for `size` bytes, which fit, and give the address of the data; the space behind is next."""
        UserPtr[ControlHeader](self.address).write(ControlHeader(HEADER + size, SOL_SOCKET, kind))
        data = self.address + HEADER
        step = min(aligned(HEADER + size), self.left)
        self.address += step
        self.left -= step
        self.used += step
        return data


def give(space: ControlSpace, delivery: Delivery, flags: u32) -> None:
    """Tell the receiver what came. What finds no room is lost: MSG_CTRUNC. Raises OSError(EFAULT)."""
    if delivery.wants_credentials:
        if space.left >= HEADER + CREDENTIALS_SIZE:
            data = space.put_header(SCM_CREDENTIALS, CREDENTIALS_SIZE)
            UserPtr[PeerCredentials](data).write(PeerCredentials(delivery.pid, delivery.uid, delivery.gid))
        else:
            delivery.flags |= MSG_CTRUNC
    files = delivery.files
    if files is not None:
        _give_files(space, delivery, files, flags & MSG_CMSG_CLOEXEC != 0)


def _give_files(space: ControlSpace, delivery: Delivery, files: list[File], close_on_exec: bool) -> None:
    """As many descriptors as there is room for, in the buffer and in the table."""
    room = u64(0) if space.left < HEADER else (space.left - HEADER) // 4
    place = UserPtr[i32](space.address).offset(HEADER // 4)
    count: u64 = u64(0)
    table = machine.percpu.current().files
    for file in files:
        if count == room:
            break
        try:
            fd = table.install(file, close_on_exec)
        except (OSError, MemoryError):
            break
        try:
            place.offset(count).write(fd)
        except OSError:
            table.withdraw(fd, file)
            break
        count += 1
    if count < len(files):
        delivery.flags |= MSG_CTRUNC
    if count > 0:
        space.put_header(SCM_RIGHTS, 4 * count)
