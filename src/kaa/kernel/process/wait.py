# SPDX-License-Identifier: Apache-2.0
"""Waiting for children: wait4, waitid (wait(2)).

A look at all children is made under `tree.lock`; what is found is copied out and, unless WNOWAIT, consumed in the same
section, so that two waiters never report one event. Nothing found, the caller sleeps on its group's `child_waiters`,
which every change of a child wakes.
"""

from __future__ import annotations

import errno

from kaa.kernel.abi.resource import RUsage
from kaa.kernel.abi.signal import Code, SigInfo, Signal
from kaa.kernel.abi.syscall import syscall
from kaa.kernel.abi.wait import IdType, WaitOption
from kaa.kernel.arch import machine
from kaa.kernel.mm.user import UserPtr
from kaa.kernel.process import foreign, pidfd, tree, usage
from kaa.kernel.process import pid as pids
from kaa.kernel.process.exit import reap
from kaa.kernel.process.group import JOB_CONTINUED, JOB_STOP_REPORTED, JOB_STOPPED, REAPED, ZOMBIE, ThreadGroup
from kaa.kernel.process.pid import Pid
from kaa.kernel.process.pidfd import PidFile
from kaa.kernel.process.task import Task
from kaa.lang import ZERO, i32, inline, noinline, struct, u32, u64

NOTHING = 0
NO_CHILDREN = 1
FOUND = 2


@struct
class WaitRequest:
    """Which children, which events."""

    kind: u32 = 0
    number: i32 = 0
    options: u32 = 0
    detailed: bool = False
    """Whether the child's user and what it used are asked for."""


@struct
class WaitResult:
    """One event of one child."""

    pid: i32 = 0
    uid: u32 = 0
    status: i32 = 0
    code: i32 = 0
    cause: i32 = 0
    usage: RUsage = ZERO


@syscall(x86_64=61, arm64=260)
def wait4(number: i32, status: UserPtr[i32], options: u32, rusage: UserPtr[RUsage]) -> i32:
    """wait4(2): wait for a child to end, stop or go on, with its resource usage."""
    known = WaitOption.WNOHANG | WaitOption.WUNTRACED | WaitOption.WCONTINUED | WaitOption.WNOTHREAD | WaitOption.WALL
    if (options & ~u32(known | WaitOption.WCLONE)) != 0:
        raise OSError(errno.EINVAL)
    if number == -(1 << 31):
        raise ProcessLookupError
    request = WaitRequest()
    request.options = options | u32(WaitOption.WEXITED)
    request.detailed = not rusage.is_null()
    _select(request, number)
    result = WaitResult()
    found = await_child(request, result)
    if found == 0:
        return i32(0)
    if not status.is_null():
        status.write(result.status)
    if not rusage.is_null():
        rusage.write(result.usage)
    return found


def _select(request: WaitRequest, number: i32) -> None:
    """wait4's way to say which: > 0 a process, -1 any, 0 the caller's group, < -1 that group."""
    if number > 0:
        request.kind = u32(IdType.P_PID)
        request.number = number
    elif number == -1:
        request.kind = u32(IdType.P_ALL)
    elif number == 0:
        request.kind = u32(IdType.P_PGID)
        request.number = machine.percpu.current().group.group_id
    else:
        request.kind = u32(IdType.P_PGID)
        request.number = -number


@syscall(x86_64=247, arm64=95)
def waitid(kind: u32, number: i32, info: UserPtr[SigInfo], options: u32, rusage: UserPtr[RUsage]) -> None:
    """waitid(2): the same with more choice."""
    events = WaitOption.WEXITED | WaitOption.WSTOPPED | WaitOption.WCONTINUED
    others = WaitOption.WNOHANG | WaitOption.WNOWAIT | WaitOption.WNOTHREAD | WaitOption.WALL | WaitOption.WCLONE
    if (options & ~u32(events | others)) != 0 or (options & u32(events)) == 0:
        raise OSError(errno.EINVAL)
    if kind == IdType.P_PIDFD:
        _wait_for_file(pidfd.awaited(number), info, options, rusage)
        return
    if kind > IdType.P_PGID or (kind == IdType.P_PID and number <= 0) or (kind == IdType.P_PGID and number < 0):
        raise OSError(errno.EINVAL)
    request = WaitRequest(kind, number, options, True)
    if kind == IdType.P_PGID and number == 0:
        request.number = machine.percpu.current().group.group_id
    _tell(request, info, rusage)


def _wait_for_file(file: PidFile, info: UserPtr[SigInfo], options: u32, rusage: UserPtr[RUsage]) -> None:
    """P_PIDFD: the child that the descriptor stands for. Raises ChildProcessError when it is gone, BlockingIOError for
    a descriptor with O_NONBLOCK."""
    with tree.lock:
        gone = file.identity.task is None
    if gone:
        raise ChildProcessError
    request = WaitRequest(u32(IdType.P_PID), file.identity.number, options, True)
    if file.nonblocking() and (options & WaitOption.WNOHANG) == 0:
        request.options |= u32(WaitOption.WNOHANG)
        if not _tell(request, info, rusage):
            raise BlockingIOError
    else:
        _tell(request, info, rusage)


