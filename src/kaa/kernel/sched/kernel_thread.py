# SPDX-License-Identifier: Apache-2.0
"""Threads of the kernel, and processes that begin in the kernel.

Each is a process of its own. A plain kernel thread (`spawn`) has no parent and vanishes when its function returns.
One made by `spawn_process` is an ordinary child that starts in a kernel function, which is to end in `exec.run`
(process 1, the command of `./kaa run`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from kaa.kernel import log
from kaa.kernel.arch import machine
from kaa.kernel.process import boot, fork, tree
from kaa.kernel.process import pid as pids
from kaa.kernel.process.credentials import ROOT
from kaa.kernel.process.group import KERNEL, UNKILLABLE, ThreadGroup
from kaa.kernel.process.task import KERNEL_THREAD, Task, program_name
from kaa.kernel.sched import core
from kaa.kernel.signal.handlers import SignalHandlers
from kaa.lang import Bytes, i32, u64

if TYPE_CHECKING:
    from kaa.kernel.process.pid import Pid

SIGCHLD = 17


def spawn(entry: Callable[[u64], None], argument: u64, name: Bytes) -> Task:
    """A kernel thread running `entry(argument)`. Raises MemoryError, OSError(EAGAIN)."""
    identity = pids.table.allocate()
    try:
        task = _make(identity, entry, argument)
        task.files = boot.no_files
        task.flags.store(KERNEL_THREAD)
        task.group.flags.store_relaxed(KERNEL)
        task.set_name(name)
        _enter_tree(task, None)
    except MemoryError:
        fork.forget(identity)
        raise
    core.start(task)
    return task


def spawn_process(entry: Callable[[u64], None], argument: u64, name: Bytes) -> Task:
    """A child of the caller (process 1: of nobody) that begins with `entry(argument)` in the kernel, and will exec.
    It has copies of the caller's descriptors and directories. Raises MemoryError, OSError(EAGAIN)."""
    identity = pids.table.allocate()
    try:
        task = _make(identity, entry, argument)
        parent = machine.percpu.current()
        task.files = parent.files.fork()
        fs = boot.system.fs
        if fs is not None:
            task.fs = fs.fork() if parent.pid == 0 else parent.fs.fork()
        task.credentials = parent.credentials
        task.set_name(name)
        _enter_tree(task, None if parent.pid == 0 else parent.group)
    except MemoryError:
        fork.forget(identity)
        raise
    core.start(task)
    return task


def _make(identity: Pid, entry: Callable[[u64], None], argument: u64) -> Task:
    group = ThreadGroup(identity.number, SignalHandlers())
    group.limits.set_defaults()
    group.start_time = machine.clock.monotonic_ns()
    task = Task(group, identity)
    task.credentials = ROOT
    task.start_time = group.start_time
    task.kernel_stack = machine.context.allocate_stack()
    task.kernel_entry = entry
    task.kernel_argument = argument
    machine.context.new_kernel_thread(task, _begin, u64(0))
    return task


def _enter_tree(task: Task, parent: ThreadGroup | None) -> None:
    group = task.group
    task.finished()
    with tree.lock:
        task.identity.task = task
        group.leader = task
        with group.signal_lock:
            group.live_threads = 1
            tree.add_thread(group, task)
        if group.tgid == 1:
            group.flags.fetch_or(UNKILLABLE)
        if parent is None:
            return
        group.exit_signal = i32(SIGCHLD)
        task.exit_signal = i32(SIGCHLD)
        tree.add_child(parent, group)
        group.tty = parent.tty
        process_group = parent.process_group
        session = parent.session
        if process_group is not None:
            tree.join_group(group, process_group)
        if session is not None:
            tree.join_session(group, session)


def _begin(unused: u64) -> None:
    """Where each of these tasks starts."""
    from kaa.kernel.process import exit

    task = machine.percpu.current()
    entry = task.kernel_entry
    if entry is not None:
        try:
            entry(task.kernel_argument)
        except Exception:
            name = program_name(task)
            log.error(f"kernel thread {name.text()} ended by an error")
    exit.exit_thread(i32(0))
