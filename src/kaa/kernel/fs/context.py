# SPDX-License-Identifier: Apache-2.0
"""Where a process is in the tree: its root and current directories, and its umask. Shared by clone(2) with CLONE_FS.

The last task that has it lets the directories go when it ends; the object stays until that task is reaped. So a task
has its own directories as long as it runs (`root`, `cwd`), and others ask whether there are any (`find_…`).

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
    root_path: Guarded[Path | None, "lock"]
    cwd_path: Guarded[Path | None, "lock"]
    umask: Atomic[u32]
    """A word of its own: whoever sets it last wins."""
    users: Atomic[u32]
    """Tasks that have it."""

    def __init__(self, root: Path, cwd: Path, umask: u32) -> None:
        self.lock = SpinLock("fs context")
        self.root_path = root
        self.cwd_path = cwd
        self.umask = Atomic(umask)
        self.users = Atomic(1)

    def find_root(self) -> Path | None:
        """Where absolute paths start; None for the dead."""
        with self.lock:
            return self.root_path

    def find_cwd(self) -> Path | None:
        """Where relative paths start; None for the dead."""
        with self.lock:
            return self.cwd_path

    def root(self) -> Path:
        """Where the caller's absolute paths start."""
        path = self.find_root()
        assert path is not None
        return path

    def is_root(self, path: Path) -> bool:
        """Whether that very object is where absolute paths start."""
        with self.lock:
            return self.root_path is path

    def cwd(self) -> Path:
        """Where the caller's relative paths start."""
        path = self.find_cwd()
        assert path is not None
        return path

    def set_root(self, path: Path) -> None:
        """chroot(2)."""
        self._exchange_root(path)

    def set_cwd(self, path: Path) -> None:
        """chdir(2)."""
        self._exchange_cwd(path)

    def leave(self) -> None:
        """A task has this no more: with the last of them the directories go."""
        if self.users.fetch_sub(1) == 1:
            self._exchange_root(None)
            self._exchange_cwd(None)

    def _exchange_root(self, path: Path | None) -> Path | None:
        """The old path is returned so that it is dropped after the lock."""
        with self.lock:
            old = self.root_path
            self.root_path = path
            return old

    def _exchange_cwd(self, path: Path | None) -> Path | None:
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
