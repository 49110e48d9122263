# SPDX-License-Identifier: Apache-2.0
"""Terminals and sessions: the controlling terminal, its foreground process group, who may read and write.

POSIX, General Terminal Interface, 11.1.2 to 11.1.4; credentials(7). `Tty.session`, `Tty.foreground` and
`ThreadGroup.tty` are covered by `process.tree.lock`; signals are sent under it, as `signal.send` does.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from kaa.kernel.abi.restart import Restart
from kaa.kernel.abi.signal import Signal
from kaa.kernel.arch import machine
from kaa.kernel.process import pid as pids
from kaa.kernel.process import tree
from kaa.kernel.process.credentials import Capability
from kaa.kernel.signal import send
from kaa.lang import i32, u32, u64

if TYPE_CHECKING:
    from kaa.kernel.drivers.tty.tty import Tty
    from kaa.kernel.process.group import ThreadGroup
    from kaa.kernel.process.pid import Pid
    from kaa.kernel.process.task import Task


def signal_members(pid: Pid | None, signo: i32) -> None:
    """Send a signal to every process of a process group. `tree.lock` is held."""
    member = None if pid is None else pid.group_first
    while member is not None:
        send.send_group_kernel(member, signo)
        member = member.next_in_group


def signal_foreground(tty: Tty, signo: u32) -> None:
    """What ^C, ^\\, ^Z and a change of the window's size do."""
    with tree.lock:
        signal_members(tty.foreground, i32(signo))


def in_background(tty: Tty, group: ThreadGroup) -> bool:
    """Whether this is the caller's controlling terminal and another group has the foreground. `tree.lock` is held."""
    foreground = tty.foreground
    return group.tty is tty and foreground is not None and foreground is not group.process_group


def refuses(task: Task, signo: u32) -> bool:
    """Whether the signal is blocked or ignored."""
    bit = u64(1) << u64(signo - 1)
    with task.group.signal_lock:
        return task.blocked & bit != 0 or task.group.handlers.ignored & bit != 0


def check_read(tty: Tty) -> None:
    """Before a read: a background process gets SIGTTIN (Restart is raised), or EIO where that can do no good."""
    if is_foreground_caller(tty):
        return
    task = machine.percpu.current()
    if refuses(task, Signal.SIGTTIN) or tree.is_orphaned_group(task.group):
        raise OSError(errno.EIO)
    stop_own_group(task, Signal.SIGTTIN)
    raise Restart


def check_write(tty: Tty) -> None:
    """Before a write: with TOSTOP as `check_change`."""
    if tty.stops_background():
        check_change(tty)


def check_change(tty: Tty) -> None:
    """Before the terminal is changed: a background process gets SIGTTOU, unless it blocks or ignores that."""
    if is_foreground_caller(tty):
        return
    task = machine.percpu.current()
    if refuses(task, Signal.SIGTTOU):
        return
    if tree.is_orphaned_group(task.group):
        raise OSError(errno.EIO)
    stop_own_group(task, Signal.SIGTTOU)
    raise Restart


def is_foreground_caller(tty: Tty) -> bool:
    """Whether the caller may use the terminal freely."""
    with tree.lock:
        return not in_background(tty, machine.percpu.current().group)


def stop_own_group(task: Task, signo: i32) -> None:
    """Send a stop signal to the caller's process group."""
    with tree.lock:
        signal_members(task.group.process_group, signo)


def is_session_leader(group: ThreadGroup) -> bool:
    """Whether the process leads its session."""
    return group.session_id == group.tgid


def acquire_at_open(tty: Tty) -> None:
    """open(2) without O_NOCTTY: a session leader without a controlling terminal gets this one, if nobody has it."""
    group = machine.percpu.current().group
    with tree.lock:
        if is_session_leader(group) and group.tty is None and tty.session is None:
            adopt(tty, group)


def adopt(tty: Tty, group: ThreadGroup) -> None:
    """Make it the session's terminal, with the caller's group in the foreground. `tree.lock` is held."""
    tty.session = group.session
    tty.foreground = group.process_group
    group.tty = tty


