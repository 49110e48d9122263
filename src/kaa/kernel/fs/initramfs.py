# SPDX-License-Identifier: Apache-2.0
"""Unpacking the initial file system: cpio archives in the "newc" format (cpio(5); Linux's initramfs buffer format
document).

An archive is a run of entries: a header of 110 ASCII characters (hexadecimal fields), the name with its NUL, padding to
4, the data, padding to 4; "TRAILER!!!" ends it. Several archives may follow each other, zeroes between. Files with
nlink > 1 that agree in inode and device are one file; its data stand with the last of them, or any.

Nothing in an archive is trusted: lengths are checked against what is there, a bad header or an entry that cannot be
made costs one line in the log; the rest is unpacked as far as it can be understood. Compressed archives are refused by
name.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, cast

from kaa.kernel import log
from kaa.kernel.abi.stat import PERMISSIONS, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, make_device
from kaa.kernel.fs import kernel_io
from kaa.kernel.fs.text import digit_value
from kaa.lang import Bytes, Slice, i64, u8, u32, u64, usize

if TYPE_CHECKING:
    from kaa.kernel.fs.inode import Inode

HEADER = 110
PATH_LIMIT = 4096
MESSAGES = 8
"""Complaints about single entries, after which the rest are silent."""


class Entry:
    """A header's fields."""

    number: u64 = 0
    mode: u32 = 0
    uid: u32 = 0
    gid: u32 = 0
    nlink: u32 = 0
    modified: i64 = i64(0)
    size: usize = 0
    major: u32 = 0
    minor: u32 = 0
    device: u64 = 0
    name_size: usize = 0

    def parse(self, header: Bytes) -> bool:
        """Take the fields in; False when it is no header."""
        if header[0:6] != b"070701" and header[0:6] != b"070702":
            return False
        for at in range(6, HEADER):
            if digit_value(header[at]) > 15:
                return False
        self.number = field(header, 0)
        self.mode = u32(field(header, 1))
        self.uid = u32(field(header, 2))
        self.gid = u32(field(header, 3))
        self.nlink = u32(field(header, 4))
        self.modified = i64(field(header, 5)) * 1_000_000_000
        self.size = field(header, 6)
        self.major = u32(field(header, 7))
        self.minor = u32(field(header, 8))
        self.device = make_device(u32(field(header, 9)), u32(field(header, 10)))
        self.name_size = field(header, 11)
        return True


def field(header: Bytes, index: u32) -> u64:
    """The index-th field of eight hexadecimal digits."""
    value: u64 = u64(0)
    start = 6 + index * 8
    for at in range(start, start + 8):
        value = value * 16 + digit_value(header[at])
    return value


