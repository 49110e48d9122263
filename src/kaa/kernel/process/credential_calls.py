# SPDX-License-Identifier: Apache-2.0
"""User and group ids: get*id, set*id (credentials(7)). A call that changes nothing makes no copy.

Linux's setuid(2) family is per thread; libc applies it to all threads.
"""

from __future__ import annotations

import errno
from typing import Final

from kaa.kernel.abi.syscall import syscall
from kaa.kernel.arch import machine
from kaa.kernel.mm.user import UserPtr
from kaa.kernel.process import foreign
from kaa.kernel.process.credentials import (
    FILE_CAPABILITIES,
    NGROUPS_MAX,
    SECURE_KEEP_CAPS,
    SECURE_NO_SETUID_FIXUP,
    Capability,
    Credentials,
    Groups,
)
from kaa.lang import i32, i64, u32, u64

KEEP: Final = 0xFFFF_FFFF
"""-1: leave this id as it is."""


def _mine() -> Credentials:
    return machine.percpu.current().credentials


@syscall(x86_64=102, arm64=174)
def getuid() -> u32:
    """getuid(2)."""
    return machine.percpu.current().credentials.uid


@syscall(x86_64=107, arm64=175)
def geteuid() -> u32:
    """geteuid(2)."""
    return machine.percpu.current().credentials.euid


@syscall(x86_64=104, arm64=176)
def getgid() -> u32:
    """getgid(2)."""
    return machine.percpu.current().credentials.gid


@syscall(x86_64=108, arm64=177)
def getegid() -> u32:
    """getegid(2)."""
    return machine.percpu.current().credentials.egid


@syscall(x86_64=118, arm64=148)
def getresuid(real: UserPtr[u32], effective: UserPtr[u32], saved: UserPtr[u32]) -> None:
    """getresuid(2)."""
    who = _mine()
    real.write(who.uid)
    effective.write(who.euid)
    saved.write(who.suid)


@syscall(x86_64=120, arm64=150)
def getresgid(real: UserPtr[u32], effective: UserPtr[u32], saved: UserPtr[u32]) -> None:
    """getresgid(2)."""
    who = _mine()
    real.write(who.gid)
    effective.write(who.egid)
    saved.write(who.sgid)


def commit_users(old: Credentials, new: Credentials) -> None:
    """Give the caller `new`, with the capabilities that follow a change of user ids (capabilities(7), "Effect of user
    ID changes on capabilities")."""
    if (old.securebits & SECURE_NO_SETUID_FIXUP) == 0:
        _fix_capabilities(old, new)
    foreign.replace_credentials(machine.percpu.current(), new)


def _fix_capabilities(old: Credentials, new: Credentials) -> None:
    had_root = old.uid == 0 or old.euid == 0 or old.suid == 0
    has_root = new.uid == 0 or new.euid == 0 or new.suid == 0
    if had_root and not has_root:
        if (old.securebits & SECURE_KEEP_CAPS) == 0:
            new.permitted = 0
            new.effective = 0
        new.ambient = 0
    if old.euid == 0 and new.euid != 0:
        new.effective = 0
    elif old.euid != 0 and new.euid == 0:
        new.effective = new.permitted
    if old.fsuid == 0 and new.fsuid != 0:
        new.effective &= ~u64(FILE_CAPABILITIES)
    elif old.fsuid != 0 and new.fsuid == 0:
        new.effective |= new.permitted & FILE_CAPABILITIES


@syscall(x86_64=105, arm64=146)
def setuid(uid: u32) -> None:
    """setuid(2): the effective id; all three with CAP_SETUID."""
    if uid == KEEP:
        raise OSError(errno.EINVAL)
    old = _mine()
    new = old.copy()
    if old.capable(u32(Capability.CAP_SETUID)):
        new.uid = new.suid = uid
    elif uid != old.uid and uid != old.suid:
        raise OSError(errno.EPERM)
    new.euid = new.fsuid = uid
    commit_users(old, new)


@syscall(x86_64=106, arm64=144)
def setgid(gid: u32) -> None:
    """setgid(2)."""
    if gid == KEEP:
        raise OSError(errno.EINVAL)
    old = _mine()
    new = old.copy()
    if old.capable(u32(Capability.CAP_SETGID)):
        new.gid = new.sgid = gid
    elif gid != old.gid and gid != old.sgid:
        raise OSError(errno.EPERM)
    new.egid = new.fsgid = gid
    foreign.replace_credentials(machine.percpu.current(), new)


@syscall(x86_64=113, arm64=145)
def setreuid(real: u32, effective: u32) -> None:
    """setreuid(2)."""
    old = _mine()
    new = old.copy()
    free = old.capable(u32(Capability.CAP_SETUID))
    if real != KEEP:
        if not free and real != old.uid and real != old.euid:
            raise OSError(errno.EPERM)
        new.uid = real
    if effective != KEEP:
        if not free and effective != old.uid and effective != old.euid and effective != old.suid:
            raise OSError(errno.EPERM)
        new.euid = effective
    if real != KEEP or (effective != KEEP and effective != old.uid):
        new.suid = new.euid
    new.fsuid = new.euid
    commit_users(old, new)


