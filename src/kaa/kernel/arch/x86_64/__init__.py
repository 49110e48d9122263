# SPDX-License-Identifier: Apache-2.0
"""x86-64: the only assembly of the kernel, behind `arch/interface.py`.

Sources: Intel 64 and IA-32 SDM volume 3; AMD64 APM volume 2; System V ABI AMD64; Xen's HVM direct boot ABI (PVH); ACPI 6.5.
What comes in: interrupts, exceptions, system calls (entry.py), each as one trap frame (regs.py). What goes out: calls of
mm.page_fault, signal.deliver, abi.syscall's table, sched.core. Locks: none that another room can see.
This file stays empty of imports: `arch/__init__.py` loads the modules.
"""

from __future__ import annotations
