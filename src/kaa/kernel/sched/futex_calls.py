# SPDX-License-Identifier: Apache-2.0
"""The futex system call. FUTEX_FD is gone (ENOSYS), as in Linux."""

from __future__ import annotations

import errno

from kaa.kernel.abi.futex import ANY_BITSET, FutexFlag, FutexOp
from kaa.kernel.abi.restart import Restart, RestartBlock
from kaa.kernel.abi.syscall import syscall
from kaa.kernel.abi.time import NEVER, Timespec
from kaa.kernel.arch import machine
from kaa.kernel.mm.user import UserPtr
from kaa.kernel.process.task import RESTART_FUTEX, Task
from kaa.kernel.sched import futex, futex_pi, futex_pi_requeue, futex_requeue
from kaa.lang import i64, u32, u64


@syscall(x86_64=202, arm64=98)
def futex_(address: u64, operation: u32, value: u32, timeout: u64, second: u64, third: u32) -> i64:
    """futex(2): wait and wake on words of user memory, lock and unlock priority-inheritance locks in them."""
    shared = (operation & FutexFlag.FUTEX_PRIVATE_FLAG) == 0
    command = operation & ~u32(FutexFlag.FUTEX_PRIVATE_FLAG | FutexFlag.FUTEX_CLOCK_REALTIME)
    real = (operation & FutexFlag.FUTEX_CLOCK_REALTIME) != 0
    if real:
        _require_timed(command)
    match command:
        case FutexOp.FUTEX_WAIT:
            return _wait(address, value, u32(ANY_BITSET), _relative_deadline(timeout), shared)
        case FutexOp.FUTEX_WAKE:
            return i64(futex.wake(address, at_least_one(value), u32(ANY_BITSET), shared))
        case FutexOp.FUTEX_WAIT_BITSET:
            if third == 0:
                raise OSError(errno.EINVAL)
            return _wait(address, value, third, _absolute_deadline(timeout, real), shared)
        case FutexOp.FUTEX_WAKE_BITSET:
            if third == 0:
                raise OSError(errno.EINVAL)
            return i64(futex.wake(address, at_least_one(value), third, shared))
        case FutexOp.FUTEX_REQUEUE | FutexOp.FUTEX_CMP_REQUEUE | FutexOp.FUTEX_WAKE_OP:
            return _pair(command, address, value, u32(timeout), second, third, shared)
        case _:
            return _lock(command, address, value, timeout, second, third, shared, real)


def _require_timed(command: u32) -> None:
    """FUTEX_CLOCK_REALTIME goes with these commands only (ENOSYS)."""
    match command:
        case FutexOp.FUTEX_WAIT | FutexOp.FUTEX_WAIT_BITSET | FutexOp.FUTEX_WAIT_REQUEUE_PI | FutexOp.FUTEX_LOCK_PI2:
            pass
        case _:
            raise OSError(errno.ENOSYS)


def at_least_one(count: u32) -> u32:
    """How many to wake: Linux takes 0, and what is negative as int, for one."""
    return count if 0 < count < 0x8000_0000 else u32(1)


def _pair(command: u32, first: u64, value: u32, value2: u32, second: u64, third: u32, shared: bool) -> i64:
    if command == FutexOp.FUTEX_WAKE_OP:
        return i64(futex_requeue.wake_op(first, second, at_least_one(value), at_least_one(value2), third, shared))
    if (value | value2) >= 0x8000_0000:
        raise OSError(errno.EINVAL)
    expected = i64(third) if command == FutexOp.FUTEX_CMP_REQUEUE else i64(-1)
    return i64(futex_requeue.requeue(first, second, value, value2, expected, shared, shared))


def _lock(
    command: u32, address: u64, value: u32, timeout: u64, second: u64, third: u32, shared: bool, real: bool
) -> i64:
    """The commands with priority inheritance."""
    match command:
        case FutexOp.FUTEX_LOCK_PI:
            futex_pi.acquire(address, _absolute_deadline(timeout, True), shared, False)
        case FutexOp.FUTEX_LOCK_PI2:
            futex_pi.acquire(address, _absolute_deadline(timeout, real), shared, False)
        case FutexOp.FUTEX_TRYLOCK_PI:
            futex_pi.acquire(address, u64(NEVER), shared, True)
        case FutexOp.FUTEX_UNLOCK_PI:
            futex_pi.release(address, shared)
        case FutexOp.FUTEX_WAIT_REQUEUE_PI:
            deadline = _absolute_deadline(timeout, real)
            futex_pi_requeue.wait(address, value, u32(ANY_BITSET), deadline, second, shared)
        case FutexOp.FUTEX_CMP_REQUEUE_PI:
            if (value | u32(timeout)) >= 0x8000_0000:
                raise OSError(errno.EINVAL)
            return i64(futex_pi_requeue.move(address, second, value, u32(timeout), third, shared))
        case _:
            raise OSError(errno.ENOSYS)
    return i64(0)


def _relative_deadline(timeout: u64) -> u64:
    """FUTEX_WAIT's: a time from now. Raises OSError(EFAULT, EINVAL)."""
    if timeout == 0:
        return u64(NEVER)
    return UserPtr[Timespec](timeout).read().deadline(machine.clock.monotonic_ns())


def _absolute_deadline(timeout: u64, real: bool) -> u64:
    """The others': a time of one of two clocks. Raises OSError(EFAULT, EINVAL)."""
    if timeout == 0:
        return u64(NEVER)
    return absolute_deadline(UserPtr[Timespec](timeout).read(), real)


def absolute_deadline(time: Timespec, real: bool) -> u64:
    """A time of the real or the monotonic clock as a monotonic one, as the clocks stand now. Raises OSError(EINVAL)."""
    target = time.total()
    if not real:
        return target
    now = machine.clock.realtime_ns()
    monotonic = machine.clock.monotonic_ns()
    if target <= now:
        return u64(0)
    return monotonic + min(target - now, u64(1 << 62))


def _wait(address: u64, expected: u32, bitset: u32, deadline: u64, shared: bool) -> i64:
    outcome = futex.wait(address, expected, bitset, deadline, shared)
    if outcome == futex.WOKEN:
        return i64(0)
    if outcome == futex.INTERRUPTED and deadline != NEVER:
        _remember(machine.percpu.current(), address, expected, bitset, deadline, shared)
        raise RestartBlock
    return result(outcome)


def result(outcome: u32) -> i64:
    """What a wait without a restart block ends with. Raises TimeoutError, BlockingIOError, Restart."""
    if outcome == futex.WOKEN:
        return i64(0)
    if outcome == futex.TIMED_OUT:
        raise TimeoutError
    if outcome == futex.CHANGED:
        raise BlockingIOError
    raise Restart


def _remember(task: Task, address: u64, expected: u32, bitset: u32, deadline: u64, shared: bool) -> None:
    task.restart_kind = RESTART_FUTEX
    task.restart_address = address
    task.restart_value = u64(expected)
    task.restart_bitset = u64(bitset)
    task.restart_deadline = deadline
    task.restart_flags = u64(1 if shared else 0)


def restart(task: Task) -> i64:
    """restart_syscall(2) of an interrupted wait with a timeout."""
    return _wait(
        task.restart_address,
        u32(task.restart_value),
        u32(task.restart_bitset),
        task.restart_deadline,
        task.restart_flags != 0,
    )
