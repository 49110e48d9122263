# SPDX-License-Identifier: Apache-2.0
"""Calls and socket families that this kernel does not have: refused, with one log line for each and program.

Lock: `told.lock`. Programs on several processors ask at once.
"""

from __future__ import annotations

import errno
from typing import Final

from kaa.kernel import log
from kaa.kernel.arch import machine
from kaa.kernel.locking.spinlock import SpinLock
from kaa.kernel.process.task import program_name
from kaa.lang import Bytes, Guarded, cold, i64, u64

LIMIT: Final = 256


class Told:
    """Which (call, program) pairs were told of already, and an end to them."""

    lock: Final[SpinLock]
    pairs: Guarded[dict[u64, bool], "lock"]

    def __init__(self) -> None:
        self.lock = SpinLock("unknown calls")
        self.pairs = {}

    def first_time(self, number: u64, name_hash: u64) -> bool:
        """Whether this pair is new. Full, or no memory to remember it: no, for a log must not be flooded."""
        key = (name_hash << 16) | (number & 0xFFFF)
        with self.lock:
            if key in self.pairs or len(self.pairs) >= LIMIT:
                return False
            try:
                self.pairs[key] = True
            except MemoryError:
                return False
            return True


told = Told()


def is_news(number: u64, name: Bytes) -> bool:
    """Whether a program of that name asks for this number, of a call or family, for the first time."""
    name_hash: u64 = u64(5381)
    for character in name:
        name_hash = ((name_hash << 5) ^ (name_hash >> 27) ^ character) & 0xFFFF_FFFF_FFFF
    return told.first_time(number, name_hash & 0xFFFF_FFFF)


@cold
def refuse(nr: u64) -> i64:
    """A call that this kernel does not have: -ENOSYS."""
    called = program_name(machine.percpu.current())
    name = called.text()
    if is_news(nr, name):
        log.info(f"{name}: system call {nr} is not implemented")
    return i64(-errno.ENOSYS)