def privileged_task(task: Task) -> bool:
    """Whether the task has CAP_SYS_ADMIN."""
    return (task.credentials.effective >> Capability.CAP_SYS_ADMIN) & 1 != 0


def set_controlling(tty: Tty, steal: bool) -> None:
    """TIOCSCTTY. Raises PermissionError."""
    task = machine.percpu.current()
    group = task.group
    privileged = privileged_task(task)
    with tree.lock:
        if is_session_leader(group) and group.tty is tty and tty.session is group.session:
            return
        if not is_session_leader(group) or group.tty is not None:
            raise PermissionError
        if tty.session is not None:
            if not (steal and privileged):
                raise PermissionError
            leave_session(tty)
        adopt(tty, group)


def give_up_controlling(tty: Tty) -> None:
    """TIOCNOTTY. Raises OSError(ENOTTY)."""
    group = machine.percpu.current().group
    leads = is_session_leader(group)
    with tree.lock:
        if group.tty is not tty:
            raise OSError(errno.ENOTTY)
        if not leads:
            group.tty = None
    if leads:
        disassociate(group)


def disassociate(group: ThreadGroup) -> None:
    """A session leader ends or gives its terminal up: SIGHUP and SIGCONT to the foreground, nobody has it any more."""
    with tree.lock:
        tty = group.tty
        if tty is None or not is_session_leader(group) or tty.session is not group.session:
            group.tty = None
            return
        signal_members(tty.foreground, Signal.SIGHUP)
        signal_members(tty.foreground, Signal.SIGCONT)
        leave_session(tty)


def leave_session(tty: Tty) -> None:
    """No process of the terminal's session has it any more. `tree.lock` is held."""
    session = tty.session
    member = None if session is None else session.session_first
    while member is not None:
        if member.tty is tty:
            member.tty = None
        member = member.next_in_session
    tty.session = None
    tty.foreground = None


def hang_up(tty: Tty) -> None:
    """The far side is gone: SIGHUP and SIGCONT to the session's leader and the foreground; the session loses it."""
    with tree.lock:
        session = tty.session
        if session is not None:
            member = session.session_first
            while member is not None:
                if is_session_leader(member):
                    send.send_group_kernel(member, Signal.SIGHUP)
                    send.send_group_kernel(member, Signal.SIGCONT)
                member = member.next_in_session
            signal_members(tty.foreground, Signal.SIGHUP)
            signal_members(tty.foreground, Signal.SIGCONT)
        leave_session(tty)


def own_terminal() -> Tty:
    """The caller's controlling terminal, /dev/tty. Raises OSError(ENXIO)."""
    with tree.lock:
        tty = machine.percpu.current().group.tty
    if tty is None:
        raise OSError(errno.ENXIO)
    return tty


def foreground_number(tty: Tty) -> i32:
    """TIOCGPGRP; 0 when no group has the foreground."""
    with tree.lock:
        pid = tty.foreground
        return 0 if pid is None else pid.number


def session_number(tty: Tty) -> i32:
    """TIOCGSID. Raises OSError(ENOTTY)."""
    with tree.lock:
        pid = tty.session
        if pid is None:
            raise OSError(errno.ENOTTY)
        return pid.number


def set_foreground(tty: Tty, number: i32) -> None:
    """TIOCSPGRP. Raises OSError(ENOTTY, EINVAL, EPERM), ProcessLookupError."""
    group = machine.percpu.current().group
    with tree.lock:
        if group.tty is not tty or tty.session is not group.session:
            raise OSError(errno.ENOTTY)
        if number < 0:
            raise OSError(errno.EINVAL)
        pid = pids.table.find(number)
        member = None if pid is None else pid.group_first
        if member is None:
            raise ProcessLookupError
        if member.session is not group.session:
            raise PermissionError
        tty.foreground = pid


def is_controlling(tty: Tty) -> bool:
    """Whether it is the caller's controlling terminal."""
    with tree.lock:
        return machine.percpu.current().group.tty is tty


def require_controlling(tty: Tty) -> None:
    """Raises OSError(ENOTTY) when it is not the caller's controlling terminal."""
    if not is_controlling(tty):
        raise OSError(errno.ENOTTY)
