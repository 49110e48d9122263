# SPDX-License-Identifier: Apache-2.0
"""What each processor has for itself, reached through the gs segment while in the kernel.

A page per processor holds its CpuLocal, then (descriptors.py) its task state segment at TASK_STATE and its descriptor
table at DESCRIPTORS, then its slots (tlb_slots.py) at SLOTS, then how often each vector came, at COUNTS, then its part
of each sum, at SUMS. entry.py knows where the two stacks are. The count of preempt_disable() and `need_resched` are
neighbours so that preempt_enable() looks at both with one load. The boot processor's area is in the image (boot.py);
smp.py makes the others'. What other rooms keep per processor is in the sched.cpu.Cpu that the area names: `here()`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kaa.kernel.arch.x86_64 import instructions, irq
from kaa.kernel.arch.x86_64.tlb_slots import Slots
from kaa.lang import (
    Array,
    borrowed,
    cold,
    handling,
    inline,
    offset_of,
    preemption,
    sizeof,
    struct,
    u32,
    u64,
    wrapping_add,
)
from kaa.lang.unsafe import Ptr, address_of, asm, class_at, symbol

if TYPE_CHECKING:
    from kaa.kernel.process.task import Task
    from kaa.kernel.sched.cpu import Cpu

MSR_GS_BASE = 0xC0000101
MSR_KERNEL_GS_BASE = 0xC0000102
"""Of the two, this has the user's base while the kernel runs."""
TASK_STATE = 144
DESCRIPTORS = 256
SLOTS = 512
COUNTS = 1024
SUMS = 3072
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
    bit: u64 = 0
    """This processor in a set of processors."""
    active_table: u64 = 0
    """The PageTable loaded here (page_table.py), 0 for the kernel's own; uncounted, as its set of processors has us."""
    left_root: u64 = 0
    """The root that is in CR3 although nobody uses its table any more (page_table.py); 0: there is none."""
    spare_root: u64 = 0
    """A root without a user half, for the next table; 0: there is none. It may be `left_root`, still loaded."""
    idle_stack: u64 = 0
    """What the processor starts on: the top."""
    interrupted_user: u32 = 0
    """Whether the last interrupt came in user mode."""
    spins: u32 = 0
    """How often it has spun, modulo 2^32."""
    user_gs: u64 = 0
    """What the user's gs base is set to."""
    x87_clean: u32 = 0
    """Whether the x87 registers are known to be clean (fpu.py), as the last user task left them."""


AT = {name: f"%%gs:{offset_of(CpuLocal, name)}" for name in CpuLocal.__annotations__}
"""How assembly names this processor's fields."""
assert offset_of(CpuLocal, "need_resched") == offset_of(CpuLocal, "preempt_count") + 4
assert [offset_of(CpuLocal, name) for name in ("entry_stack", "user_stack")] == [16, 24]  # entry.py
assert sizeof(CpuLocal) <= TASK_STATE

simulated: dict[str, int] = {"current": 0, "count": 0, "resched": 0, "depth": 0, "cpu": 0, "number": 0}
"""The area's stand-in under CPython."""


@asm(f"movq {AT['current']}, %0", out="=r", ins=[])
def _current_address() -> u64:
    return u64(simulated["current"])


@asm(f"movq %0, {AT['current']}", out=None, ins=["r"], clobber="memory")
def _store_current(address: u64) -> None:
    simulated["current"] = int(address)


@asm(f"incl {AT['preempt_count']}", out=None, ins=[], clobber="memory,cc")
def _increment() -> None:
    simulated["count"] += 1


@asm(f"decl {AT['preempt_count']}; movq {AT['preempt_count']}, %0", out="=r", ins=[], clobber="memory,cc")
def _decrement() -> u64:
    simulated["count"] -= 1
    return u64(simulated["count"] | simulated["resched"] << 32)


@asm(f"movl {AT['preempt_count']}, %0", out="=r", ins=[], clobber="memory")
def _count() -> u32:
    return u32(simulated["count"])


@asm(f"movl {AT['need_resched']}, %0", out="=r", ins=[], clobber="memory")
def _resched() -> u32:
    return u32(simulated["resched"])


@asm(f"movl %0, {AT['need_resched']}", out=None, ins=["r"], clobber="memory")
def _store_resched(value: u32) -> None:
    simulated["resched"] = int(value)


@asm(f"movl {AT['cpu']}, %0", out="=r", ins=[])
def _cpu() -> u32:
    return u32(simulated["number"])


@asm(f"incl {AT['spins']}; movl {AT['spins']}, %0", out="=r", ins=[], clobber="memory,cc")
def count_spin() -> u32:
    """This processor spins once more; how often by now."""
    simulated["spins"] = simulated.get("spins", 0) + 1
    return u32(simulated["spins"])


@handling("begin")
@asm(f"incl {AT['interrupt_depth']}", out=None, ins=[], clobber="memory,cc")
def enter_interrupt() -> None:
    """An interrupt handler starts on this processor."""
    simulated["depth"] += 1


