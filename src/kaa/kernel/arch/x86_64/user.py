# SPDX-License-Identifier: Apache-2.0
"""Copies from and to user memory, for mm/user.py. A range that is not wholly below USER_END is not touched at all.

May sleep (a page may have to be read in) unless preemption or interrupts are off: then a missing page is a fault.
"""

from __future__ import annotations

from kaa.kernel.arch.x86_64 import user_copy
from kaa.lang import i64, inline, isize, u32, u64, usize

USER_END = 0x0000_7FFF_FFFF_F000


@inline
def valid(address: u64, size: usize) -> bool:
    """Does the range lie within user space?"""
    return size <= USER_END and address <= USER_END - size


@inline
def copy_from_user(destination: u64, source: u64, n: usize) -> usize:
    """Copy `n` bytes into the kernel. Gives how many were not copied."""
    if not valid(source, n):
        return n
    return user_copy.copy(destination, source, n)


@inline
def copy_to_user(destination: u64, source: u64, n: usize) -> usize:
    """Copy `n` bytes to the user. Gives how many were not copied."""
    if not valid(destination, n):
        return n
    return user_copy.copy(destination, source, n)


def clear_user(address: u64, n: usize) -> usize:
    """Clear `n` bytes of the user's. Gives how many were not cleared."""
    if not valid(address, n):
        return n
    return user_copy.clear(address, n)


def copy_string_from_user(destination: u64, source: u64, maximum: usize) -> isize:
    """Copy a string with its NUL. Its length without it; -1 for a fault; `maximum` if there is no NUL among so many
    bytes."""
    if source >= USER_END:
        return isize(-1)
    room: usize = min(maximum, USER_END - source)
    length = user_copy.copy_string(destination, source, room)
    if length == isize(room) and room < maximum:
        return isize(-1)
    return length


def cmpxchg_user(address: u64, old: u32, new: u32) -> i64:
    """Atomically replace `old` by `new` in a user word. What was found, or -1 for a fault (also a misaligned
    address)."""
    if address & 3 != 0 or not valid(address, 4):
        return i64(-1)
    return user_copy.compare_exchange(address, old, new)


def load_user(address: u64) -> i64:
    """A user's 32-bit word, or -1 for a fault."""
    if not valid(address, 4):
        return i64(-1)
    return user_copy.load(address)


def store_user(address: u64, value: u32) -> i64:
    """Write a user's 32-bit word. 0, or -1 for a fault."""
    if not valid(address, 4):
        return i64(-1)
    return user_copy.store(address, value)
