# SPDX-License-Identifier: Apache-2.0
"""Making tasks: fork, vfork, clone, clone3 (clone(2)).

A child is built completely before anyone can see it; whatever fails on the way, dropping the half-built task undoes it.
Only then, under `tree.lock`, it gets its place in the tree, and after that it is let run. A signal that came to the
parent in between makes fork begin again, so that a signal to a process group reaches either parent and child or a
parent that has not forked yet (POSIX, fork, rationale).
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from kaa.kernel.abi.resource import Resource
from kaa.kernel.abi.restart import RestartAlways
from kaa.kernel.abi.sched import NAMESPACES, Clone
from kaa.kernel.abi.signal import Signal
from kaa.kernel.arch import machine
from kaa.kernel.mm.user import UserPtr
from kaa.kernel.process import foreign, rseq, tree
from kaa.kernel.process import pid as pids
from kaa.kernel.process.group import UNKILLABLE, ThreadGroup
from kaa.kernel.process.task import (
    FORKED_NO_EXEC,
    LENT_CREDENTIALS,
    SHARES_MEMORY,
    VFORKED,
    WORK_CHILD_TID,
    Task,
)
from kaa.kernel.sched import core, policy
from kaa.kernel.signal import has_pending, must_die
from kaa.kernel.signal.handlers import SignalHandlers
from kaa.lang import cold, i32, inline, noinline, struct, u32, u64

if TYPE_CHECKING:
    from kaa.kernel.process.credentials import Credentials
    from kaa.kernel.process.pid import Pid

MAX_TASKS: Final = 16384


@struct
class CloneRequest:
    """What the callers of clone agree on."""

    flags: u64 = 0
    exit_signal: i32 = 0
    stack: u64 = 0
    tls: u64 = 0
    parent_tid: u64 = 0
    child_tid: u64 = 0
    # CLONE_PIDFD: where to store the descriptor. clone3(2)'s set_tid; 0: any number.
    pidfd: u64 = 0
    number: i32 = 0


def clone_task(request: CloneRequest) -> i32:
    """Make a child of the caller as `request` says, let it run, and give its id. Raises OSError, MemoryError."""
    flags = request.flags
    check_flags(flags)
    if (flags & Clone.CLONE_SETTLS) != 0 and not machine.user.valid(request.tls, 1):
        raise OSError(errno.EPERM)
    parent = machine.percpu.current()
    child = _build(parent, request)
    number = child.pid
    if (flags & Clone.CLONE_PARENT_SETTID) != 0:
        _store_quietly(request.parent_tid, number)
    core.start(child)
    if (flags & Clone.CLONE_VFORK) != 0:
        del child
        _wait_for_vfork(parent, number)
    return number


def check_flags(flags: u64) -> None:
    """Refuse combinations that make no sense (clone(2), EINVAL) and namespaces, which this kernel has not."""
    if (flags & NAMESPACES) != 0:
        _refuse_namespaces(flags)
    if (flags & Clone.CLONE_SIGHAND) != 0 and (flags & Clone.CLONE_VM) == 0:
        raise OSError(errno.EINVAL)
    if (flags & Clone.CLONE_THREAD) != 0 and (flags & Clone.CLONE_SIGHAND) == 0:
        raise OSError(errno.EINVAL)
    if (flags & Clone.CLONE_INTO_CGROUP) != 0:
        raise OSError(errno.EINVAL)
    if (flags & Clone.CLONE_CLEAR_SIGHAND) != 0 and (flags & Clone.CLONE_SIGHAND) != 0:
        raise OSError(errno.EINVAL)
    if (flags & Clone.CLONE_PARENT) != 0 and (machine.percpu.current().group.flags.load_relaxed() & UNKILLABLE) != 0:
        raise OSError(errno.EINVAL)


def _refuse_namespaces(flags: u64) -> None:
    from kaa.kernel.process import credentials

    if (flags & Clone.CLONE_NEWUSER) == 0:
        credentials.require(u32(credentials.Capability.CAP_SYS_ADMIN))
    raise OSError(errno.EINVAL)


def _store_quietly(address: u64, number: i32) -> None:
    """Put the child's id where the caller wants it; a bad address is the caller's own loss (clone(2) does not fail)."""
    try:
        UserPtr[i32](address).write(number)
    except Exception:
        pass


def _build(parent: Task, request: CloneRequest) -> Task:
    flags = request.flags
    thread = (flags & Clone.CLONE_THREAD) != 0
    check_task_limit(parent)
    identity = pids.table.allocate() if request.number == 0 else _allocate_exactly(request.number)
    try:
        group = parent.group if thread else _new_group(parent, identity.number, flags)
        child = Task(group, identity)
        _inherit(child, parent)
        child.start_time = machine.clock.monotonic_ns() if thread else group.start_time
        child.kernel_stack = machine.context.allocate_stack()
        _share_or_copy(child, parent, flags, request.stack)
        _prepare_return(child, parent, request)
        if thread:
            child.tgid = parent.tgid
            child.exit_signal = 0
        else:
            child.exit_signal = request.exit_signal
        if (flags & Clone.CLONE_PIDFD) == 0:
            _publish(child, parent, request)
        else:
            _publish_with_descriptor(child, parent, request, identity)
    except OSError:
        forget(identity)
        raise
    except MemoryError:
        forget(identity)
        raise
    return child


def _allocate_exactly(number: i32) -> Pid:
    """The number that the caller asked for. Raises OSError(EPERM, EINVAL), FileExistsError, MemoryError."""
    from kaa.kernel.process import credentials

    if not credentials.capable(u32(credentials.Capability.CAP_CHECKPOINT_RESTORE)):
        credentials.require(u32(credentials.Capability.CAP_SYS_ADMIN))
    return pids.table.allocate_exactly(number)


def _publish_with_descriptor(child: Task, parent: Task, request: CloneRequest, identity: Pid) -> None:
    """CLONE_PIDFD: the descriptor is there before the child; if there is no child after all, it goes again."""
    from kaa.kernel.process import pidfd

    file = pidfd.open_for(identity, (request.flags & Clone.CLONE_THREAD) != 0, u32(0))
    files = parent.files
    fd = files.install(file, True)
    try:
        UserPtr[i32](request.pidfd).write(fd)
        _publish(child, parent, request)
    except OSError:
        files.withdraw(fd, file)
        raise


def forget(identity: Pid) -> None:
    """Give back a number that nothing came of."""
    with tree.lock:
        identity.task = None
        pids.table.free_if_unused(identity)


def check_task_limit(parent: Task) -> None:
    """RLIMIT_NPROC (for all but root) and the system's own limit. Raises OSError(EAGAIN)."""
    from kaa.kernel.process import credentials

    count = u64(pids.table.count.load_relaxed())
    who = parent.credentials
    limit = parent.group.limits.soft[Resource.RLIMIT_NPROC].load_relaxed()
    if count >= limit and who.uid != 0 and not who.capable(u32(credentials.Capability.CAP_SYS_RESOURCE)):
        if not who.capable(u32(credentials.Capability.CAP_SYS_ADMIN)) and _tasks_of(who.uid) >= limit:
            raise OSError(errno.EAGAIN)
    if count >= MAX_TASKS:
        raise OSError(errno.EAGAIN)


