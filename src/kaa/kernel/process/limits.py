# SPDX-License-Identifier: Apache-2.0
"""A process's resource limits and the calls that read and set them (getrlimit(2)).

Each is one pair of words, changed and told together under the group's `signal_lock`; who enforces a limit, where the
resource is, looks at the soft one without.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from kaa.kernel.abi.resource import INFINITY, RESOURCES, Resource, RLimit
from kaa.kernel.abi.syscall import syscall
from kaa.kernel.arch import machine
from kaa.kernel.mm.user import UserPtr
from kaa.lang import Array, Atomic, Guarded, i32, u32, u64

if TYPE_CHECKING:
    from kaa.kernel.process.group import ThreadGroup

NR_OPEN: Final = 1 << 20
"""No process may have more descriptors (proc(5), /proc/sys/fs/nr_open)."""
MEBIBYTE: Final = 1 << 20


class Limits:
    """Sixteen soft and hard limits."""

    soft: Array[Atomic[u64], 16]
    hard: Guarded[Array[u64, 16], "ThreadGroup.signal_lock"]

    def __init__(self) -> None:
        self.soft = Array[Atomic[u64], 16]()
        self.hard = Array[u64, 16]()

    def copy_from(self, other: Limits) -> None:
        """Take over another process's limits (fork)."""
        for resource in range(RESOURCES):
            self.soft[resource].store_relaxed(other.soft[resource].load_relaxed())
        self.hard[:].copy_from(other.hard[:])

    def set_defaults(self) -> None:
        """What pid 1 starts with; the values are those that Linux gives it."""
        for resource in range(RESOURCES):
            self._set(resource, INFINITY, INFINITY)
        self._set(Resource.RLIMIT_STACK, 8 * MEBIBYTE, INFINITY)
        self._set(Resource.RLIMIT_CORE, 0, INFINITY)
        self._set(Resource.RLIMIT_NOFILE, 1024, 4096)
        self._set(Resource.RLIMIT_MEMLOCK, 8 * MEBIBYTE, 8 * MEBIBYTE)
        self._set(Resource.RLIMIT_NPROC, 16384, 16384)
        self._set(Resource.RLIMIT_SIGPENDING, 16384, 16384)
        self._set(Resource.RLIMIT_MSGQUEUE, 819200, 819200)
        self._set(Resource.RLIMIT_NICE, 0, 0)
        self._set(Resource.RLIMIT_RTPRIO, 0, 0)

    def _set(self, resource: u32, soft: u64, hard: u64) -> None:
        self.soft[resource].store_relaxed(soft)
        self.hard[resource] = hard


def limit(resource: u32) -> u64:
    """The caller's soft limit."""
    return machine.percpu.current().group.limits.soft[resource].load_relaxed()


def _change(group: ThreadGroup, resource: u32, wanted: RLimit, privileged: bool) -> None:
    limits = group.limits
    if wanted.soft > wanted.hard:
        raise OSError(errno.EINVAL)
    if resource == Resource.RLIMIT_NOFILE and wanted.hard > NR_OPEN:
        raise OSError(errno.EPERM)
    if wanted.hard > limits.hard[resource] and not privileged:
        raise OSError(errno.EPERM)
    limits.soft[resource].store_relaxed(wanted.soft)
    limits.hard[resource] = wanted.hard


def of(group: ThreadGroup, resource: u32) -> RLimit:
    """Soft and hard limit as they stand together."""
    with group.signal_lock:
        return RLimit(group.limits.soft[resource].load_relaxed(), group.limits.hard[resource])


def change(group: ThreadGroup, resource: u32, wanted: RLimit) -> None:
    """Set a limit of a process. Raises OSError(EINVAL, EPERM)."""
    from kaa.kernel.process import credentials

    privileged = machine.percpu.current().credentials.capable(u32(credentials.Capability.CAP_SYS_RESOURCE))
    with group.signal_lock:
        _change(group, resource, wanted, privileged)
    if resource == Resource.RLIMIT_CPU:
        from kaa.kernel.time import cpu_timer

        cpu_timer.watch_limit(group)


def _target(pid: i32) -> ThreadGroup:
    from kaa.kernel.process import credentials, foreign, ids

    me = machine.percpu.current()
    if pid == 0 or pid == me.pid:
        return me.group
    task = ids.find_task(pid)
    if task is None:
        raise ProcessLookupError
    own = credentials.same_user(me.credentials, foreign.credentials_of(task))
    if not own and not me.credentials.capable(u32(credentials.Capability.CAP_SYS_RESOURCE)):
        raise OSError(errno.EPERM)
    return task.group


@syscall(x86_64=302, arm64=261)
def prlimit64(pid: i32, resource: u32, new_limit: UserPtr[RLimit], old_limit: UserPtr[RLimit]) -> None:
    """prlimit(2): read and set a limit of any process one may touch."""
    wanted = RLimit()
    if not new_limit.is_null():
        wanted = new_limit.read()
    group = _target(pid)
    if resource >= RESOURCES:
        raise OSError(errno.EINVAL)
    before = of(group, resource)
    if not new_limit.is_null():
        change(group, resource, wanted)
    if not old_limit.is_null():
        old_limit.write(before)


@syscall(x86_64=97, arm64=163)
def getrlimit(resource: u32, into: UserPtr[RLimit]) -> None:
    """getrlimit(2): the caller's soft and hard limit."""
    if resource >= RESOURCES:
        raise OSError(errno.EINVAL)
    into.write(of(machine.percpu.current().group, resource))


@syscall(x86_64=160, arm64=164)
def setrlimit(resource: u32, wanted: UserPtr[RLimit]) -> None:
    """setrlimit(2): set the caller's soft and hard limit."""
    value = wanted.read()
    if resource >= RESOURCES:
        raise OSError(errno.EINVAL)
    change(machine.percpu.current().group, resource, value)
