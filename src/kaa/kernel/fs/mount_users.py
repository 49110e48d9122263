# SPDX-License-Identifier: Apache-2.0
"""How many users a mount has, counted so that processors do not disturb each other.

Every open and every close is a user more or less of a mount that all processors use. So attached mounts, up to MOUNTS
of them, have a sum of their own (arch/sums.py): each processor counts its changes in its part, and only all parts
together say anything. Such a mount never looks unused: `Mount.users` holds HELD beside what was counted there before.
Whoever needs the number, to unmount, takes the sum back first (`gather`): after a grace period nobody counts there any
more, and what it is joins `Mount.users`, which is exact from then on. A sum is not set to 0: who gets it next remembers
what it was.
Source: the idea is that of Linux's percpu-refcount (K. Overstreet, 2013); the rest is this kernel's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kaa.kernel.arch import machine
from kaa.kernel.arch.sums import MOUNT_USERS, MOUNTS
from kaa.kernel.locking import rcu
from kaa.lang import Array, Guarded, i32, inline, u32, u64, wrapping_sub

if TYPE_CHECKING:
    from kaa.kernel.fs.mount import Mount

NOWHERE: Final = 0
"""In the place of a sum's number: users are counted in the mount."""
HELD: Final = 1 << 30


class Sums:
    """Which sums are in use, and what they were when they were given away."""

    free: Guarded[u64, "MountTable.change"]
    """A bit for each."""
    before: Guarded[Array[u64, 64], "MountTable.change"]

    def __init__(self) -> None:
        self.free = u64(0xFFFF_FFFF_FFFF_FFFF)
        self.before = Array[u64, 64]()


sums = Sums()


@inline
def count(mount: Mount, change: u64) -> bool:
    """`change` users more (modulo 2^64), if they are counted by processor; else False."""
    saved = machine.irq.save()  # `gather` waits for who is here
    which = mount.counted_at.load_relaxed()
    if which != NOWHERE:
        machine.percpu.add(which, change)
    machine.irq.restore(saved)
    return which != NOWHERE


def spread(mount: Mount) -> None:
    """Count a mount's users by processor from here on, if a sum is free. The caller is a user. Under `change`."""
    place: u64 = 0
    while place < MOUNTS and sums.free & (u64(1) << place) == 0:
        place += 1
    if place < MOUNTS:
        sums.free &= ~(u64(1) << place)
        sums.before[place] = machine.percpu.total(MOUNT_USERS + place)
        mount.users.fetch_add(HELD)
        mount.counted_at.store(MOUNT_USERS + place)


def gather(mount: Mount) -> None:
    """`Mount.users` is the number of users from here on. Sleeps. Under `change`."""
    which = mount.counted_at.load()
    if which == NOWHERE:
        return
    mount.counted_at.store(NOWHERE)
    rcu.synchronize()
    place = which - MOUNT_USERS
    more = i32(u32(wrapping_sub(machine.percpu.total(which), sums.before[place])))
    if more >= 0:
        mount.users.fetch_add(u32(more))
    else:
        mount.users.fetch_sub(u32(-more))
    mount.users.fetch_sub(HELD)
    sums.free |= u64(1) << place
