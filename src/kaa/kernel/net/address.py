# SPDX-License-Identifier: Apache-2.0
"""struct sockaddr_un in and out of user memory: unix(7), "Address format"."""

from __future__ import annotations

import errno

from kaa.kernel.abi.socket import AF_UNIX, SOCKADDR_MAX, SUN_PATH, SUN_PATH_OFFSET
from kaa.kernel.lib.c_string import until_nul
from kaa.kernel.mm.user import UserBuf, UserPtr
from kaa.lang import Array, i32, u8, u16, u32, u64, usize


def read_family(address: u64, length: u32) -> u16:
    """sa_family. Raises OSError(EINVAL), OSError(EFAULT)."""
    if length > SOCKADDR_MAX or length < SUN_PATH_OFFSET:
        raise OSError(errno.EINVAL)
    return UserPtr[u16](address).read()


def read_name(address: u64, length: u32) -> bytes:
    """sun_path: up to its NUL, or, when it starts with one, all of `length`; empty when there is none. Raises
    OSError(EINVAL) for another family or a bad length, OSError(EFAULT), MemoryError."""
    if read_family(address, length) != AF_UNIX or length > SUN_PATH + SUN_PATH_OFFSET:
        raise OSError(errno.EINVAL)
    text = Array[u8, SUN_PATH]()
    size = usize(length - SUN_PATH_OFFSET)
    UserBuf(address + SUN_PATH_OFFSET, size).copy_in(text[0:size])
    if size == 0 or text[0] == 0:
        return bytes(text[0:size])
    return bytes(until_nul(text[0:size]))


def write_name(name: bytes, unnamed_length: u32, address: u64, room: u32) -> u32:
    """As much of the address as `room` takes; its true length. Raises OSError(EFAULT)."""
    length = u32(len(name)) + SUN_PATH_OFFSET
    if len(name) == 0:
        length = unnamed_length
    elif name[0] != 0:
        length += 1
    text = Array[u8, 112]()
    text[0] = AF_UNIX
    text[SUN_PATH_OFFSET : SUN_PATH_OFFSET + len(name)].copy_from(name)
    count = usize(min(length, room))
    UserBuf(address, count).copy_out(text[0:count])
    return length


def give_name(name: bytes, unnamed_length: u32, address: u64, length: UserPtr[i32]) -> None:
    """The value-result way of accept(2) and getsockname(2). Raises OSError(EINVAL) for a negative length,
    OSError(EFAULT)."""
    room = length.read()
    if room < 0:
        raise OSError(errno.EINVAL)
    length.write(i32(write_name(name, unnamed_length, address, u32(room))))
