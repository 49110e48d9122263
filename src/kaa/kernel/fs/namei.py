# SPDX-License-Identifier: Apache-2.0
"""From a path name to a place: path_resolution(7), and openat2(2)'s restrictions.

A `Walk` stands at (mount, dentry) and takes one component after the other. `_skim` runs under the dentry cache's lock,
as a reader, through everything that is cached, present, searchable and not a symbolic link, and counts only where it
ends (standing.py); `_step` does the one component where that stopped: a miss (the file system is asked, under the
directory's lock), '..', a link. A symbolic link replaces what is left of the name by its target and that; 40 links end
the walk (ELOOP).
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from kaa.kernel.abi.fcntl import NAME_MAX, SYMLINK_LIMIT
from kaa.kernel.abi.mount import MS_NOSYMFOLLOW
from kaa.kernel.arch import machine
from kaa.kernel.fs.dentry import HASH_START, Dentry, cache, hash_step
from kaa.kernel.fs.mount import table
from kaa.kernel.fs.path import Path
from kaa.kernel.fs.permission import EXEC, anyone_may_search, permitted
from kaa.kernel.fs.standing import Standing
from kaa.kernel.fs.text import join
from kaa.lang import Bytes, borrowed, inline, u32, usize

if TYPE_CHECKING:
    from kaa.kernel.fs.inode import Inode
    from kaa.kernel.fs.mount import Mount
    from kaa.kernel.process.credentials import Credentials

# Walk flags.
FOLLOW = 1
DIRECTORY = 2
EMPTY = 4
NO_XDEV = 8
NO_MAGIC = 16
NO_LINKS = 32
BENEATH = 64
IN_ROOT = 128
CACHED = 256
RESTRICTED = NO_XDEV | NO_MAGIC | NO_LINKS | BENEATH | IN_ROOT | CACHED

# What the component in hand is.
NORMAL = 0
DOT = 1
DOTDOT = 2
NOTHING = 3

SLASH = 0x2F
PERIOD = 0x2E


class Walk(Standing):
    """One resolution in progress."""

    name: bytes
    at: usize
    """Where the component after the one in hand starts."""
    start: usize
    end: usize
    hash: u32
    kind: u32
    last: bool
    trailing: bool
    stops_at_last: bool
    must_be_directory: bool
    flags: u32
    links: u32
    origin: Final[Path]
    """Where it began."""
    root: Path | None = None
    """What '/' means: the process's root when it was first asked for, unless the walk is confined to where it began."""
    other_user: Credentials | None = None
    """Who asks, if not the running task's credentials decide."""

    def __init__(self, start: Path, name: bytes, flags: u32) -> None:
        if len(name) == 0 and flags & EMPTY == 0:
            raise FileNotFoundError
        self.name = name
        self.at = 0
        self.start = 0
        self.end = 0
        self.hash = 0
        self.kind = NOTHING
        self.last = False
        self.trailing = False
        self.stops_at_last = False
        self.must_be_directory = flags & DIRECTORY != 0
        self.flags = flags
        self.links = 0
        self.origin = start
        if flags & (BENEATH | IN_ROOT):
            self.root = start
        self.mount = start.mount
        self.dentry = start.dentry
        if len(name) > 0 and name[0] == SLASH:
            self._to_root()

    @property
    @borrowed
    def who(self) -> Credentials:
        """Whose rights count."""
        other = self.other_user
        return machine.percpu.current().credentials if other is None else other

    def path(self) -> Path:
        """Where the walk stands: the last thing that it is asked, for the Path keeps the place from now on."""
        place = Path(None, self.dentry, self)
        while place.dentry.evicted:
            settled = cache.settle(place.dentry)
            if settled is place.dentry:
                break
            self.stand(place.mount, settled)
            place = Path(place.mount, settled)
        return place

    def inode(self) -> Inode:
        """The inode there; never None where a walk stands."""
        inode = self.dentry.inode
        if inode is None:
            raise FileNotFoundError
        return inode

    def component(self) -> Bytes:
        """The component in hand; valid as long as the walk's name."""
        return self.name[self.start : self.end]

    def to_end(self) -> None:
        """Resolve the whole name."""
        self.stops_at_last = False
        while self._skim():
            self._step()
        if self.must_be_directory and not self.inode().is_directory():
            raise NotADirectoryError

    def to_last(self) -> None:
        """Resolve all but the last component: stand in its directory with it in hand; `kind` says what it is."""
        self.stops_at_last = True
        while self._skim():
            if self.last:
                self._require_searchable()
                return
            self._step()
        self.kind = NOTHING

    def _scan(self) -> bool:
        """Take the next component in hand; False at the end of the name."""
        name = self.name
        length = len(name)
        at = self.at
        while at < length and name[at] == SLASH:
            at += 1
        if at == length:
            return False
        start = at
        hash_ = u32(HASH_START)
        while at < length and name[at] != SLASH:
            hash_ = hash_step(hash_, u32(name[at]))
            at += 1
        self.start = start
        self.end = at
        self.hash = hash_
        while at < length and name[at] == SLASH:
            at += 1
        self.at = at
        self.last = at == length
        self.kind = NORMAL
        if name[start] == PERIOD:
            self._dots()
        if self.last and name[length - 1] == SLASH:
            self.trailing = True
            self.must_be_directory = True
        return True

    def _dots(self) -> None:
        length = self.end - self.start
        if length == 1:
            self.kind = DOT
        elif length == 2 and self.name[self.start + 1] == PERIOD:
            self.kind = DOTDOT

    def _skim(self) -> bool:
        """Go as far as the cache alone leads; True with a component in hand that needs `_step`, False at the end."""
        needs_step = False
        with cache.lock.read():
            while not needs_step and self._scan():
                needs_step = (self.last and self.stops_at_last) or not self._take_cached()
            if self.dentry is not self.origin.dentry or self.mount is not self.origin.mount:
                self.keep()
        return needs_step

    def _take_cached(self) -> bool:
        """Enter the component in hand if that needs nothing but the cache. The lock is held."""
        parent = self.dentry
        directory = parent.inode
        if self.kind != NORMAL or self.flags & RESTRICTED or directory is None or not directory.is_directory():
            return False
        if directory.superblock.revalidates or self.end - self.start > NAME_MAX:
            return False
        if not self._may_search(directory):
            raise OSError(errno.EACCES)
        child = cache.seek(parent, self.name[self.start : self.end], self.hash)
        if child is None:
            return False
        inode = child.inode
        if inode is None or inode.is_symlink():
            return False
        self.dentry = child
        if child.mounts != 0:
            self._cross_locked()
        return True

    def _cross_locked(self) -> None:
        """Onto the topmost of the mounts that cover this place."""
        while self.dentry.mounts != 0:
            covering = table.on_locked(self.mount, self.dentry)
            if covering is None:
                return
            self.mount = covering
            self.dentry = covering.root

    def _cross(self) -> None:
        if self.dentry.mounts != 0:
            before = self.mount
            with cache.lock.read():
                self._cross_locked()
                self.keep()
            if self.flags & NO_XDEV and self.mount is not before:
                raise OSError(errno.EXDEV)

    def _step(self) -> None:
        """Take the component in hand, whatever it needs."""
        self._require_searchable()
        if self.kind == DOT:
            return
        if self.kind == DOTDOT:
            self._up()
            return
        self.enter(self.child())

    def _require_searchable(self) -> None:
        directory = self.inode()
        if not directory.is_directory():
            raise NotADirectoryError
        if not self._may_search(directory):
            raise OSError(errno.EACCES)
        if self.end - self.start > NAME_MAX:
            raise OSError(errno.ENAMETOOLONG)

    @inline
    def _may_search(self, directory: Inode) -> bool:
        return anyone_may_search(directory) or permitted(directory, EXEC, self.who)

    def child(self) -> Dentry:
        """The dentry of the component in hand, perhaps a negative one."""
        parent = self.dentry
        name = self.component()
        found = cache.find(parent, name, self.hash)
        directory = self.inode()
        if found is not None:
            if not directory.superblock.revalidates or directory.still_names(name, found.inode):
                return found
            cache.forget(found)
        if self.flags & CACHED:
            raise BlockingIOError
        with directory.lock:
            return find_or_load(parent, name, self.hash)

    def enter(self, child: Dentry) -> None:
        """Go to `child`, or where it leads if it is a link that is to be followed. Raises FileNotFoundError."""
        inode = child.inode
        if inode is None:
            raise FileNotFoundError
        if inode.is_symlink() and (not self.last or self.trailing or self.flags & FOLLOW):
            self.follow(inode)
        else:
            self.stand(self.mount, child)
            self._cross()

    def follow(self, link: Inode) -> None:
        """Go on with a symbolic link's target."""
        self.links += 1
        if self.links > SYMLINK_LIMIT or self.flags & NO_LINKS or self.mount.flags & MS_NOSYMFOLLOW:
            raise OSError(errno.ELOOP)
        place = link.magic_link()
        if place is not None:
            self._jump(place)
            return
        target = link.readlink()
        if len(target) == 0:
            raise FileNotFoundError
        link.touch_accessed()
        rest = self.name[self.at :]
        self.name = target if len(rest) == 0 else join(target, b"/", rest)
        self.at = 0
        if target[0] == SLASH:
            self._to_root()

    def _jump(self, place: Path) -> None:
        """A magic link: the place itself, whatever its name is."""
        if self.flags & NO_MAGIC:
            raise OSError(errno.ELOOP)
        if self.flags & (BENEATH | IN_ROOT) or (self.flags & NO_XDEV and place.mount is not self.mount):
            raise OSError(errno.EXDEV)
        self.stand(place.mount, place.dentry)

    def _find_root(self) -> Path:
        known = self.root
        if known is not None:
            return known
        context = machine.percpu.current().fs
        root = self.origin if context.is_root(self.origin) else context.root()
        self.root = root
        return root

    def _to_root(self) -> None:
        root = self._find_root()
        if self.flags & BENEATH or (self.flags & NO_XDEV and root.mount is not self.mount):
            raise OSError(errno.EXDEV)
        self.lean_on(root)
        self._cross()

    def _up(self) -> None:
        """'..': never above the root, out of a mount to where it stands."""
        self._climb(self._find_root())

    def _climb(self, root: Path) -> tuple[Mount | None, Dentry | None]:
        """Gives what kept the place before, to be dropped after the lock."""
        before = self.kept_mount, self.kept_dentry
        with cache.lock.read():
            self._up_locked(root)
            self.keep()
        return before

    def _up_locked(self, root: Path) -> None:
        while True:
            if self.dentry is root.dentry and self.mount is root.mount:
                if self.flags & BENEATH:
                    raise OSError(errno.EXDEV)
                return
            if self.dentry is not self.mount.root:
                self.dentry = self.dentry.parent_or_self()
                break
            above = self.mount.parent
            point = self.mount.point
            if above is None or point is None:
                return
            if self.flags & NO_XDEV:
                raise OSError(errno.EXDEV)
            self.mount = above
            self.dentry = point
        if self.dentry.mounts != 0:
            self._cross_locked()


def find_or_load(parent: Dentry, name: Bytes, hash_: u32) -> Dentry:
    """The dentry of `name`, from the cache or the file system. The lock of the parent's inode is held. Raises
    FileNotFoundError in a directory that was removed."""
    directory = parent.inode
    if directory is None or directory.removed:
        raise FileNotFoundError
    found = cache.find(parent, name, hash_)
    if found is not None:
        return found
    inode: Inode | None = None
    try:
        inode = directory.lookup(name)
    except FileNotFoundError:
        pass
    dentry = Dentry(bytes(name), hash_, parent, inode)
    if directory.superblock.caches_names and not parent.evicted:
        cache.insert(dentry)
    return dentry


def lookup(start: Path, name: bytes, flags: u32) -> Path:
    """The place that `name` leads to from `start`; see the flags above."""
    walk = Walk(start, name, flags)
    walk.to_end()
    return walk.path()
