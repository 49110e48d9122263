# SPDX-License-Identifier: Apache-2.0
"""Giving tasks policies, priorities and nice values (sched(7))."""

from __future__ import annotations

import errno
from typing import Final

from kaa.kernel.abi.resource import Resource
from kaa.kernel.abi.sched import Policy
from kaa.kernel.arch import machine
from kaa.kernel.process import foreign
from kaa.kernel.process.credentials import Capability
from kaa.kernel.process.task import Task
from kaa.kernel.sched import core, weights
from kaa.kernel.sched.fair import SLICE
from kaa.kernel.sched.run_queue import QUEUED, RunQueue
from kaa.lang import cold, i32, i64, u32, u64

# Where a task was when it was taken off its queue.
ABSENT: Final = 0
RUNS: Final = 1
WAITS: Final = 2


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


def require_may_change(task: Task, policy: u32, priority: u32, nice: i32, reset_on_fork: bool) -> None:
    """Raise EPERM unless the caller may give `task` these: its own user's, and nothing better than before beyond the
    limits."""
    me = machine.percpu.current()
    if me.credentials.capable(u32(Capability.CAP_SYS_NICE)):
        return
    if not is_own(task):
        raise OSError(errno.EPERM)
    if task.reset_on_fork and not reset_on_fork:
        raise OSError(errno.EPERM)
    limits = task.group.limits
    if is_real_time(policy):
        ceiling = limits.soft[Resource.RLIMIT_RTPRIO].load_relaxed()
        if policy != task.own_policy and ceiling == 0:
            raise OSError(errno.EPERM)
        if priority > task.own_priority and priority > ceiling:
            raise OSError(errno.EPERM)
    elif nice < task.nice and not nice_allowed(task, nice):
        raise OSError(errno.EPERM)
    elif task.own_policy == Policy.SCHED_IDLE and policy != Policy.SCHED_IDLE and not nice_allowed(task, task.nice):
        raise OSError(errno.EPERM)


def is_own(task: Task) -> bool:
    """Whether the caller's effective user is the task's real or effective one."""
    who = machine.percpu.current().credentials.euid
    other = foreign.credentials_of(task)
    return who == other.euid or who == other.uid


def nice_allowed(task: Task, nice: i32) -> bool:
    """RLIMIT_NICE: 20 - nice may not be above it."""
    return u64(20 - nice) <= task.group.limits.soft[Resource.RLIMIT_NICE].load_relaxed()


def set_policy(task: Task, policy: u32, priority: u32, nice: i32) -> None:
    """Give `task` what `check` has passed."""
    set_all(task, policy, priority, nice, task.slice_ns)


def set_nice(task: Task, nice: i32) -> None:
    """Give `task` another nice value; real-time tasks remember it."""
    set_policy(task, task.own_policy, task.own_priority, nice)


def set_all(task: Task, policy: u32, priority: u32, nice: i32, slice_ns: u64) -> None:
    """Policy, priority, nice value, length of a slice. A fair task keeps what it is owed."""
    flags = machine.irq.save()
    queue = core.lock_queue(task)
    had = _take_out(queue, task)
    old_weight = task.weight
    task.own_policy = policy
    task.own_priority = priority
    task.nice = nice
    task.slice_ns = slice_ns
    _set_weight(task)
    _set_effective(task)
    task.lag = task.lag * i64(old_weight) // i64(task.weight) if task.rt_priority == 0 else i64(0)
    _put_in(queue, task, had)
    queue.lock.release()
    if had != ABSENT:
        _choose_anew(queue)
    machine.irq.restore(flags)


def boost(task: Task, priority: u32) -> None:
    """Let a task run as SCHED_FIFO of a priority, if that is above its own, for the sake of who waits for it; 0: no
    more. Under `futex_pi_state.lock`, so interrupts are on."""
    if task.pi_boost == priority:
        return
    flags = machine.irq.save()
    queue = core.lock_queue(task)
    task.pi_boost = priority
    had = _take_out(queue, task)
    _set_effective(task)
    if task.rt_priority != 0:
        task.lag = 0
    _put_in(queue, task, had)
    queue.lock.release()
    if had != ABSENT:
        _choose_anew(queue)
    machine.irq.restore(flags)


def effective_priority(task: Task) -> u32:
    """The real-time priority that it goes by; 0 for a fair one."""
    return task.rt_priority


def _set_effective(task: Task) -> None:
    """What the run queue goes by: what was set, or more for others' sake."""
    boosted = task.pi_boost > task.own_priority
    task.rt_priority = task.pi_boost if boosted else task.own_priority
    task.policy = u32(Policy.SCHED_FIFO) if boosted else task.own_policy


def _take_out(queue: RunQueue, task: Task) -> u32:
    """Off the run queue, to come back as something else; says where it was."""
    if queue.current is task:
        queue.account(task, machine.clock.monotonic_ns())
        queue.leave(task)
        return u32(RUNS)
    if task.on_queue == QUEUED:
        queue.take_away(task)
        return u32(WAITS)
    return u32(ABSENT)


def _put_in(queue: RunQueue, task: Task, had: u32) -> None:
    if had == RUNS:
        _go_on(queue, task)
    elif had == WAITS:
        queue.place(task)
        queue.insert(task)


def _go_on(queue: RunQueue, task: Task) -> None:
    """The running task is another kind of task from now on."""
    if task.rt_priority != 0:
        queue.real_time.queue_up(task)
    else:
        queue.fair.place(task, None)
    queue.begin(task, task.started)


def _choose_anew(queue: RunQueue) -> None:
    if queue is machine.percpu.here().run_queue:
        machine.percpu.set_need_resched()
    else:
        machine.smp.send_reschedule(queue.number)


def _set_weight(task: Task) -> None:
    if task.own_policy == Policy.SCHED_IDLE:
        task.weight = weights.IDLE_POLICY_WEIGHT
        task.inverse_weight = (1 << 32) // weights.IDLE_POLICY_WEIGHT
    else:
        task.weight = weights.weight(task.nice)
        task.inverse_weight = weights.inverse(task.nice)
    task.virtual_slice = (task.slice_ns * task.inverse_weight) >> weights.INVERSE_SHIFT


def inherit(child: Task, parent: Task) -> None:
    """fork: a new task, which nobody else knows yet, is scheduled as its parent, the caller, is; SCHED_RESET_ON_FORK
    makes an ordinary one of it."""
    flags = machine.irq.save()
    queue = core.lock_queue(parent)
    child.allowed = parent.allowed
    child.io_priority = parent.io_priority
    child.policy = child.own_policy = parent.own_policy
    child.nice = parent.nice
    child.rt_priority = child.own_priority = parent.own_priority
    child.weight = parent.weight
    child.inverse_weight = parent.inverse_weight
    child.slice_ns = parent.slice_ns
    child.virtual_slice = parent.virtual_slice
    queue.lock.release()
    machine.irq.restore(flags)
    if parent.reset_on_fork:
        _reset(child)


@cold
def _reset(child: Task) -> None:
    if is_real_time(child.policy):
        child.policy = child.own_policy = u32(Policy.SCHED_OTHER)
        child.rt_priority = child.own_priority = u32(0)
        child.nice = 0
    elif child.nice < 0:
        child.nice = 0
    child.slice_ns = SLICE
    _set_weight(child)
