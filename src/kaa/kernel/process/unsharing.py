# SPDX-License-Identifier: Apache-2.0
"""Ending what clone(2) made tasks share: unshare(2), execve(2), the end of a task."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from kaa.kernel.abi.sched import NAMESPACES, Clone
from kaa.kernel.arch import machine
from kaa.kernel.process import boot, credentials, foreign, fork
from kaa.kernel.process.task import SHARES_MEMORY, Task
from kaa.lang import u32, u64

if TYPE_CHECKING:
    from kaa.kernel.fs.descriptors import FileTable

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
    directories = task.fs.fork() if (flags & Clone.CLONE_FS) != 0 else None
    if (flags & Clone.CLONE_FILES) != 0:
        unshare_files(task)
    if directories is not None:
        foreign.replace_directories(task, directories).leave()


def unshare_files(task: Task) -> None:
    """Give the caller descriptors of its own, if others have them too. Raises MemoryError."""
    if task.files.users.load() > 1:
        _leave(foreign.replace_files(task, task.files.fork()))


def _leave(files: FileTable) -> bool:
    """A task has this table no more: the last to have it closes everything. Says whether it was the last."""
    last = files.users.fetch_sub(1) == 1
    if last:
        files.close_all()
    return last


def end_files(task: Task) -> None:
    """A task ends. What it keeps until it is reaped is an empty table of its own, or nobody's; or others' for the
    instant that a thread lasts which nobody reaps. Not the kernel's threads, which have nobody's all along."""
    if not _leave(task.files) and task.is_leader():
        foreign.replace_files(task, boot.no_files)


def unshare_handlers(task: Task) -> None:
    """Give the caller's process signal handlers of its own (execve(2) after CLONE_SIGHAND without CLONE_THREAD). Raises
    MemoryError."""
    group = task.group
    with group.signal_lock:
        shared = group.handlers.users.load() > 1
    if shared:
        own = fork.handlers_copy(group)
        with group.signal_lock:
            group.handlers.users.fetch_sub(1)
            group.handlers = own
