# SPDX-License-Identifier: Apache-2.0
"""The messages of 9P2000.L, one function each: arguments in, reply out, errors raised as the server's errno.

Sources: Plan 9 manual section 5; diod's protocol description for the .L messages. Names are single components.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from kaa.kernel.abi.ninep import GETATTR_BASIC, Message
from kaa.kernel.fs.ninep.client import Client, message
from kaa.kernel.fs.ninep.fids import Fid, new_fid
from kaa.lang import ZERO, Bytes, struct, u8, u32, u64

if TYPE_CHECKING:
    from kaa.kernel.fs.ninep.request import Request


@struct
class Qid:
    """A server's identity of a file: `path` is unique, `version` changes with its content."""

    path: u64 = 0
    version: u32 = 0
    kind: u8 = 0


@struct
class Attributes:
    """The reply of Tgetattr; times in seconds and ns."""

    qid: Qid = ZERO
    mode: u32 = 0
    uid: u32 = 0
    gid: u32 = 0
    nlink: u64 = 0
    rdev: u64 = 0
    size: u64 = 0
    block_size: u64 = 0
    blocks: u64 = 0
    accessed: u64 = 0
    accessed_ns: u64 = 0
    modified: u64 = 0
    modified_ns: u64 = 0
    changed: u64 = 0
    changed_ns: u64 = 0


@struct
class ServerStatfs:
    """The reply of Tstatfs."""

    kind: u32 = 0
    block_size: u32 = 0
    blocks: u64 = 0
    blocks_free: u64 = 0
    blocks_available: u64 = 0
    files: u64 = 0
    files_free: u64 = 0
    fsid: u64 = 0
    name_length: u32 = 0


@struct
class NewAttributes:
    """What Tsetattr carries; `valid` (abi Setattr) names the fields that count."""

    valid: u32 = 0
    mode: u32 = 0
    uid: u32 = 0
    gid: u32 = 0
    size: u64 = 0
    accessed: u64 = 0
    accessed_ns: u64 = 0
    modified: u64 = 0
    modified_ns: u64 = 0


def get_qid(request: Request, into: Qid) -> None:
    """Read a qid from a reply."""
    into.kind = request.get8()
    into.version = request.get32()
    into.path = request.get64()


def walk(client: Client, start: Fid, name: Bytes) -> Fid:
    """A new fid for `name` in a directory; an empty name clones the fid itself."""
    fid = new_fid(client)
    with message(client, Message.TWALK) as request:
        request.put32(start.number)
        request.put32(fid.number)
        request.put16(0 if len(name) == 0 else 1)
        if len(name) > 0:
            request.put_text(name)
        client.call(request)
        if request.get16() != (0 if len(name) == 0 else 1):
            raise FileNotFoundError
        fid.known = True
    return fid


def getattr_(client: Client, fid: Fid, into: Attributes) -> None:
    """stat(2) of a fid."""
    with message(client, Message.TGETATTR) as request:
        request.put32(fid.number)
        request.put64(GETATTR_BASIC)
        client.call(request)
        request.get64()
        get_qid(request, into.qid)
        into.mode = request.get32()
        into.uid = request.get32()
        into.gid = request.get32()
        into.nlink = request.get64()
        into.rdev = request.get64()
        into.size = request.get64()
        into.block_size = request.get64()
        into.blocks = request.get64()
        get_times(request, into)


def get_times(request: Request, into: Attributes) -> None:
    """The times in a reply of Tgetattr; what follows them (birth time, generation, data version) servers leave zero."""
    into.accessed = request.get64()
    into.accessed_ns = request.get64()
    into.modified = request.get64()
    into.modified_ns = request.get64()
    into.changed = request.get64()
    into.changed_ns = request.get64()


def setattr_(client: Client, fid: Fid, change: NewAttributes) -> None:
    """chmod, chown, truncate, utimensat of a fid."""
    with message(client, Message.TSETATTR) as request:
        request.put32(fid.number)
        request.put32(change.valid)
        request.put32(change.mode)
        request.put32(change.uid)
        request.put32(change.gid)
        request.put64(change.size)
        request.put64(change.accessed)
        request.put64(change.accessed_ns)
        request.put64(change.modified)
        request.put64(change.modified_ns)
        client.call(request)


def open_(client: Client, fid: Fid, flags: u32) -> None:
    """Open a fid; it cannot be walked from afterwards. A FIFO may keep us waiting: a signal ends that with Restart."""
    with message(client, Message.TLOPEN) as request:
        request.put32(fid.number)
        request.put32(flags)
        client.call_interruptible(request)
    fid.opened.store_relaxed(True)


def create(client: Client, fid: Fid, name: Bytes, flags: u32, mode: u32, gid: u32) -> None:
    """Make a regular file in the directory that `fid` is; `fid` is then the new file, opened."""
    with message(client, Message.TLCREATE) as request:
        request.put32(fid.number)
        request.put_text(name)
        request.put32(flags)
        request.put32(mode)
        request.put32(gid)
        client.call(request)
    fid.opened.store_relaxed(True)


