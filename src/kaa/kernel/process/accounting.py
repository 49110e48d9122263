# SPDX-License-Identifier: Apache-2.0
"""What a process has used, and what /proc tells of it: times, faults, state letters, command line, environment.

Processor time is exact (charged at each switch). How it divides between user and system is sampled: see
`Task.system_ns`; kernel threads' time is all system time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kaa.kernel.process import foreign
from kaa.kernel.process.group import ALIVE, ThreadGroup, Usage
from kaa.kernel.process.task import DEAD, INTERRUPTIBLE, KILLABLE, STOPPED, UNINTERRUPTIBLE, Task
from kaa.kernel.sched import core
from kaa.lang import u8, u64

if TYPE_CHECKING:
    from kaa.kernel.mm.address_space import AddressSpace

NS_PER_TICK: Final = 10_000_000
"""Clock ticks of times(2) and /proc: 100 a second."""


def state_letter(task: Task) -> u8:
    """R, S, D, T, Z, I as proc(5) has them. A kernel thread that sleeps is idle, not blocked."""
    if task.group.state != 0 and task.is_leader():
        return u8(0x5A)
    state = task.state.load_relaxed()
    if (state & DEAD) != 0:
        return u8(0x5A if task.is_leader() else 0x58)
    if (state & STOPPED) != 0:
        return u8(0x54)
    if (state & (UNINTERRUPTIBLE | KILLABLE)) != 0:
        return u8(0x49 if task.is_kernel_thread() else 0x44)
    if (state & INTERRUPTIBLE) != 0:
        return u8(0x53)
    return u8(0x52)


def add_task(usage: Usage, task: Task, ran: u64) -> None:
    """Add what a thread has used so far; `ran`: its core.run_time."""
    in_kernel = ran if task.is_kernel_thread() else min(task.system_ns, ran)
    usage.user_ns += ran - in_kernel
    usage.system_ns += in_kernel
    usage.minor_faults += task.minor_faults
    usage.major_faults += task.major_faults
    usage.voluntary_switches += task.voluntary_switches
    usage.involuntary_switches += task.involuntary_switches


def group_usage(group: ThreadGroup) -> Usage:
    """What a process has used: its dead threads (`group.usage`) and its live ones. Raises MemoryError."""
    from kaa.kernel.process import tree

    total = Usage()
    with tree.lock:
        leader = group.leader
    with group.signal_lock:
        total.add(group.usage)
        thread = group.first_thread if group.state == ALIVE else None
        while thread is not None:
            add_task(total, thread, core.run_time(thread))
            thread = thread.next_thread
    total.peak_resident = group.peak_resident.load_relaxed()
    mm = None if leader is None else foreign.memory_of(leader)
    if mm is not None:
        total.peak_resident = max(total.peak_resident, resident_kib(mm))
    return total


def children_usage(group: ThreadGroup) -> Usage:
    """What its children that were waited for have used, and theirs. Raises MemoryError."""
    from kaa.kernel.process import tree

    total = Usage()
    with tree.lock:
        total.add(group.children_usage)
    return total


def group_run_time(group: ThreadGroup) -> u64:
    """ns of processor time of all threads, dead ones included. In timer interrupts too."""
    with group.signal_lock:
        total = group.usage.user_ns + group.usage.system_ns
        thread = group.first_thread
        while thread is not None:
            total += core.run_time(thread)
            thread = thread.next_thread
    return total


def resident_kib(mm: AddressSpace) -> u64:
    """Resident set in KiB."""
    return mm.resident_pages() * 4


def ticks(ns: u64) -> u64:
    """ns in clock ticks."""
    return ns // NS_PER_TICK
