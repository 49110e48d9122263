# SPDX-License-Identifier: Apache-2.0
"""Process-context identifiers: translations that outlive a switch to another address space (Intel SDM 3, 4.10.1).

Each translation is tagged with bits 0-11 of CR3, and only those of the current tag are used. Tag 0 is the kernel's own
root, which has no user half; slot n of tlb_slots.py is tag n + 1. A load of CR3 forgets what has the new tag, or with
bit 63 set nothing at all (4.10.4.1). INVLPG drops a page of the current tag, and all of what the processor remembers of
upper tables under that tag. Nothing else here depends on tags:

- The kernel's half is global pages, which all tags share and which loads of CR3 leave alone. Tables above them are
  never taken away. `tlb.shoot_down_kernel` switches global pages off and on, which forgets everything under every tag;
  INVPCID is not needed. (Some processors' INVLPG misses global pages when tags are on; only `paging.unmap_kernel` does
  that, and its addresses are not used again before shoot_down_kernel.)
- What a processor started with was untagged, which is tag 0, and its low addresses went when it loaded the kernel's
  root, before tags are switched on. Interrupts of all kinds, machine checks and panics stay on the root they find. A
  reset switches tags off.

`kaa.pcid=off` leaves tags alone. `kaa.pcid=dry` does everything but to write tags into registers, on any processor: for
trying the rest where there are none.
"""

from __future__ import annotations

from kaa.kernel.arch.x86_64 import instructions, percpu
from kaa.kernel.init.command_line import boot_param
from kaa.lang import Bytes, inline, u32, u64

CR4_TAGS = 1 << 17
KEEP = 1 << 63
TAG_MASK = 0xFFF
FEATURE = 1 << 17
"""Of CPUID.01H:ECX."""
OFF, DRY, WANTED = 0, 1, 2


class Choice:
    """Written while there is one processor."""

    wanted: u32
    on: bool
    """Slots are kept, and generations raised."""
    keep: u64
    """KEEP if registers have tags, else 0."""
    tags: u64
    """Those bits of CR3 that a slot may set."""

    def __init__(self) -> None:
        self.wanted = u32(WANTED)
        self.on = False
        self.keep = u64(0)
        self.tags = u64(0)


choice = Choice()


@boot_param("kaa.pcid")
def _choose(value: Bytes) -> None:
    choice.wanted = u32(OFF) if value == b"off" else u32(DRY) if value == b"dry" else u32(WANTED)


def initialise() -> None:
    """The boot processor has loaded the kernel's final root: have tags from now on, if it can."""
    if choice.wanted == WANTED and _has_tags():
        choice.keep = u64(KEEP)
        choice.tags = u64(KEEP | TAG_MASK)
        _switch_on()
    choice.on = choice.wanted == DRY or choice.keep != 0


def join() -> bool:
    """Do on another processor, which has loaded the kernel's root, as on the first. False: it cannot."""
    if choice.keep != 0:
        if not _has_tags():
            return False
        _switch_on()
    return True


def _has_tags() -> bool:
    return instructions.cpuid(1, 0).ecx & FEATURE != 0


def _switch_on() -> None:
    """The processor refuses unless the current tag is 0 (Intel SDM 3, 4.10.1)."""
    assert instructions.read_cr3() & TAG_MASK == 0
    instructions.write_cr4(instructions.read_cr4() | CR4_TAGS)


def load(root: u64, space: u64, generation: u64) -> None:
    """Load the root of a user address space, whose generation was read after this processor was put into its set.
    Interrupts are off since before that."""
    own = percpu.slots()
    keep: u64 = u64(KEEP) if own.enter(space, generation) else u64(0)
    instructions.write_cr3(root | (keep | u64(own.current + 1)) & choice.tags)


@inline
def load_kernel(root: u64) -> None:
    """Load the kernel's own root, whose user half is empty: under its tag there is nothing to forget."""
    instructions.write_cr3(root | choice.keep)
