# SPDX-License-Identifier: Apache-2.0
"""Descriptors that stand for a process or a thread: pidfd_open, pidfd_send_signal, pidfd_getfd, CLONE_PIDFD
(pidfd_open(2)). They hold the `Pid`, not the task: the number may be given to another, the `Pid` never is.

Such a descriptor is readable once its process has ended (all of its threads; of a thread's, the thread). Who waits
stands in a queue that the `Pid` gets with its first descriptor; it is woken under `tree.lock`.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from kaa.kernel.abi.fcntl import O_NONBLOCK, O_RDWR
from kaa.kernel.abi.poll import READABLE
from kaa.kernel.abi.signal import Code, SigInfo
from kaa.kernel.abi.syscall import Fd, syscall
from kaa.kernel.arch import machine
from kaa.kernel.fs.anonymous import anonymous_files, new_inode
from kaa.kernel.fs.file import File
from kaa.kernel.locking.wait_queue import WaitQueue
from kaa.kernel.mm.user import UserPtr
from kaa.kernel.process import credentials, foreign, tree
from kaa.kernel.process import pid as pids
from kaa.kernel.process.group import ALIVE
from kaa.kernel.process.pid import Pid
from kaa.kernel.process.task import Task
from kaa.kernel.signal import kill_calls
from kaa.lang import Bytes, i32, noinline, u32

if TYPE_CHECKING:
    from kaa.kernel.fs.inode import Inode
    from kaa.kernel.fs.poll import PollTable

PIDFD_THREAD: Final = 0o200
SIGNAL_THREAD: Final = 1
SIGNAL_THREAD_GROUP: Final = 2
SIGNAL_PROCESS_GROUP: Final = 4


class PidFile(File):
    """A process, or a thread, as a file."""

    identity: Final[Pid]
    is_thread: Final[bool]
    watchers: Final[WaitQueue]
    node: Final[Inode]

    def __init__(self, identity: Pid, watchers: WaitQueue, is_thread: bool, flags: u32) -> None:
        super().__init__(None, flags)
        self.identity = identity
        self.watchers = watchers
        self.is_thread = is_thread
        self.node = new_inode(anonymous_files, 0o600)

    def inode(self) -> Inode | None:
        """A nameless one."""
        return self.node

    def kind_name(self) -> Bytes:
        """What /proc/PID/fd shows."""
        return b"pidfd"

    def poll(self, table: PollTable | None) -> u32:
        """Readable when it has ended."""
        if table is not None:
            table.add(self.watchers)
        with tree.lock:
            return u32(READABLE) if self.has_ended() else u32(0)

    def has_ended(self) -> bool:
        """Whether all of it is dead. Under `tree.lock`."""
        task = self.identity.task
        if task is None:
            return True
        return not self.is_thread and task.group.state != ALIVE


def open_for(identity: Pid, is_thread: bool, flags: u32) -> PidFile:
    """A file for a `Pid`. Raises MemoryError."""
    queue = WaitQueue("pidfd")
    with tree.lock:
        queue = _queue_of(identity, queue)
    return PidFile(identity, queue, is_thread, u32(O_RDWR) | flags)


@noinline
def _queue_of(identity: Pid, fresh: WaitQueue) -> WaitQueue:
    """The `Pid`'s queue; the fresh one if it had none. Under `tree.lock`."""
    found = identity.watchers
    if found is None:
        identity.watchers = fresh
        return fresh
    return found


def _pid_file(fd: Fd) -> PidFile:
    """Raises OSError(EBADF) also for a descriptor of something else."""
    file = machine.percpu.current().files.get(fd)
    if not isinstance(file, PidFile):
        raise OSError(errno.EBADF)
    return file


def _signalled(fd: Fd) -> PidFile:
    """As _pid_file; an open directory /proc/PID will do too (pidfd_send_signal(2))."""
    from kaa.kernel.fs.proc.task_directory import TaskDirectoryFile

    file = machine.percpu.current().files.get(fd)
    if isinstance(file, PidFile):
        return file
    if not isinstance(file, TaskDirectoryFile) or file.source.is_thread:
        raise OSError(errno.EBADF)
    return open_for(_identity(file.source.pid), False, u32(0))


def _identity(number: i32) -> Pid:
    """Raises ProcessLookupError."""
    with tree.lock:
        identity = pids.table.find(number)
    if identity is None:
        raise ProcessLookupError
    return identity


def awaited(fd: i32) -> PidFile:
    """waitid(2)'s P_PIDFD. Raises OSError(EINVAL) for a negative one, EBADF."""
    if fd < 0:
        raise OSError(errno.EINVAL)
    return _pid_file(fd)


def _task_of(file: PidFile) -> Task:
    """Raises ProcessLookupError when it is gone."""
    with tree.lock:
        task = file.identity.task
    if task is None:
        raise ProcessLookupError
    return task


@syscall(x86_64=434, arm64=434)
def pidfd_open(number: i32, flags: u32) -> i32:
    """pidfd_open(2): a descriptor for a process, or with PIDFD_THREAD for a thread."""
    if (flags & ~u32(O_NONBLOCK | PIDFD_THREAD)) != 0 or number <= 0:
        raise OSError(errno.EINVAL)
    is_thread = (flags & PIDFD_THREAD) != 0
    with tree.lock:
        identity = pids.table.find(number)
        task = None if identity is None else identity.task
    if identity is None or task is None:
        raise ProcessLookupError
    if not is_thread and not task.is_leader():
        raise OSError(errno.EINVAL)
    return machine.percpu.current().files.install(open_for(identity, is_thread, flags), True)


@syscall(x86_64=424, arm64=424)
def pidfd_send_signal(fd: Fd, signo: i32, info: UserPtr[SigInfo], flags: u32) -> None:
    """pidfd_send_signal(2): send a signal to what a descriptor stands for, or to its process or process group."""
    if flags not in (0, SIGNAL_THREAD, SIGNAL_THREAD_GROUP, SIGNAL_PROCESS_GROUP):
        raise OSError(errno.EINVAL)
    file = _signalled(fd)
    to_thread = flags == SIGNAL_THREAD or (flags == 0 and file.is_thread)
    given = kill_calls.user_info(signo, i32(Code.SI_TKILL if to_thread else Code.SI_USER))
    if not info.is_null():
        given = info.read()
        if given.signo != signo:
            raise OSError(errno.EINVAL)
        kill_calls.require_plausible(given, file.identity.number == machine.percpu.current().pid)
    task = _task_of(file)
    if to_thread:
        kill_calls.send_to_thread(task, signo, given)
    elif flags == SIGNAL_PROCESS_GROUP:
        kill_calls.kill_group(file.identity.number, signo, given)
    else:
        kill_calls.send_checked(task, signo, given)


@syscall(x86_64=438, arm64=438)
def pidfd_getfd(fd: Fd, target: Fd, flags: u32) -> i32:
    """pidfd_getfd(2): a copy of another process's descriptor."""
    if flags != 0:
        raise OSError(errno.EINVAL)
    task = _task_of(_pid_file(fd))
    credentials.require_inspection(task)
    return machine.percpu.current().files.install(foreign.files_of(task).get(target), True)
