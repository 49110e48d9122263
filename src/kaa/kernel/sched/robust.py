# SPDX-License-Identifier: Apache-2.0
"""What a dying thread owes to others through its memory: robust mutexes (get_robust_list(2)) and the word at
clear_child_tid (set_tid_address(2)). The memory is the program's and may hold anything: every step may fault, and the
walk is bounded.
"""

from __future__ import annotations

import errno

from kaa.kernel.abi.futex import OWNER_DIED, ROBUST_LIST_LIMIT, TID_MASK, WAITERS, RobustListHead
from kaa.kernel.abi.syscall import syscall
from kaa.kernel.arch import machine
from kaa.kernel.mm.user import UserPtr
from kaa.kernel.process.task import Task
from kaa.kernel.sched import futex
from kaa.kernel.sched.futex_key import bring_in
from kaa.lang import i32, i64, u32, u64, usize, wrapping_add

PI_BIT = 1
HEAD_SIZE = 24


@syscall(x86_64=273, arm64=99)
def set_robust_list(head: u64, size: usize) -> None:
    """set_robust_list(2): where the caller keeps its list of robust mutexes."""
    if size != HEAD_SIZE:
        raise OSError(errno.EINVAL)
    machine.percpu.current().robust_list = head


@syscall(x86_64=274, arm64=100)
def get_robust_list(pid: i32, head: UserPtr[u64], size: UserPtr[u64]) -> None:
    """get_robust_list(2): where a thread keeps it."""
    from kaa.kernel.process import credentials, foreign, ids

    me = machine.percpu.current()
    task: Task | None = me
    if pid != 0:
        task = ids.find_task(pid)
    if task is None:
        raise ProcessLookupError
    if not credentials.same_user(me.credentials, foreign.credentials_of(task)):
        credentials.require(u32(credentials.Capability.CAP_SYS_PTRACE))
    size.write(u64(HEAD_SIZE))
    head.write(task.robust_list)


def release(task: Task) -> None:
    """Mark every mutex on the caller's list as left by a dead owner, and wake a waiter of each."""
    head = task.robust_list
    task.robust_list = 0
    try:
        _walk(task, head, UserPtr[RobustListHead](head).read())
    except Exception:
        pass


def _walk(task: Task, head: u64, first: RobustListHead) -> None:
    offset = u64(first.futex_offset)
    pending = first.pending & ~u64(PI_BIT)
    entry = first.next
    count = 0
    while (entry & ~u64(PI_BIT)) != head and count < ROBUST_LIST_LIMIT:
        address = entry & ~u64(PI_BIT)
        following = UserPtr[u64](address).read()
        if address != pending:
            _owner_died(task, wrapping_add(address, offset), (entry & PI_BIT) != 0, False)
        entry = following
        count += 1
    if pending != 0:
        _owner_died(task, wrapping_add(pending, offset), (first.pending & PI_BIT) != 0, True)


def _owner_died(task: Task, address: u64, inherits: bool, pending: bool) -> None:
    """One mutex; `inherits`: of the priority-inheritance kind, whose waiters `futex_pi.leave` sees to; `pending`: being
    locked or unlocked just now. Raises OSError(EFAULT) when its word cannot be reached."""
    if (address & 3) != 0:
        return
    while True:
        old = futex.load(address)
        if pending and not inherits and old == 0:
            futex.wake_at(address, u32(1))
            return
        if (old & TID_MASK) != u32(task.pid):
            return
        found: i64 = machine.user.cmpxchg_user(address, old, (old & WAITERS) | OWNER_DIED)
        if found < 0:
            bring_in(address)
        elif u32(found) == old:
            if (old & WAITERS) != 0 and not inherits:
                futex.wake_at(address, u32(1))
            return


def clear_tid(task: Task) -> None:
    """The thread is gone: zero the word, and wake who joins it."""
    address = task.clear_child_tid
    task.clear_child_tid = 0
    try:
        UserPtr[i32](address).write(i32(0))
    except Exception:
        return
    futex.wake_at(address, u32(1))
