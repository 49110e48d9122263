# SPDX-License-Identifier: Apache-2.0
"""Credentials across execve(2): set-user-ID, set-group-ID, and the capability rules of capabilities(7).

File capabilities are not there: extended attributes of 9p are not read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kaa.kernel.abi.mount import MS_NOSUID
from kaa.kernel.abi.stat import S_ISGID, S_ISUID, S_IXGRP
from kaa.kernel.process.credentials import SECURE_KEEP_CAPS, SECURE_NOROOT, Credentials
from kaa.kernel.process.program import Program
from kaa.kernel.process.task import Task
from kaa.lang import u32, u64

if TYPE_CHECKING:
    from kaa.kernel.fs.inode import Inode


def after_exec(task: Task, found: Program) -> Credentials:
    """What the task will have; the same object when nothing changes. Raises MemoryError."""
    old = task.credentials
    inode = _effective_inode(task, found)
    uid_bit = inode is not None and (inode.mode & S_ISUID) != 0
    gid_bit = inode is not None and (inode.mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP)
    if not uid_bit and not gid_bit and _is_settled(old):
        return old
    new = old.copy()
    if uid_bit and inode is not None:
        new.euid = inode.uid
    if gid_bit and inode is not None:
        new.egid = inode.gid
    new.suid = new.fsuid = new.euid
    new.sgid = new.fsgid = new.egid
    _transform_capabilities(new, uid_bit or gid_bit)
    new.securebits &= ~u32(SECURE_KEEP_CAPS)
    return new


def _effective_inode(task: Task, found: Program) -> Inode | None:
    """The file whose bits count; None when they do not (nosuid, no_new_privs). Of a script, the interpreter's."""
    path = found.elf.file.path
    if path is None or task.no_new_privileges or (path.mount.flags & MS_NOSUID) != 0:
        return None
    return path.inode()


def _is_settled(who: Credentials) -> bool:
    """Whether exec without set-id bits would leave everything as it is."""
    if who.suid != who.euid or who.fsuid != who.euid or who.sgid != who.egid or who.fsgid != who.egid:
        return False
    if (who.securebits & (SECURE_NOROOT | SECURE_KEEP_CAPS)) != 0:
        return False
    if who.euid == 0 and who.uid == 0:
        return who.permitted == (who.inheritable | who.bounding) and who.effective == who.permitted
    return who.uid != 0 and who.euid != 0 and who.permitted == who.ambient and who.effective == who.ambient


def _transform_capabilities(new: Credentials, privileged: bool) -> None:
    """P'(permitted) and P'(effective), with root standing in for file capabilities."""
    if privileged:
        new.ambient = 0
    permitted: u64 = new.ambient
    effective: u64 = new.ambient
    if (new.securebits & SECURE_NOROOT) == 0 and (new.euid == 0 or new.uid == 0):
        permitted = new.inheritable | new.bounding
        effective = permitted if new.euid == 0 else new.ambient
    new.permitted = permitted
    new.effective = effective


def is_secure(old: Credentials, new: Credentials) -> bool:
    """AT_SECURE: whether the program got ids (or capabilities) that its caller has not."""
    if new.euid != new.uid or new.egid != new.gid:
        return True
    return new.euid != old.euid and new.uid != 0
