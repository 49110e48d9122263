# SPDX-License-Identifier: Apache-2.0
"""What a new program finds on its stack (System V ABI AMD64, 3.4.1; getauxval(3)).

From the top down: eight zero bytes; the file name, environment and argument strings; the platform's name and 16
random bytes; then, ending 16-byte aligned at the stack pointer: auxiliary vector, environment pointers, argument
pointers, argc. The words are written in blocks through the user mapping, so that the stack's pages fault in as for
anyone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kaa.kernel.abi.elf import Aux
from kaa.kernel.abi.rseq import ALIGNMENT, FEATURE_SIZE
from kaa.kernel.arch import machine
from kaa.kernel.lib import random
from kaa.kernel.mm.user import UserBuf
from kaa.lang import ZERO, Array, as_bytes, struct, u8, u32, u64, usize, wrapping_add

if TYPE_CHECKING:
    from kaa.kernel.process.credentials import Credentials
    from kaa.kernel.process.elf_file import ElfFile
    from kaa.kernel.process.exec_arguments import Arguments

BLOCK: Final = 64
AUXILIARY_PAIRS: Final = 22
TICKS_PER_SECOND: Final = 100
PLATFORM_ROOM: Final = 16
RANDOM_BYTES: Final = 16


@struct
class WordBlock:
    """Words on their way to the stack, from `address` up."""

    address: u64 = 0
    used: u32 = 0
    words: Array[u64, 64] = ZERO

    def put(self, word: u64) -> None:
        """Append a word. Raises OSError(EFAULT)."""
        if self.used == BLOCK:
            self.flush()
        self.words[self.used] = word
        self.used += 1

    def put_pair(self, kind: u64, value: u64) -> None:
        """Append an entry of the auxiliary vector."""
        self.put(kind)
        self.put(value)

    def flush(self) -> None:
        """Write what there is."""
        n = usize(self.used) * 8
        UserBuf(self.address, n).copy_out(as_bytes(self.words)[0:n])
        self.address += n
        self.used = 0


@struct
class Layout:
    """Addresses on the new stack, and of the program."""

    strings: u64 = 0
    platform: u64 = 0
    random: u64 = 0
    stack_pointer: u64 = 0
    entry: u64 = 0
    bias: u64 = 0
    interpreter_base: u64 = 0
    vdso: u64 = 0
    secure: u64 = 0


def plan(layout: Layout, arguments: Arguments, top: u64) -> None:
    """Choose the addresses below `top`."""
    layout.strings = top - 8 - arguments.length
    layout.platform = (layout.strings - PLATFORM_ROOM) & ~u64(15)
    layout.random = layout.platform - RANDOM_BYTES
    words = 1 + arguments.argument_count + 1 + arguments.environment_count + 1 + AUXILIARY_PAIRS * 2
    layout.stack_pointer = (layout.random - u64(words) * 8) & ~u64(15)


def write(layout: Layout, arguments: Arguments, elf: ElfFile, who: Credentials) -> None:
    """Write everything. The new address space is the current one. Raises OSError(EFAULT)."""
    arguments.copy_out(layout.strings)
    platform = machine.elf.PLATFORM
    UserBuf(layout.platform, len(platform)).copy_out(platform)
    seed = Array[u8, 16]()
    random.fill(seed[:])
    UserBuf(layout.random, RANDOM_BYTES).copy_out(seed[:])
    block = WordBlock()
    block.address = layout.stack_pointer
    block.put(u64(arguments.argument_count))
    _put_pointers(block, layout, arguments)
    _put_auxiliary(block, layout, arguments, elf, who)
    block.flush()


def _put_pointers(block: WordBlock, layout: Layout, arguments: Arguments) -> None:
    count = arguments.argument_count
    for index in range(count):
        block.put(layout.strings + arguments.starts[index])
    block.put(u64(0))
    for index in range(count, count + arguments.environment_count):
        block.put(layout.strings + arguments.starts[index])
    block.put(u64(0))


def _put_auxiliary(block: WordBlock, layout: Layout, arguments: Arguments, elf: ElfFile, who: Credentials) -> None:
    """AUXILIARY_PAIRS entries, AT_NULL included."""
    block.put_pair(u64(Aux.AT_SYSINFO_EHDR), layout.vdso)
    block.put_pair(u64(Aux.AT_HWCAP), machine.elf.hardware_capabilities())
    block.put_pair(u64(Aux.AT_PAGESZ), u64(4096))
    block.put_pair(u64(Aux.AT_CLKTCK), u64(TICKS_PER_SECOND))
    headers = elf.headers_address + layout.bias if elf.headers_address != 0 else u64(0)
    block.put_pair(u64(Aux.AT_PHDR), headers)
    block.put_pair(u64(Aux.AT_PHENT), u64(56))
    block.put_pair(u64(Aux.AT_PHNUM), u64(elf.count))
    block.put_pair(u64(Aux.AT_BASE), layout.interpreter_base)
    block.put_pair(u64(Aux.AT_FLAGS), u64(0))
    block.put_pair(u64(Aux.AT_ENTRY), wrapping_add(elf.header.entry, layout.bias))
    block.put_pair(u64(Aux.AT_UID), u64(who.uid))
    block.put_pair(u64(Aux.AT_EUID), u64(who.euid))
    block.put_pair(u64(Aux.AT_GID), u64(who.gid))
    block.put_pair(u64(Aux.AT_EGID), u64(who.egid))
    block.put_pair(u64(Aux.AT_SECURE), layout.secure)
    block.put_pair(u64(Aux.AT_RANDOM), layout.random)
    block.put_pair(u64(Aux.AT_EXECFN), layout.strings + arguments.file_name_start())
    block.put_pair(u64(Aux.AT_PLATFORM), layout.platform)
    block.put_pair(u64(Aux.AT_MINSIGSTKSZ), u64(machine.elf.minimum_signal_stack()))
    block.put_pair(u64(Aux.AT_RSEQ_FEATURE_SIZE), u64(FEATURE_SIZE))
    block.put_pair(u64(Aux.AT_RSEQ_ALIGN), u64(ALIGNMENT))
    block.put_pair(u64(Aux.AT_NULL), u64(0))