@cold
def _tasks_of(uid: u32) -> u64:
    """Threads of a real user. Only looked for when there are so many threads in all that it may matter."""
    from kaa.kernel.process import ids

    count: u64 = u64(0)
    task = ids.next_task(i32(0))
    while task is not None:
        if foreign.user_of(task) == uid:
            count += 1
        task = ids.next_task(task.pid)
    return count


def _new_group(parent: Task, number: i32, flags: u64) -> ThreadGroup:
    origin = parent.group
    handlers = handlers_of(origin) if (flags & Clone.CLONE_SIGHAND) != 0 else handlers_copy(origin)
    if (flags & Clone.CLONE_CLEAR_SIGHAND) != 0:
        saved = machine.irq.save()
        handlers.reset_for_exec()
        machine.irq.restore(saved)
    group = ThreadGroup(number, handlers)
    with origin.signal_lock:
        group.limits.copy_from(origin.limits)
    group.oom_score_adjust = origin.oom_score_adjust
    group.start_time = machine.clock.monotonic_ns()
    return group


def handlers_of(group: ThreadGroup) -> SignalHandlers:
    """A process's table of signal handlers, as it is now."""
    with group.signal_lock:
        return group.handlers


def handlers_copy(group: ThreadGroup) -> SignalHandlers:
    """A process's signal handlers, for another to have. Raises MemoryError."""
    return handlers_of(group).copy()


def _inherit(child: Task, parent: Task) -> None:
    """The words that a child has from its parent."""
    child.name_low = parent.name_low
    child.name_high = parent.name_high
    child.flags.store(FORKED_NO_EXEC | LENT_CREDENTIALS)
    child.blocked = parent.blocked
    child.personality = parent.personality
    child.no_new_privileges = parent.no_new_privileges
    child.timer_slack = parent.timer_slack
    child.credentials = _own_credentials(parent)
    policy.inherit(child, parent)


@inline
def _own_credentials(parent: Task) -> Credentials:
    """The parent's credentials, in an object that it does not share with its own parent, if there is memory for one: so
    processes that fork side by side count no common one for each child."""
    if parent.flags.load_relaxed() & LENT_CREDENTIALS != 0:
        _copy_credentials(parent)
    return parent.credentials


@noinline
def _copy_credentials(task: Task) -> None:
    try:
        foreign.replace_credentials(task, task.credentials.copy())
        task.flags.fetch_and(~u32(LENT_CREDENTIALS))
    except MemoryError:
        pass