@handling("end")
@asm(f"decl {AT['interrupt_depth']}", out=None, ins=[], clobber="memory,cc")
def leave_interrupt() -> None:
    """An interrupt handler ended."""
    simulated["depth"] -= 1


@asm(f"incq %%gs:{COUNTS}(,%0,8)", out=None, ins=["r"], clobber="memory,cc")
def count_interrupt(vector: u64) -> None:
    """One more interrupt of that vector came to this processor."""


@asm(f"addq %1, %%gs:{SUMS}(,%0,8)", out=None, ins=["r", "r"], clobber="memory,cc")
def add(which: u64, amount: u64) -> None:
    """Add to one of the 128 sums, modulo 2^64: to this processor's part, by one instruction that is not locked."""
    parts = Ptr[u64](_area() + SUMS)
    parts[which] = wrapping_add(parts[which], amount)


@asm(f"movl {AT['interrupt_depth']}, %0", out="=r", ins=[], clobber="memory")
def interrupt_depth() -> u32:
    """How many interrupt handlers are nested on this processor."""
    return u32(simulated["depth"])


@asm(f"movq {AT['cpu_object']}, %0", out="=r", ins=[])
def _cpu_object() -> u64:
    if simulated["cpu"] == 0:
        from kaa.kernel.sched import cpu

        simulated["cpu"] = int(address_of(cpu.boot))
    return u64(simulated["cpu"])


@asm(f"movq %0, {AT['cpu_object']}", out=None, ins=["r"], clobber="memory")
def _store_cpu_object(address: u64) -> None:
    simulated["cpu"] = int(address)


@asm(f"movq {AT['self_address']}, %0", out="=r", ins=[])
def _area() -> u64:
    return symbol("kaa_boot_cpu")


@asm(f"movl %0, {AT['interrupted_user']}", out=None, ins=["r"], clobber="memory")
def note_interrupted(user: u32) -> None:
    """An interrupt came in user mode (1) or in the kernel (0)."""
    simulated["user"] = int(user)


@asm(f"movl {AT['interrupted_user']}, %0", out="=r", ins=[], clobber="memory")
def _interrupted() -> u32:
    return u32(simulated.get("user", 0))


def interrupted_user() -> bool:
    """In an interrupt's handler: did it come in user mode?"""
    return _interrupted() != 0


@inline
@borrowed
def local() -> CpuLocal:
    """This processor's area; the caller has preemption off or uses what cannot change under it."""
    return Ptr[CpuLocal](_area()).place()


@inline
@borrowed
def slots() -> Slots:
    """What this processor remembers translations of; interrupts are off."""
    return Ptr[Slots](_area() + SLOTS).place()


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


@preemption("off")
def preempt_disable() -> None:
    """No other task runs on this processor until the matching preempt_enable()."""
    _increment()


@preemption("on")
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


class Areas:
    """Where each processor's area is, by number; 0: there is none. Written before the processor starts."""

    address: Array[u64, 64]
    count: u32
    """Above the highest number that has one."""

    def __init__(self) -> None:
        self.address = Array[u64, 64]()
        self.count = 1


areas = Areas()


def prepare(area: u64, cpu: Cpu) -> None:
    """Fill the (zeroed) area of a processor that has not started."""
    local = Ptr[CpuLocal](area).place()
    local.self_address = area
    local.cpu = cpu.number
    local.bit = u64(1) << cpu.number
    local.cpu_object = address_of(cpu)
    areas.address[cpu.number] = area
    areas.count = max(areas.count, cpu.number + 1)


def prepared() -> u32:
    """How many processors there are or will be soon: above the highest number of those that were prepared."""
    return areas.count


def enter(area: u64) -> None:
    """Point gs at this processor's prepared area. Nothing that uses this module works earlier."""
    instructions.write_msr(MSR_GS_BASE, area)
    instructions.write_msr(MSR_KERNEL_GS_BASE, local().user_gs)


@inline
@borrowed
def remote(number: u32) -> CpuLocal:
    """The area of a processor that has one."""
    return Ptr[CpuLocal](areas.address[number]).place()


def set_remote_current(number: u32, task: Task) -> None:
    """Name the task that a processor, which has not started, starts with."""
    remote(number).current = address_of(task)


def interrupt_count(number: u32, vector: u32) -> u64:
    """How many interrupts of a vector came to a processor."""
    area = areas.address[number]
    return u64(0) if area == 0 else Ptr[u64](area + COUNTS)[vector]


def total(which: u64) -> u64:
    """One of the sums, over all processors. While others add it is only near what it was at any moment."""
    result: u64 = 0
    for number in range(areas.count):
        area = areas.address[number]
        if area != 0:
            result = wrapping_add(result, Ptr[u64](area + SUMS)[which])
    return result


def initialise() -> None:
    """The boot processor's area, in the image."""
    from kaa.kernel.sched import cpu

    prepare(symbol("kaa_boot_cpu"), cpu.boot)
    enter(symbol("kaa_boot_cpu"))
