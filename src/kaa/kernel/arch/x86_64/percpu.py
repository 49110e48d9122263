# SPDX-License-Identifier: Apache-2.0
"""What each processor has for itself, reached through the gs segment while in the kernel.

entry.py knows these offsets: 0 self, 8 current, 16 entry stack, 24 user stack, 32 preempt count, 36 need_resched.
preempt count and need_resched are neighbours so that preempt_enable() looks at both with one load. The boot processor's
area is in the image (boot.py); smp.py makes the others'. What other rooms keep per processor is in the sched.cpu.Cpu
that the area names: `here()`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kaa.kernel.arch.x86_64 import instructions, irq
from kaa.lang import borrowed, cold, inline, struct, u32, u64
from kaa.lang.unsafe import Ptr, address_of, asm, class_at, symbol

if TYPE_CHECKING:
    from kaa.kernel.process.task import Task
    from kaa.kernel.sched.cpu import Cpu

MSR_GS_BASE = 0xC0000101
RESCHEDULE_NOW = 1 << 32
"""The word of preempt count and need_resched that says: count zero, a switch is due."""


@struct
class CpuLocal:
    """One processor's own area."""

    self_address: u64 = 0
    current: u64 = 0
    entry_stack: u64 = 0
    user_stack: u64 = 0
    preempt_count: u32 = 0
    need_resched: u32 = 0
    cpu: u32 = 0
    interrupt_depth: u32 = 0
    active_root: u64 = 0
    nmi_count: u64 = 0
    cpu_object: u64 = 0


simulated: dict[str, int] = {"current": 0, "count": 0, "resched": 0, "depth": 0, "cpu": 0}
"""The area's stand-in under CPython."""


@asm("movq %%gs:8, %0", out="=r", ins=[])
def _current_address() -> u64:
    return u64(simulated["current"])


@asm("movq %0, %%gs:8", out=None, ins=["r"], clobber="memory")
def _store_current(address: u64) -> None:
    simulated["current"] = int(address)


@asm("incl %%gs:32", out=None, ins=[], clobber="memory,cc")
def _increment() -> None:
    simulated["count"] += 1


@asm("decl %%gs:32; movq %%gs:32, %0", out="=r", ins=[], clobber="memory,cc")
def _decrement() -> u64:
    simulated["count"] -= 1
    return u64(simulated["count"] | simulated["resched"] << 32)


@asm("movl %%gs:32, %0", out="=r", ins=[], clobber="memory")
def _count() -> u32:
    return u32(simulated["count"])


@asm("movl %%gs:36, %0", out="=r", ins=[], clobber="memory")
def _resched() -> u32:
    return u32(simulated["resched"])


@asm("movl %0, %%gs:36", out=None, ins=["r"], clobber="memory")
def _store_resched(value: u32) -> None:
    simulated["resched"] = int(value)


@asm("movl %%gs:40, %0", out="=r", ins=[])
def _cpu() -> u32:
    return u32(0)


@asm("incl %%gs:44", out=None, ins=[], clobber="memory,cc")
def enter_interrupt() -> None:
    """An interrupt handler starts on this processor."""
    simulated["depth"] += 1


@asm("decl %%gs:44", out=None, ins=[], clobber="memory,cc")
def leave_interrupt() -> None:
    """An interrupt handler ended."""
    simulated["depth"] -= 1


@asm("movl %%gs:44, %0", out="=r", ins=[], clobber="memory")
def interrupt_depth() -> u32:
    """How many interrupt handlers are nested on this processor."""
    return u32(simulated["depth"])


@asm("movq %%gs:64, %0", out="=r", ins=[])
def _cpu_object() -> u64:
    if simulated["cpu"] == 0:
        from kaa.kernel.sched import cpu

        simulated["cpu"] = int(address_of(cpu.boot))
    return u64(simulated["cpu"])


@asm("movq %0, %%gs:64", out=None, ins=["r"], clobber="memory")
def _store_cpu_object(address: u64) -> None:
    simulated["cpu"] = int(address)


@asm("movq %%gs:0, %0", out="=r", ins=[])
def _area() -> u64:
    return symbol("kaa_boot_cpu")


@inline
@borrowed
def local() -> CpuLocal:
    """This processor's area; the caller has preemption off or uses what cannot change under it."""
    return Ptr[CpuLocal](_area()).place()


@borrowed
def current() -> Task:
    """The running task."""
    from kaa.kernel.process.task import Task

    return class_at(Task, _current_address())


def set_current(task: Task) -> None:
    """Name the running task; the caller keeps it alive while it runs."""
    _store_current(address_of(task))


def has_current() -> bool:
    """Is there a task yet? Not before the scheduler starts."""
    return _current_address() != 0


def preempt_disable() -> None:
    """No other task runs on this processor until the matching preempt_enable()."""
    _increment()


@inline
def preempt_enable() -> None:
    """Allow preemption again; switch now when one became due meanwhile."""
    if _decrement() == RESCHEDULE_NOW:
        _preempt()


@cold
def _preempt() -> None:
    """A switch is due, and the count is zero: do it unless interrupts are off (then the interrupt's end will)."""
    if irq.enabled():
        from kaa.kernel.sched import core

        core.preempt()


def preempt_count() -> u32:
    """Depth of preempt_disable()."""
    return _count()


def need_resched() -> bool:
    """Is a task switch due?"""
    return _resched() != 0


def set_need_resched() -> None:
    """Ask for a task switch at the next point where one may happen."""
    _store_resched(1)


def clear_need_resched() -> None:
    """schedule() is choosing now."""
    _store_resched(0)


@borrowed
def here() -> Cpu:
    """What this processor has; the caller has preemption off, or looks at what may be another's by now. Cpus are for
    ever."""
    from kaa.kernel.sched.cpu import Cpu

    return class_at(Cpu, _cpu_object())


def set_here(cpu: Cpu) -> None:
    """Name this processor's Cpu: once, before anything here asks."""
    _store_cpu_object(address_of(cpu))


def cpu_id() -> u32:
    """Number of this processor, from 0."""
    return _cpu()


def initialise() -> None:
    """Point gs at the boot processor's area. Nothing that uses this module works earlier."""
    from kaa.kernel.sched import cpu

    area = symbol("kaa_boot_cpu")
    instructions.write_msr(MSR_GS_BASE, area)
    Ptr[CpuLocal](area).place().self_address = area
    set_here(cpu.boot)
