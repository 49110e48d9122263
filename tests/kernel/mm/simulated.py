# SPDX-License-Identifier: Apache-2.0
"""A machine with some memory and one running task, under CPython, for the tests of this room."""

from __future__ import annotations

import gc
from typing import Any

from kaa.kernel.arch import machine
from kaa.kernel.mm import boot_memory, buddy, frame, pages, reclaim, slab
from kaa.kernel.process.limits import Limits
from kaa.kernel.process.task import Task
from kaa.kernel.sched import cpu
from kaa.lang import Atomic

PAGE = 4096
running: list[Any] = []
"""Keeps the task alive."""


class Group:
    """What the memory code looks at in a process."""

    def __init__(self) -> None:
        self.limits = Limits()
        self.limits.set_defaults()
        self.tgid = 7
        self.oom_score_adjust = 0


def boot(pages_of_memory: int = 600) -> Any:
    """Memory from 1 MiB on; gives the running task."""
    gc.collect()
    buddy.zone.__init__()  # type: ignore[misc]
    reclaim.lru.__init__()  # type: ignore[misc]
    for name in ("first", "last"):
        setattr(reclaim.lru, name, 0)
    pages.zero_page.pfn = Atomic(0)
    for cache in slab.caches:
        cache.__init__(cache.size, cache.number)  # type: ignore[misc]
    cpu.boot.pages.__init__()  # type: ignore[misc]
    cpu.boot.objects.__init__()  # type: ignore[misc]
    boot_memory.usable.__init__()  # type: ignore[misc]
    boot_memory.add(0x10_0000, 0x10_0000 + pages_of_memory * PAGE)
    boot_memory.initialise()
    machine.paging.kernel.root = buddy.allocate_zeroed() << 12
    machine.percpu.local().active_root = machine.paging.kernel.root
    task: Any = object.__new__(Task)
    task.group = Group()
    task.mm = None
    task.kernel_stack = 0
    task.flags = Atomic(0)
    task.work = 0
    task.fail_nth = 0
    task.minor_faults = 0
    task.next_touch = 0
    running.clear()
    running.append(task)
    machine.percpu.set_current(task)
    machine.percpu.simulated["count"] = 0
    machine.percpu.simulated["depth"] = 0
    return task


def all_frames_are_free(but: int = 0) -> bool:
    """Whether nothing is allocated but the kernel's root table and `but` frames."""
    return buddy.free_pages_count() == buddy.total_pages() - 1 - but


__all__ = ["PAGE", "all_frames_are_free", "boot", "frame"]
