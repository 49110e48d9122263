# SPDX-License-Identifier: Apache-2.0
"""epoll_create1(2), epoll_ctl(2), epoll_wait(2), epoll_pwait(2), epoll_pwait2(2)."""

from __future__ import annotations

import errno

from kaa.kernel.abi.epoll import (
    EPOLL_CLOEXEC,
    EPOLL_CTL_ADD,
    EPOLL_CTL_DEL,
    EPOLL_CTL_MOD,
    EPOLL_MAX_EVENTS,
    EPOLLET,
    EPOLLEXCLUSIVE,
    EPOLLWAKEUP,
    EpollEvent,
)
from kaa.kernel.abi.fcntl import O_RDWR
from kaa.kernel.abi.poll import POLLERR, POLLHUP, POLLIN, POLLOUT
from kaa.kernel.abi.restart import RestartUnlessHandled
from kaa.kernel.abi.syscall import Fd, syscall
from kaa.kernel.abi.time import Timespec
from kaa.kernel.arch import machine
from kaa.kernel.fs.epoll import EpollFile, current_set
from kaa.kernel.fs.epoll_nesting import add_set
from kaa.kernel.fs.poll import NEVER, PollTable, deadline_after, passed
from kaa.kernel.mm.user import UserBuf, UserPtr
from kaa.kernel.signal import deliver, has_pending
from kaa.lang import i32, inline, noinline, sizeof, u32, u64, usize

NS_PER_MS = 1_000_000
WITH_EXCLUSIVE = POLLIN | POLLOUT | POLLERR | POLLHUP | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE


@syscall(x86_64=291, arm64=20)
def epoll_create1(flags: u32) -> i32:
    """epoll_create1(2): a new, empty set."""
    if flags & (0xFFFFFFFF - EPOLL_CLOEXEC) != 0:
        raise OSError(errno.EINVAL)
    return machine.percpu.current().files.install(EpollFile(O_RDWR), flags & EPOLL_CLOEXEC != 0)


@syscall(x86_64=213)
def epoll_create(size: i32) -> i32:
    """epoll_create(2): the size means nothing but must be positive."""
    if size <= 0:
        raise OSError(errno.EINVAL)
    return epoll_create1(0)


@syscall(x86_64=233, arm64=21)
def epoll_ctl(set_fd: Fd, operation: u32, fd: Fd, event: UserPtr[EpollEvent]) -> None:
    """epoll_ctl(2): add, change or remove a descriptor."""
    request = EpollEvent()
    if operation != EPOLL_CTL_DEL:
        request = event.read()
    files = machine.percpu.current().files
    holder = files.get(set_fd)
    file = files.get(fd)
    inode = file.inode()
    if inode is not None and (inode.is_regular() or inode.is_directory()):
        raise OSError(errno.EPERM)
    if holder is file or not isinstance(holder, EpollFile):
        raise OSError(errno.EINVAL)
    events = request.events
    if operation == EPOLL_CTL_ADD:
        if events & EPOLLEXCLUSIVE and (isinstance(file, EpollFile) or events & (0xFFFFFFFF - WITH_EXCLUSIVE)):
            raise OSError(errno.EINVAL)
        if isinstance(file, EpollFile):
            add_set(holder, fd, file, events, request.data)
        else:
            holder.set.add(fd, file, events, request.data)
    elif operation == EPOLL_CTL_MOD:
        holder.set.modify(fd, file, events, request.data)
    elif operation == EPOLL_CTL_DEL:
        holder.set.remove(fd, file)
    else:
        raise OSError(errno.EINVAL)


@inline
def wait(set_fd: i32, events: UserBuf, maximum: i32, deadline: u64) -> i32:
    """The call with an absolute deadline. Raises RestartUnlessHandled when a signal came first."""
    if maximum <= 0 or maximum > EPOLL_MAX_EVENTS:
        raise OSError(errno.EINVAL)
    holder = current_set(set_fd)
    events.size = usize(maximum) * sizeof(EpollEvent)
    count = holder.set.collect(events, u64(maximum))
    return count if count != 0 else _wait_on(holder, events, maximum, deadline)


@noinline
def _wait_on(holder: EpollFile, buf: UserBuf, maximum: i32, deadline: u64) -> i32:
    """There was nothing yet."""
    count: i32 = i32(0)
    while count == 0 and not passed(deadline):
        if has_pending(machine.percpu.current()):
            raise RestartUnlessHandled
        _sleep(holder, deadline)
        count = holder.set.collect(buf, u64(maximum))
    return count


def _sleep(holder: EpollFile, deadline: u64) -> None:
    """Until something goes onto the ready list."""
    table = PollTable()
    try:
        table.file = holder
        table.add(holder.set.waiting)
        if not holder.set.has_ready():
            table.sleep(deadline)
    finally:
        table.release()


def _deadline(timeout: i32) -> u64:
    return u64(NEVER) if timeout < 0 else deadline_after(u64(timeout) * NS_PER_MS)


def _mask(mask: UserPtr[u64], size: usize) -> None:
    if not mask.is_null():
        if size != 8:
            raise OSError(errno.EINVAL)
        deliver.block_until_return(machine.percpu.current(), mask.read())


@syscall(x86_64=232)
def epoll_wait(set_fd: Fd, events: UserBuf, maximum: i32, timeout: i32) -> i32:
    """epoll_wait(2): what became ready; waits up to `timeout` ms, negative for ever."""
    return wait(set_fd, events, maximum, u64(0) if timeout == 0 else _deadline(timeout))


@syscall(x86_64=281, arm64=22)
def epoll_pwait(set_fd: Fd, events: UserBuf, maximum: i32, timeout: i32, mask: UserPtr[u64], size: usize) -> i32:
    """epoll_pwait(2): epoll_wait with a signal mask."""
    _mask(mask, size)
    return wait(set_fd, events, maximum, _deadline(timeout))


@syscall(x86_64=441, arm64=441)
def epoll_pwait2(
    set_fd: Fd, events: UserBuf, maximum: i32, timeout: UserPtr[Timespec], mask: UserPtr[u64], size: usize
) -> i32:
    """epoll_pwait2(2): epoll_pwait with nanoseconds."""
    deadline = u64(NEVER)
    if not timeout.is_null():
        deadline = timeout.read().deadline(machine.clock.monotonic_ns())
    _mask(mask, size)
    return wait(set_fd, events, maximum, deadline)
