# SPDX-License-Identifier: Apache-2.0
"""Taking signals: what happens between the end of a system call (or fault, or interrupt) and user mode.

`return_to_user` runs when `task.work` is not zero, on the task's own kernel stack, interrupts on. It stops, dies, or
sets up one handler after another, and it says what becomes of a system call that a signal interrupted (see
`abi.restart`). No counted reference may be held in a frame here across the end of the task.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from kaa.kernel.abi import restart
from kaa.kernel.abi.signal import (
    FAULT_SIGNALS,
    IGNORED_BY_DEFAULT,
    KILL_AND_STOP,
    SIG_DFL,
    SIG_IGN,
    STOP_SIGNALS,
    SigAction,
    SigInfo,
    Signal,
    SignalFlags,
    UserSigInfo,
)
from kaa.kernel.arch import machine
from kaa.kernel.locking import rcu
from kaa.kernel.mm.user import UserPtr
from kaa.kernel.process import rseq
from kaa.kernel.process.task import (
    DYING,
    STOP_TAKEN,
    STOP_WANTED,
    WORK_CHILD_TID,
    WORK_RESTORE_MASK,
    WORK_RETIRED,
    WORK_RSEQ,
    WORK_SIGNAL,
    Task,
)
from kaa.kernel.signal import send, stop
from kaa.kernel.signal.summon import alert
from kaa.lang import as_bytes, cold, i32, i64, trailing_zeros, u32, u64

if TYPE_CHECKING:
    from kaa.kernel.arch.x86_64.regs import Registers
    from kaa.kernel.process.group import ThreadGroup

NR_RESTART_SYSCALL: Final = 219
"""restart_syscall(2) on x86-64."""
NO_SIGNAL: Final = 0
AGAIN: Final = -1
DIE: Final = -2
STOP: Final = -3


def return_to_user(regs: Registers) -> None:
    """Do what `task.work` asks for."""
    task = machine.percpu.current()
    if (task.work.load() & WORK_CHILD_TID) != 0:
        _write_child_tid(task)
    if (task.work.load() & WORK_RETIRED) != 0:
        task.work.fetch_and(~u32(WORK_RETIRED))
        rcu.require_threads()
    if (task.work.load() & (WORK_SIGNAL | WORK_RESTORE_MASK)) != 0:
        _signals(task, regs)
    if (task.work.load() & WORK_RSEQ) != 0:
        _sequences(task, regs)


def _sequences(task: Task, regs: Registers) -> None:
    """The last of all: what comes before may sleep."""
    if task.rseq_area != 0:
        rseq.before_user(task, regs)
    else:
        task.work.fetch_and(~u32(WORK_RSEQ))


def _write_child_tid(task: Task) -> None:
    """CLONE_CHILD_SETTID: the new task stores its id; where it cannot, nobody is told (clone(2))."""
    with task.group.signal_lock:
        task.work.fetch_and(~u32(WORK_CHILD_TID))
    try:
        UserPtr[i32](task.set_child_tid).write(task.pid)
    except Exception:
        pass


def _signals(task: Task, regs: Registers) -> None:
    full = UserSigInfo()
    info = full.info
    action = SigAction()
    delivered = False
    while True:
        signo = _next(task, info, action)
        if signo == DIE:
            _die(task)
        if signo == NO_SIGNAL:
            break
        if signo > 0:
            if not delivered:
                _restart_handled(regs, action)
            delivered = True
            if not _enter_handler(task, regs, signo, action, full):
                continue
    if not delivered:
        _restart_unhandled(task, regs)
        _restore_mask(task)


def _next(task: Task, info: SigInfo, action: SigAction) -> i32:
    """The next signal that has a handler; NO_SIGNAL when there is nothing left to do; DIE."""
    group = task.group
    if group.job_notify:
        stop.tell_continued(group)
    while True:
        if (task.flags.load() & (STOP_WANTED | DYING)) == STOP_WANTED:
            stop.participate(task)
        with group.signal_lock:
            if group.group_exit.load_relaxed() or (task.flags.load() & DYING) != 0:
                return DIE
            signo = _take(task, group, info)
            if signo == NO_SIGNAL:
                if not group.job_notify and (task.flags.load() & STOP_WANTED) == 0:
                    task.work.fetch_and(~u32(WORK_SIGNAL))
                    return NO_SIGNAL
                verdict = AGAIN
            else:
                verdict = _judge(group, signo, action)
                if verdict == STOP:
                    task.flags.fetch_or(STOP_TAKEN)
        if verdict == STOP:
            verdict = _stop(task, group, signo)
        if verdict == DIE:
            _note_fatal(task, group, signo, info)
            return DIE
        if verdict != AGAIN:
            return verdict
        if group.job_notify:
            stop.tell_continued(group)


def _take(task: Task, group: ThreadGroup, info: SigInfo) -> i32:
    """Take the signal that is due first: faults, then the thread's own, then the process's; lower numbers first."""
    own = task.pending.mask & ~task.blocked
    shared = group.pending.mask & ~task.blocked
    if (own | shared) == 0:
        return i32(NO_SIGNAL)
    first = own & FAULT_SIGNALS
    pending = task.pending
    if first == 0:
        first = own
    if first == 0:
        first = shared
        pending = group.pending
    signo = i32(trailing_zeros(first)) + 1
    entry = pending.take(signo, info)
    if entry is not None:
        from kaa.kernel.time import posix_timer

        posix_timer.taken(entry, info)
    return signo


def _judge(group: ThreadGroup, signo: i32, action: SigAction) -> i32:
    """What is to be done about a signal; a handler's action is copied, as it is now."""
    handlers = group.handlers
    handlers.get(signo, action)
    if action.handler == SIG_IGN:
        return i32(AGAIN)
    if action.handler == SIG_DFL:
        return _default(group, u64(1) << u64(signo - 1))
    if (action.flags & SignalFlags.SA_RESETHAND) != 0:
        handlers.reset(signo)
    return signo


