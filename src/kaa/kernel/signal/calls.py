# SPDX-License-Identifier: Apache-2.0
"""System calls on masks and actions: sigaction, sigprocmask, sigpending, sigaltstack, sigreturn."""

from __future__ import annotations

import errno
from typing import Final

from kaa.kernel.abi.signal import (
    IGNORED_BY_DEFAULT,
    KILL_AND_STOP,
    MINSIGSTKSZ,
    SA_KNOWN,
    SIG_IGN,
    SIGNAL_COUNT,
    How,
    SigAction,
    Signal,
    StackFlags,
    StackT,
)
from kaa.kernel.abi.syscall import syscall
from kaa.kernel.arch import machine
from kaa.kernel.mm.user import UserPtr
from kaa.kernel.process.group import ThreadGroup
from kaa.kernel.process.task import Task
from kaa.kernel.signal import deliver, send
from kaa.kernel.signal.handlers import SignalHandlers
from kaa.lang import borrowed, cold, i32, i64, inline, u32, u64, usize

SIGSET_SIZE: Final = 8


@syscall(x86_64=13, arm64=134)
def rt_sigaction(signo: i32, new: u64, old: u64, size: usize) -> None:
    """sigaction(2): examine and change what a signal does."""
    if size != SIGSET_SIZE:
        raise OSError(errno.EINVAL)
    wanted = SigAction()
    if new != 0:
        UserPtr[SigAction](new).read_into(wanted)
    if signo < 1 or signo > SIGNAL_COUNT:
        raise OSError(errno.EINVAL)
    before = SigAction()
    if new != 0:
        if ((KILL_AND_STOP >> u64(signo - 1)) & 1) != 0:
            raise OSError(errno.EINVAL)
        wanted.flags &= SA_KNOWN
        wanted.mask &= ~u64(KILL_AND_STOP)
    handlers = _own_handlers()
    flags = machine.irq.save()
    if new == 0:
        handlers.get(signo, before)
    elif old == 0:
        handlers.set(signo, wanted)
    else:
        handlers.exchange(signo, wanted, before)
    machine.irq.restore(flags)
    if new != 0 and _may_ignore(signo, wanted.handler):
        _forget_ignored(machine.percpu.current().group, signo)
    if old != 0:
        UserPtr[SigAction](old).write_from(before)


@borrowed
def _own_handlers() -> SignalHandlers:
    """The table of the caller's process. It stays during a call: execve(2) alone replaces it, in a thread that is
    alone."""
    return machine.percpu.current().group.handlers


@inline
def _may_ignore(signo: i32, handler: u64) -> bool:
    """Whether a process with this handler ignores the signal."""
    return handler <= SIG_IGN and (handler == SIG_IGN or ((IGNORED_BY_DEFAULT >> u64(signo - 1)) & 1) != 0)


@cold
def _forget_ignored(group: ThreadGroup, signo: i32) -> None:
    """Ignoring a signal discards what is pending of it, blocked or not (POSIX 2.4.3). Who sends it holds `signal_lock`:
    it came before, and is discarded here, or finds it ignored."""
    mask = u64(1) << u64(signo - 1)
    with group.signal_lock:
        if group.handlers.will_ignore(signo):
            group.pending.discard(mask)
            thread = group.first_thread
            while thread is not None:
                thread.pending.discard(mask)
                thread = thread.next_thread


@syscall(x86_64=14, arm64=135)
def rt_sigprocmask(how: i32, new: UserPtr[u64], old: UserPtr[u64], size: usize) -> None:
    """sigprocmask(2): examine and change the caller's mask."""
    if size != SIGSET_SIZE:
        raise OSError(errno.EINVAL)
    task = machine.percpu.current()
    before = task.blocked
    if not new.is_null():
        deliver.set_blocked(task, _combined(how, before, new.read()))
    if not old.is_null():
        old.write(before)


def _combined(how: i32, before: u64, mask: u64) -> u64:
    match how:
        case How.SIG_BLOCK:
            return before | mask
        case How.SIG_UNBLOCK:
            return before & ~mask
        case How.SIG_SETMASK:
            return mask
        case _:
            raise OSError(errno.EINVAL)


@syscall(x86_64=127, arm64=136)
def rt_sigpending(into: UserPtr[u64], size: usize) -> None:
    """sigpending(2): signals that are pending and blocked."""
    if size > SIGSET_SIZE:
        raise OSError(errno.EINVAL)
    task = machine.percpu.current()
    with task.group.signal_lock:
        mask = (task.pending.mask | task.group.pending.mask) & task.blocked
    into.write(mask)


@syscall(x86_64=131, arm64=132)
def sigaltstack(new: UserPtr[StackT], old: UserPtr[StackT]) -> None:
    """sigaltstack(2): the stack for handlers with SA_ONSTACK."""
    task = machine.percpu.current()
    stack_pointer = machine.context.user_registers(task).stack_pointer()
    on_it = on_alternate(task, stack_pointer)
    before = StackT(task.alternate_sp, i32(task.alternate_flags), 0, task.alternate_size)
    if on_it:
        before.flags = i32(u32(before.flags) | u32(StackFlags.SS_ONSTACK))
    if not new.is_null():
        wanted = new.read()
        if on_it:
            raise OSError(errno.EPERM)
        _set_alternate(task, wanted)
    if not old.is_null():
        old.write(before)


def _set_alternate(task: Task, wanted: StackT) -> None:
    flags = u32(wanted.flags)
    mode = flags & ~u32(StackFlags.SS_AUTODISARM)
    if mode == StackFlags.SS_DISABLE:
        task.alternate_sp = 0
        task.alternate_size = 0
        task.alternate_flags = flags
        return
    if mode not in (0, StackFlags.SS_ONSTACK):
        raise OSError(errno.EINVAL)
    if wanted.size < MINSIGSTKSZ:
        raise MemoryError
    task.alternate_sp = wanted.sp
    task.alternate_size = wanted.size
    task.alternate_flags = flags & u32(StackFlags.SS_AUTODISARM)


def on_alternate(task: Task, stack_pointer: u64) -> bool:
    """Whether the stack pointer is on the alternate stack."""
    if (task.alternate_flags & StackFlags.SS_AUTODISARM) != 0:
        return False
    base = task.alternate_sp
    return stack_pointer > base and stack_pointer - base <= task.alternate_size


@syscall(x86_64=15, arm64=139)
def rt_sigreturn() -> i64:
    """sigreturn(2): back from a handler to what it interrupted."""
    task = machine.percpu.current()
    regs = machine.context.user_registers(task)
    delivery = machine.signal_frame.Delivery()
    try:
        machine.signal_frame.pop(regs, delivery)
    except OSError:
        send.force_default(task, i32(Signal.SIGSEGV))
        return i64(0)
    deliver.set_blocked(task, delivery.mask)
    _restore_alternate(task, delivery.alt_sp, delivery.alt_size, delivery.alt_flags)
    return regs.result()


def _restore_alternate(task: Task, base: u64, size: u64, flags: u32) -> None:
    """The frame's uc_stack, as far as it is valid; a frame that lies about it is not worth a fault."""
    try:
        _set_alternate(task, StackT(base, i32(flags & ~u32(StackFlags.SS_ONSTACK)), 0, size))
    except OSError:
        pass
    except MemoryError:
        pass
