# SPDX-License-Identifier: Apache-2.0
"""The first tasks: the boot thread that becomes the idle task, and what all kernel threads share.

`initialise` runs once, as soon as memory and the per-CPU area work: from then on there is a `current()`. The boot
code goes on in the idle task, which must not sleep; it spawns what may, and ends in `core.idle_loop()`. The idle tasks
of other processors are made by `new_idle` before these start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kaa.kernel.arch import machine
from kaa.kernel.fs.descriptors import FileTable
from kaa.kernel.process.credentials import ROOT
from kaa.kernel.process.group import KERNEL, ThreadGroup
from kaa.kernel.process.pid import Pid
from kaa.kernel.process.task import KERNEL_THREAD, Task
from kaa.kernel.signal.handlers import SignalHandlers
from kaa.lang import Array, i32, u64

if TYPE_CHECKING:
    from kaa.kernel.fs.context import FsContext
    from kaa.kernel.sched.cpu import Cpu

no_files = FileTable()
"""The table of tasks that have none: kernel threads and the dead. Nothing is ever put into it; its users are not
counted."""


class System:
    """What the kernel's own tasks have."""

    # The kernel's root; None until the first file system is mounted.
    fs: FsContext | None
    idle_group: ThreadGroup | None
    started: bool

    def __init__(self) -> None:
        self.fs = None
        self.idle_group = None
        self.started = False


system = System()


class IdleTasks:
    """Those of the processors started later, by number: they are for ever."""

    table: Array[Task | None, 64]

    def __init__(self) -> None:
        self.table = Array[Task | None, 64]()


idle_tasks = IdleTasks()


def initialise() -> None:
    """Make the running code the idle task of this processor. Once."""
    assert not system.started
    system.started = True
    group = ThreadGroup(i32(0), SignalHandlers())
    group.limits.set_defaults()
    system.idle_group = group
    task = _idle_task(group)
    group.leader = task
    group.flags.store_relaxed(KERNEL)
    machine.percpu.here().run_queue.set_idle(task)
    machine.percpu.set_current(task)


def new_idle(cpu: Cpu, stack: u64) -> Task:
    """The idle task of a processor that is to start, on its stack. Raises MemoryError."""
    group = system.idle_group
    assert group is not None
    task = _idle_task(group)
    task.kernel_stack = stack
    fs = system.fs
    if fs is not None:
        task.fs = fs
    idle_tasks.table[cpu.number] = task
    cpu.run_queue.set_idle(task)
    return task


def _idle_task(group: ThreadGroup) -> Task:
    task = Task(group, Pid(i32(0)))
    task.flags.store(KERNEL_THREAD)
    task.credentials = ROOT
    task.files = no_files
    task.set_name(b"idle")
    return task


def set_root(fs: FsContext) -> None:
    """The first root is mounted: `fs` is the kernel's from now on, and that of the tasks it makes. The caller gets it
    too."""
    system.fs = fs
    machine.percpu.current().fs = fs
