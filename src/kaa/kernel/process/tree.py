# SPDX-License-Identifier: Apache-2.0
"""Who is whose child, in which process group and session. All under one lock, as POSIX's rules span several processes.

The lists go through the groups themselves (doubly linked, counted), so that joining and leaving is constant time and
needs no memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kaa.kernel.locking.spinlock import IrqSpinLock
from kaa.kernel.process import pid as pids

if TYPE_CHECKING:
    from kaa.kernel.process.group import ThreadGroup
    from kaa.kernel.process.pid import Pid
    from kaa.kernel.process.task import Task

lock = IrqSpinLock("process tree")
"""Guards: parents, children, threads, process groups, sessions, numbers. The terminal takes it in interrupts. Fields
say `Guarded[…, "tree.lock"]`."""


def add_child(parent: ThreadGroup, child: ThreadGroup) -> None:
    """Make `child` the youngest child of `parent`."""
    following = parent.first_child
    child.parent = parent
    child.parent_id = parent.tgid
    child.previous_sibling = None
    child.next_sibling = following
    if following is not None:
        following.previous_sibling = child
    parent.first_child = child


def remove_child(child: ThreadGroup) -> None:
    """Take `child` from its parent."""
    before, following = child.previous_sibling, child.next_sibling
    if before is not None:
        before.next_sibling = following
    else:
        parent = child.parent
        if parent is not None:
            parent.first_child = following
    if following is not None:
        following.previous_sibling = before
    child.parent = None
    child.parent_id = 0
    child.next_sibling = None
    child.previous_sibling = None


def join_group(member: ThreadGroup, pid: Pid, before: ThreadGroup | None = None) -> None:
    """Enter the process group `pid`: behind one of its members (who forks touches its own neighbours only), or as its
    first."""
    following = pid.group_first if before is None else before.next_in_group
    member.process_group = pid
    member.group_id = pid.number
    member.previous_in_group = before
    member.next_in_group = following
    if following is not None:
        following.previous_in_group = member
    if before is None:
        pid.group_first = member
    else:
        before.next_in_group = member


def leave_group(member: ThreadGroup) -> None:
    """Leave the process group; its number is free when that was all."""
    pid = member.process_group
    if pid is None:
        return
    before, following = member.previous_in_group, member.next_in_group
    if before is not None:
        before.next_in_group = following
    else:
        pid.group_first = following
    if following is not None:
        following.previous_in_group = before
    member.process_group = None
    member.next_in_group = None
    member.previous_in_group = None
    pids.table.free_if_unused(pid)


def join_session(member: ThreadGroup, pid: Pid, before: ThreadGroup | None = None) -> None:
    """Enter the session `pid`: behind one of its members, or as its first."""
    following = pid.session_first if before is None else before.next_in_session
    member.session = pid
    member.session_id = pid.number
    member.previous_in_session = before
    member.next_in_session = following
    if following is not None:
        following.previous_in_session = member
    if before is None:
        pid.session_first = member
    else:
        before.next_in_session = member


def leave_session(member: ThreadGroup) -> None:
    """Leave the session; its number is free when that was all."""
    pid = member.session
    if pid is None:
        return
    before, following = member.previous_in_session, member.next_in_session
    if before is not None:
        before.next_in_session = following
    else:
        pid.session_first = following
    if following is not None:
        following.previous_in_session = before
    member.session = None
    member.next_in_session = None
    member.previous_in_session = None
    pids.table.free_if_unused(pid)


def add_thread(group: ThreadGroup, task: Task) -> None:
    """Put `task` into its process, after the leader."""
    first = group.first_thread
    if first is None:
        group.first_thread = task
    else:
        task.next_thread = first.next_thread
        first.next_thread = task
    group.thread_count += 1


def remove_thread(group: ThreadGroup, task: Task) -> None:
    """Take `task` out of its process."""
    before: Task | None = None
    thread = group.first_thread
    while thread is not None and thread is not task:
        before = thread
        thread = thread.next_thread
    assert thread is task
    if before is None:
        group.first_thread = task.next_thread
    else:
        before.next_thread = task.next_thread
    task.next_thread = None
    group.thread_count -= 1


def is_orphaned_group(member: ThreadGroup) -> bool:
    """Whether no member of the process group has a parent in another group of the same session. Takes the lock."""
    with lock:
        pid = member.process_group
        return pid is None or will_be_orphaned(pid, None)


def will_be_orphaned(pid: Pid, leaving: ThreadGroup | None) -> bool:
    """The same once `leaving` is gone (POSIX 3.264, "orphaned process group"). Under the lock."""
    member = pid.group_first
    while member is not None:
        if member is not leaving and member.state == 0 and _links_outside(member, pid):
            return False
        member = member.next_in_group
    return True


def _links_outside(member: ThreadGroup, pid: Pid) -> bool:
    parent = member.parent
    if parent is None or parent.tgid == 1:
        return False
    return parent.process_group is not pid and parent.session is member.session


def has_stopped_member(pid: Pid) -> bool:
    """Whether a member of the process group is stopped. Under the lock."""
    member = pid.group_first
    while member is not None:
        if member.stopped:
            return True
        member = member.next_in_group
    return False
