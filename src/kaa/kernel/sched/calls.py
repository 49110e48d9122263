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
from kaa.kernel.process.task import Task
from kaa.kernel.sched import core, policy
from kaa.kernel.sched.fair import LONGEST_SLICE, SHORTEST_SLICE, SLICE
from kaa.kernel.sched.real_time import ROUND
from kaa.lang import as_bytes, i32, sizeof, trusted, u32, u64, usize

ATTR_FIRST: Final = 48
FLAG_RESET_ON_FORK: Final = 1
SAME_POLICY: Final = 0xFFFF_FFFF
FLAG_KEEP_POLICY: Final = 8
FLAG_KEEP_PARAMS: Final = 16
FLAGS: Final = FLAG_RESET_ON_FORK | FLAG_KEEP_POLICY | FLAG_KEEP_PARAMS


@syscall(x86_64=24, arm64=124)
def sched_yield() -> None:
    """sched_yield(2)."""
    core.yield_now()


def find_thread(pid: i32) -> Task:
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
    _set(pid, u32(SAME_POLICY), param)


def _set(pid: i32, wanted: u32, param: UserPtr[SchedParam]) -> None:
    if param.is_null() or pid < 0:
        raise OSError(errno.EINVAL)
    priority = u32(param.read().priority)
    task = find_thread(pid)
    kind = wanted
    if wanted == SAME_POLICY:
        kind = task.own_policy | (SCHED_RESET_ON_FORK if task.reset_on_fork else 0)
    plain = kind & ~u32(SCHED_RESET_ON_FORK)
    policy.check(plain, priority)
    reset = (kind & SCHED_RESET_ON_FORK) != 0
    policy.require_may_change(task, plain, priority, task.nice, reset)
    task.reset_on_fork = reset
    policy.set_policy(task, plain, priority, task.nice)


@syscall(x86_64=145, arm64=120)
def sched_getscheduler(pid: i32) -> u32:
    """sched_getscheduler(2): the policy."""
    task = find_thread(pid)
    return task.own_policy | (SCHED_RESET_ON_FORK if task.reset_on_fork else 0)


@syscall(x86_64=143, arm64=121)
def sched_getparam(pid: i32, param: UserPtr[SchedParam]) -> None:
    """sched_getparam(2): the real-time priority."""
    if param.is_null():
        raise OSError(errno.EINVAL)
    param.write(SchedParam(i32(find_thread(pid).own_priority)))


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
    task = find_thread(pid)
    slice_ns = task.slice_ns
    if task.own_policy == Policy.SCHED_FIFO:
        slice_ns = u64(0)
    elif task.own_policy == Policy.SCHED_RR:
        slice_ns = u64(ROUND)
    into.write(timespec(slice_ns))


@syscall(x86_64=314, arm64=274)
def sched_setattr(pid: i32, address: u64, flags: u32) -> None:
    """sched_setattr(2): policy, nice value, priority, length of a slice. Utilisation clamps and SCHED_DEADLINE are
    refused (EINVAL)."""
    if address == 0 or pid < 0 or flags != 0:
        raise OSError(errno.EINVAL)
    attr = SchedAttr()
    _read_attr(attr, address)
    if (attr.flags & ~u64(FLAGS)) != 0:
        raise OSError(errno.EINVAL)
    task = find_thread(pid)
    kind = task.own_policy if (attr.flags & FLAG_KEEP_POLICY) != 0 else attr.policy
    priority, nice, slice_ns = attr.priority, max(i32(-20), min(i32(19), attr.nice)), _slice(attr.runtime)
    if (attr.flags & FLAG_KEEP_PARAMS) != 0:
        priority, nice, slice_ns = task.own_priority, task.nice, task.slice_ns
    policy.check(kind, priority)
    if policy.is_real_time(kind):
        nice, slice_ns = task.nice, task.slice_ns
    reset = (attr.flags & FLAG_RESET_ON_FORK) != 0
    policy.require_may_change(task, kind, priority, nice, reset)
    task.reset_on_fork = reset
    policy.set_all(task, kind, priority, nice, slice_ns)


def _slice(wanted: u64) -> u64:
    """sched_runtime of a fair task: the length of its slices; 0 is the usual."""
    if wanted == 0:
        return u64(SLICE)
    return max(u64(SHORTEST_SLICE), min(u64(LONGEST_SLICE), wanted))


@trusted("user", "only the size that was read first is used")
def _read_attr(attr: SchedAttr, address: u64) -> None:
    """Copy a structure of any version in (sched_setattr(2), E2BIG)."""
    from kaa.kernel.process.fork_calls import check_zero

    size = UserPtr[u32](address).read()
    if size == 0:
        size = u32(ATTR_FIRST)
    if size < ATTR_FIRST or size > 4096:
        UserPtr[u32](address).write(u32(sizeof(SchedAttr)))
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
    task = find_thread(pid)
    attr = SchedAttr()
    n = min(usize(size), usize(sizeof(SchedAttr)))
    attr.size = u32(n)
    attr.policy = task.own_policy
    attr.nice = task.nice
    attr.priority = task.own_priority
    attr.runtime = u64(0) if policy.is_real_time(task.own_policy) else task.slice_ns
    if task.reset_on_fork:
        attr.flags = FLAG_RESET_ON_FORK
    UserBuf(address, n).copy_out(as_bytes(attr)[0:n])
