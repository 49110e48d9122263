# SPDX-License-Identifier: Apache-2.0
"""Holding places in the tree of names with few writes to what all processors walk through.

A mount's *users* (paths, walks, and the table while it is attached) hold it together: the first of them takes a
reference to the object, the last gives it back, and those between change a number alone (mount_users.py), which says
also whether the mount is busy. Whoever becomes a user knows by other means that the mount is alive: a user or an owner,
or the dentry cache's lock with the mount attached.

Where a walk stands, `mount` and `dentry`, is not counted at every step. They are alive because one of these keeps them:
- the dentry cache's lock, while a walk skims under it: what is in the cache or mounted stays;
- the path where the walk began, or its root, which the walk holds;
- `kept_mount` and `kept_dentry`: `keep` is called with the lock still held, or with what is gone to in hand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kaa.kernel.fs import mount_users
from kaa.lang import inline, u64
from kaa.lang.unsafe import Unowned, address_of, adopt, retain

if TYPE_CHECKING:
    from kaa.kernel.fs.dentry import Dentry
    from kaa.kernel.fs.mount import Mount
    from kaa.kernel.fs.path import Path


@inline
def hold(mount: Mount) -> None:
    """Become a user."""
    if not mount_users.count(mount, u64(1)) and mount.users.fetch_add(1) == 0:
        retain(mount)


@inline
def let_go(mount: Mount) -> None:
    """A user less; after the last the mount may be gone, with all that its end does."""
    if not mount_users.count(mount, u64(0xFFFF_FFFF_FFFF_FFFF)) and mount.users.fetch_sub(1) == 1:
        _give_back(address_of(mount))


def _give_back(address: u64) -> None:
    from kaa.kernel.fs.mount import Mount

    adopt(Mount, address)


class InMount:
    """A user of one mount as long as it lives: the base of Path, which ends being one."""

    mount: Final[Unowned[Mount]]

    def __init__(self, mount: Mount | None, walk: Standing | None) -> None:
        """The mount where `walk` stands: what it holds is ours from now on, and we keep the place for it. (Its mount is
        not an argument: that would be counted while we are made, and all processors walk through it.)"""
        if walk is not None:
            if not walk.hand_over():
                hold(walk.mount)
            self.mount = walk.mount
        else:
            assert mount is not None
            hold(mount)
            self.mount = mount


class Standing:
    """A place in the tree of names that changes; the base of Walk."""

    mount: Unowned[Mount]
    dentry: Unowned[Dentry]
    kept_mount: Unowned[Mount | None] = None
    kept_dentry: Dentry | None = None

    def __del__(self) -> None:
        kept = self.kept_mount
        if kept is not None:
            let_go(kept)

    @inline
    def keep(self) -> None:
        """Hold the place from here on. What was held before must be kept by something else too, or the lock not held:
        its end may sleep. (The way down keeps all that is above.)"""
        if self.kept_mount is not self.mount:
            self._keep_mount()
        if self.kept_dentry is not self.dentry:
            self.kept_dentry = self.dentry

    def _keep_mount(self) -> None:
        before = self.kept_mount
        hold(self.mount)
        self.kept_mount = self.mount
        if before is not None:
            let_go(before)

    @inline
    def hand_over(self) -> bool:
        """Whether the walk was a user of the mount where it stands. Whoever asks is that user from now on."""
        if self.kept_mount is not self.mount:
            return False
        self.kept_mount = None
        return True

    def stand(self, mount: Mount, dentry: Dentry) -> None:
        """Go to a place that the caller has."""
        self.mount = mount
        self.dentry = dentry
        self.keep()

    def lean_on(self, path: Path) -> None:
        """Go to a path that is held as long as we stand there."""
        before = self.kept_mount
        self.mount = path.mount
        self.dentry = path.dentry
        self.kept_mount = None
        self.kept_dentry = None
        if before is not None:
            let_go(before)
