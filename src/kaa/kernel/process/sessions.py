# SPDX-License-Identifier: Apache-2.0
"""Process groups and sessions: setpgid, getpgid, setsid, getsid (credentials(7), POSIX 3.296, 3.343)."""

from __future__ import annotations

import errno

from kaa.kernel.abi.syscall import syscall
from kaa.kernel.arch import machine
from kaa.kernel.process import pid as pids
from kaa.kernel.process import tree
from kaa.kernel.process.group import EXECED, ThreadGroup
from kaa.kernel.process.task import FORKED_NO_EXEC
from kaa.lang import i32


def _group_of(number: i32) -> ThreadGroup:
    """The process by number, 0 the caller. Raises ProcessLookupError. Under `tree.lock`."""
    if number == 0:
        return machine.percpu.current().group
    pid = pids.table.find(number)
    task = None if pid is None else pid.task
    if task is None:
        raise ProcessLookupError
    return task.group


@syscall(x86_64=121, arm64=155)
def getpgid(number: i32) -> i32:
    """getpgid(2): the process group of a process."""
    with tree.lock:
        return _group_of(number).group_id


@syscall(x86_64=111)
def getpgrp() -> i32:
    """getpgrp(2): the caller's process group."""
    return machine.percpu.current().group.group_id


@syscall(x86_64=124, arm64=156)
def getsid(number: i32) -> i32:
    """getsid(2): the session of a process."""
    with tree.lock:
        return _group_of(number).session_id


@syscall(x86_64=109, arm64=154)
def setpgid(number: i32, group_number: i32) -> None:
    """setpgid(2): put the caller, or a child that has not exec'd, into a process group of its session."""
    if group_number < 0:
        raise OSError(errno.EINVAL)
    me = machine.percpu.current().group
    with tree.lock:
        target = me if number == 0 else _process_of(number)
        wanted = target.tgid if group_number == 0 else group_number
        _check_target(me, target)
        _move(target, wanted)


def _process_of(number: i32) -> ThreadGroup:
    """As _group_of, but only by the id of the process itself."""
    group = _group_of(number)
    if group.tgid != number:
        raise OSError(errno.EINVAL)
    return group


def _check_target(me: ThreadGroup, target: ThreadGroup) -> None:
    if target is not me:
        if target.parent is not me:
            raise ProcessLookupError
        if target.session is not me.session:
            raise OSError(errno.EPERM)
        leader = target.leader
        execed = (target.flags.load_relaxed() & EXECED) != 0
        if leader is not None and (leader.flags.load() & FORKED_NO_EXEC) == 0 and execed:
            raise OSError(errno.EACCES)
    if target.session_id == target.tgid:
        raise OSError(errno.EPERM)


def _move(target: ThreadGroup, wanted: i32) -> None:
    if wanted == target.group_id:
        return
    pid = pids.table.find(wanted)
    if pid is None:
        raise OSError(errno.EPERM)
    if wanted != target.tgid:
        member = pid.group_first
        if member is None or member.session is not target.session:
            raise OSError(errno.EPERM)
    tree.leave_group(target)
    tree.join_group(target, pid)


@syscall(x86_64=112, arm64=157)
def setsid() -> i32:
    """setsid(2): a new session and process group for the caller, without a controlling terminal."""
    task = machine.percpu.current()
    group = task.group
    with tree.lock:
        leader = group.leader
        assert leader is not None
        pid = leader.identity
        if group.session is pid or pid.group_first is not None:
            raise OSError(errno.EPERM)
        tree.leave_group(group)
        tree.leave_session(group)
        tree.join_session(group, pid)
        tree.join_group(group, pid)
        group.tty = None
    return group.tgid
