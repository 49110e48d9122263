# SPDX-License-Identifier: Apache-2.0
"""What a process's end means for its children and for its process groups. All under `tree.lock`.

Orphans go to the nearest living ancestor that is a child subreaper (prctl(2), PR_SET_CHILD_SUBREAPER), else to
process 1. A process group that becomes orphaned while a member is stopped gets SIGHUP and SIGCONT (POSIX, _exit).
"""

from __future__ import annotations

from kaa.kernel.abi.signal import SIGRTMIN, SigInfo, Signal
from kaa.kernel.process import notify, tree
from kaa.kernel.process import pid as pids
from kaa.kernel.process.group import ALIVE, SUBREAPER, ZOMBIE, ThreadGroup
from kaa.kernel.signal import send
from kaa.lang import Atomic, i32


class Subreapers:
    """Whether there ever was a child subreaper: only then do orphans look for one."""

    any: Atomic[bool]

    def __init__(self) -> None:
        self.any = Atomic(False)


subreapers = Subreapers()


def children_of(group: ThreadGroup) -> None:
    """Give all children of a dying process a new parent."""
    child = group.first_child
    if child is None:
        return
    heir = _heir(group)
    while child is not None:
        _hand_over(child, group, heir)
        child = group.first_child


def _heir(group: ThreadGroup) -> ThreadGroup | None:
    if subreapers.any.load_relaxed():
        ancestor = group.parent
        while ancestor is not None:
            if (ancestor.flags.load_relaxed() & SUBREAPER) != 0 and ancestor.state == ALIVE:
                return ancestor
            ancestor = ancestor.parent
    pid = pids.table.find(i32(1))
    task = None if pid is None else pid.task
    if task is None or task.group is group:
        return None
    return task.group


def _reap(child: ThreadGroup) -> None:
    from kaa.kernel.process import exit

    number = exit.reap(child)
    if number is not None:
        pids.table.give_back(number)


def _hand_over(child: ThreadGroup, group: ThreadGroup, heir: ThreadGroup | None) -> None:
    tree.remove_child(child)
    _signal_parent_death(child)
    child.exit_signal = i32(Signal.SIGCHLD)
    if heir is None:
        if child.state == ZOMBIE:
            _reap(child)
        return
    tree.add_child(heir, child)
    if child.state == ZOMBIE:
        if notify.child_exit(child, heir):
            _reap(child)
        heir.child_waiters.wake_all()
    elif child.state == ALIVE:
        _tell_if_orphaned(child, group)


def _signal_parent_death(child: ThreadGroup) -> None:
    """PR_SET_PDEATHSIG of each thread. A real-time one brings no siginfo beyond RLIMIT_SIGPENDING."""
    highest = _highest_death_signal(child)
    if highest == 0:
        return
    room = send.has_room(child, highest)
    with child.signal_lock:
        thread = child.first_thread
        while thread is not None:
            signo = thread.parent_death_signal
            if signo != 0:
                send.send_locked(child, None, signo, SigInfo(signo), room or signo < SIGRTMIN)
            thread = thread.next_thread


def _highest_death_signal(child: ThreadGroup) -> i32:
    highest: i32 = i32(0)
    with child.signal_lock:
        thread = child.first_thread
        while thread is not None:
            highest = max(highest, thread.parent_death_signal)
            thread = thread.next_thread
    return highest


def tell_orphaned_group(group: ThreadGroup) -> None:
    """The dying process may have been what linked its own process group to the session."""
    pid = group.process_group
    parent = group.parent
    if pid is None or parent is None or parent.process_group is pid or parent.session is not group.session:
        return
    if tree.will_be_orphaned(pid, group) and tree.has_stopped_member(pid):
        _hang_up(pid)


def _tell_if_orphaned(child: ThreadGroup, dead_parent: ThreadGroup) -> None:
    """The dead parent may have been what linked the child's process group to the session."""
    pid = child.process_group
    if pid is None or dead_parent.process_group is pid or dead_parent.session is not child.session:
        return
    if tree.will_be_orphaned(pid, None) and tree.has_stopped_member(pid):
        _hang_up(pid)


def _hang_up(pid: pids.Pid) -> None:
    member = pid.group_first
    while member is not None:
        send.send_group_kernel(member, i32(Signal.SIGHUP))
        send.send_group_kernel(member, i32(Signal.SIGCONT))
        member = member.next_in_group
