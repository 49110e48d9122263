# SPDX-License-Identifier: Apache-2.0
"""The machine: `from kaa.kernel.arch import machine` gives the package of the processor this kernel is built for.

`machine` is bound before its modules are loaded, so that rooms and machine may import each other's modules.
`interface.py` says what a machine must provide.
"""

from __future__ import annotations

# ruff: noqa: I001  (the order is the point)
from kaa.kernel.arch import x86_64 as machine
from kaa.kernel.arch.x86_64 import regs as regs
from kaa.kernel.arch.x86_64 import percpu as percpu
from kaa.kernel.arch.x86_64 import irq as irq
from kaa.kernel.arch.x86_64 import running as running
from kaa.kernel.arch.x86_64 import paging as paging
from kaa.kernel.arch.x86_64 import user as user
from kaa.kernel.arch.x86_64 import context as context
from kaa.kernel.arch.x86_64 import clock as clock
from kaa.kernel.arch.x86_64 import power as power
from kaa.kernel.arch.x86_64 import signal_frame as signal_frame
from kaa.kernel.arch.x86_64 import elf as elf
from kaa.kernel.arch.x86_64 import smp as smp
from kaa.kernel.arch.x86_64 import interrupt_counts as interrupt_counts
from kaa.kernel.arch.x86_64 import cpuinfo as cpuinfo

__all__ = ["machine"]
