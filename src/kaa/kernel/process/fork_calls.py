# SPDX-License-Identifier: Apache-2.0
"""The system calls that make tasks: fork, vfork, clone, clone3."""

from __future__ import annotations

import errno
from typing import Final

from kaa.kernel.abi.sched import Clone, CloneArgs
from kaa.kernel.abi.signal import SIGNAL_COUNT, Signal
from kaa.kernel.abi.syscall import syscall
from kaa.kernel.mm.user import UserBuf, UserPtr
from kaa.kernel.process.fork import CloneRequest, clone_task
from kaa.lang import as_bytes, i32, sizeof, u64, usize

CLONE_ARGS_FIRST: Final = 64
PAGE: Final = 4096
USER_LIMIT: Final = 1 << 47


@syscall(x86_64=57)
def fork() -> i32:
    """fork(2): a child that is a copy of the caller."""
    request = CloneRequest()
    request.exit_signal = i32(Signal.SIGCHLD)
    return clone_task(request)


@syscall(x86_64=58)
def vfork() -> i32:
    """vfork(2): a child in the caller's memory; the caller waits until it execs or ends."""
    request = CloneRequest()
    request.flags = u64(Clone.CLONE_VM | Clone.CLONE_VFORK)
    request.exit_signal = i32(Signal.SIGCHLD)
    return clone_task(request)


@syscall(x86_64=56, arm64=220)
def clone(flags: u64, stack: u64, parent_tid: u64, child_tid: u64, tls: u64) -> i32:
    """clone(2): a child that shares what the flags say. x86-64's order of arguments."""
    request = CloneRequest()
    request.flags = flags & 0xFFFF_FF00
    request.exit_signal = i32(flags & Clone.CSIGNAL)
    request.stack = stack
    request.parent_tid = parent_tid
    request.child_tid = child_tid
    request.tls = tls
    request.pidfd = parent_tid
    if (flags & Clone.CLONE_PIDFD) != 0 and (flags & (Clone.CLONE_DETACHED | Clone.CLONE_PARENT_SETTID)) != 0:
        raise OSError(errno.EINVAL)
    return clone_task(request)


@syscall(x86_64=435, arm64=435)
def clone3(arguments: u64, size: usize) -> i32:
    """clone3(2): clone with a structure of arguments. Cgroups are refused (EINVAL)."""
    args = CloneArgs()
    _read_args(args, arguments, size)
    _check_args(args)
    request = CloneRequest()
    request.flags = args.flags
    request.exit_signal = i32(args.exit_signal)
    request.stack = args.stack + args.stack_size if args.stack != 0 else u64(0)
    request.tls = args.tls
    request.parent_tid = args.parent_tid
    request.pidfd = args.pidfd
    if args.set_tid_size != 0:
        request.number = _chosen_number(args)
    request.child_tid = args.child_tid
    return clone_task(request)


def _chosen_number(args: CloneArgs) -> i32:
    """set_tid: a number for each pid namespace, of which there is one. Raises OSError(EINVAL, EFAULT)."""
    if args.set_tid_size != 1:
        raise OSError(errno.EINVAL)
    number = UserPtr[i32](args.set_tid).read()
    if number < 1:
        raise OSError(errno.EINVAL)
    return number


def _read_args(args: CloneArgs, address: u64, size: usize) -> None:
    """Copy a structure of any version in: what is beyond ours must be zero (E2BIG)."""
    if size < CLONE_ARGS_FIRST:
        raise OSError(errno.EINVAL)
    if size > PAGE:
        raise OSError(errno.E2BIG)
    known = min(size, usize(sizeof(CloneArgs)))
    buf = UserBuf(address, size)
    buf.copy_in(as_bytes(args)[0:known])
    if size > known:
        check_zero(buf)


def check_zero(buf: UserBuf) -> None:
    """Raise E2BIG unless the rest of a structure is zero: a field from the future that we would ignore."""
    byte = CloneArgs()
    cell = as_bytes(byte)[0:1]
    while buf.remaining() > 0:
        buf.copy_in(cell)
        if cell[0] != 0:
            raise OSError(errno.E2BIG)


def _check_args(args: CloneArgs) -> None:
    if args.set_tid_size > 32 or (args.set_tid == 0) != (args.set_tid_size == 0):
        raise OSError(errno.EINVAL)
    if (args.flags & (Clone.CSIGNAL & ~Clone.CLONE_NEWTIME)) != 0 or (args.flags & Clone.CLONE_DETACHED) != 0:
        raise OSError(errno.EINVAL)
    if (args.flags >> 34) != 0 or args.exit_signal > SIGNAL_COUNT:
        raise OSError(errno.EINVAL)
    if (args.flags & (Clone.CLONE_THREAD | Clone.CLONE_PARENT)) != 0 and args.exit_signal != 0:
        raise OSError(errno.EINVAL)
    if (args.stack == 0) != (args.stack_size == 0):
        raise OSError(errno.EINVAL)
    if args.stack >= USER_LIMIT or args.stack_size >= USER_LIMIT - args.stack:
        raise OSError(errno.EINVAL)
