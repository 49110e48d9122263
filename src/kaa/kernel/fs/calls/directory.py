# SPDX-License-Identifier: Apache-2.0
"""Where a process is: getcwd(2), chdir(2), fchdir(2), chroot(2)."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from kaa.kernel.abi.fcntl import AT_FDCWD
from kaa.kernel.abi.syscall import Fd, syscall
from kaa.kernel.arch import machine
from kaa.kernel.fs.at import path_at
from kaa.kernel.fs.namei import DIRECTORY, FOLLOW
from kaa.kernel.fs.path_text import working_directory
from kaa.kernel.fs.permission import CAP_SYS_CHROOT, EXEC, require
from kaa.kernel.mm.user import UserBuf, UserString
from kaa.lang import usize

if TYPE_CHECKING:
    from kaa.kernel.fs.path import Path


@syscall(x86_64=79, arm64=17)
def getcwd(buf: UserBuf, size: usize) -> usize:
    """getcwd(2): the current directory's name with its NUL; gives the length."""
    fs = machine.percpu.current().fs
    text = working_directory(fs.cwd(), fs.root())
    if len(text) + 1 > size:
        raise OSError(errno.ERANGE)
    out = buf.first(len(text) + 1)
    out.copy_out(text)
    out.clear(1)
    return len(text) + 1


def _enter(path: Path) -> None:
    require(path.inode(), EXEC, machine.percpu.current().credentials)
    machine.percpu.current().fs.set_cwd(path)


@syscall(x86_64=80, arm64=49)
def chdir(name: UserString) -> None:
    """chdir(2): change the current directory."""
    _enter(path_at(AT_FDCWD, name, FOLLOW | DIRECTORY))


@syscall(x86_64=81, arm64=50)
def fchdir(fd: Fd) -> None:
    """fchdir(2): change the current directory to an open one."""
    path = machine.percpu.current().files.get(fd).path
    if path is None or not path.inode().is_directory():
        raise NotADirectoryError
    _enter(path)


@syscall(x86_64=161, arm64=51)
def chroot(name: UserString) -> None:
    """chroot(2): change where absolute names start; needs CAP_SYS_CHROOT."""
    path = path_at(AT_FDCWD, name, FOLLOW | DIRECTORY)
    task = machine.percpu.current()
    require(path.inode(), EXEC, task.credentials)
    if not task.credentials.capable(CAP_SYS_CHROOT):
        raise OSError(errno.EPERM)
    task.fs.set_root(path)
