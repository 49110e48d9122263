# SPDX-License-Identifier: Apache-2.0
"""The processor's random number generator (Intel SDM 1, 7.3.17)."""

from __future__ import annotations

from kaa.kernel.arch.x86_64 import cpu
from kaa.lang import u64
from kaa.lang.unsafe import asm


@asm("rdrand %0; jc 1f; xorq %0, %0; 1:", out="=r", ins=[], clobber="cc")
def _rdrand() -> u64:
    return u64(4)


def hardware_random() -> u64:
    """A random word; 0 when the processor has none to give."""
    return _rdrand() if cpu.features.rdrand else u64(0)
