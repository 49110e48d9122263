# SPDX-License-Identifier: Apache-2.0
"""futex_waitv, futex_wake, futex_wait, futex_requeue: futex(2)'s commands as calls of their own, with flags for each
word. Words have 32 bits; NUMA flags are refused (EINVAL)."""

from __future__ import annotations

import errno

from kaa.kernel.abi.futex import (
    FUTEX2_PRIVATE,
    FUTEX2_SIZE_MASK,
    FUTEX2_SIZE_U32,
    FUTEX_WAITV_MAX,
    FutexWaitv,
)
from kaa.kernel.abi.syscall import syscall
from kaa.kernel.abi.time import NEVER, Clock, Timespec
from kaa.kernel.arch import machine
from kaa.kernel.mm.user import UserPtr
from kaa.kernel.sched import futex, futex_requeue
from kaa.kernel.sched.futex_calls import absolute_deadline, result
from kaa.kernel.sched.futex_key import name
from kaa.kernel.sched.futex_queue import FutexWaiter
from kaa.kernel.sched.futex_vector import WaitSet
from kaa.lang import i32, i64, u32, u64


def _check_flags(flags: u32) -> bool:
    """Flags of one word; says whether it may be shared. Raises OSError(EINVAL)."""
    known = FUTEX2_SIZE_MASK | FUTEX2_PRIVATE
    if (flags & ~u32(known)) != 0 or (flags & FUTEX2_SIZE_MASK) != FUTEX2_SIZE_U32:
        raise OSError(errno.EINVAL)
    return (flags & FUTEX2_PRIVATE) == 0


def _check_value(value: u64) -> u32:
    """A value or mask for a word of 32 bits. Raises OSError(EINVAL)."""
    if value > 0xFFFF_FFFF:
        raise OSError(errno.EINVAL)
    return u32(value)


def _deadline(timeout: UserPtr[Timespec], clock: i32) -> u64:
    """An absolute time of one of two clocks. Raises OSError(EINVAL, EFAULT)."""
    if timeout.is_null():
        return u64(NEVER)
    if clock not in (Clock.CLOCK_MONOTONIC, Clock.CLOCK_REALTIME):
        raise OSError(errno.EINVAL)
    return absolute_deadline(timeout.read(), clock == Clock.CLOCK_REALTIME)


@syscall(x86_64=449, arm64=449)
def futex_waitv(words: UserPtr[FutexWaitv], count: u32, flags: u32, timeout: UserPtr[Timespec], clock: i32) -> i64:
    """futex_waitv(2): wait on up to 128 words; gives the number of one that was woken."""
    if flags != 0 or count == 0 or count > FUTEX_WAITV_MAX or words.is_null():
        raise OSError(errno.EINVAL)
    deadline = _deadline(timeout, clock)
    task = machine.percpu.current()
    wanted = WaitSet()
    for index in range(count):
        word = words.offset(u64(index)).read()
        shared = _check_word(word)
        waiter = FutexWaiter()
        waiter.bitset = 0xFFFF_FFFF
        name(waiter.key, task, word.address, shared)
        wanted.add(waiter, waiter.key.bucket(), word.address, u32(word.value))
    woken = wanted.wait(deadline)
    return woken if woken >= 0 else result(wanted.outcome)


def _check_word(word: FutexWaitv) -> bool:
    """Whether it may be shared. Raises OSError(EINVAL)."""
    if word.reserved != 0:
        raise OSError(errno.EINVAL)
    shared = _check_flags(word.flags)
    _check_value(word.value)
    return shared


@syscall(x86_64=454, arm64=454)
def futex_wake(address: u64, mask: u64, count: i32, flags: u32) -> i64:
    """futex_wake(2): wake up to `count` waiters whose mask has a bit in common."""
    shared = _check_flags(flags)
    bitset = _check_value(mask)
    if bitset == 0:
        raise OSError(errno.EINVAL)
    if count == 0:
        return i64(0)
    return i64(futex.wake(address, u32(max(count, 1)), bitset, shared))


@syscall(x86_64=455, arm64=455)
def futex_wait(address: u64, expected: u64, mask: u64, flags: u32, timeout: UserPtr[Timespec], clock: i32) -> i64:
    """futex_wait(2): wait until an absolute time."""
    shared = _check_flags(flags)
    value = _check_value(expected)
    bitset = _check_value(mask)
    if bitset == 0:
        raise OSError(errno.EINVAL)
    return result(futex.wait(address, value, bitset, _deadline(timeout, clock), shared))


@syscall(x86_64=456, arm64=456)
def futex_requeue_(words: UserPtr[FutexWaitv], flags: u32, wake_count: i32, move_count: i32) -> i64:
    """futex_requeue(2): as FUTEX_CMP_REQUEUE, with flags for each of the two words."""
    if flags != 0 or words.is_null():
        raise OSError(errno.EINVAL)
    source = words.read()
    target = words.offset(u64(1)).read()
    source_shared = _check_word(source)
    target_shared = _check_word(target)
    if wake_count < 0 or move_count < 0:
        raise OSError(errno.EINVAL)
    moved = futex_requeue.requeue(
        source.address,
        target.address,
        u32(wake_count),
        u32(move_count),
        i64(source.value),
        source_shared,
        target_shared,
    )
    return i64(moved)
