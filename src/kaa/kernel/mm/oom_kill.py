# SPDX-License-Identifier: Apache-2.0
"""Out of memory: the largest process dies so that the others live.

`make_room` is for those who cannot go on without memory and can wait: page faults. It reclaims; if that gives
nothing, it chooses a victim by resident size, sends it SIGKILL, lets it use the reserve on its way out, and does not
wait for that way: its private memory is taken at once, from the far end of its address space, as nobody will look at
it again. The victim may be asleep in a place that no signal reaches, holding a lock that the caller waits for; its
memory is free all the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kaa.kernel import log
from kaa.kernel.mm import buddy, pages, reclaim, trimming
from kaa.kernel.mm.vma import LOCKED, SHARED
from kaa.kernel.process import foreign, ids, tree
from kaa.kernel.process.task import KERNEL_THREAD, MEMORY_VICTIM
from kaa.kernel.sched import core
from kaa.kernel.signal import send
from kaa.lang import cold, i32, i64, noinline, u64

if TYPE_CHECKING:
    from kaa.kernel.mm.address_space import AddressSpace
    from kaa.kernel.process.group import ThreadGroup
    from kaa.kernel.process.task import Task

SIGKILL: Final = 9
ENOUGH: Final = 64
"""Frames worth going on for."""


class Statistics:
    """How often: /proc/vmstat's oom_kill."""

    kills: u64 = 0


statistics = Statistics()


@cold
@noinline
def make_room(task: Task) -> bool:
    """Free memory by any means. False: the caller itself is the victim (or there is none), and must give up. The caller
    holds no lock of its address space."""
    if reclaim.free_some(u64(ENOUGH)) > 0 or buddy.might_satisfy(0):
        return True
    if trimming.free_mapped(u64(ENOUGH)) > 0:
        return True
    if task.flags.load() & MEMORY_VICTIM != 0:
        return False
    victim = _choose()
    if victim is None:
        return False
    _kill(victim)
    core.yield_now()
    return victim is not task.group


def is_dying(task: Task) -> bool:
    """Whether the task was chosen: SIGKILL is on its way to it."""
    return task.flags.load() & MEMORY_VICTIM != 0


def _address_space(group: ThreadGroup) -> AddressSpace | None:
    """The memory of a process whose leader still has it, kept alive for the caller."""
    with tree.lock:
        leader = group.leader
        if leader is None or leader.flags.load() & (KERNEL_THREAD | MEMORY_VICTIM) != 0:
            return None
        return foreign.memory_of(leader)


def _choose() -> ThreadGroup | None:
    """The process with the most resident memory; pid 1 only if there is no other."""
    best: ThreadGroup | None = None
    most: u64 = 0
    group = ids.next_process(i32(0))
    while group is not None:
        space = _address_space(group)
        if space is not None and not space.doomed:
            size = _weight(group, space)
            if size > most:
                best = group
                most = size
        group = ids.next_process(group.tgid)
    return best


def _weight(group: ThreadGroup, space: AddressSpace) -> u64:
    """Resident pages, shifted by oom_score_adj thousandths of memory (proc(5)). 0: never this one."""
    if group.tgid == 1:
        return u64(1)
    shift = i64(group.oom_score_adjust)
    if shift <= -1000:
        return u64(0)
    weight = i64(space.resident_pages()) + shift * i64(buddy.total_pages()) // 1000
    return u64(max(weight, 1))


def _kill(victim: ThreadGroup) -> None:
    space = _address_space(victim)
    if space is None:
        return
    log.error(f"out of memory: killing process {victim.tgid}, {space.resident_pages() * 4} KiB resident")
    statistics.kills += 1
    _mark_threads(victim)
    send.send_group_kernel(victim, i32(SIGKILL))
    _reap(space)


def _mark_threads(victim: ThreadGroup) -> None:
    """Every thread of it may use the reserve."""
    with tree.lock:
        thread = victim.first_thread
        while thread is not None:
            thread.flags.fetch_or(MEMORY_VICTIM)
            thread = thread.next_thread


def _reap(space: AddressSpace) -> None:
    """Take the private pages, highest area first. If the victim is changing its areas just now, its exit will do it."""
    if not space.lock.try_read():
        return
    space.doomed = True
    for vma in space.areas.starting_below(u64(0xFFFF_FFFF_FFFF_FFFF)):
        if vma.flags & (SHARED | LOCKED) == 0 and vma.special == 0:
            pages.unmap(space, vma.start, vma.end)
    space.lock.release_read()
