# SPDX-License-Identifier: Apache-2.0
"""FUTEX_REQUEUE, FUTEX_CMP_REQUEUE and FUTEX_WAKE_OP: futexes that come in pairs (futex(2))."""

from __future__ import annotations

import errno
from typing import Final

from kaa.kernel.abi.futex import (
    ANY_BITSET,
    CMP_EQ,
    CMP_GE,
    CMP_GT,
    CMP_LE,
    CMP_LT,
    CMP_NE,
    OP_ADD,
    OP_ANDN,
    OP_ARGUMENT_SHIFT,
    OP_OR,
    OP_SET,
    OP_XOR,
)
from kaa.kernel.arch import machine
from kaa.kernel.sched import futex
from kaa.kernel.sched.futex import Bucket, FutexKey
from kaa.lang import i32, i64, u32, u64, wrapping_add

SIGN_12: Final = 0x800


def requeue(source: u64, target: u64, wake_count: u32, move_count: u32, shared: bool) -> u32:
    """Wake some waiters of one word and move others to another; gives how many in all. Raises OSError, MemoryError."""
    task = machine.percpu.current()
    from_key = FutexKey()
    to_key = FutexKey()
    futex.name(from_key, task, source, shared)
    futex.name(to_key, task, target, shared)
    woken = futex.wake_key(from_key, wake_count, u32(ANY_BITSET))
    if from_key.matches(to_key) or move_count == 0:
        return woken
    return woken + _move(from_key, to_key, move_count)


def compare_requeue(source: u64, target: u64, wake_count: u32, move_count: u32, expected: u32, shared: bool) -> u32:
    """The same, if the first word is `expected`. Raises OSError(EAGAIN) when not."""
    if futex.load(source) != expected:
        raise BlockingIOError
    return requeue(source, target, wake_count, move_count, shared)


def _move(from_key: FutexKey, to_key: FutexKey, count: u32) -> u32:
    origin = futex.buckets[from_key.bucket()]
    goal = futex.buckets[to_key.bucket()]
    if origin is goal:
        with origin:
            return _move_locked(origin, goal, from_key, to_key, count)
    low = origin if from_key.bucket() < to_key.bucket() else goal
    high = goal if low is origin else origin
    with low:
        with high:
            return _move_locked(origin, goal, from_key, to_key, count)


def _move_locked(origin: Bucket, goal: Bucket, from_key: FutexKey, to_key: FutexKey, count: u32) -> u32:
    moved: u32 = 0
    last = origin.last
    waiter = origin.first
    while waiter is not None and moved < count:
        following = None if waiter is last else waiter.next
        if waiter.key.matches(from_key):
            origin.remove(waiter)
            waiter.key.copy_from(to_key)
            waiter.bucket = to_key.bucket()
            goal.append(waiter)
            moved += 1
        waiter = following
    return moved


def wake_op(first: u64, second: u64, wake_first: u32, wake_second: u32, operation: u32, shared: bool) -> u32:
    """Change the second word, wake waiters of the first, and of the second if its old value compares. Raises
    OSError."""
    if (second & 3) != 0 or (first & 3) != 0:
        raise OSError(errno.EINVAL)
    old = _apply(second, operation)
    woken = futex.wake(first, wake_first, u32(ANY_BITSET), shared)
    if _compares(old, operation):
        woken += futex.wake(second, wake_second, u32(ANY_BITSET), shared)
    return woken


def _signed_12(bits: u32) -> i32:
    """A twelve-bit two's complement number."""
    value = i32(bits & 0xFFF)
    return value - 0x1000 if (value & SIGN_12) != 0 else value


def _apply(address: u64, operation: u32) -> i32:
    """Do the operation atomically; gives the old value. Raises OSError(EFAULT, ENOSYS)."""
    kind = (operation >> 28) & 7
    argument = u32(_signed_12(operation >> 12))
    if ((operation >> 28) & OP_ARGUMENT_SHIFT) != 0:
        argument = u32(1) << (argument & 31)
    if kind > OP_XOR:
        raise OSError(errno.ENOSYS)
    while True:
        old = futex.load(address)
        found: i64 = machine.user.cmpxchg_user(address, old, _combine(kind, old, argument))
        if found < 0:
            raise OSError(errno.EFAULT)
        if u32(found) == old:
            return i32(old)


def _combine(kind: u32, old: u32, argument: u32) -> u32:
    match kind:
        case 0:
            return argument
        case 1:
            return wrapping_add(old, argument)
        case 2:
            return old | argument
        case 3:
            return old & ~argument
        case _:
            return old ^ argument


assert (OP_SET, OP_ADD, OP_OR, OP_ANDN, OP_XOR) == (0, 1, 2, 3, 4)


def _compares(old: i32, operation: u32) -> bool:
    argument = _signed_12(operation)
    match (operation >> 24) & 15:
        case 0:
            return old == argument
        case 1:
            return old != argument
        case 2:
            return old < argument
        case 3:
            return old <= argument
        case 4:
            return old > argument
        case 5:
            return old >= argument
        case _:
            raise OSError(errno.ENOSYS)


assert (CMP_EQ, CMP_NE, CMP_LT, CMP_LE, CMP_GT, CMP_GE) == (0, 1, 2, 3, 4, 5)