def mkdir(client: Client, parent: Fid, name: Bytes, mode: u32, gid: u32) -> None:
    """mkdir(2)."""
    with message(client, Message.TMKDIR) as request:
        request.put32(parent.number)
        request.put_text(name)
        request.put32(mode)
        request.put32(gid)
        client.call(request)


def mknod(client: Client, parent: Fid, name: Bytes, mode: u32, rdev: u64, gid: u32) -> None:
    """mknod(2)."""
    with message(client, Message.TMKNOD) as request:
        request.put32(parent.number)
        request.put_text(name)
        request.put32(mode)
        request.put32(u32((rdev >> 8) & 0xFFF))
        request.put32(u32((rdev & 0xFF) | ((rdev >> 12) & 0xFFF00)))
        request.put32(gid)
        client.call(request)


def symlink(client: Client, parent: Fid, name: Bytes, target: Bytes, gid: u32) -> None:
    """symlink(2)."""
    with message(client, Message.TSYMLINK) as request:
        request.put32(parent.number)
        request.put_text(name)
        request.put_text(target)
        request.put32(gid)
        client.call(request)


def link(client: Client, parent: Fid, fid: Fid, name: Bytes) -> None:
    """link(2)."""
    with message(client, Message.TLINK) as request:
        request.put32(parent.number)
        request.put32(fid.number)
        request.put_text(name)
        client.call(request)


def unlink(client: Client, parent: Fid, name: Bytes, flags: u32) -> None:
    """unlinkat(2); with UNLINK_DIRECTORY rmdir(2)."""
    with message(client, Message.TUNLINKAT) as request:
        request.put32(parent.number)
        request.put_text(name)
        request.put32(flags)
        client.call(request)


def rename(client: Client, parent: Fid, name: Bytes, new_parent: Fid, new_name: Bytes) -> None:
    """renameat(2)."""
    with message(client, Message.TRENAMEAT) as request:
        request.put32(parent.number)
        request.put_text(name)
        request.put32(new_parent.number)
        request.put_text(new_name)
        client.call(request)


def readlink(client: Client, fid: Fid) -> bytes:
    """readlink(2)."""
    with message(client, Message.TREADLINK) as request:
        request.put32(fid.number)
        client.call(request)
        return bytes(request.get_text())


def fsync(client: Client, fid: Fid) -> None:
    """fsync(2) of an opened fid; a signal ends the wait with Restart."""
    with message(client, Message.TFSYNC) as request:
        request.put32(fid.number)
        request.put32(0)
        client.call_interruptible(request)


def statfs(client: Client, fid: Fid, into: ServerStatfs) -> None:
    """statfs(2)."""
    with message(client, Message.TSTATFS) as request:
        request.put32(fid.number)
        client.call(request)
        into.kind = request.get32()
        into.block_size = request.get32()
        into.blocks = request.get64()
        into.blocks_free = request.get64()
        into.blocks_available = request.get64()
        into.files = request.get64()
        into.files_free = request.get64()
        into.fsid = request.get64()
        into.name_length = request.get32()


def lock(client: Client, fid: Fid, kind: u32, flags: u32, start: u64, length: u64, owner: u32) -> u32:
    """fcntl(2) F_SETLK on the server: an abi LockStatus. `length` 0: to the end of the file."""
    with message(client, Message.TLOCK) as request:
        request.put32(fid.number)
        request.put8(u8(kind))
        request.put32(flags)
        request.put64(start)
        request.put64(length)
        request.put32(owner)
        request.put_text(b"kaa")
        client.call_interruptible(request)
        return u32(request.get8())


def read(client: Client, fid: Fid, offset: u64, physical: u64, count: u32) -> u32:
    """pread(2) of an opened fid into one piece of memory; how many bytes came."""
    with message(client, Message.TREAD) as request:
        begin_read(request, fid, offset, count)
        request.receive_page(physical, count)
        client.call(request)
        return read_result(request, count)


def begin_read(request: Request, fid: Fid, offset: u64, count: u32) -> None:
    """The words of a Tread; the reply's data goes to the pages that are added next."""
    request.put32(fid.number)
    request.put64(offset)
    request.put32(count)
    request.reply_room = 11


def read_result(request: Request, count: u32) -> u32:
    """How many bytes a Tread brought; never more than asked for, nor than the device wrote."""
    got = request.get32()
    if got > count or got > request.written - 11:
        raise OSError(errno.EIO)
    return got


def write(client: Client, fid: Fid, offset: u64, physical: u64, count: u32) -> u32:
    """pwrite(2) of an opened fid from one piece of memory; how many bytes were taken."""
    with message(client, Message.TWRITE) as request:
        request.put32(fid.number)
        request.put64(offset)
        request.put32(count)
        request.send_page(physical, count)
        client.call(request, count)
        taken = request.get32()
        if taken > count:
            raise OSError(errno.EIO)
        return taken


def read_directory(client: Client, fid: Fid, offset: u64, physical: u64, count: u32) -> u32:
    """Treaddir: entries after `offset` into one piece of memory; bytes of them, 0 at the end."""
    with message(client, Message.TREADDIR) as request:
        begin_read(request, fid, offset, count)
        request.receive_page(physical, count)
        client.call(request)
        return read_result(request, count)