def _default(group: ThreadGroup, bit: u64) -> i32:
    from kaa.kernel.process.group import UNKILLABLE

    if (IGNORED_BY_DEFAULT & bit) != 0:
        return i32(AGAIN)
    if (group.flags.load_relaxed() & UNKILLABLE) != 0:
        return i32(AGAIN)
    if (STOP_SIGNALS & bit) != 0:
        return i32(STOP)
    return i32(DIE)


def _stop(task: Task, group: ThreadGroup, signo: i32) -> i32:
    """Begin a stop, unless nobody could ever continue it."""
    if stop.may_stop(group, signo):
        with group.signal_lock:
            stop.begin(group, task, signo)
    return i32(AGAIN)


@cold
def _note_fatal(task: Task, group: ThreadGroup, signo: i32, info: SigInfo) -> None:
    """The process ends by `signo`."""
    from kaa.kernel.process import exit

    if ((FAULT_SIGNALS >> u64(signo - 1)) & 1) != 0 and group.tgid == 1:
        from kaa.kernel import log

        log.error(f"process 1 dies of signal {signo}, address {info.word0:#x}")
    exit.begin_group_exit(group, signo)


@cold
def _die(task: Task) -> None:
    from kaa.kernel.process import exit

    exit.exit_thread(exit.status_of(task))


def _restart_code(regs: Registers) -> i64:
    """The restart code that the interrupted call ended with; 0 when none."""
    if regs.system_call() == machine.regs.NO_SYSTEM_CALL:
        return i64(0)
    result = regs.result()
    if -restart.RESTART_BLOCK <= result <= -restart.RESTART:
        return -result
    return i64(0)


def _restart_handled(regs: Registers, action: SigAction) -> None:
    """A handler is about to run: does the interrupted call end with EINTR, or is it made again after the handler?"""
    code = _restart_code(regs)
    if code == 0:
        return
    again = code == restart.RESTART_ALWAYS or (code == restart.RESTART and (action.flags & SignalFlags.SA_RESTART) != 0)
    if again:
        regs.restart_system_call()
    else:
        regs.set_result(i64(-errno.EINTR))


