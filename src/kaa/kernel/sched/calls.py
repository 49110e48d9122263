# SPDX-License-Identifier: Apache-2.0
"""The sched_* system calls, and getpriority, setpriority (sched(7))."""

from __future__ import annotations

import errno
from typing import Final

from kaa.kernel.abi.sched import SCHED_RESET_ON_FORK, Policy, SchedAttr, SchedParam
from kaa.kernel.abi.syscall import syscall
from kaa.kernel.abi.time import Timespec, timespec
from kaa.kernel.arch import machine
from kaa.kernel.mm.user import UserBuf, UserPtr
from kaa.kernel.process import ids
from kaa.kernel.process.credentials import Capability
from kaa.kernel.process.task import Task
from kaa.kernel.sched import core, policy
from kaa.kernel.sched.run_queue import REAL_TIME_SLICE, SLICE
from kaa.lang import Array, as_bytes, i32, sizeof, u32, u64, usize

ATTR_FIRST: Final = 48
FLAG_RESET_ON_FORK: Final = 1
MASK_BYTES: Final = 8
"""Size of the kernel's own processor mask."""


@syscall(x86_64=24, arm64=124)
def sched_yield() -> None:
    """sched_yield(2)."""
    core.yield_now()


def _task(pid: i32) -> Task:
    """The thread by id, 0 the caller. Raises OSError(EINVAL) for a negative one, ProcessLookupError."""
    if pid < 0:
        raise OSError(errno.EINVAL)
    if pid == 0:
        return machine.percpu.current()
    task = ids.find_task(pid)
    if task is None:
        raise ProcessLookupError
    return task


@syscall(x86_64=144, arm64=119)
def sched_setscheduler(pid: i32, kind: i32, param: UserPtr[SchedParam]) -> None:
    """sched_setscheduler(2): policy and real-time priority."""
    if kind < 0:
        raise OSError(errno.EINVAL)
    _set(pid, u32(kind), param)


@syscall(x86_64=142, arm64=118)
def sched_setparam(pid: i32, param: UserPtr[SchedParam]) -> None:
    """sched_setparam(2): the real-time priority."""
    if param.is_null():
        raise OSError(errno.EINVAL)
    _set(pid, _task(pid).policy, param)


def _set(pid: i32, kind: u32, param: UserPtr[SchedParam]) -> None:
    if param.is_null() or pid < 0:
        raise OSError(errno.EINVAL)
    priority = u32(param.read().priority)
    task = _task(pid)
    plain = kind & ~u32(SCHED_RESET_ON_FORK)
    policy.check(plain, priority)
    policy.require_may_change(task, plain, priority, task.nice)
    task.reset_on_fork = (kind & SCHED_RESET_ON_FORK) != 0
    policy.set_policy(task, plain, priority, task.nice)


@syscall(x86_64=145, arm64=120)
def sched_getscheduler(pid: i32) -> u32:
    """sched_getscheduler(2): the policy."""
    task = _task(pid)
    return task.policy | (SCHED_RESET_ON_FORK if task.reset_on_fork else 0)


@syscall(x86_64=143, arm64=121)
def sched_getparam(pid: i32, param: UserPtr[SchedParam]) -> None:
    """sched_getparam(2): the real-time priority."""
    if param.is_null():
        raise OSError(errno.EINVAL)
    param.write(SchedParam(i32(_task(pid).rt_priority)))


@syscall(x86_64=146, arm64=125)
def sched_get_priority_max(kind: i32) -> i32:
    """sched_get_priority_max(2)."""
    return _priority_bound(kind, i32(99))


@syscall(x86_64=147, arm64=126)
def sched_get_priority_min(kind: i32) -> i32:
    """sched_get_priority_min(2)."""
    return _priority_bound(kind, i32(1))


def _priority_bound(kind: i32, real_time: i32) -> i32:
    if kind == Policy.SCHED_FIFO or kind == Policy.SCHED_RR:
        return real_time
    if kind in (Policy.SCHED_OTHER, Policy.SCHED_BATCH, Policy.SCHED_IDLE, Policy.SCHED_DEADLINE):
        return i32(0)
    raise OSError(errno.EINVAL)