@syscall(x86_64=114, arm64=143)
def setregid(real: u32, effective: u32) -> None:
    """setregid(2)."""
    old = _mine()
    new = old.copy()
    free = old.capable(u32(Capability.CAP_SETGID))
    if real != KEEP:
        if not free and real != old.gid and real != old.egid:
            raise OSError(errno.EPERM)
        new.gid = real
    if effective != KEEP:
        if not free and effective != old.gid and effective != old.egid and effective != old.sgid:
            raise OSError(errno.EPERM)
        new.egid = effective
    if real != KEEP or (effective != KEEP and effective != old.gid):
        new.sgid = new.egid
    new.fsgid = new.egid
    foreign.replace_credentials(machine.percpu.current(), new)


def _is_own_user(who: Credentials, uid: u32) -> bool:
    return uid in (KEEP, who.uid, who.euid, who.suid)


def _is_own_group(who: Credentials, gid: u32) -> bool:
    return gid in (KEEP, who.gid, who.egid, who.sgid)


@syscall(x86_64=117, arm64=147)
def setresuid(real: u32, effective: u32, saved: u32) -> None:
    """setresuid(2)."""
    old = _mine()
    own = _is_own_user(old, real) and _is_own_user(old, effective) and _is_own_user(old, saved)
    if not own and not old.capable(u32(Capability.CAP_SETUID)):
        raise OSError(errno.EPERM)
    new = old.copy()
    new.uid = old.uid if real == KEEP else real
    new.euid = old.euid if effective == KEEP else effective
    new.suid = old.suid if saved == KEEP else saved
    new.fsuid = new.euid
    commit_users(old, new)


@syscall(x86_64=119, arm64=149)
def setresgid(real: u32, effective: u32, saved: u32) -> None:
    """setresgid(2)."""
    old = _mine()
    own = _is_own_group(old, real) and _is_own_group(old, effective) and _is_own_group(old, saved)
    if not own and not old.capable(u32(Capability.CAP_SETGID)):
        raise OSError(errno.EPERM)
    new = old.copy()
    new.gid = old.gid if real == KEEP else real
    new.egid = old.egid if effective == KEEP else effective
    new.sgid = old.sgid if saved == KEEP else saved
    new.fsgid = new.egid
    foreign.replace_credentials(machine.percpu.current(), new)


@syscall(x86_64=122, arm64=151)
def setfsuid(uid: u32) -> u32:
    """setfsuid(2): gives the old id, whether or not it was changed."""
    old = _mine()
    allowed = uid in (old.uid, old.euid, old.suid, old.fsuid) or old.capable(u32(Capability.CAP_SETUID))
    if uid != KEEP and allowed and uid != old.fsuid:
        new = old.copy()
        new.fsuid = uid
        commit_users(old, new)
    return old.fsuid


@syscall(x86_64=123, arm64=152)
def setfsgid(gid: u32) -> u32:
    """setfsgid(2): gives the old id, whether or not it was changed."""
    old = _mine()
    allowed = gid in (old.gid, old.egid, old.sgid, old.fsgid) or old.capable(u32(Capability.CAP_SETGID))
    if gid != KEEP and allowed and gid != old.fsgid:
        new = old.copy()
        new.fsgid = gid
        foreign.replace_credentials(machine.percpu.current(), new)
    return old.fsgid


@syscall(x86_64=115, arm64=158)
def getgroups(size: i32, into: UserPtr[u32]) -> i32:
    """getgroups(2): the supplementary groups."""
    if size < 0:
        raise OSError(errno.EINVAL)
    groups = _mine().groups
    count = i64(len(groups.members))
    if size != 0:
        if count > size:
            raise OSError(errno.EINVAL)
        for index in range(len(groups.members)):
            into.offset(u64(index)).write(groups.members[index])
    return i32(count)


@syscall(x86_64=116, arm64=159)
def setgroups(size: u64, source: UserPtr[u32]) -> None:
    """setgroups(2): replace the supplementary groups."""
    old = _mine()
    if not old.capable(u32(Capability.CAP_SETGID)):
        raise OSError(errno.EPERM)
    if size > NGROUPS_MAX:
        raise OSError(errno.EINVAL)
    groups = Groups()
    for index in range(size):
        _insert_sorted(groups.members, source.offset(index).read())
    new = old.copy()
    new.groups = groups
    foreign.replace_credentials(machine.percpu.current(), new)


def _insert_sorted(members: list[u32], gid: u32) -> None:
    """From the end, for lists come sorted as a rule."""
    at = len(members)
    while at > 0 and members[at - 1] > gid:
        at -= 1
    members.insert(at, gid)
