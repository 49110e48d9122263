# SPDX-License-Identifier: Apache-2.0
"""Who a thread acts for: user and group ids, supplementary groups, capabilities (credentials(7), capabilities(7)).

A `Credentials` never changes once a task has it: who wants others makes a copy and puts it into `task.credentials`.
So readers on any path need no lock, and a task shares one object with those that it forks.
"""

from __future__ import annotations

import errno
from enum import IntEnum
from typing import TYPE_CHECKING, Final

from kaa.kernel.arch import machine
from kaa.lang import u32, u64

if TYPE_CHECKING:
    from kaa.kernel.process.task import Task


class Capability(IntEnum):
    """Bit numbers (capabilities(7)); those that some check in this kernel names, and the last one."""

    CAP_CHOWN = 0
    CAP_DAC_OVERRIDE = 1
    CAP_DAC_READ_SEARCH = 2
    CAP_FOWNER = 3
    CAP_FSETID = 4
    CAP_KILL = 5
    CAP_SETGID = 6
    CAP_SETUID = 7
    CAP_SETPCAP = 8
    CAP_LINUX_IMMUTABLE = 9
    CAP_NET_BIND_SERVICE = 10
    CAP_NET_BROADCAST = 11
    CAP_NET_ADMIN = 12
    CAP_NET_RAW = 13
    CAP_IPC_LOCK = 14
    CAP_IPC_OWNER = 15
    CAP_SYS_MODULE = 16
    CAP_SYS_RAWIO = 17
    CAP_SYS_CHROOT = 18
    CAP_SYS_PTRACE = 19
    CAP_SYS_PACCT = 20
    CAP_SYS_ADMIN = 21
    CAP_SYS_BOOT = 22
    CAP_SYS_NICE = 23
    CAP_SYS_RESOURCE = 24
    CAP_SYS_TIME = 25
    CAP_SYS_TTY_CONFIG = 26
    CAP_MKNOD = 27
    CAP_LEASE = 28
    CAP_AUDIT_WRITE = 29
    CAP_AUDIT_CONTROL = 30
    CAP_SETFCAP = 31
    CAP_MAC_OVERRIDE = 32
    CAP_MAC_ADMIN = 33
    CAP_SYSLOG = 34
    CAP_WAKE_ALARM = 35
    CAP_BLOCK_SUSPEND = 36
    CAP_AUDIT_READ = 37
    CAP_PERFMON = 38
    CAP_BPF = 39
    CAP_CHECKPOINT_RESTORE = 40


LAST_CAPABILITY: Final = 40
ALL_CAPABILITIES: Final = (1 << (LAST_CAPABILITY + 1)) - 1
FILE_CAPABILITIES: Final = 0x1_0800_021F
"""What follows the file-system user id: chown, the DAC ones, fowner, fsetid, immutable, mknod, MAC override."""

# securebits (capabilities(7)); only these change anything here.
SECURE_NOROOT: Final = 1 << 0
SECURE_NO_SETUID_FIXUP: Final = 1 << 2
SECURE_KEEP_CAPS: Final = 1 << 4
SECURE_NO_AMBIENT_RAISE: Final = 1 << 6
SECURE_KNOWN: Final = 0xFF
SECURE_LOCKS: Final = 0xAA

NGROUPS_MAX: Final = 65536


class Groups:
    """Supplementary groups, sorted; shared and never changed."""

    members: list[u32]

    def __init__(self) -> None:
        self.members = []

    def contains(self, gid: u32) -> bool:
        """Binary search."""
        low = 0
        high = len(self.members)
        while low < high:
            middle = (low + high) // 2
            if self.members[middle] < gid:
                low = middle + 1
            else:
                high = middle
        return low < len(self.members) and self.members[low] == gid


NO_GROUPS = Groups()


class Credentials:
    """One set of ids and capabilities."""

    uid: u32
    euid: u32
    suid: u32
    fsuid: u32
    gid: u32
    egid: u32
    sgid: u32
    fsgid: u32
    groups: Groups
    securebits: u32
    inheritable: u64
    permitted: u64
    effective: u64
    bounding: u64
    ambient: u64

    def __init__(self) -> None:
        self.uid = 0
        self.euid = 0
        self.suid = 0
        self.fsuid = 0
        self.gid = 0
        self.egid = 0
        self.sgid = 0
        self.fsgid = 0
        self.groups = NO_GROUPS
        self.securebits = 0
        self.inheritable = 0
        self.permitted = ALL_CAPABILITIES
        self.effective = ALL_CAPABILITIES
        self.bounding = ALL_CAPABILITIES
        self.ambient = 0

    def copy(self) -> Credentials:
        """A copy to change. Raises MemoryError."""
        other = Credentials()
        other.uid, other.euid, other.suid, other.fsuid = self.uid, self.euid, self.suid, self.fsuid
        other.gid, other.egid, other.sgid, other.fsgid = self.gid, self.egid, self.sgid, self.fsgid
        other.groups = self.groups
        other.securebits = self.securebits
        other.inheritable = self.inheritable
        other.permitted = self.permitted
        other.effective = self.effective
        other.bounding = self.bounding
        other.ambient = self.ambient
        return other

    def capable(self, capability: u32) -> bool:
        """Whether the effective set has it."""
        return ((self.effective >> u64(capability)) & 1) != 0

    def in_group(self, gid: u32) -> bool:
        """Whether `gid` is the file-system group id or a supplementary group: what file permission asks."""
        return self.fsgid == gid or self.groups.contains(gid)

    def in_effective_group(self, gid: u32) -> bool:
        """The same with the effective group id."""
        return self.egid == gid or self.groups.contains(gid)


ROOT = Credentials()
"""What the kernel and pid 1 start with."""


def capable(capability: u32) -> bool:
    """Whether the caller has the capability."""
    return machine.percpu.current().credentials.capable(capability)


def require(capability: u32) -> None:
    """Raise EPERM unless the caller has the capability."""
    if not capable(capability):
        raise OSError(errno.EPERM)


def require_inspection(task: Task) -> None:
    """Raise EPERM unless the caller may look into `task` (ptrace(2), "Ptrace access mode checking", real ids)."""
    from kaa.kernel.process import foreign

    me = machine.percpu.current()
    if task.group is not me.group and not same_user(me.credentials, foreign.credentials_of(task)):
        require(u32(Capability.CAP_SYS_PTRACE))


def same_user(actor: Credentials, target: Credentials) -> bool:
    """Whether `actor`'s real ids are all three of the target's: what prlimit(2) and ptrace-like access ask."""
    return (
        actor.uid == target.euid
        and actor.uid == target.suid
        and actor.uid == target.uid
        and actor.gid == target.egid
        and actor.gid == target.sgid
        and actor.gid == target.gid
    )
