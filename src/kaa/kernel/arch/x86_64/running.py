# SPDX-License-Identifier: Apache-2.0
"""Who runs, as a number to compare: sleeping locks name their owners by it.

A task's word is its address. It is never followed, so it may be that of a task which ended: all that is asked is
whether some processor runs it now.
"""

from __future__ import annotations

from kaa.kernel.arch.x86_64 import cpu, percpu, processors
from kaa.lang import trailing_zeros, u32, u64
from kaa.lang.unsafe import asm


@asm(f"movq {percpu.AT['current']}, %0", out="=r", ins=[])
def word() -> u64:
    """The running task's word: not 0, a multiple of 8. Under CPython also when there is no task."""
    return u64(percpu.simulated["current"] or 8)


def may_be_absent() -> bool:
    """Is this a virtual machine, whose processors run only when the host lets them?"""
    return cpu.features.hypervisor


def on_another(task_word: u64) -> bool:
    """Does a processor other than this one run the task of that word?"""
    others = processors.online_mask() & ~(u64(1) << percpu.cpu_id())
    while others != 0:
        if percpu.remote(u32(trailing_zeros(others))).current == task_word:
            return True
        others &= others - 1
    return False
