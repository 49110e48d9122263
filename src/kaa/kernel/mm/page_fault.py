# SPDX-License-Identifier: Apache-2.0
"""The page fault handler: from the processor's complaint to a page, a signal, or a failed copy.

`access` has bits 1 write, 2 instruction fetch, 4 user memory. A fault of a user program that cannot be resolved becomes
SIGSEGV or SIGBUS with the codes of sigaction(2); one of a copy in the kernel is told to the copy (False), which ends
with EFAULT. Without memory the handler makes some (reclaim, then the OOM killer) and tries again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kaa.kernel.arch import machine
from kaa.kernel.mm import faults, oom_kill
from kaa.lang import cold, fault_handler, noinline, u32, u64

if TYPE_CHECKING:
    from kaa.kernel.arch.x86_64.regs import Registers
    from kaa.kernel.mm.address_space import AddressSpace
    from kaa.kernel.process.task import Task

SIGBUS: Final = 7
SIGSEGV: Final = 11
SEGV_MAPERR: Final = 1
SEGV_ACCERR: Final = 2
BUS_ADRERR: Final = 2
USER_END: Final = machine.paging.USER_END


@fault_handler
def handle(address: u64, access: u32, regs: Registers) -> bool:
    """Resolve a fault of the running task. True: go on where it happened. False: a user program got its signal, or a
    copy in the kernel fails."""
    task = machine.percpu.current()
    result: u32 = faults.NO_AREA
    if address < USER_END:
        result = _resolve(task, address, access)
    if result == faults.RESOLVED:
        return True
    if regs.user_mode() and result != faults.DYING:
        _signal(result, address, regs)
    return False


def _resolve(task: Task, address: u64, access: u32) -> u32:
    space = task.mm
    if space is None:
        return u32(faults.NO_AREA)
    task.minor_faults += 1
    machine.percpu.here().events.note_fault()
    return _resolve_in(space, task, address, access)


def _resolve_in(space: AddressSpace, task: Task, address: u64, access: u32) -> u32:
    while True:
        try:
            return faults.resolve(space, address, access)
        except MemoryError:
            if not oom_kill.make_room(task):
                # The task itself is to die: SIGKILL waits for it at the way out. (Or nothing is left to kill.)
                return u32(faults.DYING if oom_kill.is_dying(task) else faults.BEYOND_END)
        except OSError:
            return u32(faults.BEYOND_END)


@cold
@noinline
def _signal(result: u32, address: u64, regs: Registers) -> None:
    from kaa.kernel.signal import deliver

    if result == faults.BEYOND_END:
        deliver.exception(SIGBUS, BUS_ADRERR, address, regs)
    elif result == faults.NO_RIGHT:
        deliver.exception(SIGSEGV, SEGV_ACCERR, address, regs)
    else:
        deliver.exception(SIGSEGV, SEGV_MAPERR, address, regs)
