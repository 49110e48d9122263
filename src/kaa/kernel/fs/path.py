# SPDX-License-Identifier: Apache-2.0
"""A place in the tree of names: which mount, which dentry. Holding a `Path` holds both, and pins its dentry in the
cache."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kaa.kernel.fs.standing import InMount, Standing, let_go

if TYPE_CHECKING:
    from kaa.kernel.fs.dentry import Dentry
    from kaa.kernel.fs.inode import Inode
    from kaa.kernel.fs.mount import Mount


class Path(InMount):
    """(mount, dentry); immutable."""

    dentry: Final[Dentry]

    def __init__(self, mount: Mount | None, dentry: Dentry, walk: Standing | None = None) -> None:
        """A place in a mount, or (None) in that where a walk stands."""
        super().__init__(mount, walk)
        self.dentry = dentry
        dentry.pins.fetch_add(1)

    def __del__(self) -> None:
        self.dentry.pins.fetch_sub(1)
        let_go(self.mount)

    def inode(self) -> Inode:
        """The inode there. Raises FileNotFoundError when the name leads to none."""
        inode = self.dentry.inode
        if inode is None:
            raise FileNotFoundError
        return inode

    def same(self, other: Path) -> bool:
        """Whether both are one place."""
        return self.mount is other.mount and self.dentry is other.dentry