def _restart_unhandled(task: Task, regs: Registers) -> None:
    """No handler runs: the interrupted call is made again."""
    code = _restart_code(regs)
    if code == 0:
        return
    if code == restart.RESTART_BLOCK:
        regs.set_system_call(u64(NR_RESTART_SYSCALL))
    regs.restart_system_call()


def _restore_mask(task: Task) -> None:
    """sigsuspend and its like end without a handler: the mask of before comes back."""
    if (task.work.load() & WORK_RESTORE_MASK) != 0:
        set_blocked(task, task.saved_mask)
        with task.group.signal_lock:
            task.work.fetch_and(~u32(WORK_RESTORE_MASK))


def _enter_handler(task: Task, regs: Registers, signo: i32, action: SigAction, info: UserSigInfo) -> bool:
    """Make the thread go on in the handler; False if its stack would not take the frame (SIGSEGV follows)."""
    if task.rseq_area != 0:
        rseq.before_handler(task, regs)
    mask = task.saved_mask if (task.work.load() & WORK_RESTORE_MASK) != 0 else task.blocked
    delivery = machine.signal_frame.Delivery()
    delivery.signo = u32(signo)
    delivery.handler = action.handler
    delivery.restorer = action.restorer
    delivery.flags = action.flags
    delivery.mask = mask
    delivery.alt_sp = task.alternate_sp
    delivery.alt_size = task.alternate_size
    delivery.alt_flags = task.alternate_flags
    try:
        machine.signal_frame.push(regs, delivery, as_bytes(info))
    except Exception:
        send.force_default(task, i32(Signal.SIGSEGV))
        return False
    if (task.alternate_flags & 0x8000_0000) != 0:
        _disarm_alternate(task)
    block = action.mask
    if (action.flags & SignalFlags.SA_NODEFER) == 0:
        block |= u64(1) << u64(signo - 1)
    _block(task, block)
    return True


def _disarm_alternate(task: Task) -> None:
    """SS_AUTODISARM: the alternate stack is nobody's while a handler runs on it."""
    task.alternate_sp = 0
    task.alternate_size = 0
    task.alternate_flags = 2


def _block(task: Task, mask: u64) -> None:
    with task.group.signal_lock:
        task.work.fetch_and(~u32(WORK_RESTORE_MASK))
        task.blocked = (task.blocked | mask) & ~u64(KILL_AND_STOP)
        send.recalculate(task)


def set_blocked(task: Task, mask: u64) -> None:
    """Set the caller's mask (SIGKILL and SIGSTOP stay unblocked), and look again at what is pending."""
    with task.group.signal_lock:
        wanted = mask & ~u64(KILL_AND_STOP)
        newly = wanted & ~task.blocked & task.group.pending.mask
        task.blocked = wanted
        send.recalculate(task)
        if newly != 0 and task.group.thread_count > 1:
            _pass_on(task, newly)


def _pass_on(task: Task, mask: u64) -> None:
    """Signals of the process that this thread was woken for and now blocks: another thread is to take them."""
    thread = task.group.first_thread
    while thread is not None:
        if thread is not task and (mask & ~thread.blocked) != 0:
            alert(thread)
        thread = thread.next_thread


def block_until_return(task: Task, mask: u64) -> None:
    """Replace the caller's mask until the system call ends (sigsuspend, ppoll, pselect6, epoll_pwait): call it, then
    sleep."""
    task.saved_mask = task.blocked
    set_blocked(task, mask)
    with task.group.signal_lock:
        task.work.fetch_or(WORK_RESTORE_MASK)


def exception(signo: i32, code: i32, address: u64, regs: Registers) -> None:
    """A fault of the running thread becomes a signal that it cannot escape."""
    info = SigInfo(signo, 0, code)
    info.word0 = address
    send.force(machine.percpu.current(), info)
