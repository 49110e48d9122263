# SPDX-License-Identifier: Apache-2.0
"""The system calls execve and execveat."""

from __future__ import annotations

import errno

from kaa.kernel.abi.fcntl import AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW
from kaa.kernel.abi.syscall import Fd, syscall
from kaa.kernel.arch import machine
from kaa.kernel.fs import namei
from kaa.kernel.fs.path import Path
from kaa.kernel.mm.user import UserString
from kaa.kernel.process import exec
from kaa.lang import i32, u32, u64


@syscall(x86_64=59, arm64=221)
def execve(path: UserString, argv: u64, envp: u64) -> None:
    """execve(2): run another program in this process."""
    name = path.read_path()
    exec.execute(machine.percpu.current().fs.cwd(), name, argv, envp, u32(namei.FOLLOW))


@syscall(x86_64=322, arm64=281)
def execveat(directory: Fd, path: UserString, argv: u64, envp: u64, flags: i32) -> None:
    """execveat(2): execve relative to a directory, or of an open file."""
    if (flags & ~(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW)) != 0:
        raise OSError(errno.EINVAL)
    name = path.read_path()
    if len(name) == 0 and (flags & AT_EMPTY_PATH) == 0:
        raise FileNotFoundError
    walk = u32(namei.EMPTY)
    if (flags & AT_SYMLINK_NOFOLLOW) == 0:
        walk |= namei.FOLLOW
    exec.execute(_start(directory, name), name, argv, envp, walk)


def _start(directory: Fd, name: bytes) -> Path:
    task = machine.percpu.current()
    if directory == AT_FDCWD or (len(name) > 0 and name[0] == 0x2F):
        return task.fs.cwd()
    place = task.files.get(directory).path
    if place is None:
        raise OSError(errno.EACCES)
    return place
