# SPDX-License-Identifier: Apache-2.0
"""Out of memory: the largest process dies so that the others live.

`make_room` is for those who cannot go on without memory and can wait: page faults. It reclaims; if that gives
nothing, it chooses a victim by resident size, sends it SIGKILL, lets it use the reserve on its way out, and does not
wait for that way: its private memory is taken at once, from the far end of its address space, as nobody will look at
it again. The victim may be asleep in a place that no signal reaches, holding a lock that the caller waits for; its
memory is free all the same. Processes that share the victim's memory (vfork(2), CLONE_VM) die with it; memory that one
shares which must not die is left alone.

One task at a time chooses (`choosing`); others try again when it has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kaa.kernel import log
from kaa.kernel.locking.mutex import Mutex
from kaa.kernel.mm import buddy, events, pages, reclaim
from kaa.kernel.mm.vma import LOCKED, SHARED
from kaa.kernel.process import foreign, ids
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
UNKILLABLE: Final = -1000
"""oom_score_adj of who must not die (proc(5))."""

choosing = Mutex("out of memory")


@cold
@noinline
def make_room(task: Task) -> bool:
    """Free memory by any means. False: the caller itself is the victim (or there is none), and must give up. The caller
    holds no lock of its address space."""
    if reclaim.free_some(u64(ENOUGH)) > 0 or buddy.might_satisfy(0):
        return True
    if reclaim.free_mapped(u64(ENOUGH)) > 0:
        return True
    if is_dying(task):
        return False
    if not choosing.try_acquire():
        core.yield_now()
        return True
    goes_on = True
    try:
        goes_on = _reap_victims() or _kill_one(task)
    finally:
        choosing.release()
    core.yield_now()
    return goes_on


def is_dying(task: Task) -> bool:
    """Whether the task was chosen: SIGKILL is on its way to it."""
    return task.flags.load() & MEMORY_VICTIM != 0


def _address_space(group: ThreadGroup, victims: bool) -> AddressSpace | None:
    """The memory of a process, kept alive for the caller: of one that was chosen already, or of one that was not."""
    thread = _thread_with_memory(group)
    if thread is None:
        return None
    flags = thread.flags.load()
    if flags & KERNEL_THREAD != 0 or (flags & MEMORY_VICTIM != 0) != victims:
        return None
    return foreign.memory_of(thread)


@noinline
def _thread_with_memory(group: ThreadGroup) -> Task | None:
    """A thread that has not left the memory yet."""
    with group.signal_lock:
        thread = group.first_thread
        while thread is not None and thread.mm is None:
            thread = thread.next_thread
        return thread


def _reap_victims() -> bool:
    """Those who were to die before may still have memory, as they were changing their areas when they were chosen."""
    reaped = False
    group = ids.next_process(i32(0))
    while group is not None:
        space = _address_space(group, True)
        if space is not None and not space.doomed.load():
            reaped = _reap(space, _is_shared_with_survivors(space)) or reaped
        group = ids.next_process(group.tgid)
    return reaped


def _kill_one(task: Task) -> bool:
    """Choose a victim; False if that is the caller's process, or there is none."""
    victim = _choose()
    if victim is None:
        return False
    space = _address_space(victim, False)
    if space is not None:
        _kill(victim, space)
    return not is_dying(task)


def _choose() -> ThreadGroup | None:
    """The process with the most resident memory; pid 1 only if there is no other."""
    best: ThreadGroup | None = None
    most: u64 = 0
    group = ids.next_process(i32(0))
    while group is not None:
        space = _address_space(group, False)
        if space is not None and not space.doomed.load():
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
    if shift <= UNKILLABLE:
        return u64(0)
    weight = i64(space.resident_pages()) + shift * i64(buddy.total_pages()) // 1000
    return u64(max(weight, 1))


def _kill(victim: ThreadGroup, space: AddressSpace) -> None:
    log.error(f"out of memory: killing process {victim.tgid}, {space.resident_pages() * 4} KiB resident")
    events.counts.kills.fetch_add(1)
    spared = _is_shared_with_survivors(space) and victim.tgid != 1
    _end(victim)
    group = ids.next_process(i32(0))
    while group is not None:
        if group is not victim and _has(group, space) and not _must_survive(group):
            _end(group)
        group = ids.next_process(group.tgid)
    _reap(space, spared)


def _has(group: ThreadGroup, space: AddressSpace) -> bool:
    """Whether a process uses this memory."""
    its = _address_space(group, False)
    return its is not None and its is space


def _must_survive(group: ThreadGroup) -> bool:
    return group.tgid == 1 or i64(group.oom_score_adjust) <= UNKILLABLE


def _is_shared_with_survivors(space: AddressSpace) -> bool:
    """Whether a process that must not die uses this memory."""
    found = False
    group = ids.next_process(i32(0))
    while group is not None:
        found = found or _must_survive(group) and _has(group, space)
        group = ids.next_process(group.tgid)
    return found


def _end(victim: ThreadGroup) -> None:
    """SIGKILL; every thread may use the reserve."""
    with victim.signal_lock:
        thread = victim.first_thread
        while thread is not None:
            thread.flags.fetch_or(MEMORY_VICTIM)
            thread = thread.next_thread
    send.send_group_kernel(victim, i32(SIGKILL))


def _reap(space: AddressSpace, spared: bool) -> bool:
    """Take the private pages, highest area first; whether that was done. If the victim is changing its areas just now,
    its exit (or the next look) will do it."""
    if spared or not space.lock.try_read():
        return False
    space.doomed.store(True)
    for vma in space.areas.starting_below(u64(0xFFFF_FFFF_FFFF_FFFF)):
        if vma.flags & (SHARED | LOCKED) == 0 and vma.special == 0:
            pages.unmap(space, vma.start, vma.end)
    space.lock.release_read()
    return True
