# SPDX-License-Identifier: Apache-2.0
"""Proof: what the type of a field says about sharing holds at every access.

Each access gives rise to a Need: "this lock of this object is held", "this object is new", "this object is the running
thread's", "preemption is off", "this is an RCU reader". A need is met where it arises or else becomes its function's:
every caller must meet it, in the caller's terms. What reaches a function that nobody calls, or is about an object that
no caller gave, is refused, with the calls on the way. `@requires` is a need that a function states itself.

A field that says nothing may be written while its object is new; a write that cannot be shown to be such is what
makes the field need a statement, if its class can be reached by several processors (sharing.py).

Trusted: that `current()` is the running thread; that what an `Owned` or `Part` object is reached by is but one; which
instance is meant where a field names a class of locks; loads through fields that may change between taking the lock
and the access; functions marked as `@entry_point("boot")` and what only they call, which run alone.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from kaa.compiler import ir
from kaa.compiler.classes import ClassInfo, Field
from kaa.compiler.errors import CompileError
from kaa.compiler.ir import Block, Instr
from kaa.compiler.lower.core import is_primitive
from kaa.compiler.program import Function
from kaa.compiler.proofs.graph import Graph, Node, Site
from kaa.compiler.proofs.held import State
from kaa.compiler.proofs.locks import IRQ, PREEMPT, RCU, LockTable
from kaa.compiler.proofs.protection_accesses import Access, Accesses, is_update
from kaa.compiler.proofs.protection_fresh import Fresh
from kaa.compiler.proofs.protection_needs import (
    EITHER,
    FRESH,
    LOCK,
    NOWHERE,
    OWNER,
    PREEMPTION,
    READER,
    Need,
)
from kaa.compiler.proofs.protection_paths import CURRENT, GLOBAL, LOCAL, PARAM, Path, Paths
from kaa.compiler.proofs.protection_states import States
from kaa.compiler.proofs.sharing import Lock, Sharing, needs_no_statement
from kaa.compiler.proofs.summary import Summaries
from kaa.compiler.types import NeverType, strip
from kaa.lang.proofs import EntryPoint

Finding = tuple[str, Node, CompileError]
MOST_NEEDS = 100
"""Of one function; with more, they are refused where they come up."""


def prove(graph: Graph, table: LockTable, summaries: Summaries) -> list[Finding]:
    """All refusals: (rule, node, error). Rules: guarded, final, owned, percpu, rcu, requires, statement."""
    return Proof(graph, table, summaries).run()


class Proof:
    """The needs of all functions."""

    def __init__(self, graph: Graph, table: LockTable, summaries: Summaries) -> None:
        self.graph = graph
        self.table = table
        self.sharing = Sharing(graph.program, table)
        self.paths = Paths(table)
        self.fresh = Fresh(graph)
        self.states = States(table, summaries, self.paths)
        self.accesses = Accesses()
        self.needs: dict[Node, dict[tuple[str, ...], Need]] = {}
        self.written: dict[str, Need] = {}
        """Fields that say nothing and are written when others may know the object: key → such a write."""
        self.findings: dict[tuple[object, ...], Finding] = {}
        self.called: set[Node] = {callee for node in graph.nodes for callee in node.callees}
        self.alone = self._find_alone()

    def run(self) -> list[Finding]:
        """The whole proof."""
        for component in self.graph.components():
            alone = len(component) == 1 and component[0] not in component[0].callees
            for node in component:
                self.needs[node] = {}
            for _ in range(1 if alone else 3):
                grown = False
                for node in component:
                    before = len(self.needs[node])
                    self._function(node)
                    grown |= len(self.needs[node]) != before
                if not grown:
                    break
            for node in component:
                self._at_entry(node)
        self._statements()
        return list(self.findings.values())

    def _find_alone(self) -> set[Node]:
        """What only the boot runs, before there is anybody else: whatever else is entered does not reach it. What the
        boot's function calls and does not come back from is not part of the boot."""
        work: list[Node] = []
        for node in self.graph.nodes:
            if _is_boot(node):
                work += [c for c in node.callees if c.fn is not None and isinstance(strip(c.fn.result), NeverType)]
            elif node not in self.called or node.mark("entry") or node.mark("export"):
                work.append(node)
        reached = set(work)
        while work:
            for callee in work.pop().callees:
                if callee not in reached and not _is_boot(callee):
                    reached.add(callee)
                    work.append(callee)
        return {node for node in self.graph.nodes if node not in reached}

    # ---- one function ------------------------------------------------------------------------------------------------

    def _function(self, node: Node) -> None:
        fn = node.fn
        if fn is None:
            self._drop(node)
            return
        if not fn.blocks or node.mark("fatal") or node in self.alone:
            return
        self._stated(node)
        for access in self.accesses.of(fn):
            self._access(node, access)
        for block, sites in node.blocks:
            for site in sites:
                for callee in site.callees:
                    needs = self.needs.get(callee)
                    if needs:
                        self._call(node, block, site, callee, list(needs.values()))

    def _drop(self, node: Node) -> None:
        """The end of an object: what its `__del__` needs of others."""
        for callee in node.callees:
            for need in self.needs.get(callee, {}).values():
                if need.base.kind == GLOBAL:
                    self.needs[node].setdefault(need.key, need)

    def _stated(self, node: Node) -> None:
        """What `@requires` says is a need of the function."""
        fn = node.fn
        assert fn is not None
        for name in fn.marks.get("requires", ()):
            try:
                _, text = self.table.required(fn, name)
            except CompileError as error:
                self.findings.setdefault((node, name), ("requires", node, error))
                continue
            root, *steps = text.split(".")
            index = next((i for i, p in enumerate(fn.params) if p.name == root), -1)
            path = Path(root, PARAM if index >= 0 else GLOBAL, tuple(steps), (), index)
            base = Path(root, path.kind, tuple(steps[:-1]), (), index)
            what = f'enters {fn.pretty}, which requires "{name}",'
            need = Need(LOCK, base, path, True, None, what, node, fn.node.lineno, fn.filename)
            self.needs[node].setdefault(need.key, need)

    def _access(self, node: Node, access: Access) -> None:
        for need in self._needs_of(node, access):
            if not self._is_met(node, need, access.block, access.index, access.instr):
                self._unmet(node, need, access.block, access.instr)

    def _needs_of(self, node: Node, access: Access) -> list[Need]:
        """What an access asks for, all of it."""
        place, fn = access.place, node.fn
        assert fn is not None
        field, owner = place.field, place.owner
        said = field.protection.lower()
        if said in ("", "unowned") or (said == "final" and access.content):
            said = "statement"
        if said == "part" or (said in ("final", "statement") and not access.writes):
            return []
        if field.once and said == "statement":
            return []
        if field.relaxed and said == "statement":
            if not is_update(access):
                return []
            said = "relaxed"
        if said == "statement" and (place.key in self.written or not self._asks(owner, field)):
            return []
        base = self.paths.of(fn, place.base)
        filename, line = place_of(fn, access.instr)
        what = f"{access.verb} {_name(owner, field)}"
        kind = _KINDS[said]
        need = Need(kind, base, NOWHERE, access.writes, place, what, node, line, filename, 0, None, said)
        return [need] if kind != LOCK else self._guarded(need, owner, field)

    def _guarded(self, need: Need, owner: ClassInfo, field: Field) -> list[Need]:
        """The needs of an access to a `Guarded` field. Where writers hold all of its locks, holding one keeps them
        out, which is enough to read."""
        guards = self.sharing.guards_of(owner, field)
        if guards is None:
            self._no_lock(need.node, owner, field)
            return []
        needs: list[Need] = []
        for text, lock in guards.terms:
            if lock is None:
                needs.append(replace(need, kind=OWNER, lock=text))
            else:
                needs.append(replace(need, path=self._lock_path(need.base, lock), mask=lock.mask, lock=text))
        if len(needs) == 1 or (need.writes and guards.all_to_write):
            return needs
        return [replace(need, kind=EITHER, options=tuple(needs))]

    @staticmethod
    def _lock_path(base: Path, lock: Lock) -> Path:
        if lock.steps is None:
            return Path(",".join(sorted(lock.names)) or f"#{lock.mask}", GLOBAL)
        path = base
        for step in lock.steps:
            path = path.plus(step.field.name, step)
        return path

    def _asks(self, owner: ClassInfo, field: Field) -> bool:
        return self.sharing.is_shared(owner) and not needs_no_statement(field.type)

    # ---- calls -------------------------------------------------------------------------------------------------------

    def _call(self, node: Node, block: Block | None, site: Site, callee: Node, needs: list[Need]) -> None:
        """The callee's needs in this function's terms."""
        fn = node.fn
        assert fn is not None
        args = getattr(site.instr, "args", None) if isinstance(site.instr, _CALLS) else None
        for need in needs:
            if need.rule == "statement" and need.field_key in self.written:
                continue
            made = need.at(node, site, lambda path: self._mapped(fn, args, path))
            if made is None:
                self._refuse(need, node)
                continue
            index = block.instrs.index(site.instr) if block is not None and site.instr in block.instrs else -1
            if index >= 0 and self._is_met(node, made, block, index, site.instr):
                continue
            self._unmet(node, made, block, site.instr)

    def _mapped(self, fn: object, args: list[ir.Value] | None, path: Path) -> Path | None:
        if path.kind != PARAM:
            return path if path.kind == GLOBAL or path.root == CURRENT else None
        if args is None or path.index >= len(args):
            return None
        return self.paths.of(fn, args[path.index]).joined(path)  # type: ignore[arg-type]

    # ---- met or not --------------------------------------------------------------------------------------------------

    def _is_met(self, node: Node, need: Need, block: Block | None, index: int, instr: Instr) -> bool:
        if self._is_exempt(node, need, block, index):
            return True
        if need.kind == EITHER:
            return any(self._is_met(node, one, block, index, instr) for one in need.options)
        if need.kind == FRESH:
            return False
        if need.kind == OWNER:
            return need.base.root == CURRENT
        state = self.states.before(node, block, instr)
        if need.kind == LOCK:
            return self.states.holds(node, state, need)
        if need.kind == PREEMPTION:
            return bool(state.plus() & self.table.atomic & ~RCU)
        return bool(state.held) if need.writes else state.rcu > 0 or bool(state.held)

    def _is_exempt(self, node: Node, need: Need, block: Block | None, index: int) -> bool:
        """New objects, objects in `__init__` and in `__del__`; a lock's own words where it is taken and given back."""
        fn, base = node.fn, need.base
        if fn is None:
            return False
        if need.kind == LOCK and need.inner is None and need.lock == "self":
            instr = block.instrs[index] if block is not None and index < len(block.instrs) else None
            if (instr is not None and instr.primitive) or is_primitive(fn.marks):
                return True
        if fn.py.__name__ in ("__init__", "__del__") and base.index == 0 and base.kind == PARAM:
            return True
        if base.var is not None and base.kind == LOCAL and block is not None:
            return self.fresh.is_new(fn, base.var, block, index)
        return False

    def _unmet(self, node: Node, need: Need, block: Block | None, instr: Instr) -> None:
        """The callers' to meet, or nobody's."""
        left = [one for one in need.options or (need,) if self._passes(node, one, block, instr)]
        if not left or len(self.needs[node]) >= MOST_NEEDS:
            self._refuse(need, node)
            return
        asked = replace(need, options=tuple(left)) if need.kind == EITHER else need
        self.needs[node].setdefault(asked.key, asked)

    def _passes(self, node: Node, need: Need, block: Block | None, instr: Instr) -> bool:
        """Can callers meet it?"""
        if need.kind in (FRESH, OWNER):
            return need.base.kind in (PARAM, GLOBAL) and (need.kind == FRESH or need.base.kind == PARAM)
        if need.kind == LOCK:
            state = self.states.before(node, block, instr)
            return need.path.kind != LOCAL and not self.states.gave_back(state, need)
        if need.kind == PREEMPTION:
            return not self.states.before(node, block, instr).minus & (IRQ | PREEMPT)
        return need.kind != EITHER

    def _at_entry(self, node: Node) -> None:
        """A function that nobody calls must need nothing."""
        if node in self.alone or (node in self.called and not node.mark("export")):
            return
        entry: Any = node.mark("entry")
        for need in self.needs[node].values():
            if entry is None or not self._enters_with(entry, need):
                self._refuse(need, node)

    def _enters_with(self, entry: EntryPoint, need: Need) -> bool:
        """Does a way into the kernel bring what is needed?"""
        if need.kind == EITHER:
            return any(self._enters_with(entry, one) for one in need.options)
        if need.kind == PREEMPTION:
            return not entry.interrupts
        return need.kind == LOCK and any(need.mask & self.table.mask_of(name) for name in entry.holds)

    # ---- refusing ----------------------------------------------------------------------------------------------------

    def _refuse(self, need: Need, entered: Node) -> None:
        if need.rule == "statement":
            self.written.setdefault(need.field_key, need)
            return
        origin = need.origin()
        key = (need.rule, need.field_key or need.what, origin.node)
        if key not in self.findings:
            self.findings[key] = (need.rule, origin.node, need.error())

    def _no_lock(self, node: Node, owner: ClassInfo, field: Field) -> None:
        key = ("no lock", field.declared_in, field.name)
        if key not in self.findings:
            filename, line = declaration(owner, field)
            message = f'Guarded[…, "{field.lock}"]: {owner.name} knows no such lock'
            self.findings[key] = ("guarded", node, CompileError(message, filename, line=line))

    def _statements(self) -> None:
        """Fields of shared classes that are written, and say nothing."""
        for key, need in sorted(self.written.items()):
            assert need.place is not None
            owner, field = need.place.owner, need.place.field
            filename, line = declaration(owner, field)
            written = "changed: Final says that it stays, not what is in it" if field.protection else "written"
            error = CompileError(
                f"several processors can reach {_name(owner, field)}, and nothing says what protects it when it is "
                + written,
                filename,
                line=line,
            )
            error.notes = need.notes()
            self.findings[("statement", key)] = ("statement", need.origin().node, error)


_KINDS = {
    "guarded": LOCK, "final": FRESH, "statement": FRESH, "relaxed": FRESH, "owned": OWNER, "percpu": PREEMPTION,
    "rcu": READER,
}  # fmt: skip
_CALLS = (ir.Call, ir.CallVirtual, ir.CallPointer)


def place_of(fn: Function, instr: Instr) -> tuple[str, int]:
    """File and line of an instruction; of what a container's method was expanded to, the call's."""
    if instr.file and instr.site and "/kaa/lang/" in instr.file:
        return fn.filename, instr.site
    return instr.file or fn.filename, instr.line


def _is_boot(node: Node) -> bool:
    entry: Any = node.mark("entry")
    return entry is not None and entry[0] == "boot"


def _name(owner: ClassInfo, field: Field) -> str:
    declared = next((i for i in owner.mro() if i.cname == field.declared_in), owner)
    return f"{declared.name}.{field.name}"


def declaration(owner: ClassInfo, field: Field) -> tuple[str, int]:
    """File and line of a field's declaration."""
    declared = next((i for i in owner.mro() if i.cname == field.declared_in), owner)
    return declared.field_place(field.name)


__all__ = ["Finding", "Proof", "State", "prove"]
