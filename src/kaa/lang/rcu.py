# SPDX-License-Identifier: Apache-2.0
"""RcuHead: what an `Rcu` field may refer to.

Readers on other processors may still use what such a field referred to when it is assigned anew, so the field's
reference is not given up at once but *retired*: some time later, when no reader of then is left, it is released. That
must not need memory, so each object has room for its place among the retired. An object may be retired several times,
from several fields, while it waits: `retired` counts how often, and `due` how many of these are waited for.

The kernel's part is kernel/locking/rcu.py. Under CPython assignment releases at once, as any.
"""

from __future__ import annotations

from collections.abc import Callable

from kaa.lang.integers import u32, u64
from kaa.lang.sharing import Atomic


class RcuHead:
    """Base of classes that Rcu fields refer to, and of what is handed to retiring.call. 24 bytes."""

    rcu_next: u64 = 0
    """The one that was retired before, as an address."""
    rcu_retired: Atomic[u32]
    """References that are to be given up; not 0: the object is in a list of retired ones."""
    rcu_due: u32 = 0
    """How many of these at the end of the present wait. The list's."""
    rcu_function: Callable[[RcuHead], None] | None = None
    """What retiring.call was given: called before the reference goes."""

    def __init__(self) -> None:
        self.rcu_retired = Atomic(0)


class LateEnd(RcuHead):
    """Base of classes whose end may sleep. Where nobody may sleep when the last reference goes (a spinlock is held, an
    interrupt is handled, …), the object is retired as a whole and ends a little later, in a thread. Elsewhere (and
    under CPython) it ends at once, as any."""
