# SPDX-License-Identifier: Apache-2.0
"""FUTEX_REQUEUE, FUTEX_CMP_REQUEUE and FUTEX_WAKE_OP: futexes that come in pairs (futex(2)). Words are looked at and
changed under the locks of both buckets; a page that is missing is brought in without them, and all begins again."""

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
from kaa.kernel.sched.futex_key import FutexKey, bring_in, load, name
from kaa.kernel.sched.futex_queue import bucket_at, lock_pair, unlock_pair
from kaa.lang import i32, i64, u32, u64, wrapping_add

SIGN_12: Final = 0x800


def requeue(
    source: u64, target: u64, wake_count: u32, move_count: u32, expected: i64, source_shared: bool, target_shared: bool
) -> u32:
    """Wake some waiters of one word and move others to another, if the first word is `expected` (negative: whatever it
    is); gives how many in all. Raises OSError(EAGAIN) when it is not, EINVAL, EFAULT, MemoryError."""
    task = machine.percpu.current()
    from_key = FutexKey()
    to_key = FutexKey()
    name(from_key, task, source, source_shared)
    name(to_key, task, target, target_shared)
    first, second = from_key.bucket(), to_key.bucket()
    while True:
        lock_pair(first, second)
        try:
            if expected < 0:
                return _move(from_key, to_key, wake_count, move_count)
            value = machine.user.load_user(source)
            if value == expected:
                return _move(from_key, to_key, wake_count, move_count)
        finally:
            unlock_pair(first, second)
        if value >= 0:
            raise BlockingIOError
        load(source)


def _move(from_key: FutexKey, to_key: FutexKey, wake_count: u32, move_count: u32) -> u32:
    """Under the locks of both buckets."""
    origin = bucket_at(from_key.bucket())
    index = to_key.bucket()
    goal = bucket_at(index)
    done = futex.wake_key(origin, from_key, wake_count, u32(ANY_BITSET))
    futex.refuse_lock(goal, to_key)
    if from_key.matches(to_key):
        return done
    moved: u32 = 0
    last = origin.last
    waiter = origin.first
    while waiter is not None and moved < move_count:
        following = None if waiter is last else waiter.next
        if waiter.key.matches(from_key):
            if waiter.target is not None:
                raise OSError(errno.EINVAL)
            origin.remove(waiter)
            waiter.key.copy_from(to_key)
            waiter.bucket = index
            goal.append(waiter)
            moved += 1
        waiter = following
    return done + moved


def wake_op(first: u64, second: u64, wake_first: u32, wake_second: u32, operation: u32, shared: bool) -> u32:
    """Change the second word, wake waiters of the first, and of the second if its old value compares; in one step to
    all who use these two words as futexes. Raises OSError(EINVAL, EFAULT, ENOSYS), MemoryError."""
    task = machine.percpu.current()
    first_key = FutexKey()
    second_key = FutexKey()
    name(first_key, task, first, shared)
    name(second_key, task, second, shared)
    one, two = first_key.bucket(), second_key.bucket()
    while True:
        lock_pair(one, two)
        try:
            old = _apply(second, operation)
            if old >= 0:
                woken = futex.wake_key(bucket_at(one), first_key, wake_first, u32(ANY_BITSET))
                if _compares(i32(old), operation):
                    woken += futex.wake_key(bucket_at(two), second_key, wake_second, u32(ANY_BITSET))
                return woken
        finally:
            unlock_pair(one, two)
        bring_in(second)


def _signed_12(bits: u32) -> i32:
    """A twelve-bit two's complement number."""
    value = i32(bits & 0xFFF)
    return value - 0x1000 if (value & SIGN_12) != 0 else value


def _apply(address: u64, operation: u32) -> i64:
    """Do the operation atomically; gives the old value, or -1 when the page is not there. Raises OSError(ENOSYS)."""
    kind = (operation >> 28) & 7
    argument = u32(_signed_12(operation >> 12))
    if ((operation >> 28) & OP_ARGUMENT_SHIFT) != 0:
        argument = u32(1) << (argument & 31)
    if kind > OP_XOR or ((operation >> 24) & 15) > CMP_GE:
        raise OSError(errno.ENOSYS)
    while True:
        old = machine.user.load_user(address)
        if old < 0:
            return i64(-1)
        found = machine.user.cmpxchg_user(address, u32(old), _combine(kind, u32(old), argument))
        if found == old or found < 0:
            return found


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
