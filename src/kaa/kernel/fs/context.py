# SPDX-License-Identifier: Apache-2.0
"""Where a process is in the tree: its root and current directories, and its umask. Shared by clone(2) with CLONE_FS.

The last task that has it lets the directories go when it ends; the object stays until that task is reaped. So a task
has its own directories as long as it runs (`root`, `cwd`), and others ask whether there are any (`find_…`).

A walk counts the path where it begins, so each process has path objects of its own, whose counts no other processor
touches. fork gives the child the parent's; it makes its own when it first looks anything up or forks itself: one that
ends before that writes nothing that all processes share, only its parent's counts.

Lock: `lock`, a spinlock, for the two paths; a reader takes a counted reference under it.
"""

from __future__ import annotations

from typing import Final

from kaa.kernel.fs.path import Path
from kaa.kernel.locking.spinlock import SpinLock
from kaa.lang import Atomic, Guarded, Relaxed, inline, noinline, u32


class FsContext:
    """Root, current directory, umask."""

    lock: Final[SpinLock]
    root_path: Guarded[Path | None, "lock"]
    cwd_path: Guarded[Path | None, "lock"]
    lent: Guarded[Relaxed[bool], "lock"]
    """The paths are those of the process that forked."""
    umask: Atomic[u32]
    """A word of its own: whoever sets it last wins."""
    users: Atomic[u32]
    """Tasks that have it."""

    def __init__(self, root: Path, cwd: Path, umask: u32, lent: bool = False) -> None:
        self.lock = SpinLock("fs context")
        self.root_path = root
        self.cwd_path = cwd
        self.lent = lent
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

    @inline
    def own(self) -> None:
        """Have paths of our own from here on, if there is memory for them: somebody is about to count them."""
        if self.lent:
            self._copy_paths()

    @noinline
    def _copy_paths(self) -> None:
        root, cwd = self.find_root(), self.find_cwd()
        if root is None or cwd is None:
            return
        try:
            own = Path(root.mount, root.dentry)
            twin = own if cwd.same(root) else Path(cwd.mount, cwd.dentry)
        except MemoryError:
            return
        with self.lock:
            if self.root_path is root:
                self.root_path = own
            if self.cwd_path is cwd:
                self.cwd_path = twin
            self.lent = False

    def root(self) -> Path:
        """Where the caller's absolute paths start."""
        self.own()
        path = self.find_root()
        assert path is not None
        return path

    def is_root(self, path: Path) -> bool:
        """Whether that very object is where absolute paths start."""
        with self.lock:
            return self.root_path is path

    def cwd(self) -> Path:
        """Where the caller's relative paths start."""
        self.own()
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
        """A copy for a child that does not share: the paths are lent to it."""
        return FsContext(self.root(), self.cwd(), self.umask.load_relaxed(), True)
