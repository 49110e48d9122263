# SPDX-License-Identifier: Apache-2.0
"""cpio archives in the "newc" format, written and read: what an initramfs is. Source: cpio(5), "New ASCII Format".

Written archives depend on their entries alone (no times, no inode numbers of the host), so equal input gives equal
bytes.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import stat
from collections.abc import Iterable, Iterator

MAGIC = b"070701"
MAGIC_WITH_CHECKSUM = b"070702"
HEADER_SIZE = 110
TRAILER = "TRAILER!!!"


class Malformed(ValueError):
    """Not a newc archive, or one that ends too early."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """One member. `data` is a file's content or a symbolic link's target; `device` is (major, minor) of a device
    node."""

    name: str
    mode: int
    data: bytes = b""
    uid: int = 0
    gid: int = 0
    device: tuple[int, int] = (0, 0)
    links: int = 1
    inode: int = 0


def directory(name: str, permissions: int = 0o755) -> Entry:
    return Entry(name, stat.S_IFDIR | permissions)


def regular(name: str, data: bytes, permissions: int = 0o644) -> Entry:
    return Entry(name, stat.S_IFREG | permissions, data)


def program(name: str, data: bytes) -> Entry:
    return regular(name, data, 0o755)


def symlink(name: str, target: str) -> Entry:
    return Entry(name, stat.S_IFLNK | 0o777, target.encode())


def character_device(name: str, major: int, minor: int, permissions: int = 0o666) -> Entry:
    return Entry(name, stat.S_IFCHR | permissions, device=(major, minor))


def write(entries: Iterable[Entry]) -> bytes:
    """The archive's bytes, trailer included, padded to 512. Each entry gets its place as inode number unless it names
    one."""
    archive = bytearray()
    for number, entry in enumerate([*entries, Entry(TRAILER, 0)], start=1):
        name = os.fsencode(entry.name) + b"\0"
        fields = (entry.inode or number, entry.mode, entry.uid, entry.gid, entry.links, 0, len(entry.data),
                  0, 0, *entry.device, len(name), 0)
        archive += MAGIC + b"".join(b"%08X" % field for field in fields) + name
        archive += b"\0" * (-len(archive) % 4) + entry.data
        archive += b"\0" * (-len(archive) % 4)
    return bytes(archive + b"\0" * (-len(archive) % 512))


def read(archive: bytes) -> Iterator[Entry]:
    """The members in order, also of several archives one after the other. Raises Malformed."""
    at = 0
    while True:
        while at < len(archive) and archive[at] == 0:
            at += 1
        if at >= len(archive):
            return
        entry, at = _read_one(archive, at)
        if entry.name != TRAILER:
            yield entry


def _read_one(archive: bytes, at: int) -> tuple[Entry, int]:
    header = archive[at:at + HEADER_SIZE]
    if len(header) < HEADER_SIZE or header[:6] not in (MAGIC, MAGIC_WITH_CHECKSUM):
        raise Malformed(f"no cpio header at byte {at}")
    try:
        f = [int(header[6 + 8 * i:14 + 8 * i], 16) for i in range(13)]
    except ValueError:
        raise Malformed(f"a cpio header with a field that is no hexadecimal number at byte {at}") from None
    inode, mode, uid, gid, links, _, size, _, _, major, minor, name_size, _ = f
    data_at = at + HEADER_SIZE + name_size
    data_at += -data_at % 4
    if name_size == 0 or data_at + size > len(archive):
        raise Malformed(f"a cpio member that ends beyond the archive at byte {at}")
    name = os.fsdecode(archive[at + HEADER_SIZE:at + HEADER_SIZE + name_size - 1])
    end = data_at + size
    entry = Entry(name, mode, archive[data_at:end], uid, gid, (major, minor), links, inode)
    return entry, end + -end % 4


def from_directory(root: pathlib.Path) -> Iterator[Entry]:
    """The entries of a folder of the host, sorted by name, owned by root. Sockets and FIFOs are left out."""
    for path in sorted(root.rglob("*")):
        name, mode = str(path.relative_to(root)), path.lstat().st_mode
        if stat.S_ISLNK(mode):
            yield symlink(name, os.readlink(path))
        elif stat.S_ISDIR(mode):
            yield directory(name, stat.S_IMODE(mode))
        elif stat.S_ISREG(mode):
            yield regular(name, path.read_bytes(), stat.S_IMODE(mode))
