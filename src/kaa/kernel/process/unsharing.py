# SPDX-License-Identifier: Apache-2.0
"""unshare(2): give the caller its own copy of what clone(2) made it share."""

from __future__ import annotations

import errno

from kaa.kernel.abi.sched import NAMESPACES, Clone
from kaa.kernel.arch import machine
from kaa.kernel.process import credentials
from kaa.kernel.process.task import SHARES_FILES, SHARES_MEMORY
from kaa.lang import u32, u64

KNOWN = NAMESPACES | Clone.CLONE_FILES | Clone.CLONE_FS | Clone.CLONE_SYSVSEM | Clone.CLONE_THREAD | Clone.CLONE_VM | Clone.CLONE_SIGHAND  # fmt: skip  # noqa: E501


def unshare(flags: u64) -> None:
    """Undo sharing of descriptors and directories. Raises OSError(EINVAL, EPERM), MemoryError."""
    task = machine.percpu.current()
    if (flags & ~u64(KNOWN)) != 0:
        raise OSError(errno.EINVAL)
    if (flags & NAMESPACES) != 0:
        if (flags & Clone.CLONE_NEWUSER) == 0:
            credentials.require(u32(credentials.Capability.CAP_SYS_ADMIN))
        raise OSError(errno.EINVAL)
    alone = task.group.thread_count == 1
    if (flags & (Clone.CLONE_THREAD | Clone.CLONE_SIGHAND)) != 0 and not alone:
        raise OSError(errno.EINVAL)
    if (flags & Clone.CLONE_VM) != 0 and (not alone or (task.flags.load() & SHARES_MEMORY) != 0):
        raise OSError(errno.EINVAL)
    if (flags & Clone.CLONE_FS) != 0:
        task.fs = task.fs.fork()
    if (flags & Clone.CLONE_FILES) != 0 and (not alone or (task.flags.load() & SHARES_FILES) != 0):
        task.files = task.files.fork()
