# SPDX-License-Identifier: Apache-2.0
"""The 9P file system against a small server over a real folder."""

from __future__ import annotations

import errno
import gc
import os
import random
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

from server import Server, ServerChannel  # noqa: E402
from simulated import boot  # noqa: E402

from kaa.kernel.abi.fcntl import O_RDONLY, O_RDWR  # noqa: E402
from kaa.kernel.abi.ninep import Message  # noqa: E402
from kaa.kernel.abi.statfs import Statfs  # noqa: E402
from kaa.kernel.fs.dirent import DirSink, NameSink  # noqa: E402
from kaa.kernel.fs.ninep.channel import channels  # noqa: E402
from kaa.kernel.fs.ninep.request import Request  # noqa: E402
from kaa.kernel.fs.ninep.superblock import NinepSuperBlock, mount_ninep  # noqa: E402
from kaa.kernel.mm.user import kernel_buffer  # noqa: E402
from kaa.kernel.process.credentials import Credentials  # noqa: E402
from kaa.lang import Array, u8  # noqa: E402

READ_ONLY = 1


class Mounted:
    """A mounted folder."""

    def __init__(self, folder: Path, flags: int = 0, options: bytes = b"", most: int = 1 << 20) -> None:
        task = boot(4000)
        task.credentials = Credentials()
        self.server = Server(folder, most)
        self.channel = ServerChannel(self.server)
        channels.all = [self.channel]
        superblock = mount_ninep(b"root", flags, options)
        assert isinstance(superblock, NinepSuperBlock)
        self.superblock = superblock
        self.root: Any = superblock.root

    def open(self, node: Any, flags: int = O_RDONLY) -> Any:
        return node.open(flags, None)


def read_at(file: Any, count: int, offset: int = 0) -> bytes:
    space = Array[u8, 1 << 20]()
    got = file.read_at(kernel_buffer(space[:count]), offset)
    return bytes(space[:got])


def write_at(file: Any, data: bytes, offset: int = 0) -> int:
    space = Array[u8, 1 << 20]()
    space[: len(data)].copy_from(data)
    return int(file.write_at(kernel_buffer(space[: len(data)]), offset))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "dir").mkdir()
    (tmp_path / "hello").write_bytes(b"hello, world\n")
    (tmp_path / "large").write_bytes(random.Random(1).randbytes(700_001))
    (tmp_path / "link").symlink_to("dir/../hello")
    return tmp_path


def test_names_lead_to_files_and_missing_ones_to_enoent(folder: Path) -> None:
    mounted = Mounted(folder)
    node = mounted.root.lookup(b"hello")
    assert node.size == 13 and node.is_regular()
    assert mounted.root.lookup(b"dir").is_directory()
    assert mounted.root.lookup(b"link").readlink() == b"dir/../hello"
    with pytest.raises(FileNotFoundError):
        mounted.root.lookup(b"nothing")


def test_a_small_file_costs_one_read_and_then_none(folder: Path) -> None:
    mounted = Mounted(folder, READ_ONLY)
    before = len(mounted.server.log)
    file = mounted.open(mounted.root.lookup(b"hello"))
    assert read_at(file, 100) == b"hello, world\n"
    assert mounted.server.log[before:] == [Message.TWALK, Message.TGETATTR, Message.TLOPEN, Message.TREAD]
    again = mounted.open(mounted.root.lookup(b"hello"))
    del mounted.server.log[:]
    assert read_at(again, 5, 7) == b"world"
    assert mounted.server.log == []


@pytest.mark.parametrize("most", [1 << 20, 9000])
def test_large_files_come_in_large_pieces(folder: Path, most: int) -> None:
    mounted = Mounted(folder, READ_ONLY, most=most)
    file = mounted.open(mounted.root.lookup(b"large"))
    assert read_at(file, 1 << 20) == (folder / "large").read_bytes()
    reads = mounted.server.log.count(Message.TREAD)
    assert reads <= (8 if most > 9000 else 180)


def test_hard_links_are_one_inode(folder: Path) -> None:
    os.link(folder / "hello", folder / "twin")
    mounted = Mounted(folder)
    assert mounted.root.lookup(b"hello") is mounted.root.lookup(b"twin")


def test_fids_of_dead_inodes_are_clunked(folder: Path) -> None:
    mounted = Mounted(folder)
    for number in range(40):
        (folder / f"f{number}").write_bytes(b"x")
    for number in range(40):
        mounted.root.lookup(f"f{number}".encode())
        gc.collect()
    assert len(mounted.server.fids) < 10


def test_writing_reaches_the_server_and_the_cache(folder: Path) -> None:
    mounted = Mounted(folder)
    node = mounted.root.lookup(b"hello")
    file = mounted.open(node, O_RDWR)
    assert read_at(file, 100) == b"hello, world\n"
    assert write_at(file, b"HELLO") == 5
    assert read_at(file, 100) == b"HELLO, world\n"
    assert (folder / "hello").read_bytes() == b"HELLO, world\n"
    long = bytes(range(256)) * 700
    assert write_at(file, long, 4000) == len(long)
    assert node.size == 4000 + len(long)
    assert (folder / "hello").read_bytes()[4000:] == long
    assert read_at(file, 1 << 20)[4000:] == long
    file.fsync()