@syscall(x86_64=148, arm64=127)
def sched_rr_get_interval(pid: i32, into: UserPtr[Timespec]) -> None:
    """sched_rr_get_interval(2): the slice of SCHED_RR, 0 for SCHED_FIFO."""
    task = _task(pid)
    slice_ns: u64 = u64(SLICE)
    if task.policy == Policy.SCHED_FIFO:
        slice_ns = u64(0)
    elif task.policy == Policy.SCHED_RR:
        slice_ns = u64(REAL_TIME_SLICE)
    into.write(timespec(slice_ns))


@syscall(x86_64=204, arm64=123)
def sched_getaffinity(pid: i32, size: u32, mask: u64) -> i32:
    """sched_getaffinity(2): the processors a thread may use: the only one."""
    if (size & 7) != 0 or size < MASK_BYTES:
        raise OSError(errno.EINVAL)
    _task(pid)
    UserPtr[u64](mask).write(u64(1))
    return i32(MASK_BYTES)


@syscall(x86_64=203, arm64=122)
def sched_setaffinity(pid: i32, size: u32, mask: u64) -> None:
    """sched_setaffinity(2): must include the only processor (EINVAL)."""
    word = Array[u64, 1]()
    n = usize(min(size, u32(MASK_BYTES)))
    UserBuf(mask, n).copy_in(as_bytes(word)[0:n])
    task = _task(pid)
    me = machine.percpu.current().credentials
    own = me.euid == task.credentials.euid or me.euid == task.credentials.uid
    if not own and not me.capable(u32(Capability.CAP_SYS_NICE)):
        raise OSError(errno.EPERM)
    if (word[0] & 1) == 0:
        raise OSError(errno.EINVAL)


@syscall(x86_64=314, arm64=274)
def sched_setattr(pid: i32, address: u64, flags: u32) -> None:
    """sched_setattr(2): policy, nice value, priority. Utilisation clamps and SCHED_DEADLINE are refused (EINVAL)."""
    if address == 0 or pid < 0 or flags != 0:
        raise OSError(errno.EINVAL)
    attr = SchedAttr()
    _read_attr(attr, address)
    task = _task(pid)
    if (attr.flags & ~u64(FLAG_RESET_ON_FORK)) != 0 or not -20 <= attr.nice <= 19:
        raise OSError(errno.EINVAL)
    policy.check(attr.policy, attr.priority)
    nice = task.nice if policy.is_real_time(attr.policy) else attr.nice
    policy.require_may_change(task, attr.policy, attr.priority, nice)
    task.reset_on_fork = (attr.flags & FLAG_RESET_ON_FORK) != 0
    policy.set_policy(task, attr.policy, attr.priority, nice)


def _read_attr(attr: SchedAttr, address: u64) -> None:
    """Copy a structure of any version in (sched_setattr(2), E2BIG)."""
    from kaa.kernel.process.fork_calls import check_zero

    size = UserPtr[u32](address).read()
    if size == 0:
        size = u32(ATTR_FIRST)
    if size < ATTR_FIRST or size > 4096:
        raise OSError(errno.E2BIG)
    known = min(usize(size), usize(sizeof(SchedAttr)))
    buf = UserBuf(address, usize(size))
    buf.copy_in(as_bytes(attr)[0:known])
    if usize(size) > known:
        check_zero(buf)


@syscall(x86_64=315, arm64=275)
def sched_getattr(pid: i32, address: u64, size: u32, flags: u32) -> None:
    """sched_getattr(2)."""
    if address == 0 or pid < 0 or size < ATTR_FIRST or size > 4096 or flags != 0:
        raise OSError(errno.EINVAL)
    task = _task(pid)
    attr = SchedAttr()
    n = min(usize(size), usize(sizeof(SchedAttr)))
    attr.size = u32(n)
    attr.policy = task.policy
    attr.nice = task.nice
    attr.priority = task.rt_priority
    if task.reset_on_fork:
        attr.flags = FLAG_RESET_ON_FORK
    UserBuf(address, n).copy_out(as_bytes(attr)[0:n])
