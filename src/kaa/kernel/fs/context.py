# SPDX-License-Identifier: Apache-2.0
"""Where a process is in the tree: its root and current directories, and its umask. Shared by clone(2) with CLONE_FS.

Lock: `lock`, a spinlock, for the two paths; a reader takes a counted reference under it.
"""

from __future__ import annotations

from typing import Final

from kaa.kernel.fs.path import Path
from kaa.kernel.locking.spinlock import SpinLock
from kaa.lang import Atomic, Guarded, u32


class FsContext:
    """Root, current directory, umask."""

    lock: Final[SpinLock]
    root_path: Guarded[Path, "lock"]
    cwd_path: Guarded[Path, "lock"]
    umask: Atomic[u32]
    """A word of its own: whoever sets it last wins."""

    def __init__(self, root: Path, cwd: Path, umask: u32) -> None:
        self.lock = SpinLock("fs context")
        self.root_path = root
        self.cwd_path = cwd
        self.umask = Atomic(umask)

    def root(self) -> Path:
        """Where absolute paths start."""
        with self.lock:
            return self.root_path

    def is_root(self, path: Path) -> bool:
        """Whether that very object is where absolute paths start."""
        with self.lock:
            return self.root_path is path

    def cwd(self) -> Path:
        """Where relative paths start."""
        with self.lock:
            return self.cwd_path

    def set_root(self, path: Path) -> None:
        """chroot(2)."""
        self._exchange_root(path)

    def set_cwd(self, path: Path) -> None:
        """chdir(2)."""
        self._exchange_cwd(path)

    def _exchange_root(self, path: Path) -> Path:
        """The old path is returned so that it is dropped after the lock."""
        with self.lock:
            old = self.root_path
            self.root_path = path
            return old

    def _exchange_cwd(self, path: Path) -> Path:
        with self.lock:
            old = self.cwd_path
            self.cwd_path = path
            return old

    def fork(self) -> FsContext:
        """A copy for a child that does not share: with paths of its own, whose counts no other processor touches."""
        root, cwd = self.root(), self.cwd()
        own = Path(root.mount, root.dentry)
        twin = own if cwd.same(root) else Path(cwd.mount, cwd.dentry)
        return FsContext(own, twin, self.umask.load_relaxed())
