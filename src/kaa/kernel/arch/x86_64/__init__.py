# SPDX-License-Identifier: Apache-2.0
"""x86-64: the only assembly of the kernel, behind `arch/interface.py`.

Sources: Intel 64 and IA-32 SDM volume 3; AMD64 APM volume 2; System V ABI AMD64; Xen's HVM direct boot ABI (PVH); ACPI
6.5. What comes in: interrupts, exceptions, system calls (entry.py), each as one trap frame (regs.py). What goes out:
calls of mm.page_fault, signal.deliver, abi.syscall's table, sched.core. Locks: none that another room can see.
This file imports nothing at run time: `arch/__init__.py` loads the modules. Type checkers are told here what there is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kaa.kernel.arch.x86_64 import clock as clock
    from kaa.kernel.arch.x86_64 import context as context
    from kaa.kernel.arch.x86_64 import cpuinfo as cpuinfo
    from kaa.kernel.arch.x86_64 import elf as elf
    from kaa.kernel.arch.x86_64 import interrupt_counts as interrupt_counts
    from kaa.kernel.arch.x86_64 import irq as irq
    from kaa.kernel.arch.x86_64 import paging as paging
    from kaa.kernel.arch.x86_64 import percpu as percpu
    from kaa.kernel.arch.x86_64 import power as power
    from kaa.kernel.arch.x86_64 import regs as regs
    from kaa.kernel.arch.x86_64 import running as running
    from kaa.kernel.arch.x86_64 import signal_frame as signal_frame
    from kaa.kernel.arch.x86_64 import smp as smp
    from kaa.kernel.arch.x86_64 import user as user
