# SPDX-License-Identifier: Apache-2.0
"""membarrier(2): order memory accesses among threads, so that one side of a fast path needs no barrier of its own.

Each processor in question is interrupted, which is a full barrier for the thread it runs (Intel SDM 3, 9.2: interrupts
serialise). A thread that runs nowhere has passed a barrier when it was switched away from, and will pass one.
"""

from __future__ import annotations

import errno
from typing import Final

from kaa.kernel.abi.syscall import syscall
from kaa.kernel.arch import machine
from kaa.lang import i32, u32, u64

GLOBAL: Final = 1
GLOBAL_EXPEDITED: Final = 2
REGISTER_GLOBAL_EXPEDITED: Final = 4
PRIVATE_EXPEDITED: Final = 8
REGISTER_PRIVATE_EXPEDITED: Final = 16
SUPPORTED: Final = 31
"""All of them."""


@syscall(x86_64=324, arm64=283)
def membarrier(command: i32, flags: u32, cpu: i32) -> i32:
    """membarrier(2): order memory accesses among threads. The expedited commands reach all processors too."""
    if flags != 0:
        raise OSError(errno.EINVAL)
    space = machine.percpu.current().mm
    assert space is not None
    match command:
        case 0:
            return SUPPORTED
        case 1 | 2:
            _interrupt_all()
        case 4 | 16:
            space.membarrier_ready.store(True)
        case 8:
            if not space.membarrier_ready.load():
                raise OSError(errno.EPERM)
            _interrupt_all()
        case _:
            raise OSError(errno.EINVAL)
    return 0


def _interrupt_all() -> None:
    mask = machine.smp.online_mask()
    if mask != 1:
        machine.smp.call(mask, _nothing, u64(0))


def _nothing(unused: u64) -> None:
    """Being interrupted is all that is wanted."""
