# SPDX-License-Identifier: Apache-2.0
"""A processor's list of retired objects, which wait for a grace period (rcu.py)."""

from __future__ import annotations

from typing import Final

from kaa.kernel.locking.mutex import Mutex
from kaa.kernel.locking.wait_queue import WaitQueue
from kaa.lang import Atomic, u64


class Retired:
    """What one processor retired. Anyone may take the list as a whole; only its processor adds to it, mostly."""

    newest: Atomic[u64]
    """The address of the object retired last; through it, all of them."""
    work: Final[WaitQueue]
    """Where the processor's thread waits for objects."""
    has_thread: Atomic[bool]
    giving: Final[Mutex]
    """One batch at a time, so that who comes after one finds it done."""

    def __init__(self) -> None:
        self.newest = Atomic(0)
        self.work = WaitQueue("rcu")
        self.has_thread = Atomic(False)
        self.giving = Mutex("rcu batch")
