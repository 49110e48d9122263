# SPDX-License-Identifier: Apache-2.0
"""Giving tasks policies, priorities and nice values (sched(7))."""

from __future__ import annotations

import errno

from kaa.kernel.abi.resource import Resource
from kaa.kernel.abi.sched import Policy
from kaa.kernel.arch import machine
from kaa.kernel.process.credentials import Capability
from kaa.kernel.process.task import Task
from kaa.kernel.sched import core, weights
from kaa.lang import i32, u32, u64


def is_real_time(policy: u32) -> bool:
    """SCHED_FIFO or SCHED_RR."""
    return policy == Policy.SCHED_FIFO or policy == Policy.SCHED_RR


def check(policy: u32, priority: u32) -> None:
    """Raise OSError(EINVAL) for a policy that there is not, or a priority that does not fit it. SCHED_DEADLINE is not
    there."""
    if policy not in (Policy.SCHED_OTHER, Policy.SCHED_FIFO, Policy.SCHED_RR, Policy.SCHED_BATCH, Policy.SCHED_IDLE):
        raise OSError(errno.EINVAL)
    if is_real_time(policy) != (1 <= priority <= 99) or (not is_real_time(policy) and priority != 0):
        raise OSError(errno.EINVAL)


def require_may_change(task: Task, policy: u32, priority: u32, nice: i32) -> None:
    """Raise EPERM unless the caller may give `task` these: its own user's, and nothing better than before beyond the
    limits."""
    me = machine.percpu.current()
    if me.credentials.capable(u32(Capability.CAP_SYS_NICE)):
        return
    who = me.credentials.euid
    if who != task.credentials.euid and who != task.credentials.uid:
        raise OSError(errno.EPERM)
    limits = task.group.limits
    if is_real_time(policy):
        ceiling = limits.soft[Resource.RLIMIT_RTPRIO]
        if policy != task.policy and ceiling == 0:
            raise OSError(errno.EPERM)
        if priority > task.rt_priority and priority > ceiling:
            raise OSError(errno.EPERM)
    elif nice < task.nice and not nice_allowed(task, nice):
        raise OSError(errno.EPERM)


def nice_allowed(task: Task, nice: i32) -> bool:
    """RLIMIT_NICE: 20 - nice may not be above it."""
    return u64(20 - nice) <= task.group.limits.soft[Resource.RLIMIT_NICE]


def set_policy(task: Task, policy: u32, priority: u32, nice: i32) -> None:
    """Give `task` what `check` has passed."""
    flags = machine.irq.save()
    task.policy = policy
    task.rt_priority = priority
    task.nice = nice
    _set_weight(task)
    machine.irq.restore(flags)
    core.requeue(task)


def set_nice(task: Task, nice: i32) -> None:
    """Give `task` another nice value; real-time tasks remember it."""
    set_policy(task, task.policy, task.rt_priority, nice)


def _set_weight(task: Task) -> None:
    if task.policy == Policy.SCHED_IDLE:
        task.weight = weights.IDLE_POLICY_WEIGHT
        task.inverse_weight = (1 << 32) // weights.IDLE_POLICY_WEIGHT
    else:
        task.weight = weights.weight(task.nice)
        task.inverse_weight = weights.inverse(task.nice)


def reset(child: Task) -> None:
    """SCHED_RESET_ON_FORK: a new task, not yet queued, starts with the default policy."""
    if is_real_time(child.policy):
        child.policy = Policy.SCHED_OTHER
        child.rt_priority = 0
        child.nice = 0
    elif child.nice < 0:
        child.nice = 0
    _set_weight(child)