def _share_or_copy(child: Task, parent: Task, flags: u64, stack: u64) -> None:
    child.files = parent.files if (flags & Clone.CLONE_FILES) != 0 else parent.files.fork()
    child.fs = parent.fs if (flags & Clone.CLONE_FS) != 0 else parent.fs.fork()
    mm = parent.mm
    if (flags & Clone.CLONE_VM) == 0 and mm is not None:
        registers = machine.context.user_registers(parent)
        stack = stack if stack != 0 else registers.stack_pointer()
        child.mm = mm.fork(stack, registers.program_counter())
    else:
        child.mm = mm
    if (flags & Clone.CLONE_VM) == 0:
        rseq.inherit(child, parent)
    else:
        child.flags.fetch_or(SHARES_MEMORY)
        if (flags & Clone.CLONE_VFORK) == 0:
            parent.flags.fetch_or(SHARES_MEMORY)
            if mm is not None:
                mm.is_shared.store_relaxed(True)
    if (flags & Clone.CLONE_VFORK) != 0:
        child.vfork_parent = parent.pid
        child.flags.fetch_or(VFORKED)
    if (flags & (Clone.CLONE_VM | Clone.CLONE_VFORK)) != Clone.CLONE_VM:
        child.alternate_sp = parent.alternate_sp
        child.alternate_size = parent.alternate_size
        child.alternate_flags = parent.alternate_flags


def _prepare_return(child: Task, parent: Task, request: CloneRequest) -> None:
    flags = request.flags
    machine.context.fork_return(child, machine.context.user_registers(parent))
    if request.stack != 0:
        machine.context.user_registers(child).set_stack_pointer(request.stack)
    if (flags & Clone.CLONE_SETTLS) != 0:
        machine.context.set_tls(child, request.tls)
    if (flags & Clone.CLONE_CHILD_CLEARTID) != 0:
        child.clear_child_tid = request.child_tid
    if (flags & Clone.CLONE_CHILD_SETTID) != 0:
        _set_child_tid(child, request.child_tid)


def _set_child_tid(child: Task, address: u64) -> None:
    """CLONE_CHILD_SETTID writes into the child's memory: the child does it itself before it first returns."""
    child.set_child_tid = address
    child.work.fetch_or(WORK_CHILD_TID)


def _publish(child: Task, parent: Task, request: CloneRequest) -> None:
    """Give the finished child its place. Raises RestartAlways when a signal came, OSError(EAGAIN) when the caller
    dies."""
    flags = request.flags
    child.finished()
    with tree.lock:
        group = child.group
        if (flags & Clone.CLONE_THREAD) != 0:
            _publish_thread(group, child, parent)
        elif has_pending(parent):
            raise RestartAlways
        else:
            _publish_process(group, child, parent, flags)
        child.identity.task = child
        if (flags & Clone.CLONE_FILES) != 0:
            child.files.users.fetch_add(1)
        if (flags & Clone.CLONE_FS) != 0:
            child.fs.users.fetch_add(1)


def _publish_thread(group: ThreadGroup, child: Task, parent: Task) -> None:
    """Whoever ends or stops all threads does so under the signal lock: either it sees the new one, or the parent sees
    that something is pending."""
    with group.signal_lock:
        if has_pending(parent):
            raise RestartAlways
        group.live_threads += 1
        tree.add_thread(group, child)


def _publish_process(group: ThreadGroup, child: Task, parent: Task, flags: u64) -> None:
    if (flags & Clone.CLONE_SIGHAND) != 0:
        with group.signal_lock:
            group.handlers.users.fetch_add(1)
    group.leader = child
    group.exit_signal = child.exit_signal
    with group.signal_lock:
        group.live_threads = 1
        tree.add_thread(group, child)
    origin = parent.group
    real_parent = origin
    group.parent_thread = parent.pid
    if (flags & Clone.CLONE_PARENT) != 0:
        grandparent = origin.parent
        if grandparent is not None:
            real_parent = grandparent
            group.parent_thread = origin.parent_thread
            group.exit_signal = origin.exit_signal
    tree.add_child(real_parent, group)
    parent.last_child = group.tgid if real_parent is origin and group.exit_signal == Signal.SIGCHLD else 0
    parent.news_at_fork = origin.child_news.load_relaxed()
    group.tty = origin.tty
    process_group = origin.process_group
    session = origin.session
    if process_group is not None:
        tree.join_group(group, process_group, origin)
    if session is not None:
        tree.join_session(group, session, origin)


def _wait_for_vfork(parent: Task, number: i32) -> None:
    """Sleep until the child has exec'd or ended; only death disturbs."""
    from kaa.kernel.process import ids

    while True:
        child = ids.find_task(number)
        if child is None or (child.flags.load() & VFORKED) == 0 or child.vfork_parent != parent.pid:
            return
        parent.vfork_child = number
        core.set_state(parent, core.KILLABLE)
        if (child.flags.load() & VFORKED) == 0 or must_die(parent):
            core.set_state(parent, core.RUNNING)
            return
        del child
        core.schedule()


def release_vfork_parent(task: Task) -> None:
    """The child of a vfork no longer uses its parent's memory."""
    if (task.flags.load() & VFORKED) == 0:
        return
    task.flags.fetch_and(~u32(VFORKED))
    from kaa.kernel.process import ids

    waiter = ids.find_task(task.vfork_parent)
    if waiter is not None and waiter.vfork_child == task.pid:
        core.wake_if(waiter, u64(core.KILLABLE))
