# SPDX-License-Identifier: Apache-2.0
"""kcmp(2): whether two tasks share something. What is not the same is told without an order (3), which the manual page
allows: nothing of where things lie in the kernel gets out."""

from __future__ import annotations

import errno
from typing import Final

from kaa.kernel.abi.syscall import syscall
from kaa.kernel.fs.file import File
from kaa.kernel.process import credentials, foreign, fork, ids
from kaa.kernel.process.task import Task
from kaa.lang import i32, u64

SAME: Final = 0
DIFFERENT: Final = 3


@syscall(x86_64=312, arm64=272)
def kcmp(first: i32, second: i32, kind: i32, index: u64, other_index: u64) -> i32:
    """kcmp(2): compare two tasks' files, memory, tables. KCMP_EPOLL_TFD is refused (EOPNOTSUPP)."""
    one = _task(first)
    two = _task(second)
    credentials.require_inspection(one)
    credentials.require_inspection(two)
    same = False
    match kind:
        case 0:
            same = _descriptor(one, index) is _descriptor(two, other_index)
        case 1:
            same = foreign.memory_of(one) is foreign.memory_of(two)
        case 2:
            same = foreign.files_of(one) is foreign.files_of(two)
        case 3:
            same = foreign.directories_of(one) is foreign.directories_of(two)
        case 4:
            same = fork.handlers_of(one.group) is fork.handlers_of(two.group)
        case 5 | 6:
            same = True
        case 7:
            raise OSError(errno.EOPNOTSUPP)
        case _:
            raise OSError(errno.EINVAL)
    return i32(SAME if same else DIFFERENT)


def _task(number: i32) -> Task:
    task = ids.find_task(number)
    if task is None:
        raise ProcessLookupError
    return task


def _descriptor(task: Task, index: u64) -> File:
    """Raises OSError(EBADF)."""
    if index >= 1 << 31:
        raise OSError(errno.EBADF)
    return foreign.files_of(task).get(i32(index))