def test_files_are_made_renamed_linked_and_removed(folder: Path) -> None:
    mounted = Mounted(folder)
    root, place = mounted.root, mounted.root.lookup(b"dir")
    made = root.create(b"new", 0o100640)
    assert (folder / "new").stat().st_mode & 0o777 == 0o640
    assert write_at(mounted.open(made, O_RDWR), b"abc") == 3
    root.rename(b"new", place, b"moved", 0)
    assert (folder / "dir/moved").read_bytes() == b"abc"
    root.link(b"second", made)
    assert made.nlink == 2
    place.unlink(b"moved", made)
    assert not (folder / "dir/moved").exists() and (folder / "second").exists()
    sub = root.mkdir(b"sub", 0o40755)
    root.symlink(b"sym", b"target/of/it")
    assert os.readlink(folder / "sym") == "target/of/it"
    root.rmdir(b"sub", sub)
    assert not (folder / "sub").exists()
    with pytest.raises(FileExistsError):
        root.mkdir(b"dir", 0o40755)


def test_truncating_drops_pages_and_bytes(folder: Path) -> None:
    mounted = Mounted(folder)
    node = mounted.root.lookup(b"large")
    file = mounted.open(node, O_RDWR)
    read_at(file, 100_000)
    node.truncate(5000)
    assert (folder / "large").stat().st_size == 5000
    write_at(file, b"end", 9000)
    data = read_at(file, 1 << 20)
    assert len(data) == 9003 and data[5000:9000] == bytes(4000) and data == (folder / "large").read_bytes()


class Full(DirSink):
    """Takes three entries at a time."""

    def __init__(self) -> None:
        self.left, self.names = 3, []

    def emit(self, name: Any, number: int, kind: int, following: int) -> bool:
        if self.left == 0:
            return False
        self.left -= 1
        self.names.append(bytes(name))
        return True


def test_directories_are_read_in_pieces_of_any_size(folder: Path) -> None:
    for number in range(300):
        (folder / f"entry-with-a-long-name-{number}").touch()
    mounted = Mounted(folder)
    everything = NameSink()
    mounted.open(mounted.root).readdir(everything)
    assert sorted(everything.names) == sorted(n.encode() for n in os.listdir(folder))
    file, names = mounted.open(mounted.root), []
    while True:
        sink = Full()
        file.readdir(sink)
        if not sink.names:
            break
        names += sink.names
    assert sorted(names) == sorted([b".", b"..", *everything.names])


def test_statfs_tells_the_servers_counts(folder: Path) -> None:
    mounted = Mounted(folder)
    answer = Statfs()
    mounted.superblock.statfs(answer)
    assert (answer.f_blocks, answer.f_bfree, answer.f_namelen) == (1000, 500, 255)


def test_strict_mounts_see_changes_on_the_server(folder: Path) -> None:
    mounted = Mounted(folder, options=b"trans=virtio,version=9p2000.L,cache=none,msize=131072")
    node = mounted.root.lookup(b"hello")
    assert read_at(mounted.open(node), 100) == b"hello, world\n"
    (folder / "hello").write_bytes(b"something else, longer than before")
    assert read_at(mounted.open(node), 100) == b"something else, longer than before"


@pytest.mark.parametrize(
    "options", [b"trans=tcp", b"version=9p2000.u", b"msize=100", b"nonsense", b"msize=x", b"cache=maybe"]
)
def test_options_that_cannot_be_kept_are_refused(folder: Path, options: bytes) -> None:
    with pytest.raises(OSError) as refused:
        Mounted(folder, options=options)
    assert refused.value.errno == errno.EINVAL


def test_an_unknown_tag_and_a_tag_in_use_are_refused(folder: Path) -> None:
    Mounted(folder)
    with pytest.raises(FileNotFoundError):
        mount_ninep(b"other", 0, b"")
    with pytest.raises(OSError) as refused:
        mount_ninep(b"root", 0, b"")
    assert refused.value.errno == errno.EBUSY


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32))
def test_a_lying_server_only_causes_errors(seed: int) -> None:
    """Replies with bytes changed, cut or lengthened: an errno or an answer, never a trap."""
    choose = random.Random(seed)
    folder = Path("/usr/share/doc/base-files") if Path("/usr/share/doc/base-files").exists() else Path("/etc")
    mounted = Mounted(folder, READ_ONLY)

    def spoil(reply: bytes) -> bytes:
        changed = bytearray(reply)
        for _ in range(choose.randint(0, 3)):
            changed[choose.randrange(len(changed))] = choose.randrange(256)
        return bytes(changed[: choose.randint(0, len(changed))] if choose.random() < 0.2 else changed)

    mounted.channel.spoil = spoil
    for name in sorted(os.listdir(folder))[:8]:
        try:
            node = mounted.root.lookup(name.encode())
            if node.is_regular() and node.size < 1 << 20:
                read_at(mounted.open(node), 5000)
            elif node.is_directory():
                mounted.open(node).readdir(NameSink())
            elif node.is_symlink():
                node.readlink()
        except OSError as error:
            assert 1 <= (error.errno or 0) <= 133


NUMBERS = st.lists(st.tuples(st.sampled_from([8, 16, 32, 64]), st.integers(0, 2**64 - 1)), max_size=50)


@given(NUMBERS, st.binary(max_size=500))
@settings(max_examples=50, deadline=None)
def test_numbers_and_texts_come_back_from_a_message(numbers: list[tuple[int, int]], name: bytes) -> None:
    boot(100)
    request = Request(5)
    request.start(100)
    for width, value in numbers:
        getattr(request, f"put{width}")(value % (1 << width))
    request.put_text(name)
    end = request.position
    request.seal(0)
    request.reply_start, request.position, request.end = 0, 7, end
    for width, value in numbers:
        assert getattr(request, f"get{width}")() == value % (1 << width)
    assert bytes(request.get_text()) == name
    with pytest.raises(OSError):
        request.get8()
