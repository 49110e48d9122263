# SPDX-License-Identifier: Apache-2.0
"""Which counted places (fields, elements) a call may overwrite: what a borrowed reference has to fear.

A summary per function, over the call graph: a set of place keys as bits of an int. A release may run `__del__`s, so it
counts as calling them."""

from __future__ import annotations

from kaa.compiler import ir
from kaa.compiler.classes import ClassInfo
from kaa.compiler.program import Function, Program
from kaa.compiler.types import ArrayType, ClassType, Type, WeakType, is_counted, nonnull, strip

EVERYTHING = -1


class Effects:
    """The summaries of one program."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.bits: dict[str, int] = {}
        self.writes: dict[Function, int] = {}
        self.drops: dict[ClassInfo, int] = {}
        self.parts: dict[Function, tuple[int, set[Function], set[ClassInfo]]] = {}
        self.held: dict[Function, list[ClassInfo]] = {}
        self.owned: dict[Function, set[ir.Var]] = {}  # locals known to own; grows as ownership finds them

    def bit(self, key: str) -> int:
        """The bit that stands for a place key."""
        if key not in self.bits:
            self.bits[key] = 1 << len(self.bits)
        return self.bits[key]

    def _summarise(self, fn: Function) -> None:
        """The function's own stores as bits; whom it calls, and what it may release, as dependencies."""
        own = 0
        calls: set[Function] = set()
        releases: set[ClassInfo] = set()
        for block in fn.blocks:
            for instr in block.instrs:
                if isinstance(instr, ir.Call):
                    calls.add(instr.callee)
                elif isinstance(instr, ir.CallVirtual):
                    calls.update(instr.slot.impls.values())
                elif isinstance(instr, ir.Store):
                    if is_counted(instr.place.type):
                        own |= self.bit(instr.place.key)
                        if not instr.init:
                            self._add_release(instr.place.type, releases)
                elif isinstance(instr, (ir.Effect, ir.Raw, ir.CallPointer)):
                    own |= self.of_instr(instr)
        self.parts[fn] = (own, calls, releases)

    def _add_release(self, t: Type, into: set[ClassInfo]) -> None:
        t = nonnull(strip(t))
        if isinstance(t, ClassType):
            into.add(t.info)

    def solve(self) -> bool:
        """Brings all summaries to a fixpoint; True if any changed."""
        functions = [f for f in self.program.functions.values() if f.blocks]
        if not self.parts:
            for fn in functions:
                self._summarise(fn)
        classes = [c for c in self.program.classes.values() if not c.is_struct and c.instantiated]
        changed_ever = False
        changed = True
        while changed:
            changed = False
            for info in classes:
                changed |= self._drop_once(info)
            for fn in reversed(functions):
                before = self.writes.get(fn, 0)
                own, calls, releases = self.parts[fn]
                total = before | own
                for callee in calls:
                    total |= self.writes.get(callee, 0)
                for info in releases:
                    total |= self.drops.get(info, 0)
                for var in self.owned.get(fn, ()):
                    total |= self.of_release(var.type)
                if total != before:
                    self.writes[fn] = total
                    changed = True
            changed_ever |= changed
        return changed_ever

    def seen_by(self, fn: Function) -> tuple[int, ...]:
        """All summaries of others that the analysis of `fn` looks at."""
        _, calls, _ = self.parts[fn]
        total = 0
        for callee in calls:
            total |= self.writes.get(callee, 0)
        if fn not in self.held:
            self.held[fn] = self._held(fn)
        return (total, *[self.drops.get(info, 0) for info in self.held[fn]])

    def _held(self, fn: Function) -> list[ClassInfo]:
        """The classes whose instances `fn` may release."""
        found: set[ClassInfo] = set(self.parts[fn][2])
        types = {id(v.type): v.type for block in fn.blocks for instr in block.instrs for v in instr.defs()}
        for t in types.values():
            self._add_release(t.element if isinstance(t, ArrayType) else t, found)
        return sorted(found, key=lambda info: info.cname)

    def _drop_once(self, info: ClassInfo) -> bool:
        total = self.drops.get(info, 0)
        before = total
        found = info.find("__del__")
        if found is not None:
            total |= self.writes.get(self.program.function(*found), 0)
        for f in info.fields.values():
            if not f.unowned:
                total |= self.of_release(f.type)
        for one in info.mro()[1:]:
            self.drops[one] = self.drops.get(one, 0) | total
        self.drops[info] = total | self.drops.get(info, 0)
        return self.drops[info] != before

    def of_release(self, t: Type) -> int:
        """What the release of a reference of type `t` may overwrite."""
        t = nonnull(strip(t))
        if isinstance(t, ArrayType):
            return self.of_release(t.element)
        if isinstance(t, ClassType):
            return self.drops.get(t.info, 0)
        return 0

    def of_instr(self, instr: ir.Instr) -> int:
        """What one instruction may overwrite (the release of overwritten locals apart)."""
        if isinstance(instr, ir.Store):
            if is_counted(instr.place.type):
                return self.bit(instr.place.key) | (0 if instr.init else self.of_release(instr.place.type))
            return 0
        if isinstance(instr, ir.Call):
            return self.writes.get(instr.callee, 0)
        if isinstance(instr, ir.CallVirtual):
            total = 0
            for impl in instr.slot.impls.values():
                total |= self.writes.get(impl, 0)
            return total
        if isinstance(instr, ir.CallPointer):
            return EVERYTHING
        if isinstance(instr, ir.Effect):
            return self.bit(instr.key)
        if isinstance(instr, ir.Raw) and instr.writes:
            return EVERYTHING if instr.writes == "*" else self.bit(instr.writes)
        return 0


def unowned(place: ir.Place) -> bool:
    return isinstance(place, ir.FieldPlace) and place.field.unowned


__all__ = ["EVERYTHING", "Effects", "WeakType", "unowned"]
