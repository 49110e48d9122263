# SPDX-License-Identifier: Apache-2.0
"""What the boot loader tells: `hvm_start_info` of the PVH boot ABI (Xen's public/arch-x86/hvm/start_info.h describes
it).

Everything needed later is taken out of it before memory is given to the allocator: the command line is copied, RAM and
the initrd are named to mm.boot_memory, the RSDP's address is kept.
"""

from __future__ import annotations

from kaa.kernel.arch import machine
from kaa.kernel.arch.x86_64 import trampoline
from kaa.kernel.init import command_line
from kaa.kernel.mm import boot_memory
from kaa.lang import ZERO, Bytes, Slice, borrowed, inline, struct, u8, u32, u64, usize
from kaa.lang.unsafe import Ptr, symbol

MAGIC = 0x336E_C578
RAM = 1
FIRST_USED = 0x1000
"""Frame 0 stays unused: its number means `none`."""
MOST_ENTRIES = 128


@struct
class StartInfo:
    """struct hvm_start_info, version 1."""

    magic: u32 = ZERO
    version: u32 = ZERO
    flags: u32 = ZERO
    modules: u32 = ZERO
    module_list: u64 = ZERO
    command_line: u64 = ZERO
    rsdp: u64 = ZERO
    map: u64 = ZERO
    map_entries: u32 = ZERO
    reserved: u32 = ZERO


@struct
class Module:
    """struct hvm_modlist_entry: a file the loader put into memory."""

    address: u64 = ZERO
    size: u64 = ZERO
    command_line: u64 = ZERO
    reserved: u64 = ZERO


@struct
class Region:
    """struct hvm_memmap_table_entry: kinds are those of E820."""

    address: u64 = ZERO
    size: u64 = ZERO
    kind: u32 = ZERO
    reserved: u32 = ZERO


class BootInfo:
    """What is kept of it. Addresses are physical; 0: none."""

    rsdp: u64
    initrd: u64
    initrd_size: u64
    ram_end: u64

    def __init__(self) -> None:
        self.rsdp = u64(0)
        self.initrd = u64(0)
        self.initrd_size = u64(0)
        self.ram_end = u64(0)


info = BootInfo()


def _text_at(physical: u64) -> Bytes:
    """The NUL-terminated text there, at most a command line long."""
    start = Ptr[u8](machine.paging.direct_map(physical))
    length: usize = usize(0)
    while length < command_line.SIZE - 1 and start[length] != 0:
        length += 1
    return start.slice(length)


@inline
@borrowed
def _start_info(physical: u64) -> StartInfo:
    place = Ptr[StartInfo](machine.paging.direct_map(physical)).place()
    assert place.magic == MAGIC, "not booted by PVH"
    assert place.version >= 1, "the boot loader gave no memory map"
    return place


def read(physical: u64) -> None:
    """Take everything out of the structure at `physical`. Only the first GiB of memory is mapped yet."""
    start = _start_info(physical)
    if start.command_line != 0:
        command_line.store(_text_at(start.command_line))
    info.rsdp = start.rsdp
    _read_map(start)
    if start.modules != 0:
        module = Ptr[Module](machine.paging.direct_map(start.module_list)).place()
        info.initrd = module.address
        info.initrd_size = module.size
        boot_memory.reserve(info.initrd, info.initrd + info.initrd_size)
    image_end = machine.paging.image_physical(symbol("kaa_image_end"))
    boot_memory.reserve(machine.paging.image_physical(symbol("kaa_text_start")), image_end)
    boot_memory.reserve(0, FIRST_USED)
    trampoline.reserve()


def _read_map(start: StartInfo) -> None:
    """Name all RAM to mm."""
    regions = Ptr[Region](machine.paging.direct_map(start.map))
    for index in range(min(start.map_entries, MOST_ENTRIES)):
        region = regions[index]
        if region.kind == RAM:
            boot_memory.add(region.address, region.address + region.size)
            info.ram_end = max(info.ram_end, region.address + region.size)


def initrd() -> Slice[u8]:
    """The initial archive, where the loader put it; empty if there is none."""
    return Ptr[u8](machine.paging.direct_map(info.initrd)).slice(info.initrd_size)


def release_initrd() -> None:
    """The archive is unpacked: its memory is free."""
    if info.initrd_size != 0:
        boot_memory.give_back(info.initrd, info.initrd + info.initrd_size)
        info.initrd_size = u64(0)
