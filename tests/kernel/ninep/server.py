# SPDX-License-Identifier: Apache-2.0
"""A small 9P2000.L server over a folder of the host, and a channel to it over the simulated machine's memory."""

from __future__ import annotations

import errno
import os
import stat
import struct
from pathlib import Path

from kaa.kernel.arch import machine
from kaa.kernel.fs.ninep.channel import Channel
from kaa.kernel.fs.ninep.request import Request
from kaa.lang import u32, unsafe


class Reader:
    """Takes a message apart."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, form: str) -> list[int]:
        values = struct.unpack_from("<" + form, self.data, self.at)
        self.at += struct.calcsize("<" + form)
        return list(values)

    def text(self) -> str:
        [length] = self.take("H")
        self.at += length
        return self.data[self.at - length : self.at].decode()


def text(value: str) -> bytes:
    return struct.pack("<H", len(value.encode())) + value.encode()


class Server:
    """`fids` maps a fid to its path and, once opened, its descriptor. `log` has the type of each request."""

    def __init__(self, root: Path, most: int = 1 << 20) -> None:
        self.root, self.most = root, most
        self.fids: dict[int, tuple[Path, int | None]] = {}
        self.log: list[int] = []

    def answer(self, message: bytes) -> bytes:
        """One request, one reply."""
        reader = Reader(message)
        size, kind, tag = reader.take("IBH")
        assert size == len(message), (size, len(message))
        self.log.append(kind)
        try:
            body = getattr(self, f"t{kind}")(reader)
            kind += 1
        except OSError as error:
            body, kind = struct.pack("<I", error.errno), 7
        return struct.pack("<IBH", 7 + len(body), kind, tag) + body

    def path(self, fid: int) -> Path:
        return self.fids[fid][0]

    def qid(self, path: Path) -> bytes:
        found = path.lstat()
        kind = 0x80 if stat.S_ISDIR(found.st_mode) else 2 if stat.S_ISLNK(found.st_mode) else 0
        return struct.pack("<BIQ", kind, found.st_mtime_ns & 0xFFFFFFFF, found.st_ino)

    def t100(self, r: Reader) -> bytes:
        [msize] = r.take("I")
        assert r.text() == "9P2000.L"
        return struct.pack("<I", min(msize, self.most)) + text("9P2000.L")

    def t104(self, r: Reader) -> bytes:
        fid, _ = r.take("II")
        self.fids[fid] = (self.root, None)
        return self.qid(self.root)

    def t110(self, r: Reader) -> bytes:
        fid, new, count = r.take("IIH")
        path, descriptor = self.fids[fid]
        assert descriptor is None, "an opened fid is walked from"
        if new in self.fids:
            raise OSError(errno.EBADF, "")
        qids = b""
        for number in range(count):
            path = path / r.text()
            if not os.path.lexists(path):
                if number == 0:
                    raise FileNotFoundError(errno.ENOENT, "")
                return struct.pack("<H", number) + qids
            qids += self.qid(path)
        self.fids[new] = (path, None)
        return struct.pack("<H", count) + qids

    def t24(self, r: Reader) -> bytes:
        fid, mask = r.take("IQ")
        path = self.path(fid)
        s = path.lstat()
        stamps = (s.st_atime_ns, s.st_mtime_ns, s.st_ctime_ns)
        times = b"".join(struct.pack("<QQ", t // 10**9, t % 10**9) for t in stamps)
        owner = struct.pack("<III", s.st_mode, s.st_uid, s.st_gid)
        numbers = owner + struct.pack("<QQQQQ", s.st_nlink, s.st_rdev, s.st_size, 4096, s.st_blocks)
        return struct.pack("<Q", mask) + self.qid(path) + numbers + times + bytes(32)

    def t26(self, r: Reader) -> bytes:
        fid, valid, mode, _, _, size, *_ = r.take("IIIIIQQQQQ")
        if valid & 1:
            self.path(fid).chmod(mode)
        if valid & 8:
            os.truncate(self.path(fid), size)
        return b""

    def t12(self, r: Reader) -> bytes:
        fid, flags = r.take("II")
        path, descriptor = self.fids[fid]
        assert descriptor is None
        self.fids[fid] = (path, os.open(path, flags))
        return self.qid(path) + bytes(4)

    def t14(self, r: Reader) -> bytes:
        [fid] = r.take("I")
        name = r.text()
        flags, mode, _ = r.take("III")
        path = self.path(fid) / name
        self.fids[fid] = (path, os.open(path, flags, mode))
        return self.qid(path) + bytes(4)

    def t116(self, r: Reader) -> bytes:
        fid, offset, count = r.take("IQI")
        data = os.pread(self.descriptor(fid), min(count, self.most - 11), offset)
        return struct.pack("<I", len(data)) + data

    def t118(self, r: Reader) -> bytes:
        fid, offset, count = r.take("IQI")
        data = r.data[r.at :]
        assert len(data) == count
        return struct.pack("<I", os.pwrite(self.descriptor(fid), data, offset))

    def descriptor(self, fid: int) -> int:
        descriptor = self.fids[fid][1]
        assert descriptor is not None, "a fid is used that was not opened"
        return descriptor

    def t40(self, r: Reader) -> bytes:
        fid, offset, count = r.take("IQI")
        self.descriptor(fid)
        path = self.path(fid)
        names = [".", "..", *sorted(os.listdir(path))]
        body = b""
        for number in range(offset, len(names)):
            entry = self.qid(path / names[number]) + struct.pack("<QB", number + 1, 0) + text(names[number])
            if len(body) + len(entry) > count:
                break
            body += entry
        return struct.pack("<I", len(body)) + body

    def t22(self, r: Reader) -> bytes:
        return text(os.readlink(self.path(r.take("I")[0])))

    def t72(self, r: Reader) -> bytes:
        [fid] = r.take("I")
        path = self.path(fid) / r.text()
        path.mkdir(r.take("I")[0])
        return self.qid(path)

    def t16(self, r: Reader) -> bytes:
        [fid] = r.take("I")
        path = self.path(fid) / r.text()
        path.symlink_to(r.text())
        return self.qid(path)

    def t70(self, r: Reader) -> bytes:
        parent, fid = r.take("II")
        os.link(self.path(fid), self.path(parent) / r.text())
        return b""

    def t76(self, r: Reader) -> bytes:
        [fid] = r.take("I")
        path = self.path(fid) / r.text()
        path.rmdir() if r.take("I")[0] & 0x200 else path.unlink()
        return b""

    def t74(self, r: Reader) -> bytes:
        [old] = r.take("I")
        source = self.path(old) / r.text()
        [new] = r.take("I")
        target = self.path(new) / r.text()
        os.rename(source, target)
        for fid, (path, descriptor) in self.fids.items():
            if path == source or source in path.parents:
                self.fids[fid] = (target / path.relative_to(source), descriptor)
        return b""

    def t8(self, r: Reader) -> bytes:
        r.take("I")
        return struct.pack("<IIQQQQQQI", 0x01021997, 4096, 1000, 500, 400, 300, 200, 7, 255)

    def t50(self, r: Reader) -> bytes:
        self.descriptor(r.take("II")[0])
        return b""

    def t120(self, r: Reader) -> bytes:
        _, descriptor = self.fids.pop(r.take("I")[0])
        if descriptor is not None:
            os.close(descriptor)
        return b""


class ServerChannel(Channel):
    """Answers at once. `spoil` may change replies on their way."""

    def __init__(self, server: Server, tag: bytes = b"root") -> None:
        super().__init__(tag)
        self.server = server
        self.done: list[Request] = []
        self.spoil = lambda reply: reply

    def segment_limit(self) -> u32:
        return u32(128)

    def submit(self, request: Request) -> None:
        pieces = [(int(s.address), int(s.length)) for s in request.segments[: request.segment_count]]
        message = b"".join(self.load(*piece) for piece in pieces[: request.outputs])
        reply = self.spoil(self.server.answer(message))
        at = 0
        for address, length in pieces[request.outputs :]:
            self.store(address, reply[at : at + length])
            at += length
        if request.unattended:
            self.done.append(request)
        else:
            request.complete(u32(min(len(reply), at)))

    def load(self, address: int, length: int) -> bytes:
        return unsafe.memory.read(machine.paging.direct_map(address), length)

    def store(self, address: int, data: bytes) -> None:
        unsafe.memory.write(machine.paging.direct_map(address), data)

    def collect(self) -> Request | None:
        return self.done.pop() if self.done else None


