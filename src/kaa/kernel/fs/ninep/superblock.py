# SPDX-License-Identifier: Apache-2.0
"""Mounting a 9P server: `mount -t 9p TAG DIRECTORY -o trans=virtio,version=9p2000.L,msize=N,cache=loose`.

Options as Linux's 9p has them; those that ask for what is not there (other transports, older protocols) are refused
with EINVAL, and those that only tune (posixacl, noextend, debug…) are accepted where they cannot mislead.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from kaa.kernel.abi.mount import MS_RDONLY
from kaa.kernel.abi.stat import S_IFDIR, S_IFMT
from kaa.kernel.abi.statfs import V9FS_MAGIC, Statfs
from kaa.kernel.arch import machine
from kaa.kernel.fs.ninep import operations
from kaa.kernel.fs.ninep.channel import channels
from kaa.kernel.fs.ninep.client import Client
from kaa.kernel.fs.ninep.directory import NinepDirectory
from kaa.kernel.fs.ninep.inode import NinepInode, NinepSpecial, NinepSymlink
from kaa.kernel.fs.ninep.operations import Attributes, ServerStatfs
from kaa.kernel.fs.ninep.regular import NinepRegular
from kaa.kernel.fs.ninep.table import InodeTable
from kaa.kernel.fs.superblock import FileSystemType, SuperBlock, filesystem, find_type
from kaa.kernel.fs.text import parse_number
from kaa.lang import Bytes, i64, u32, u64, usize

if TYPE_CHECKING:
    from kaa.kernel.fs.ninep.fids import Fid
    from kaa.kernel.fs.text import TextBuffer

DEFAULT_MSIZE = 524288
MINIMUM_MSIZE = 8192
MAXIMUM_MSIZE = 1 << 24


class Options:
    """What the mount options say."""

    msize: u32 = DEFAULT_MSIZE
    loose: bool = True
    user: bytes = b"root"
    tree: bytes = b""

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
        split = option.find(61)
        if split < 0:
            self.word(option)
        else:
            self.assign(option[: usize(split)], option[usize(split) + 1 :])

    def assign(self, name: Bytes, value: Bytes) -> None:
        """NAME=VALUE."""
        if name == b"trans":
            require(value == b"virtio")
        elif name == b"version":
            require(value == b"9p2000.L")
        elif name == b"msize":
            msize = parse_number(value)
            require(MINIMUM_MSIZE <= msize <= MAXIMUM_MSIZE)
            self.msize = u32(msize)
        elif name == b"cache":
            self.loose = value == b"loose" or value == b"fscache"
            require(self.loose or value == b"none" or value == b"mmap" or value == b"readahead")
        elif name == b"uname":
            self.user = bytes(value)
        elif name == b"aname":
            self.tree = bytes(value)
        else:
            require(name == b"access" or name == b"debug" or name == b"dfltuid" or name == b"dfltgid")

    def word(self, option: Bytes) -> None:
        """Options without a value."""
        if option == b"loose":
            self.loose = True
        else:
            require(option == b"posixacl" or option == b"noextend" or option == b"nodevmap" or option == b"mmap")


def require(holds: bool) -> None:
    """Raises OSError(EINVAL) unless it holds."""
    if not holds:
        raise OSError(errno.EINVAL)


class NinepSuperBlock(SuperBlock):
    """A mounted server."""

    client: Final[Client]
    table: Final[InodeTable]
    loose: bool
    msize: u32

    def __init__(self, kind: FileSystemType, flags: u64, client: Client, options: Options) -> None:
        super().__init__(kind, V9FS_MAGIC, flags)
        self.client = client
        self.table = InodeTable()
        self.loose = options.loose
        self.msize = options.msize
        self.revalidates = not options.loose

    def opens_in_place(self) -> bool:
        """Whether a file's own fid may be opened: never to be walked from again, since nothing is ever written."""
        return self.flags & MS_RDONLY != 0

    def inode_for(self, fid: Fid, attributes: Attributes) -> NinepInode:
        """The inode of what `fid` leads to: the living one, or a new one that takes the fid. Raises MemoryError."""
        inode = self.table.find(attributes.qid.path)
        if inode is not None and inode.mode & S_IFMT == attributes.mode & S_IFMT:
            return inode
        inode = self.new_inode(fid, attributes)
        self.table.add(inode)
        return inode

    def new_inode(self, fid: Fid, attributes: Attributes) -> NinepInode:
        """An inode of the right class."""
        match attributes.mode & S_IFMT:
            case 0o040000:
                return NinepDirectory(self, fid, attributes)
            case 0o100000:
                return NinepRegular(self, fid, attributes)
            case 0o120000:
                return NinepSymlink(self, fid, attributes)
            case _:
                return NinepSpecial(self, fid, attributes)

    def statfs(self, into: Statfs) -> None:
        root = self.root_inode()
        if not isinstance(root, NinepInode):
            return
        answer = ServerStatfs()
        operations.statfs(self.client, root.fid, answer)
        into.f_bsize = i64(answer.block_size)
        into.f_blocks = i64(answer.blocks)
        into.f_bfree = i64(answer.blocks_free)
        into.f_bavail = i64(answer.blocks_available)
        into.f_files = i64(answer.files)
        into.f_ffree = i64(answer.files_free)
        into.f_namelen = i64(answer.name_length)
        into.f_frsize = i64(answer.block_size)

    def remount(self, flags: u64, data: Bytes) -> None:
        """Read-only mounts may have opened fids in place, which cannot be cloned: they stay read-only."""
        if self.flags & MS_RDONLY and not flags & MS_RDONLY:
            raise OSError(errno.EROFS)
        self.flags = flags

    def options(self, out: TextBuffer) -> None:
        out.add(b",trans=virtio,version=9p2000.L,msize=")
        out.decimal(u64(self.client.msize))
        out.add(b",cache=loose" if self.loose else b",cache=none")

    def shutdown(self) -> None:
        super().shutdown()
        channels.give_back(self.client.channel)


@filesystem("9p")
def mount_ninep(source: bytes, flags: u64, data: bytes) -> SuperBlock:
    """mount(2): `source` is the mount tag. Raises FileNotFoundError (no such tag), OSError(EBUSY, EINVAL, EPROTO…)."""
    options = Options()
    options.parse(data)
    channel = channels.take(source)
    mounted = False
    try:
        client = Client(channel, options.msize)
        superblock = NinepSuperBlock(find_type(b"9p"), flags, client, options)
        uid = machine.percpu.current().credentials.fsuid
        fid = client.start(options.user, options.tree, uid)
        attributes = Attributes()
        operations.getattr_(client, fid, attributes)
        require(attributes.mode & S_IFMT == S_IFDIR)
        superblock.set_root(superblock.inode_for(fid, attributes))
        mounted = True
        return superblock
    finally:
        if not mounted:
            channels.give_back(channel)
