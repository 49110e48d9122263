# SPDX-License-Identifier: Apache-2.0
"""Proof: nobody sleeps where nobody may, and what interrupts take is safe from them.

1. Where a spinlock is held, preemption or interrupts are off, an interrupt's handler or an RCU reader runs, nothing
   that may sleep is called: schedule(), a mutex, a copy to or from user memory (which may fault), whatever leads there.
2. A spinlock that an interrupt's handler takes is taken elsewhere only with interrupts off: else the handler could
   interrupt the holder, and spin for ever. The same goes for what is taken inside such a lock: its holder on another
   processor could be interrupted by a handler that waits for the outer lock, which waits for the inner.
"""

from __future__ import annotations

from kaa.compiler.errors import CompileError
from kaa.compiler.proofs.findings import Findings
from kaa.compiler.proofs.graph import Node, Site
from kaa.compiler.proofs.held import State
from kaa.compiler.proofs.locks import CONTEXT_NAMES, HANDLER, IRQ, bits
from kaa.compiler.proofs.paths import Paths, called, error_at, sleeps_itself, where
from kaa.compiler.proofs.summary import Summaries
from kaa.lang.proofs import EntryPoint

PROOF = "context"
LAST = "ends"
"""Refusals that only the last release of some object leads to."""


class ContextProof:
    """Sleeping, and locks that interrupts take."""

    def __init__(self, summaries: Summaries, findings: Findings) -> None:
        self.summaries = summaries
        self.table = summaries.table
        self.paths = Paths(summaries)
        self.findings = findings
        self.handled: dict[int, Node] = {}
        """Locks that handlers take, with the entry that leads there."""
        self.open: dict[int, Node] = {}
        """Locks that are taken with interrupts on."""
        later = summaries.graph.by_symbol.get("kaa_end_later")
        self.put_off_takes = summaries.of[later].takes.all() if later is not None else 0
        """Locks that putting an object's end off takes."""

    def run(self) -> None:
        for node, points in self.summaries.points.items():
            for site, state in points:
                if state.held or state.contexts():
                    self._check(node, site, state)
                    self._check_put_off(node, site, state)
                if site.event is not None and site.event.what == ("interrupts", "on"):
                    self._check_enabling(node, site, state)
        self._entries()
        self._interrupt_safety()

    # ---- ends that are put off ---------------------------------------------------------------------------------------

    def _check_put_off(self, node: Node, site: Site, state: State) -> None:
        """Putting an object's end off takes locks: they are not held where that may happen."""
        for callee in site.callees:
            given = self.summaries.of[callee].put_off
            for held in state.held if given is not None else ():
                if held.bit & self.put_off_takes & ~self.summaries.passed(given or 0, site):
                    name = self.table.show(held.bit)
                    message = f"{node.name} may let an object end here, which would take {name}, while it holds that"
                    notes = [self.paths.taken(held), f"by {called(site, callee)}"]
                    self.findings.refuse(LAST, node, error_at(message, site, notes))
                    return

    # ---- sleeping ----------------------------------------------------------------------------------------------------

    def _check(self, node: Node, site: Site, state: State) -> None:
        atomic = self.summaries.effective(state) & self.table.atomic
        if not atomic:
            return
        if site.event is not None:
            if sleeps_itself(site):
                self._refuse(node, site, state, atomic, False)
            return
        for last in (False, True):
            for callee in site.callees:
                for inside in self.paths.kinds_of_sleep(callee, last):
                    given = self.paths.sleeps(callee, inside)
                    left = atomic & ~self.summaries.passed(given, site) if given is not None else 0
                    if left:
                        self._refuse(node, site, state, left, last)
                        return

    def _refuse(self, node: Node, site: Site, state: State, left: int, last: bool) -> None:
        held = [h for h in state.held if h.bit & left]
        notes = [self.paths.taken(h) for h in held] + self.paths.sleep_at(site, left, last)
        what = f"it holds {self.table.show(held[-1].bit)}" if held else _context(left)
        deed = "may let an object end here, which may sleep," if last else "may sleep here"
        error = error_at(f"{node.name} {deed} while {what}", site, notes)
        self.findings.refuse(LAST if last else PROOF, node, error)

    def _check_enabling(self, node: Node, site: Site, state: State) -> None:
        for held in state.held:
            if held.bit & self.table.irq_locks:
                message = f"{node.name} turns interrupts on while it holds {self.table.show(held.bit)}"
                self.findings.refuse(PROOF, node, error_at(message, site, [self.paths.taken(held)]))

    def _entries(self) -> None:
        """What is taken and slept in from the ways into the kernel on."""
        for node in self.summaries.graph.nodes:
            mark = node.mark("entry")
            if not isinstance(mark, EntryPoint) or node.fn is None:
                continue
            start = 0 if mark.interrupts else IRQ
            known = self.summaries.of[node]
            if known.sleeps is not None and start & ~known.sleeps:
                message = f"{node.name}, entered with interrupts off ({mark.kind}), may sleep"
                error = CompileError(message, node.fn.filename, node.fn.node)
                error.notes += self.paths.to_sleep(node, start)
                self.findings.refuse(PROOF, node, error)
            for given, made, mask in known.takes.groups():
                contexts = (start & ~given) | made
                for bit in bits(mask):
                    if contexts & HANDLER:
                        self.handled.setdefault(bit, node)
                    if not contexts & IRQ:
                        self.open.setdefault(bit, node)

    # ---- interrupts --------------------------------------------------------------------------------------------------

    def _interrupt_safety(self) -> None:
        spin = {b for b in self.open if self.table.kinds.get(b) == "spin"}
        for bit in sorted(self.handled, key=self.table.show):
            if bit in spin:
                name = self.table.show(bit)
                self._refuse_open(
                    f"{name} is taken by an interrupt's handler, and elsewhere with interrupts on", bit, [bit]
                )
        inner: dict[int, list[int]] = {}
        for held, taken in self.summaries.edges:
            inner.setdefault(held, []).append(taken)
        for bit in sorted(self.handled, key=self.table.show):
            for one in inner.get(bit, ()):
                if one in spin and one not in self.handled:
                    message = (
                        f"{self.table.show(one)} is taken inside {self.table.show(bit)}, which an interrupt's handler "
                        "takes, and elsewhere with interrupts on"
                    )
                    self._refuse_open(message, one, [bit, one])

    def _refuse_open(self, message: str, bit: int, chain: list[int]) -> None:
        first = chain[0]
        notes = ["in a handler:", *self._entry_path(self.handled[first], first, handler=True)]
        if len(chain) > 1:
            held, site = self.summaries.edges[first, bit]
            notes += ["inside it:", self.paths.taken(held), *self.paths.lock_at(site, bit)]
        notes += ["with interrupts on:", *self._entry_path(self.open[bit], bit, handler=False)]
        place = self._first_take(bit)
        error = error_at(message, place, notes) if place is not None else CompileError(message)
        self.findings.refuse(PROOF, place.node if place is not None else None, error)

    def _entry_path(self, entry: Node, bit: int, handler: bool) -> list[str]:
        mark = entry.mark("entry")
        start = IRQ if isinstance(mark, EntryPoint) and not mark.interrupts else 0
        if handler:
            return self.paths.to_lock(entry, bit, lambda c: bool(c & HANDLER), start)
        return self.paths.to_lock(entry, bit, lambda c: not c & IRQ, start)

    def _first_take(self, bit: int) -> Site | None:
        """A place that takes the lock itself, with interrupts as they were."""
        for node, points in self.summaries.points.items():
            for site, state in points:
                if site.event is not None and site.event.what[0] == "acquire" and node.fn is not None:
                    _, kind, _, nested, _ = site.event.what
                    open_here = not self.summaries.effective(state) & (IRQ | HANDLER)
                    if open_here and self.table.bit_of(node.fn, site.event.subject, kind, nested) == bit:
                        return site
        return None


def _context(mask: int) -> str:
    names = [name for bit, name in CONTEXT_NAMES.items() if mask & bit]
    return " and ".join(names) or "?"


__all__ = ["PROOF", "ContextProof", "where"]
