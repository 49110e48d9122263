# SPDX-License-Identifier: Apache-2.0
"""devpts: the directory of the slaves that exist, usually on /dev/pts (pts(4), mount(8)).

Every mount shows the same terminals. Slaves belong to who opened the master; `gid=` and `mode=` say the group and
the mode they get (0600 and the opener's group by default). Names come and go, so they are not cached.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from kaa.kernel.abi.dirent import DT_CHR, DT_DIR
from kaa.kernel.abi.stat import S_IFCHR, S_IFDIR, make_device
from kaa.kernel.abi.statfs import DEVPTS_SUPER_MAGIC
from kaa.kernel.drivers.tty.ptmx import open_slave
from kaa.kernel.drivers.tty.pty import PTY_LIMIT, pairs
from kaa.kernel.fs.file import File, SeekableFile
from kaa.kernel.fs.inode import Inode
from kaa.kernel.fs.special import open_special
from kaa.kernel.fs.superblock import FileSystemType, SuperBlock, filesystem, find_type
from kaa.kernel.fs.text import TextBuffer, parse_number
from kaa.lang import Bytes, i64, u32, u64, usize

if TYPE_CHECKING:
    from kaa.kernel.fs.dirent import DirSink
    from kaa.kernel.fs.path import Path

NO_GROUP = 0xFFFFFFFF
ROOT_NUMBER = 1
PTMX_NUMBER = 2
FIRST_SLAVE = 3


class Devpts(SuperBlock):
    """One mount."""

    mode: u32 = 0o600
    gid: u32 = NO_GROUP
    ptmx_mode: u32 = 0

    def __init__(self, kind: FileSystemType, flags: u64) -> None:
        super().__init__(kind, DEVPTS_SUPER_MAGIC, flags)
        self.caches_names = False

    def parse(self, data: Bytes) -> None:
        """Comma-separated options. Raises OSError(EINVAL)."""
        start: usize = 0
        for end in range(len(data) + 1):
            if end == len(data) or data[end] == 44:
                if end > start:
                    self.option(data[start:end])
                start = usize(end) + 1

    def option(self, option: Bytes) -> None:
        """One option."""
        if option.startswith(b"gid="):
            self.gid = u32(parse_number(option[4:]))
        elif option.startswith(b"mode="):
            self.mode = u32(parse_number(option[5:], 8)) & 0o777
        elif option.startswith(b"ptmxmode="):
            self.ptmx_mode = u32(parse_number(option[9:], 8)) & 0o777
        elif option != b"newinstance" and not option.startswith(b"max=") and not option.startswith(b"uid="):
            raise OSError(errno.EINVAL)


class DevptsRoot(Inode):
    """The directory."""

    mounted: Final[Devpts]

    def __init__(self, superblock: Devpts) -> None:
        super().__init__(superblock, ROOT_NUMBER, S_IFDIR | 0o755)
        self.mounted = superblock
        self.nlink = 2

    def lookup(self, name: Bytes) -> Inode:
        if name == b"ptmx":
            inode = DevptsNode(self.mounted, PTMX_NUMBER, S_IFCHR | self.mounted.ptmx_mode)
            inode.rdev = make_device(5, 2)
            return inode
        number = slave_number(name)
        if not pairs.alive(number):
            raise FileNotFoundError
        pair = pairs.find(number)
        inode = DevptsNode(self.mounted, u64(FIRST_SLAVE) + number, S_IFCHR | self.mounted.mode)
        inode.rdev = pair.tty.device
        inode.uid = pair.uid
        inode.gid = pair.gid if self.mounted.gid == NO_GROUP else self.mounted.gid
        return inode

    def open(self, flags: u32, path: Path) -> File:
        return DevptsDirectoryFile(path, flags)


class DevptsNode(Inode):
    """A slave, or ptmx."""

    def open(self, flags: u32, path: Path) -> File:
        if self.number == PTMX_NUMBER:
            return open_special(self, flags, path)
        return open_slave(flags, path)


class DevptsDirectoryFile(SeekableFile):
    """The open directory: positions 0 to 2 are ".", ".." and ptmx, the slaves follow by number."""

    def readdir(self, sink: DirSink) -> None:
        with self.position_lock:
            while self.position < FIRST_SLAVE + PTY_LIMIT and self.emit(sink, u32(self.position)):
                self.position += 1

    def emit(self, sink: DirSink, position: u32) -> bool:
        """The entry at a position, if there is one; False when the sink had no room."""
        following = u64(position) + 1
        match position:
            case 0:
                return sink.emit(b".", ROOT_NUMBER, DT_DIR, following)
            case 1:
                return sink.emit(b"..", ROOT_NUMBER, DT_DIR, following)
            case 2:
                return sink.emit(b"ptmx", PTMX_NUMBER, DT_CHR, following)
            case _:
                number = position - FIRST_SLAVE
                if not pairs.alive(number):
                    return True
                name = TextBuffer()
                name.decimal(u64(number))
                return sink.emit(name.to_bytes(), u64(position), DT_CHR, following)

    def seek(self, offset: i64, whence: u32) -> u64:
        if whence != 0 or offset < 0:
            raise OSError(errno.EINVAL)
        with self.position_lock:
            self.position = u64(offset)
        return u64(offset)


def slave_number(name: Bytes) -> u32:
    """The number that a name is; one that no slave has for anything else, such as "01"."""
    if len(name) == 0 or len(name) > 3 or (name[0] == 48 and len(name) > 1):
        return PTY_LIMIT
    number: u32 = 0
    for byte in name:
        if not 48 <= byte <= 57:
            return PTY_LIMIT
        number = number * 10 + (byte - 48)
    return number


@filesystem("devpts")
def mount_devpts(source: bytes, flags: u64, data: bytes) -> SuperBlock:
    """mount(2)."""
    superblock = Devpts(find_type(b"devpts"), flags)
    superblock.parse(data)
    superblock.set_root(DevptsRoot(superblock))
    return superblock
