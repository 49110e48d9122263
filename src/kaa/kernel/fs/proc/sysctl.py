# SPDX-License-Identifier: Apache-2.0
"""/proc/sys: the values that programs ask for. What can be written takes effect, or is not writable. proc_sys(5)."""

from __future__ import annotations

import errno
from typing import Final

from kaa.kernel.fs.proc.tree import tree
from kaa.kernel.fs.text import TextBuffer, parse_number, trimmed
from kaa.kernel.lib import random
from kaa.kernel.locking.mutex import Mutex
from kaa.kernel.mm import overcommit
from kaa.kernel.process import usage
from kaa.lang import Array, Bytes, Guarded, u8, u64


def show_ostype(out: TextBuffer) -> None:
    """kernel/ostype."""
    out.add(b"Linux\n")


def show_osrelease(out: TextBuffer) -> None:
    """kernel/osrelease."""
    out.add(b"6.17.0-kaa\n")


def show_version(out: TextBuffer) -> None:
    """kernel/version."""
    out.add(b"#1 Kaa\n")


def c_string(text: Bytes) -> Bytes:
    """The part before the first NUL."""
    end = text.find(0)
    return text if end < 0 else text[0:end]


def show_hostname(out: TextBuffer) -> None:
    """kernel/hostname."""
    text = Array[u8, 65]()
    with usage.host_name.lock:
        text[:].copy_from(usage.host_name.host[:])
    out.add(c_string(text[:]))
    out.byte(10)


def show_domainname(out: TextBuffer) -> None:
    """kernel/domainname."""
    text = Array[u8, 65]()
    with usage.host_name.lock:
        text[:].copy_from(usage.host_name.domain[:])
    out.add(c_string(text[:]))
    out.byte(10)


def show_zero(out: TextBuffer) -> None:
    """0"""
    out.add(b"0\n")


def show_one(out: TextBuffer) -> None:
    """1"""
    out.add(b"1\n")


def show_two(out: TextBuffer) -> None:
    """2"""
    out.add(b"2\n")


def show_pid_max(out: TextBuffer) -> None:
    """kernel/pid_max."""
    out.add(b"32768\n")


def show_threads_max(out: TextBuffer) -> None:
    """kernel/threads-max."""
    out.add(b"32768\n")


def show_last_cap(out: TextBuffer) -> None:
    """kernel/cap_last_cap."""
    out.add(b"40\n")


def show_overflow_id(out: TextBuffer) -> None:
    """kernel/overflowuid, overflowgid."""
    out.add(b"65534\n")


def show_uuid(out: TextBuffer) -> None:
    """kernel/random/uuid: another one each time (RFC 9562, version 4)."""
    raw = Array[u8, 16]()
    random.fill(raw[:])
    write_uuid(out, raw)


def write_uuid(out: TextBuffer, raw: Array[u8, 16]) -> None:
    """8-4-4-4-12 digits, version and variant put in."""
    raw[6] = (raw[6] & 0x0F) | 0x40
    raw[8] = (raw[8] & 0x3F) | 0x80
    for index in range(16):
        if index == 4 or index == 6 or index == 8 or index == 10:
            out.byte(0x2D)
        out.hexadecimal(u64(raw[index]), 2)
    out.byte(10)


class BootId:
    """The identity of this boot; made when first asked for."""

    lock: Final[Mutex]
    raw: Guarded[Array[u8, 16], "lock"]
    made: Guarded[bool, "lock"] = False

    def __init__(self) -> None:
        self.lock = Mutex("boot id")
        self.raw = Array[u8, 16]()

    def read(self, into: Array[u8, 16]) -> None:
        """A copy of it."""
        with self.lock:
            if not self.made:
                random.fill(self.raw[:])
                self.made = True
            into[:].copy_from(self.raw[:])


boot_id = BootId()


def show_boot_id(out: TextBuffer) -> None:
    """kernel/random/boot_id."""
    copy = Array[u8, 16]()
    boot_id.read(copy)
    write_uuid(out, copy)