class Unpacker:
    """One initrd being unpacked."""

    hard_links: dict[u64, bytes]
    """(device, inode) of files with several names → the first name."""
    complaints: u32
    files: u32

    def __init__(self) -> None:
        self.hard_links = {}
        self.complaints = 0
        self.files = 0

    def unpack(self, archive: Slice[u8]) -> None:
        """All archives in `archive`."""
        at: usize = usize(0)
        while at < len(archive):
            if archive[at] == 0:
                at += 1
                continue
            length = self._entry(archive, at)
            if length == 0:
                return
            at += length

    def _entry(self, archive: Slice[u8], at: usize) -> usize:
        """One entry; how long it is, or 0 when the archive makes no sense from here on."""
        entry = Entry()
        if len(archive) - at < HEADER or not entry.parse(archive[at : at + HEADER]):
            explain(archive, at)
            return usize(0)
        name_end = HEADER + entry.name_size
        data = (at + name_end + 3) // 4 * 4 - at
        if entry.name_size == 0 or entry.name_size > PATH_LIMIT or data > len(archive) - at:
            log.error(f"initramfs: the name at byte {at} is cut short")
            return usize(0)
        if entry.size > len(archive) - at - data:
            log.error(f"initramfs: the file at byte {at} is cut short")
            return usize(0)
        name = up_to_nul(archive[at + HEADER : at + name_end])
        if name == b"TRAILER!!!":
            self.hard_links.clear()
        else:
            self._make(entry, name, archive[at + data : at + data + entry.size])
        return (at + data + entry.size + 3) // 4 * 4 - at

    def _make(self, entry: Entry, name: Bytes, data: Slice[u8]) -> None:
        relative = name
        while len(relative) > 0 and relative[0] == 0x2F:
            relative = relative[1:]
        if len(relative) == 0 or relative == b".":
            return
        self.files += 1
        try:
            self._place(entry, bytes(relative), data)
        except OSError as error:
            self._complain(relative, cast(int, error.errno))

    def _complain(self, name: Bytes, code: int) -> None:
        self.complaints += 1
        if self.complaints <= MESSAGES:
            log.error(f"initramfs: {name}: errno {code}")

    def _place(self, entry: Entry, name: bytes, data: Slice[u8]) -> None:
        kind = entry.mode & S_IFMT
        if kind == S_IFDIR:
            kernel_io.make_directory(name, 0o755)
        elif kind == S_IFREG:
            self._regular(entry, name, data)
        else:
            discard(name)
            if kind == S_IFLNK:
                kernel_io.make_symlink(name, bytes(up_to_nul(data)))
            else:
                kernel_io.make_node(name, entry.mode, entry.device)
        self._attributes(entry, name)

    def _regular(self, entry: Entry, name: bytes, data: Slice[u8]) -> None:
        if entry.nlink > 1:
            key = entry.number ^ ((make_device(entry.major, entry.minor) & 0xFFFF_FFFF) << 32)
            first = self.hard_links.get(key)
            if first is None:
                self.hard_links[key] = name
            else:
                discard(name)
                kernel_io.make_link(name, first)
                if entry.size == 0:
                    return
        write_content(name, data)

    def _attributes(self, entry: Entry, name: bytes) -> None:
        from kaa.kernel.fs import namei

        inode: Inode = namei.lookup(kernel_io.start(), name, 0).inode()
        with inode.lock:
            if not inode.is_symlink():
                inode.mode = (inode.mode & S_IFMT) | (entry.mode & PERMISSIONS)
            inode.uid = entry.uid
            inode.gid = entry.gid
        inode.modified = entry.modified
        inode.accessed = entry.modified


def write_content(name: bytes, data: Slice[u8]) -> None:
    """Make or replace a regular file."""
    from kaa.kernel.abi.fcntl import O_CREAT, O_TRUNC, O_WRONLY
    from kaa.kernel.mm.user import kernel_buffer

    file = kernel_io.open_path(name, O_CREAT | O_WRONLY | O_TRUNC, 0o600)
    buf = kernel_buffer(data)
    while buf.remaining() > 0:
        if file.write(buf) == 0:
            raise OSError(errno.ENOSPC)


def discard(name: bytes) -> None:
    """Later entries replace earlier ones, but for directories."""
    try:
        kernel_io.remove(name)
    except OSError:
        return


def up_to_nul(text: Bytes) -> Bytes:
    """The part before the first NUL."""
    end = text.find(0)
    return text if end < 0 else text[0:end]


def explain(archive: Slice[u8], at: usize) -> None:
    """One line on why the archive cannot be read from here."""
    rest: Bytes = archive[at:]
    if rest.startswith(b"\x1f\x8b"):
        log.error(f"initramfs: a gzip archive at byte {at}: compressed archives are not supported")
    elif rest.startswith(b"\x28\xb5\x2f\xfd") or rest.startswith(b"\xfd7zXZ") or rest.startswith(b"\x02\x21"):
        log.error(f"initramfs: a compressed archive at byte {at}: compressed archives are not supported")
    else:
        log.error(f"initramfs: no cpio header (newc) at byte {at}")


def unpack(archive: Slice[u8]) -> None:
    """Unpack into the root directory."""
    unpacker = Unpacker()
    try:
        unpacker.unpack(archive)
    except MemoryError:
        log.error(f"initramfs: out of memory after {unpacker.files} files")
    if unpacker.complaints > MESSAGES:
        log.error(f"initramfs: {unpacker.complaints} entries could not be made")
