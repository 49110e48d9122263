# SPDX-License-Identifier: Apache-2.0
"""Short of memory, names go that nobody uses, and with them the inodes that only they kept: 9p's, with their caches.

The dentry cache's spinlock may be waited for here: reclaim runs with preemption on, so its caller does not hold it.
What goes with a dentry takes spinlocks only (page caches, fids), and allocates nothing.
"""

from __future__ import annotations

from kaa.kernel.fs.dentry import cache
from kaa.kernel.mm import reclaim
from kaa.kernel.mm.reclaim import Shrinker
from kaa.lang import u32, u64

PER_FRAME = 4
"""Dentries, with what they keep, that make up a frame."""
MOST = 1024
"""Dentries of one call."""


class NameShrinker(Shrinker):
    """Of the one cache of names."""

    def count(self) -> u64:
        return u64(cache.count)

    def shrink(self, wanted: u64) -> u64:
        return u64(cache.shrink(u32(min(wanted, u64(MOST // PER_FRAME)) * PER_FRAME)))


reclaim.register(NameShrinker())
