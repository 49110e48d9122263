# SPDX-License-Identifier: Apache-2.0
"""The machine: `from kaa.kernel.arch import machine` gives the package of the processor this kernel is built for.

`machine` is bound before its modules are loaded, so that rooms and machine may import each other's modules.
`interface.py` says what a machine must provide.
"""

from __future__ import annotations

# ruff: noqa: I001  (the order is the point)
from kaa.kernel.arch import x86_64 as machine
import kaa.kernel.arch.x86_64.regs
import kaa.kernel.arch.x86_64.percpu
import kaa.kernel.arch.x86_64.irq
import kaa.kernel.arch.x86_64.paging
import kaa.kernel.arch.x86_64.user
import kaa.kernel.arch.x86_64.context
import kaa.kernel.arch.x86_64.clock
import kaa.kernel.arch.x86_64.power
import kaa.kernel.arch.x86_64.signal_frame
import kaa.kernel.arch.x86_64.elf  # noqa: F401

__all__ = ["machine"]
