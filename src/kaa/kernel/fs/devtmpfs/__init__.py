# SPDX-License-Identifier: Apache-2.0
"""devtmpfs: one tmpfs, the same wherever it is mounted, in which every registered device has its node.

The registry tells of each device that comes once the file system is there. Programs may add, change and remove names as
in any tmpfs; a removed node does not come back.

Locks: `DevTmpfs.lock` first, then the root directory's or a subdirectory's. `Only.lock` is for the making of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kaa.kernel.abi.stat import S_IFDIR
from kaa.kernel.abi.statfs import TMPFS_MAGIC
from kaa.kernel.drivers.char.registry import registry
from kaa.kernel.fs.superblock import FileSystemType, SuperBlock, filesystem, find_type
from kaa.kernel.fs.tmpfs.inode import TmpfsDirectory, TmpfsSpecial, TmpfsSymlink
from kaa.kernel.fs.tmpfs.superblock import Options, Tmpfs
from kaa.kernel.locking.mutex import Mutex
from kaa.lang import Bytes, Guarded, Once, u32, u64, usize

if TYPE_CHECKING:
    from kaa.kernel.drivers.char.registry import CharDevice
    from kaa.kernel.fs.inode import Inode


class DevDirectory(TmpfsDirectory):
    """A directory in which devices get their nodes. Its lock is held around `place` and `directory`."""

    instance: Final[DevTmpfs]

    def __init__(self, superblock: DevTmpfs, mode: u32) -> None:
        super().__init__(superblock, mode)
        self.instance = superblock

    def still_names(self, name: Bytes, inode: Inode | None) -> bool:
        """What was not there may be there now."""
        return inode is not None

    def place(self, name: bytes, device: CharDevice) -> None:
        """Make the node, owned by root whoever caused it."""
        if self.entries.has(name):
            return
        target = device.link
        if target is not None:
            self.add_entry(name, TmpfsSymlink(self.tmpfs, target))
            return
        node = TmpfsSpecial(self.tmpfs, device.mode)
        node.rdev = device.number
        self.add_entry(name, node)

    def directory(self, name: bytes) -> DevDirectory:
        """The subdirectory, made if need be."""
        if self.entries.has(name):
            found = self.entries.find(name)
            assert isinstance(found, DevDirectory)
            return found
        made = DevDirectory(self.instance, S_IFDIR | 0o755)
        self.add_entry(name, made)
        self.nlink += 1
        return made


class DevTmpfs(Tmpfs):
    """The instance. `lock` is held while nodes are made."""

    lock: Final[Mutex]
    seen: Guarded[usize, "lock"]
    """Devices of the registry that have had their node."""

    def __init__(self, kind: FileSystemType, flags: u64) -> None:
        super().__init__(kind, TMPFS_MAGIC, flags, Options(mode=0o755))
        self.lock = Mutex("devtmpfs")
        self.seen = 0
        self.revalidates = True

    def populate(self) -> None:
        """Nodes for what was registered since the last time."""
        with self.lock:
            while self.seen < registry.count():
                self._node(registry.at(self.seen))
                self.seen += 1

    def _node(self, device: CharDevice) -> None:
        root = self.root_inode()
        assert isinstance(root, DevDirectory)
        split = device.name.find(0x2F)
        with root.lock:
            if split < 0:
                root.place(device.name, device)
                return
            below = root.directory(bytes(device.name[0:split]))
        with below.lock:
            below.place(bytes(device.name[split + 1 :]), device)

    def shutdown(self) -> None:
        """It stays for the next mount."""


class Only:
    """The one instance, set once."""

    lock: Final[Mutex]
    instance: Guarded[Once[DevTmpfs | None], "lock"] = None

    def __init__(self) -> None:
        self.lock = Mutex("the devtmpfs")


only = Only()


def device_came() -> None:
    """The registry has another device."""
    instance = only.instance
    if instance is not None:
        instance.populate()


registry.tell = device_came


@filesystem("devtmpfs")
def mount_devtmpfs(source: bytes, flags: u64, data: bytes) -> SuperBlock:
    """The one instance; its pts, shm and mqueue directories and the fd links are there, as udev's defaults have
    them."""
    with only.lock:
        instance = only.instance
        if instance is None:
            instance = _make(flags)
            only.instance = instance
    instance.populate()
    return instance


def _make(flags: u64) -> DevTmpfs:
    instance = DevTmpfs(find_type(b"devtmpfs"), flags)
    root = DevDirectory(instance, S_IFDIR | 0o755)
    with root.lock:
        _standard_names(instance, root)
    instance.set_root(root)
    return instance


def _standard_names(instance: DevTmpfs, root: DevDirectory) -> None:
    root.add_entry(b"fd", TmpfsSymlink(instance, b"/proc/self/fd"))
    root.add_entry(b"stdin", TmpfsSymlink(instance, b"/proc/self/fd/0"))
    root.add_entry(b"stdout", TmpfsSymlink(instance, b"/proc/self/fd/1"))
    root.add_entry(b"stderr", TmpfsSymlink(instance, b"/proc/self/fd/2"))
    root.directory(b"pts")
    root.directory(b"shm").mode = S_IFDIR | 0o1777
