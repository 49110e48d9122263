# SPDX-License-Identifier: Apache-2.0
"""kill, tkill, tgkill, rt_sigqueueinfo, rt_tgsigqueueinfo."""

from __future__ import annotations

import errno

from kaa.kernel.abi.signal import SIGNAL_COUNT, Code, SigInfo, Signal
from kaa.kernel.abi.syscall import syscall
from kaa.kernel.arch import machine
from kaa.kernel.mm.user import UserPtr
from kaa.kernel.process import foreign, ids, tree
from kaa.kernel.process import pid as pids
from kaa.kernel.process.credentials import Capability
from kaa.kernel.process.group import ThreadGroup
from kaa.kernel.process.task import Task
from kaa.kernel.signal import send
from kaa.lang import i32, u32


def may_signal(target: Task, signo: i32) -> bool:
    """kill(2): CAP_KILL, or a real or effective id that is the target's real or saved one; SIGCONT within a session."""
    actor = machine.percpu.current()
    mine = actor.credentials
    if actor.group is target.group:
        return True
    theirs = foreign.credentials_of(target)
    if mine.euid in (theirs.suid, theirs.uid) or mine.uid in (theirs.suid, theirs.uid):
        return True
    if mine.capable(u32(Capability.CAP_KILL)):
        return True
    return signo == Signal.SIGCONT and actor.group.session_id == target.group.session_id


def user_info(signo: i32, code: i32) -> SigInfo:
    """The siginfo of a signal that the caller sends."""
    me = machine.percpu.current()
    info = SigInfo(signo, 0, code)
    info.set_sender(me.tgid, me.credentials.uid)
    return info


def require_may_signal(target: Task, signo: i32) -> None:
    """Before a signal is sent: 0 only checks, beyond 64 there is none (EINVAL); then EPERM."""
    if signo < 0 or signo > SIGNAL_COUNT:
        raise OSError(errno.EINVAL)
    if not may_signal(target, signo):
        raise OSError(errno.EPERM)


@syscall(x86_64=62, arm64=129)
def kill(number: i32, signo: i32) -> None:
    """kill(2): send a signal to a process, a process group, or everyone."""
    info = user_info(signo, i32(Code.SI_USER))
    if number > 0:
        kill_process(number, signo, info)
    elif number == -1:
        _kill_everyone(signo, info)
    elif number == 0:
        kill_group(machine.percpu.current().group.group_id, signo, info)
    elif number == -(1 << 31):
        raise ProcessLookupError
    else:
        kill_group(-number, signo, info)


def kill_process(number: i32, signo: i32, info: SigInfo) -> None:
    """Send to the process of a thread, by number. Raises OSError(EINVAL, EPERM, EAGAIN), ProcessLookupError."""
    me = machine.percpu.current()
    task = me if number == me.tgid else ids.find_task(number)
    if task is None:
        raise ProcessLookupError
    send_checked(task, signo, info)


def send_checked(task: Task, signo: i32, info: SigInfo) -> None:
    """Send to the process of a thread, if the caller may. Raises OSError(EINVAL, EPERM, EAGAIN)."""
    require_may_signal(task, signo)
    if signo != 0 and not send.send_group(task.group, signo, info):
        raise BlockingIOError


class Tally:
    """What came of sending to many: how many there were, how many were reached, and the last error."""

    found: u32 = 0
    reached: u32 = 0
    error: i32 = 0

    def send(self, member: ThreadGroup, signo: i32, info: SigInfo) -> None:
        """Send to one of them. Under `tree.lock`, so that nobody forks meanwhile."""
        leader = member.leader
        if leader is None:
            return
        self.found += 1
        try:
            send_checked(leader, signo, info)
            self.reached += 1
        except OSError as failed:
            self.error = i32(failed.errno)  # pyright: ignore[reportArgumentType] - the kernel raises none without a number


def kill_group(number: i32, signo: i32, info: SigInfo) -> None:
    """Send to every member of a process group. Raises ProcessLookupError when there is none, OSError when the signal
    reached none."""
    tally = Tally()
    with tree.lock:
        pid = pids.table.find(number)
        member = None if pid is None else pid.group_first
        while member is not None:
            tally.send(member, signo, info)
            member = member.next_in_group
    if tally.found == 0:
        raise ProcessLookupError
    if tally.reached == 0:
        raise OSError(tally.error)


def _kill_everyone(signo: i32, info: SigInfo) -> None:
    """All but process 1 and the caller. Those that may not be signalled count as reached (kill(2), Linux notes)."""
    me = machine.percpu.current().group
    tally = Tally()
    with tree.lock:
        number = pids.table.next_in_use(i32(2))
        while number < pids.PID_MAX:
            pid = pids.table.find(number)
            task = None if pid is None else pid.task
            if task is not None and task.is_leader() and task.group is not me:
                tally.send(task.group, signo, info)
            number = pids.table.next_in_use(number + 1)
    if tally.found == 0:
        raise ProcessLookupError
    if tally.error != 0 and tally.error != errno.EPERM and tally.reached == 0:
        raise OSError(tally.error)


def _to_thread(group_number: i32, number: i32, signo: i32, info: SigInfo) -> None:
    """Send to a thread; group_number 0: of whichever process."""
    me = machine.percpu.current()
    task = me if number == me.pid else ids.find_task(number)
    if task is None or (group_number != 0 and task.tgid != group_number):
        raise ProcessLookupError
    send_to_thread(task, signo, info)


def send_to_thread(task: Task, signo: i32, info: SigInfo) -> None:
    """Send to one thread, if the caller may. Raises OSError(EINVAL, EPERM, EAGAIN)."""
    require_may_signal(task, signo)
    if signo != 0 and not send.send(task, signo, info):
        raise BlockingIOError


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


def require_plausible(given: SigInfo, own: bool) -> None:
    """A siginfo of the caller's may not look like the kernel's or kill's unless sent to oneself (EPERM)."""
    if (given.code >= 0 or given.code == Code.SI_TKILL) and not own:
        raise OSError(errno.EPERM)


@syscall(x86_64=129, arm64=138)
def rt_sigqueueinfo(number: i32, signo: i32, info: UserPtr[SigInfo]) -> None:
    """rt_sigqueueinfo(2): send a signal with data to a process."""
    given = info.read()
    require_plausible(given, number == machine.percpu.current().pid)
    given.signo = signo
    kill_process(number, signo, given)


@syscall(x86_64=297, arm64=240)
def rt_tgsigqueueinfo(group_number: i32, number: i32, signo: i32, info: UserPtr[SigInfo]) -> None:
    """rt_tgsigqueueinfo(2): send a signal with data to a thread."""
    given = info.read()
    if number <= 0 or group_number <= 0:
        raise OSError(errno.EINVAL)
    require_plausible(given, number == machine.percpu.current().pid)
    given.signo = signo
    _to_thread(group_number, number, signo, given)
