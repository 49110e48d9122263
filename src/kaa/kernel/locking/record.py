# SPDX-License-Identifier: Apache-2.0
"""What is written down about locks: nothing, unless the kernel was built for it.

`LockRecord` is the base of every lock, and the functions here are called where something happens to one. In the usual
build they are inlined and empty. In a build with KAA_LOCK_STATS in the environment (`./kaa trace --locks` makes its
own) they come from `trace.lock_counts` and count per lock class: the name that was given to the lock's constructor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kaa.lang import inline, u64
from kaa.lang.flavour import LOCK_STATS

if TYPE_CHECKING or not LOCK_STATS:

    class LockRecord:
        """What a lock remembers of itself for the statistics."""

    @inline
    def named(lock: LockRecord, name: str) -> None:
        """A lock was made."""

    @inline
    def begin_wait() -> u64:
        """Somebody found a lock taken; the result is for `end_wait`."""
        return u64(0)

    @inline
    def end_wait(lock: LockRecord, began: u64) -> None:
        """Somebody who had to wait has the lock now; `acquired` follows."""

    @inline
    def acquired(lock: LockRecord) -> None:
        """The caller has the lock now, alone."""

    @inline
    def shared(lock: LockRecord) -> None:
        """The caller has the lock now, maybe with others: how long is not measured."""

    @inline
    def releasing(lock: LockRecord) -> None:
        """Who has the lock alone gives it back next."""

else:
    from kaa.kernel.trace.lock_counts import (
        LockRecord,
        acquired,
        begin_wait,
        end_wait,
        releasing,
        shared,
    )
    from kaa.kernel.trace.lock_counts import named_at_import as named

__all__ = ["LockRecord", "acquired", "begin_wait", "end_wait", "named", "releasing", "shared"]
