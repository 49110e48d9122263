# SPDX-License-Identifier: Apache-2.0
"""What another task has, while it may be changing it on another processor.

A task's credentials, memory, descriptors and directories are replaced by the task itself only, under its group's
`signal_lock` (`replace_…`), and what was there before is dropped after the lock, as the last reference may sleep
(returning it keeps it until then; a local that is not used any more, or only deleted, is given up at once). So
the task reads its own without any lock, and everyone else through this file: the reference is counted before the lock
is given up (`_…_field` is a call of its own for that: its result is owned by its caller).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kaa.lang import noinline, u32

if TYPE_CHECKING:
    from kaa.kernel.fs.context import FsContext
    from kaa.kernel.fs.descriptors import FileTable
    from kaa.kernel.mm.address_space import AddressSpace
    from kaa.kernel.process.credentials import Credentials
    from kaa.kernel.process.task import Task


@noinline
def _credentials_field(task: Task) -> Credentials:
    return task.credentials


@noinline
def _user_field(task: Task) -> u32:
    return task.credentials.uid


@noinline
def _memory_field(task: Task) -> AddressSpace | None:
    return task.mm


@noinline
def _files_field(task: Task) -> FileTable:
    return task.files


@noinline
def _directories_field(task: Task) -> FsContext:
    return task.fs


def credentials_of(task: Task) -> Credentials:
    """Who a task acts for. Inside `tree.lock` too."""
    with task.group.signal_lock:
        return _credentials_field(task)


def user_of(task: Task) -> u32:
    """The real user that a task acts for. Counts no reference: the credentials are often its parent's object."""
    with task.group.signal_lock:
        return _user_field(task)


def memory_of(task: Task) -> AddressSpace | None:
    """A task's memory; None for kernel threads and the dead."""
    with task.group.signal_lock:
        return _memory_field(task)


def files_of(task: Task) -> FileTable:
    """A task's descriptors."""
    with task.group.signal_lock:
        return _files_field(task)


def directories_of(task: Task) -> FsContext:
    """A task's root, current directory and umask. Not of kernel threads."""
    with task.group.signal_lock:
        return _directories_field(task)


def replace_credentials(task: Task, new: Credentials) -> Credentials:
    """Give the caller other credentials; gives those of before."""
    old = _credentials_field(task)
    with task.group.signal_lock:
        task.credentials = new
    return old


def replace_memory(task: Task, new: AddressSpace | None) -> AddressSpace | None:
    """Give the caller other memory. The processor's translations are not touched. Gives that of before."""
    old = _memory_field(task)
    with task.group.signal_lock:
        task.mm = new
    return old


def replace_files(task: Task, new: FileTable) -> FileTable:
    """Give the caller other descriptors; gives those of before."""
    old = _files_field(task)
    with task.group.signal_lock:
        task.files = new
    return old


def replace_directories(task: Task, new: FsContext) -> FsContext:
    """Give the caller other directories; gives those of before."""
    old = _directories_field(task)
    with task.group.signal_lock:
        task.fs = new
    return old