def _tell(request: WaitRequest, info: UserPtr[SigInfo], rusage: UserPtr[RUsage]) -> bool:
    """Wait, and give out what was found; whether there was something."""
    result = WaitResult()
    found = await_child(request, result)
    if found != 0 and not rusage.is_null():
        rusage.write(result.usage)
    if not info.is_null():
        told = SigInfo()
        if found != 0:
            told.signo = Signal.SIGCHLD
            told.code = result.code
            told.set_sender(result.pid, result.uid)
            told.word1 = u64(result.cause)
        info.write(told)
    return found != 0


def await_child(request: WaitRequest, result: WaitResult) -> i32:
    """Look, and sleep until there is something. 0: nothing, with WNOHANG. Raises ChildProcessError, Restart."""
    task = machine.percpu.current()
    if (request.options & WaitOption.WNOHANG) != 0:
        if _look(task, request, result) == NO_CHILDREN:
            raise ChildProcessError
        return result.pid
    task.group.child_waiters.stand_interruptible(lambda: _look(task, request, result) != NOTHING)
    if result.pid == 0:
        raise ChildProcessError
    return result.pid


@noinline
def _look(task: Task, request: WaitRequest, result: WaitResult) -> u32:
    """One look at the children: FOUND fills `result`; NO_CHILDREN when none could ever match."""
    if _nothing_happened(task, request):
        return u32(NOTHING)
    any_match = False
    found: ThreadGroup | None = None
    unused: Pid | None = None
    with tree.lock:
        child = task.group.first_child
        if request.kind == IdType.P_PID:
            child = _child_by_number(task.group, request.number)
        while child is not None and found is None:
            if _selected(child, task, request):
                any_match = True
                if _event(child, request, result):
                    found = child
            child = None if request.kind == IdType.P_PID else child.next_sibling
        if found is not None and found.state == ZOMBIE and (request.options & WaitOption.WNOWAIT) == 0:
            unused = _collect(task.group, found)
    if unused is not None:
        pids.table.give_back(unused)
    if found is not None:
        return u32(FOUND)
    return u32(NOTHING if any_match else NO_CHILDREN)


@inline
def _nothing_happened(task: Task, request: WaitRequest) -> bool:
    """Whether only the caller's last child is asked for, which lives, as nothing has happened to any child since it was
    made: the most common first look, without the lock that all forks and exits take."""
    if request.kind != IdType.P_PID or request.number != task.last_child or (request.options & WaitOption.WCLONE) != 0:
        return False
    return task.group.child_news.load() == task.news_at_fork


def _child_by_number(parent: ThreadGroup, number: i32) -> ThreadGroup | None:
    pid = pids.table.find(number)
    if pid is None:
        return None
    task = pid.task
    if task is None or not task.is_leader() or task.group.parent is not parent:
        return None
    return task.group


def _selected(child: ThreadGroup, task: Task, request: WaitRequest) -> bool:
    if child.state == REAPED:
        return False
    if request.kind == IdType.P_PGID and child.group_id != request.number:
        return False
    options = request.options
    if (options & WaitOption.WNOTHREAD) != 0 and child.parent_thread != task.pid:
        return False
    if (options & WaitOption.WALL) == 0:
        is_clone = child.exit_signal != Signal.SIGCHLD
        if is_clone != ((options & WaitOption.WCLONE) != 0):
            return False
    return True


def _event(child: ThreadGroup, request: WaitRequest, result: WaitResult) -> bool:
    options = request.options
    if child.state == ZOMBIE:
        if (options & WaitOption.WEXITED) == 0:
            return False
        _describe(child, request, result)
        _describe_exit(child.exit_status, result)
        return True
    if (options & (WaitOption.WSTOPPED | WaitOption.WCONTINUED)) == 0 or not _job_event(child, options, result):
        return False
    _describe(child, request, result)
    return True


def _job_event(child: ThreadGroup, options: u32, result: WaitResult) -> bool:
    """Whether it was stopped or went on, and nobody has been told yet."""
    with child.signal_lock:
        if (options & WaitOption.WSTOPPED) != 0 and (child.job & (JOB_STOPPED | JOB_STOP_REPORTED)) == JOB_STOPPED:
            result.status = (child.stop_signal << 8) | 0x7F
            result.code = i32(Code.CLD_STOPPED)
            result.cause = child.stop_signal
            if (options & WaitOption.WNOWAIT) == 0:
                child.job |= JOB_STOP_REPORTED
            return True
        if (options & WaitOption.WCONTINUED) != 0 and (child.job & JOB_CONTINUED) != 0:
            result.status = 0xFFFF
            result.code = i32(Code.CLD_CONTINUED)
            result.cause = i32(Signal.SIGCONT)
            if (options & WaitOption.WNOWAIT) == 0:
                child.job &= ~u32(JOB_CONTINUED)
            return True
    return False


def _describe(child: ThreadGroup, request: WaitRequest, result: WaitResult) -> None:
    result.pid = child.tgid
    if request.detailed:
        leader = child.leader
        result.uid = 0 if leader is None else foreign.user_of(leader)
        usage.fill(result.usage, child.usage, child.children_usage)


def _describe_exit(status: i32, result: WaitResult) -> None:
    result.status = status
    if (status & 0x7F) == 0:
        result.code = i32(Code.CLD_EXITED)
        result.cause = (status >> 8) & 0xFF
    else:
        result.code = i32(Code.CLD_KILLED)
        result.cause = status & 0x7F


def _collect(parent: ThreadGroup, child: ThreadGroup) -> Pid | None:
    """Reap: the child's usage is its parent's children's from now on. The number that is free by it."""
    total = parent.children_usage
    total.add(child.usage)
    total.add(child.children_usage)
    return reap(child)
