# SPDX-License-Identifier: Apache-2.0
"""signalfd(2): reading pending (blocked) signals from a descriptor.

A read takes signals of the thread that reads, and of its process.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from kaa.kernel.abi.fcntl import O_CLOEXEC, O_NONBLOCK, O_RDWR
from kaa.kernel.abi.poll import READABLE
from kaa.kernel.abi.signal import KILL_AND_STOP, Code, SigInfo, SignalfdSiginfo
from kaa.kernel.abi.syscall import Fd, syscall
from kaa.kernel.arch import machine
from kaa.kernel.fs.anonymous import anonymous_files, new_inode
from kaa.kernel.fs.file import File
from kaa.kernel.mm.user import UserPtr
from kaa.kernel.process.task import Task
from kaa.kernel.signal import wait_calls
from kaa.lang import Relaxed, as_bytes, i32, sizeof, u32, u64, usize

if TYPE_CHECKING:
    from kaa.kernel.fs.inode import Inode
    from kaa.kernel.fs.poll import PollTable
    from kaa.kernel.mm.user import UserBuf

SFD_NONBLOCK: Final = O_NONBLOCK
SFD_CLOEXEC: Final = O_CLOEXEC


class SignalFile(File):
    """A set of signals to be read."""

    mask: Relaxed[u64]
    node: Final[Inode]

    def __init__(self, flags: u32, mask: u64) -> None:
        super().__init__(None, flags)
        self.mask = mask
        self.node = new_inode(anonymous_files, 0o600)

    def inode(self) -> Inode | None:
        """A nameless one."""
        return self.node

    def read(self, buf: UserBuf) -> usize:
        """As many whole structures as fit and are there; waits for the first."""
        size = usize(sizeof(SignalfdSiginfo))
        if buf.remaining() < size:
            raise OSError(errno.EINVAL)
        task = machine.percpu.current()
        done: usize = 0
        info = SigInfo()
        while buf.remaining() >= size:
            signo = wait_calls.take(task, self.mask, info)
            if signo == 0:
                if done != 0:
                    break
                if self.nonblocking():
                    raise BlockingIOError
                task.group.signalfd_waiters.wait_interruptible(lambda: self._ready(task))
                continue
            out = SignalfdSiginfo()
            _fill(out, info)
            buf.copy_out(as_bytes(out))
            done += size
        return done

    def _ready(self, task: Task) -> bool:
        return ((task.pending.mask | task.group.pending.mask) & self.mask) != 0

    def poll(self, table: PollTable | None) -> u32:
        """Readable when one of the signals is pending for the caller."""
        task = machine.percpu.current()
        if table is not None:
            table.add(task.group.signalfd_waiters)
        return u32(READABLE) if self._ready(task) else u32(0)


def _fill(out: SignalfdSiginfo, info: SigInfo) -> None:
    """signalfd_siginfo from siginfo: which words mean what depends on the code."""
    out.signo = u32(info.signo)
    out.error = info.error
    out.code = info.code
    out.pid = u32(info.word0)
    out.uid = u32(info.word0 >> 32)
    if info.code == Code.SI_TIMER:
        out.tid = u32(info.word0)
        out.overrun = u32(info.word0 >> 32)
        out.pid = 0
        out.uid = 0
    if info.code < 0:
        out.int_value = i32(info.word1)
        out.ptr_value = info.word1
    elif info.signo == 17:
        out.status = i32(info.word1)
        out.utime = info.word2
        out.stime = info.word3
    elif 0 < info.code < Code.SI_KERNEL:
        out.address = info.word0
        out.pid = 0
        out.uid = 0


@syscall(x86_64=289, arm64=74)
def signalfd4(fd: Fd, mask: UserPtr[u64], size: usize, flags: i32) -> i32:
    """signalfd(2): a descriptor for a set of signals, or another set for an old one."""
    if size != 8 or (flags & ~(SFD_NONBLOCK | SFD_CLOEXEC)) != 0:
        raise OSError(errno.EINVAL)
    wanted = mask.read() & ~u64(KILL_AND_STOP)
    files = machine.percpu.current().files
    if fd == -1:
        file = SignalFile(u32(O_RDWR | (flags & SFD_NONBLOCK)), wanted)
        return files.install(file, (flags & SFD_CLOEXEC) != 0)
    found = files.get(fd)
    if not isinstance(found, SignalFile):
        raise OSError(errno.EINVAL)
    found.mask = wanted
    return fd


@syscall(x86_64=282)
def signalfd(fd: Fd, mask: UserPtr[u64], size: usize) -> i32:
    """signalfd(2) without flags."""
    return signalfd4(fd, mask, size, i32(0))
