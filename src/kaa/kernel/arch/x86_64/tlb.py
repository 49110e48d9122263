# SPDX-License-Identifier: Apache-2.0
"""Forgetting translations, here and on every processor that may have them (Intel SDM 3, 4.10).

A PageTable knows on which processors it is loaded (`active`): a processor puts its bit in before it loads the root and
takes it out after it loaded another (or for good: `abandon`). Whoever changes entries does so first and asks for the
set after, with a full barrier between: then a processor is either in the set, or walks the tables after the change.
Where translations outlive a switch (pcid.py), raising the table's generation is that barrier, and tells those that come
later. Requests go by ipi.py, which says what its callers must not do; a page, or a table, is freed only after
`shoot_down` came back.

A processor that runs a kernel thread keeps the page table of before (lazily), and stays in its set. When it is asked to
forget something of that table, it loads the kernel's own and leaves the set, so that it is asked once. Who ends leaves
its table's set at once, but loads nothing before it is switched from (`page_table.abandon`).

The kernel's own mappings are global pages, which loading a root leaves alone: `shoot_down_kernel` flushes all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kaa.kernel.arch.x86_64 import cpu, instructions, ipi, irq, pcid, percpu, processors, tlb_slots
from kaa.lang import cold, fence, u64

if TYPE_CHECKING:
    from kaa.kernel.arch.x86_64.page_table import PageTable

PAGE_SIZE = 4096
MOST_PAGES = 32
"""More pages than these are forgotten all at once."""


def forget_here(start: u64, end: u64) -> None:
    """Forget user translations of the range on this processor, of the page table that is loaded."""
    if end - start > MOST_PAGES * PAGE_SIZE:
        _forget_table()
        return
    at = start
    while at < end:
        instructions.invalidate_page(at)
        at += PAGE_SIZE


def _forget_table() -> None:
    """Forget all user translations of the page table that is loaded."""
    instructions.write_cr3(instructions.read_cr3())


def shoot_down(table: PageTable, start: u64, end: u64) -> None:
    """The entries of [start, end) were changed: when this returns, no processor uses the old ones any more. Interrupts
    are on."""
    percpu.preempt_disable()
    others: u64 = u64(0)
    generation: u64 = u64(0)
    if pcid.choice.on:
        generation = table.generation.fetch_add(1) + 1
        others = table.active.load() & ~percpu.local().bit
    elif processors.online_mask() != 1:
        fence()
        others = table.active.load() & ~percpu.local().bit
    if others != 0:
        _ask(others, table.root, generation, start, end)
    if pcid.choice.on:
        _catch_up_here(table.root, generation, start, end)
    elif percpu.local().active_root == table.root:
        forget_here(start, end)
    if others != 0:
        ipi.wait(ipi.mailbox(percpu.cpu_id()))
    percpu.preempt_enable()


@cold
def _ask(others: u64, root: u64, generation: u64, start: u64, end: u64) -> None:
    box = ipi.mailbox(percpu.cpu_id())
    box.kind = ipi.FLUSH
    box.root = root
    box.generation = generation
    box.start = start
    box.end = end
    ipi.post(box, others)


def _catch_up_here(root: u64, generation: u64, start: u64, end: u64) -> None:
    """This processor's part of its own request. Others' requests, which may load another root, come before or after."""
    saved = irq.save()
    if percpu.local().active_root == root:
        _catch_up(generation, start, end)
    irq.restore(saved)


def _catch_up(generation: u64, start: u64, end: u64) -> None:
    """Forget as much as the slot of the loaded page table lacks. Interrupts are off."""
    lacking = percpu.slots().catch_up(generation)
    if lacking == tlb_slots.RANGE:
        forget_here(start, end)
    elif lacking == tlb_slots.ALL:
        _forget_table()


def answer(root: u64, generation: u64, start: u64, end: u64) -> None:
    """Another processor asks this one to forget. Interrupts are off."""
    if root == 0:
        _forget_global()
    elif percpu.local().active_root == root:
        if percpu.current().mm is None:
            from kaa.kernel.arch.x86_64 import page_table

            page_table.activate_kernel()
        elif pcid.choice.on:
            _catch_up(generation, start, end)
        else:
            forget_here(start, end)


def leave_everywhere(table: PageTable) -> None:
    """No other processor has the page table loaded when this returns, and none uses it: it is about to be freed, and
    nobody's `mm`."""
    percpu.preempt_disable()
    others = table.active.load() & ~percpu.local().bit
    if others != 0:
        ipi.call(others, _leave, table.root)
    from kaa.kernel.arch.x86_64 import page_table

    saved = irq.save()
    page_table.abandon(table.root)
    irq.restore(saved)
    percpu.preempt_enable()


def _leave(root: u64) -> None:
    """Stop using a root lazily."""
    if percpu.local().active_root == root:
        from kaa.kernel.arch.x86_64 import page_table

        page_table.activate_kernel()


def _forget_global() -> None:
    """All translations, global ones too: global pages are switched off and on (4.10.4.1)."""
    control = instructions.read_cr4()
    instructions.write_cr4(control & ~u64(cpu.CR4_GLOBAL_PAGES))
    instructions.write_cr4(control)


def _forget_global_on_request(unused: u64) -> None:
    _forget_global()


def shoot_down_kernel() -> None:
    """Kernel mappings were taken away: when this returns, no processor uses them. Interrupts are on."""
    ipi.call(processors.online_mask(), _forget_global_on_request, u64(0))
