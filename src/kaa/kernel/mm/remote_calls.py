# SPDX-License-Identifier: Apache-2.0
"""process_vm_readv(2) and process_vm_writev(2): copying between the caller's memory and another process's.

Through a page of the kernel's: neither side's faults happen while anything of the other is locked. The vectors are read
twice, once to be checked and once to be used; what the second reading finds is taken as it comes, and checked by the
copies themselves.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from kaa.kernel.abi.syscall import syscall
from kaa.kernel.abi.uio import Iovec
from kaa.kernel.arch import machine
from kaa.kernel.mm import buddy, frame
from kaa.kernel.mm.frame import PAGE_SIZE
from kaa.kernel.mm.user import UserBuf, UserPtr
from kaa.kernel.process import foreign, ids
from kaa.kernel.process.credentials import Capability, same_user
from kaa.lang import ZERO, i32, struct, u64, usize, wrapping_add

if TYPE_CHECKING:
    from kaa.kernel.mm.address_space import AddressSpace
    from kaa.kernel.process.task import Task

IOV_MAX: Final = 1024
MOST: Final = 0x7FFF_F000
"""Bytes that one call moves."""


@struct
class Cursor:
    """Where a copy is in a vector."""

    vector: UserPtr[Iovec] = ZERO
    count: u64 = 0
    index: u64 = 0
    address: u64 = 0
    left: u64 = 0

    def check(self) -> u64:
        """The sum of all lengths. Raises OSError(EINVAL, EFAULT)."""
        if self.count > IOV_MAX:
            raise OSError(errno.EINVAL)
        total: u64 = 0
        for number in range(self.count):
            length = self.vector.offset(number).read().iov_len
            if length > (1 << 63) - 1 - total:
                raise OSError(errno.EINVAL)
            total += length
        return total

    def step(self) -> u64:
        """Bytes in a row from here on; 0 at the end. Raises OSError(EFAULT)."""
        while self.left == 0 and self.index < self.count:
            piece = self.vector.offset(self.index).read()
            self.address = piece.iov_base
            self.left = piece.iov_len
            self.index += 1
        return self.left

    def advance(self, n: u64) -> None:
        """So many bytes were copied: all of them lay in user memory."""
        self.address = wrapping_add(self.address, n)
        self.left -= n


def _memory(pid: i32) -> AddressSpace:
    """The other process's memory. Raises OSError(ESRCH, EPERM)."""
    task = ids.find_task(pid)
    if task is None:
        raise ProcessLookupError
    _require_access(task)
    space = foreign.memory_of(task)
    if space is None:
        raise ProcessLookupError
    return space


def _require_access(task: Task) -> None:
    """As ptrace(2)'s access: the same user, or CAP_SYS_PTRACE."""
    me = machine.percpu.current()
    if task.group is me.group or me.credentials.capable(Capability.CAP_SYS_PTRACE):
        return
    if not same_user(me.credentials, foreign.credentials_of(task)):
        raise OSError(errno.EPERM)


def _transfer(pid: i32, local: Cursor, remote: Cursor, flags: u64, writing: bool) -> usize:
    if flags != 0:
        raise OSError(errno.EINVAL)
    wanted = local.check()
    if wanted == 0:
        return usize(0)
    remote.check()
    space = _memory(pid)
    pfn = buddy.allocate_page()
    done: usize = 0
    try:
        while done < MOST:
            n = min(min(local.step(), remote.step()), min(u64(PAGE_SIZE), MOST - done))
            if n == 0:
                break
            moved = _write_some(space, local, remote, pfn, n) if writing else _read_some(space, local, remote, pfn, n)
            done += moved
            if moved < n:
                break
    except (OSError, MemoryError):
        if done == 0:
            raise
    finally:
        frame.put_page(pfn)
    if done == 0 and remote.count != 0 and local.left != 0 and remote.left != 0:
        raise OSError(errno.EFAULT)
    return done


def _read_some(space: AddressSpace, local: Cursor, remote: Cursor, pfn: u64, n: u64) -> usize:
    """From there to here; how much."""
    got = space.read_remote(remote.address, frame.contents(pfn)[0:n])
    UserBuf(local.address, got).copy_out(frame.contents(pfn)[0:got])
    local.advance(got)
    remote.advance(got)
    return got


def _write_some(space: AddressSpace, local: Cursor, remote: Cursor, pfn: u64, n: u64) -> usize:
    """From here to there; how much."""
    UserBuf(local.address, n).copy_in(frame.contents(pfn)[0:n])
    put = space.write_remote(remote.address, frame.contents(pfn)[0:n])
    local.advance(put)
    remote.advance(put)
    return put


@syscall(x86_64=310, arm64=270)
def process_vm_readv(
    pid: i32, local: UserPtr[Iovec], locals_: u64, remote: UserPtr[Iovec], remotes: u64, flags: u64
) -> usize:
    """process_vm_readv(2): copy from another process's memory."""
    return _transfer(pid, Cursor(local, locals_), Cursor(remote, remotes), flags, False)


@syscall(x86_64=311, arm64=271)
def process_vm_writev(
    pid: i32, local: UserPtr[Iovec], locals_: u64, remote: UserPtr[Iovec], remotes: u64, flags: u64
) -> usize:
    """process_vm_writev(2): copy to another process's memory."""
    return _transfer(pid, Cursor(local, locals_), Cursor(remote, remotes), flags, True)
