# SPDX-License-Identifier: Apache-2.0
"""Files for the kernel itself: open, read whole, make directories and nodes, mount. Names start at the caller's root.

Used while booting and by `./kaa run`; system calls have their own, finer ways.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kaa.kernel.abi.fcntl import O_CREAT, O_LARGEFILE, O_RDWR, O_TRUNC, O_WRONLY
from kaa.kernel.abi.mount import MS_RDONLY
from kaa.kernel.arch import machine
from kaa.kernel.fs import mounting, namei
from kaa.kernel.fs import open as opening
from kaa.kernel.fs.calls import names
from kaa.kernel.fs.context import FsContext
from kaa.kernel.fs.mount import mount_first
from kaa.kernel.fs.superblock import find_type
from kaa.kernel.fs.text import CHUNK, TextBuffer, TextChunk
from kaa.kernel.mm.user import kernel_buffer
from kaa.lang import Bytes, Slice, u8, u32, u64, usize

if TYPE_CHECKING:
    from kaa.kernel.fs.file import File
    from kaa.kernel.fs.path import Path


def mount_root() -> FsContext:
    """Make an empty tmpfs the root of all names: what the initramfs is unpacked into. Give the result to
    process/boot.py."""
    root = mount_first(find_type(b"ramfs").mount(b"rootfs", 0, b"mode=755"), b"rootfs", 0)
    return FsContext(root, root, 0o22)


def switch_root(source: bytes, kind: bytes, data: bytes, writable: bool) -> None:
    """Mount the real root over the first one, and go there: what root=, rootfstype=, rootflags= ask for. Raises
    OSError."""
    make_directory(b"/root", 0o700)
    mount(kind, source, b"/root", 0 if writable else MS_RDONLY, data)
    place = find(b"/root")
    fs = machine.percpu.current().fs
    fs.set_cwd(place)
    fs.set_root(place)


def open_standard(name: bytes) -> None:
    """Descriptors 0, 1 and 2 on one device. Raises OSError."""
    file = open_path(name, O_RDWR, 0)
    files = machine.percpu.current().files
    for _ in range(3):
        files.install(file, False)


def start() -> Path:
    """Where the kernel's own names start: the caller's current directory."""
    return machine.percpu.current().fs.cwd()


def find(name: bytes) -> Path:
    """The place of a name, links followed. Raises what path_resolution(7) says."""
    return namei.lookup(start(), name, namei.FOLLOW)


def exists(name: bytes) -> bool:
    """Whether a name leads somewhere."""
    try:
        find(name)
    except OSError:
        return False
    return True


def open_path(name: bytes, flags: u32, mode: u32) -> File:
    """Open, or create; with the caller's permissions."""
    return opening.open_at(start(), name, flags | O_LARGEFILE, mode, 0)


def read_exact(file: File, offset: u64, into: Slice[u8]) -> usize:
    """Fill `into` from `offset` on; less only at the end of the file. Gives the count."""
    buf = kernel_buffer(into)
    done: usize = usize(0)
    while buf.remaining() > 0:
        got = file.read_at(buf, offset + done)
        if got == 0:
            break
        done += got
    return done


def read_all(file: File) -> bytes:
    """The whole content. Raises MemoryError, also when it is beyond what can be had in one piece (4 MiB)."""
    text = TextBuffer()
    offset: u64 = u64(0)
    piece = TextChunk()
    while True:
        got = read_exact(file, offset, piece.data[0:CHUNK])
        text.add(piece.data[0:got])
        offset += got
        if got < CHUNK:
            return text.to_bytes()


def write_file(name: bytes, mode: u32, content: Slice[u8]) -> None:
    """A new file with this content."""
    file = open_path(name, O_CREAT | O_WRONLY | O_TRUNC, mode)
    buf = kernel_buffer(content)
    while buf.remaining() > 0:
        if file.write(buf) == 0:
            break


def make_directory(name: bytes, mode: u32) -> None:
    """mkdir(2); one that exists already is fine."""
    try:
        names.make_directory(namei.Walk(start(), name, 0), mode)
    except FileExistsError:
        return


def make_directories(name: Bytes, mode: u32) -> None:
    """Every directory on the way to `name`, and it."""
    at: usize = usize(1)
    while at <= len(name):
        if at == len(name) or name[at] == 0x2F:
            make_directory(bytes(name[0:at]), mode)
        at += 1


def make_node(name: bytes, mode: u32, device: u64) -> None:
    """mknod(2); replaces nothing."""
    names.make_node(namei.Walk(start(), name, 0), mode, device)


def make_symlink(name: bytes, target: bytes) -> None:
    """symlink(2)."""
    names.make_symlink(namei.Walk(start(), name, 0), target)


def make_link(name: bytes, existing: bytes) -> None:
    """link(2)."""
    source = namei.Walk(start(), existing, 0)
    source.to_end()
    names.make_link(source.inode(), source, namei.Walk(start(), name, 0))


def remove(name: bytes) -> None:
    """unlink(2)."""
    names.remove_file(namei.Walk(start(), name, 0))


def mount(kind: Bytes, source: bytes, target: bytes, flags: u64, data: bytes) -> None:
    """mount(2) of a new file system."""
    mounting.mount_new(kind, source, find(target), flags, data)


def set_owner(name: bytes, uid: u32, gid: u32) -> None:
    """lchown(2) without asking for permission."""
    path = namei.lookup(start(), name, 0)
    inode = path.inode()
    inode.uid = uid
    inode.gid = gid
