# SPDX-License-Identifier: Apache-2.0
"""The futex system call. Priority-inheritance commands and FUTEX_FD are refused (ENOSYS)."""

from __future__ import annotations

import errno

from kaa.kernel.abi.futex import ANY_BITSET, FutexFlag, FutexOp
from kaa.kernel.abi.restart import Restart, RestartBlock
from kaa.kernel.abi.syscall import syscall
from kaa.kernel.abi.time import NEVER, Timespec
from kaa.kernel.arch import machine
from kaa.kernel.mm.user import UserPtr
from kaa.kernel.process.task import RESTART_FUTEX, Task
from kaa.kernel.sched import futex, futex_requeue
from kaa.lang import i64, u32, u64


@syscall(x86_64=202, arm64=98)
def futex_(address: u64, operation: u32, value: u32, timeout: u64, second: u64, third: u32) -> i64:
    """futex(2): wait and wake on words of user memory."""
    shared = (operation & FutexFlag.FUTEX_PRIVATE_FLAG) == 0
    command = operation & ~u32(FutexFlag.FUTEX_PRIVATE_FLAG | FutexFlag.FUTEX_CLOCK_REALTIME)
    real = (operation & FutexFlag.FUTEX_CLOCK_REALTIME) != 0
    if real and command != FutexOp.FUTEX_WAIT_BITSET and command != FutexOp.FUTEX_WAIT:
        raise OSError(errno.ENOSYS)
    match command:
        case FutexOp.FUTEX_WAIT:
            return _wait(address, value, _relative_deadline(timeout), shared)
        case FutexOp.FUTEX_WAKE:
            return i64(futex.wake(address, at_least_one(value), u32(ANY_BITSET), shared))
        case FutexOp.FUTEX_WAIT_BITSET:
            return _wait_bitset(address, value, third, timeout, real, shared)
        case FutexOp.FUTEX_WAKE_BITSET:
            if third == 0:
                raise OSError(errno.EINVAL)
            return i64(futex.wake(address, at_least_one(value), third, shared))
        case _:
            return _pair(command, address, value, u32(timeout), second, third, shared)


def at_least_one(count: u32) -> u32:
    """How many to wake: Linux takes 0, and what is negative as int, for one."""
    return count if 0 < count < 0x8000_0000 else u32(1)


def _pair(command: u32, first: u64, value: u32, value2: u32, second: u64, third: u32, shared: bool) -> i64:
    if command in (FutexOp.FUTEX_REQUEUE, FutexOp.FUTEX_CMP_REQUEUE) and (value | value2) >= 0x8000_0000:
        raise OSError(errno.EINVAL)
    match command:
        case FutexOp.FUTEX_REQUEUE:
            return i64(futex_requeue.requeue(first, second, value, value2, shared))
        case FutexOp.FUTEX_CMP_REQUEUE:
            return i64(futex_requeue.compare_requeue(first, second, value, value2, third, shared))
        case FutexOp.FUTEX_WAKE_OP:
            return i64(futex_requeue.wake_op(first, second, at_least_one(value), at_least_one(value2), third, shared))
        case _:
            raise OSError(errno.ENOSYS)


def _relative_deadline(timeout: u64) -> u64:
    """FUTEX_WAIT's: a time from now. Raises OSError(EFAULT, EINVAL)."""
    if timeout == 0:
        return u64(NEVER)
    return UserPtr[Timespec](timeout).read().deadline(machine.clock.monotonic_ns())


def _wait(address: u64, expected: u32, deadline: u64, shared: bool) -> i64:
    outcome = futex.wait(address, expected, u32(ANY_BITSET), deadline, shared)
    if outcome == futex.INTERRUPTED and deadline != NEVER:
        _remember(machine.percpu.current(), address, expected, deadline, shared)
        raise RestartBlock
    return _result(outcome)


def _result(outcome: u32) -> i64:
    if outcome == futex.WOKEN:
        return i64(0)
    if outcome == futex.TIMED_OUT:
        raise TimeoutError
    if outcome == futex.CHANGED:
        raise BlockingIOError
    raise Restart


def _remember(task: Task, address: u64, expected: u32, deadline: u64, shared: bool) -> None:
    task.restart_kind = RESTART_FUTEX
    task.restart_address = address
    task.restart_value = u64(expected)
    task.restart_deadline = deadline
    task.restart_flags = u64(1 if shared else 0)


def restart(task: Task) -> i64:
    """restart_syscall(2) of an interrupted FUTEX_WAIT with a timeout."""
    return _wait(task.restart_address, u32(task.restart_value), task.restart_deadline, task.restart_flags != 0)


def _wait_bitset(address: u64, expected: u32, bitset: u32, timeout: u64, real: bool, shared: bool) -> i64:
    """Until an absolute time; made again as it is after a signal."""
    if bitset == 0:
        raise OSError(errno.EINVAL)
    deadline: u64 = u64(NEVER)
    if timeout != 0:
        deadline = UserPtr[Timespec](timeout).read().total()
        if real:
            deadline = _from_real(deadline)
    return _result(futex.wait(address, expected, bitset, deadline, shared))


def _from_real(target: u64) -> u64:
    """A real time as a monotonic one, as the clocks stand now."""
    now = machine.clock.realtime_ns()
    monotonic = machine.clock.monotonic_ns()
    if target <= now:
        return u64(0)
    return monotonic + min(target - now, u64(1 << 62))
