# SPDX-License-Identifier: Apache-2.0
"""/proc/kaa: what only this kernel tells. `objects`: live instances of each class, for leak tests. `fail-nth`: a number
n written there makes the caller's n-th allocation from now fail; read, it tells how many are left until then (0: none,
or it happened)."""

from __future__ import annotations

from kaa.kernel.arch import machine
from kaa.kernel.fs.proc.tree import tree
from kaa.kernel.fs.text import TextBuffer, parse_number, trimmed
from kaa.kernel.locking import rcu
from kaa.kernel.mm import fault_injection, slab
from kaa.lang import Bytes


def show_objects(out: TextBuffer) -> None:
    """class live size, a line each; then raw buffers and all their bytes. What is about to end has ended."""
    rcu.flush()
    for name, size, live in slab.classes():
        out.add(name)
        out.byte(32)
        out.decimal(live)
        out.byte(32)
        out.decimal(size)
        out.byte(10)
    out.add(b"(buffers) ")
    buffers, total = slab.buffers()
    out.decimal(buffers)
    out.byte(32)
    out.decimal(total)
    out.byte(10)


def show_fail_nth(out: TextBuffer) -> None:
    """The caller's counter."""
    out.decimal(machine.percpu.current().fail_nth)
    out.byte(10)


def store_fail_nth(data: Bytes) -> None:
    """Set the caller's counter."""
    fault_injection.set_fail_nth(parse_number(trimmed(data)))


tree.file("kaa/objects", show_objects)
tree.file("kaa/fail-nth", show_fail_nth, store_fail_nth, mode=0o666)