def show_entropy(out: TextBuffer) -> None:
    """kernel/random/entropy_avail, poolsize."""
    out.add(b"256\n")


def show_overcommit(out: TextBuffer) -> None:
    """vm/overcommit_memory."""
    out.decimal(u64(overcommit.commitments.mode.load()))
    out.byte(10)


def store_overcommit(data: Bytes) -> None:
    """0, 1 or 2."""
    value = parse_number(trimmed(data))
    if value > 2:
        raise OSError(errno.EINVAL)
    overcommit.commitments.mode.store(u64(value))


def show_overcommit_ratio(out: TextBuffer) -> None:
    """vm/overcommit_ratio."""
    out.decimal(u64(overcommit.commitments.ratio))
    out.byte(10)


def show_map_count(out: TextBuffer) -> None:
    """vm/max_map_count."""
    out.add(b"65530\n")


def show_mmap_min(out: TextBuffer) -> None:
    """vm/mmap_min_addr."""
    out.add(b"65536\n")


def show_file_max(out: TextBuffer) -> None:
    """fs/file-max."""
    out.add(b"9223372036854775807\n")


def show_nr_open(out: TextBuffer) -> None:
    """fs/nr_open."""
    out.add(b"1048576\n")


def show_pipe_max(out: TextBuffer) -> None:
    """fs/pipe-max-size."""
    out.add(b"1048576\n")


def show_ngroups(out: TextBuffer) -> None:
    """kernel/ngroups_max."""
    out.add(b"65536\n")


def show_printk(out: TextBuffer) -> None:
    """kernel/printk."""
    out.add(b"7\t4\t1\t7\n")


def show_core_pattern(out: TextBuffer) -> None:
    """kernel/core_pattern: no core files are written."""
    out.add(b"core\n")


def show_somaxconn(out: TextBuffer) -> None:
    """net/core/somaxconn."""
    out.add(b"4096\n")


tree.file("sys/kernel/ostype", show_ostype)
tree.file("sys/kernel/osrelease", show_osrelease)
tree.file("sys/kernel/version", show_version)
tree.file("sys/kernel/hostname", show_hostname)
tree.file("sys/kernel/domainname", show_domainname)
tree.file("sys/kernel/pid_max", show_pid_max)
tree.file("sys/kernel/threads-max", show_threads_max)
tree.file("sys/kernel/cap_last_cap", show_last_cap)
tree.file("sys/kernel/overflowuid", show_overflow_id)
tree.file("sys/kernel/overflowgid", show_overflow_id)
tree.file("sys/kernel/ngroups_max", show_ngroups)
tree.file("sys/kernel/printk", show_printk)
tree.file("sys/kernel/core_pattern", show_core_pattern)
tree.file("sys/kernel/randomize_va_space", show_two)
tree.file("sys/kernel/dmesg_restrict", show_zero)
tree.file("sys/kernel/kptr_restrict", show_zero)
tree.file("sys/kernel/perf_event_paranoid", show_two)
tree.file("sys/kernel/random/uuid", show_uuid)
tree.file("sys/kernel/random/boot_id", show_boot_id)
tree.file("sys/kernel/random/entropy_avail", show_entropy)
tree.file("sys/kernel/random/poolsize", show_entropy)
tree.file("sys/vm/overcommit_memory", show_overcommit, store_overcommit)
tree.file("sys/vm/overcommit_ratio", show_overcommit_ratio)
tree.file("sys/vm/max_map_count", show_map_count)
tree.file("sys/vm/mmap_min_addr", show_mmap_min)
tree.file("sys/vm/swappiness", show_zero)
tree.file("sys/fs/file-max", show_file_max)
tree.file("sys/fs/nr_open", show_nr_open)
tree.file("sys/fs/pipe-max-size", show_pipe_max)
tree.file("sys/fs/protected_hardlinks", show_zero)
tree.file("sys/fs/protected_symlinks", show_zero)
tree.file("sys/fs/protected_regular", show_one)
tree.file("sys/fs/protected_fifos", show_one)
tree.file("sys/net/core/somaxconn", show_somaxconn)
