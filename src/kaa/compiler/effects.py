# SPDX-License-Identifier: Apache-2.0
"""Which counted places (fields, elements) a call may overwrite: what a borrowed reference has to fear.

A summary per function, over the call graph: a set of place keys as bits of an int. A release may run `__del__`s, so it counts
as calling them."""

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
        self.owned: dict[Function, set[ir.Var]] = {}  # locals known to own; grows as ownership finds them

    def bit(self, key: str) -> int:
        """The bit that stands for a place key."""
        if key not in self.bits:
            self.bits[key] = 1 << len(self.bits)
        return self.bits[key]

    def solve(self) -> bool:
        """Brings all summaries to a fixpoint; True if any changed."""
        functions = [f for f in self.program.functions.values() if f.blocks]
        changed_ever = False
        changed = True
        while changed:
            changed = False
            for info in list(self.program.classes.values()):
                if not info.is_struct and info.instantiated:
                    changed |= self._drop_once(info)
            for fn in functions:
                new = self._function_once(fn)
                if new != self.writes.get(fn, 0):
                    self.writes[fn] = new
                    changed = True
            changed_ever |= changed
        return changed_ever

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

    def _function_once(self, fn: Function) -> int:
        total = self.writes.get(fn, 0)
        for block in fn.blocks:
            for instr in block.instrs:
                total |= self.of_instr(instr)
        for var in self.owned.get(fn, ()):
            total |= self.of_release(var.type)
        return total

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
            return self.bit(instr.writes)
        return 0


def unowned(place: ir.Place) -> bool:
    return isinstance(place, ir.FieldPlace) and place.field.unowned


__all__ = ["EVERYTHING", "Effects", "WeakType", "unowned"]
