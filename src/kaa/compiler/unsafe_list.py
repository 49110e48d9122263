# SPDX-License-Identifier: Apache-2.0
"""The modules that may import `kaa.lang.unsafe`, with the reason why each room is here. The build refuses others, and
prints what share of the kernel these are."""

from __future__ import annotations

import sys
import types

ALLOWED: dict[str, str] = {
    "kaa.kernel.arch": "the machine itself: descriptors, page tables, trap frames, tracebacks",
    "kaa.kernel.drivers.virtio.queue": "DMA rings",
    "kaa.kernel.init.memory_map": "the boot protocol's structures lie at physical addresses",
    "kaa.kernel.mm.frame": "the table of frames",
    "kaa.kernel.mm.buddy": "free pages hold the links of the free lists",
    "kaa.kernel.mm.slab": "free objects hold the links of the free lists",
    "kaa.kernel.mm.per_cpu": "free objects hold the links of the free lists",
    "kaa.kernel.mm.user": "user copies",
    "kaa.kernel.mm.links": "references that are not counted",
    "kaa.kernel.fs.standing": "a walk's place, not counted at every step",
    "kaa.kernel.lib.range_map": "nodes hold uncounted references",
    "kaa.kernel.sched.links": "run queues count one reference to each task that they have, whatever they do with it",
    "kaa.kernel.locking.waiters": "intrusive wait lists",
    "kaa.kernel.locking.retiring": "lists of retired objects, which own one reference each that no field shows",
}
LANG = "kaa.lang"


def allowed(module: str) -> bool:
    """True if a module may import kaa.lang.unsafe."""
    if module == LANG or module.startswith(LANG + "."):
        return True
    parts = module.split(".")
    return any(".".join(parts[:n]) in ALLOWED for n in range(1, len(parts) + 1))


def imports_unsafe(module: types.ModuleType) -> bool:
    """True if a module's names include kaa.lang.unsafe or something defined there."""
    unsafe = sys.modules["kaa.lang.unsafe"]
    named = {
        id(v)
        for k, v in vars(unsafe).items()
        if getattr(v, "__module__", None) == unsafe.__name__ and not k.startswith("_")
    }
    return any(obj is unsafe or id(obj) in named for obj in vars(module).values())
