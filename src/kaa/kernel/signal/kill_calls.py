# SPDX-License-Identifier: Apache-2.0
"""kill, tkill, tgkill, rt_sigqueueinfo, rt_tgsigqueueinfo."""

from __future__ import annotations

import errno

from kaa.kernel.abi.signal import SIGNAL_COUNT, Code, SigInfo, Signal
from kaa.kernel.abi.syscall import syscall
from kaa.kernel.arch import machine
from kaa.kernel.mm.user import UserPtr
from kaa.kernel.process import ids, tree
from kaa.kernel.process import pid as pids
from kaa.kernel.process.credentials import Capability
from kaa.kernel.process.group import ThreadGroup
from kaa.kernel.process.task import Task
from kaa.kernel.signal import send
from kaa.lang import i32, u32


def may_signal(actor: Task, target: Task, signo: i32) -> bool:
    """kill(2): CAP_KILL, or a real or effective id that is the target's real or saved one; SIGCONT within a session."""
    mine = actor.credentials
    theirs = target.credentials
    if mine is theirs or actor.group is target.group:
        return True
    if mine.euid in (theirs.suid, theirs.uid) or mine.uid in (theirs.suid, theirs.uid):
        return True
    if mine.capable(u32(Capability.CAP_KILL)):
        return True
    return signo == Signal.SIGCONT and actor.group.session is target.group.session


def user_info(signo: i32, code: i32) -> SigInfo:
    """The siginfo of a signal that the caller sends."""
    me = machine.percpu.current()
    info = SigInfo(signo, 0, code)
    info.set_sender(me.tgid, me.credentials.uid)
    return info


def check_number(signo: i32) -> None:
    """0 only checks; beyond 64 there is none. Raises OSError(EINVAL)."""
    if signo < 0 or signo > SIGNAL_COUNT:
        raise OSError(errno.EINVAL)


@syscall(x86_64=62, arm64=129)
def kill(number: i32, signo: i32) -> None:
    """kill(2): send a signal to a process, a process group, or everyone."""
    info = user_info(signo, i32(Code.SI_USER))
    if number > 0:
        _kill_process(number, signo, info)
    elif number == -1:
        check_number(signo)
        _kill_everyone(signo, info)
    else:
        check_number(signo)
        if number == -(1 << 31):
            raise ProcessLookupError
        group_number = machine.percpu.current().group.group_id if number == 0 else -number
        _kill_group(group_number, signo, info)


def _kill_process(number: i32, signo: i32, info: SigInfo) -> None:
    me = machine.percpu.current()
    if number == me.tgid:
        check_number(signo)
        if signo != 0:
            _checked(send.send_group(me.group, signo, info))
        return
    task = ids.find_task(number)
    check_number(signo)
    if task is None:
        raise ProcessLookupError
    if not may_signal(me, task, signo):
        raise OSError(errno.EPERM)
    if signo != 0:
        _checked(send.send_group(task.group, signo, info))


def _checked(sent: bool) -> None:
    """Too many are queued: EAGAIN."""
    if not sent:
        raise BlockingIOError


def _signal_member(member: ThreadGroup, signo: i32, info: SigInfo) -> bool:
    """Send to one of many, if that is allowed; says whether it was."""
    leader = member.leader
    if leader is None or not may_signal(machine.percpu.current(), leader, signo):
        return False
    if signo != 0:
        return send.send_group(member, signo, info)
    return True


def _kill_group(number: i32, signo: i32, info: SigInfo) -> None:
    found = False
    reached = False
    with tree.lock:
        pid = pids.table.find(number)
        member = None if pid is None else pid.group_first
        while member is not None:
            found = True
            if _signal_member(member, signo, info):
                reached = True
            member = member.next_in_group
    if not found:
        raise ProcessLookupError
    if not reached:
        raise OSError(errno.EPERM)


def _kill_everyone(signo: i32, info: SigInfo) -> None:
    """All but process 1 and the caller."""
    me = machine.percpu.current().group
    found = False
    reached = False
    group = ids.next_process(i32(1))
    while group is not None:
        if group is not me and group.parent is not None:
            found = True
            if _signal_member(group, signo, info):
                reached = True
        group = ids.next_process(group.tgid)
    if not found:
        raise ProcessLookupError
    if not reached:
        raise OSError(errno.EPERM)


def _to_thread(group_number: i32, number: i32, signo: i32, info: SigInfo) -> None:
    """Send to a thread; group_number 0: of whichever process."""
    me = machine.percpu.current()
    check_number(signo)
    task: Task | None = me
    if number != me.pid:
        task = ids.find_task(number)
    if task is None or (group_number != 0 and task.tgid != group_number):
        raise ProcessLookupError
    if not may_signal(me, task, signo):
        raise OSError(errno.EPERM)
    if signo != 0:
        _checked(send.send(task, signo, info))


@syscall(x86_64=200, arm64=130)
def tkill(number: i32, signo: i32) -> None:
    """tkill(2): send a signal to a thread."""
    if number <= 0:
        raise OSError(errno.EINVAL)
    _to_thread(i32(0), number, signo, user_info(signo, i32(Code.SI_TKILL)))


@syscall(x86_64=234, arm64=131)
def tgkill(group_number: i32, number: i32, signo: i32) -> None:
    """tgkill(2): send a signal to a thread of a certain process."""
    if number <= 0 or group_number <= 0:
        raise OSError(errno.EINVAL)
    _to_thread(group_number, number, signo, user_info(signo, i32(Code.SI_TKILL)))


def _given_info(info: UserPtr[SigInfo], signo: i32, own: bool) -> SigInfo:
    """The caller's siginfo: it may not look like the kernel's or kill's unless sent to oneself. Raises
    OSError(EFAULT, EPERM)."""
    given = info.read()
    given.signo = signo
    if (given.code >= 0 or given.code == Code.SI_TKILL) and not own:
        raise OSError(errno.EPERM)
    return given


@syscall(x86_64=129, arm64=138)
def rt_sigqueueinfo(number: i32, signo: i32, info: UserPtr[SigInfo]) -> None:
    """rt_sigqueueinfo(2): send a signal with data to a process."""
    given = _given_info(info, signo, number == machine.percpu.current().tgid)
    check_number(signo)
    _kill_process(number, signo, given)


@syscall(x86_64=297, arm64=240)
def rt_tgsigqueueinfo(group_number: i32, number: i32, signo: i32, info: UserPtr[SigInfo]) -> None:
    """rt_tgsigqueueinfo(2): send a signal with data to a thread."""
    if number <= 0 or group_number <= 0:
        raise OSError(errno.EINVAL)
    given = _given_info(info, signo, number == machine.percpu.current().pid)
    _to_thread(group_number, number, signo, given)
