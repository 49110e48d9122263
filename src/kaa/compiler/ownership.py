# SPDX-License-Identifier: Apache-2.0
"""Borrowed or owned: where reference counts are touched.

Every local that holds a counted reference is either *owned* (it has a count of its own, released when the local ends)
or *borrowed*: it was read from a parameter, from a place (a field, an element), from another local, and stays valid
because nothing that may run while it is live overwrites that place. A local starts as borrowed if all its assignments
are of that kind, and becomes owned when a hazard is found. So a walk along a list touches no counts.

Rules: parameters are borrowed from the caller; results are owned by the caller (unless the function is @borrowed); a
Final field keeps what it refers to as long as its object lives; what was read from a Guarded or Rcu field is borrowed
until the lock is released or the reader's section ends; an owned local that is stored or returned at its last use is
moved, without a count. rewriting.py does as this says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from kaa.compiler import ir
from kaa.compiler.effects import Effects
from kaa.compiler.errors import CompileError
from kaa.compiler.ir import Block, Instr, Value, Var
from kaa.compiler.program import Function
from kaa.compiler.types import (
    ArrayType,
    AtomicType,
    PtrType,
    SliceType,
    StructType,
    Type,
    is_counted,
    strip,
)

DERIVED = (SliceType, PtrType, StructType, ArrayType, AtomicType)


@dataclass
class Source:
    """Where a borrowed local's value may come from: place keys (bits) that must not be overwritten, locals that must
    not change."""

    places: int = 0
    roots: set[Var] = field(default_factory=set[Var])


class Ownership:
    """Classification of one function's locals: what it knows of them is what Rewriting goes by."""

    def __init__(self, fn: Function, effects: Effects) -> None:
        self.fn = fn
        self.effects = effects
        self.vars: list[Var] = []
        self.index: dict[Var, int] = {}
        self.derived: dict[Var, set[Var]] = {}
        self.current: set[Value] = set()
        """The running thread, by whatever name."""
        self.owned: set[Var] = set(effects.owned.get(fn, ()))
        self.sources: dict[Var, Source] = {}
        self.live_in: dict[Block, int] = {}
        self.definitions: dict[Var, list[Instr]] = {}  # of counted locals
        self.made: dict[Instr, int] = {}  # the counted locals that an instruction defines, if any
        self._collect()

    # ---- facts -------------------------------------------------------------------------------------------------------

    def _collect(self) -> None:
        derived_defs: list[tuple[Var, Sequence[Value]]] = []
        for block in self.fn.blocks:
            for instr in block.instrs:
                for v in instr.defs():
                    if is_counted(v.type):
                        self._number(v)
                        self.definitions.setdefault(v, []).append(instr)
                        self.made[instr] = self.made.get(instr, 0) | 1 << self.index[v]
                    elif isinstance(strip(v.type), DERIVED):
                        derived_defs.append((v, instr.uses()))
                derived_defs += kept_views(instr)
                if isinstance(instr, ir.Drop) and is_counted(instr.var.type):
                    self._number(instr.var)
        self._find_current(self.definitions)
        changed = bool(derived_defs)
        while changed:
            changed = False
            for v, uses in derived_defs:
                bases = self.derived.setdefault(v, set())
                before = len(bases)
                for u in uses:
                    bases |= self.bases(u)
                changed |= len(bases) != before

    def _find_current(self, names: dict[Var, list[Instr]]) -> None:
        """The locals that are nothing but the running thread."""
        for v, defs in names.items():
            first = defs[0]
            source = names.get(first.src, ()) if isinstance(first, ir.Assign) and isinstance(first.src, Var) else defs
            if len(defs) == 1 and len(source) == 1 and ir.gives_current(source[0]) and v not in self.fn.params:
                self.current.add(v)

    def _number(self, v: Var) -> None:
        if v not in self.index:
            self.index[v] = len(self.vars)
            self.vars.append(v)

    def bases(self, value: Value) -> set[Var]:
        """The counted locals that keep `value` valid."""
        if not isinstance(value, Var):
            return set()
        if is_counted(value.type):
            return {value} if value in self.index else set()
        return self.derived.get(value, set())

    # ---- classification ----------------------------------------------------------------------------------------------

    def classify(self) -> set[Var]:
        """The locals that own."""
        if not self.vars:
            return set()
        self.owned.update(v for v, instrs in self.definitions.items() if any(map(self.gives_count, instrs)))
        while True:
            self._trace()
            self._liveness()
            found = self._hazards()
            if not found:
                self._refuse_dangling()
                return self.owned
            self.owned |= found

    def _refuse_dangling(self) -> None:
        """A view in what only this function holds cannot be returned, nor stored in an argument."""
        for block in self.fn.blocks:
            for instr in block.instrs:
                if isinstance(instr, ir.Store) and isinstance(instr.place.base, Var) and instr.place.base.param:
                    self._refuse_view(instr.src, instr, "store")
            if isinstance(block.end, ir.Return):
                for value in block.end.values:
                    self._refuse_view(value, block.end, "return")

    def _refuse_view(self, value: Value, where: Instr, what: str) -> None:
        if isinstance(value, Var) and has_views(value.type) and self.derived.get(value, set()) & self.owned:
            raise CompileError(
                f"this view would outlive what it looks into; {what} bytes(...)", self.fn.filename, line=where.line
            )

    @staticmethod
    def gives_count(instr: Instr) -> bool:
        if isinstance(instr, ir.Call):
            return "borrowed" not in instr.callee.marks
        if isinstance(instr, ir.CallVirtual):
            return "borrowed" not in instr.slot.declared.marks
        if isinstance(instr, ir.Raw):
            return instr.takes
        return isinstance(instr, (ir.CallPointer, ir.New, ir.RawRaising))

    def _trace(self) -> None:
        """Places and roots of every borrowed local, to a fixpoint."""
        self.sources = {v: Source() for v in self.vars if v not in self.owned}
        changed = True
        while changed:
            changed = False
            for v, source in self.sources.items():
                for instr in self.definitions.get(v, ()):
                    changed |= self._add_source(source, instr)

    def _add_source(self, source: Source, instr: Instr) -> bool:
        places, roots = source.places, len(source.roots)
        if isinstance(instr, ir.Load):
            source.places |= self._place_bits(instr.place)
            for u in instr.uses():
                self._add_value(source, u)
        elif isinstance(instr, (ir.Assign, ir.Raw, ir.Op)):
            for u in instr.uses():
                self._add_value(source, u)
        return source.places != places or len(source.roots) != roots

    def _place_bits(self, place: ir.Place) -> int:
        if isinstance(place, ir.FieldPlace):
            if place.field.protection == "Final" or place.field.once:
                return 0
            bits = self.effects.bit(place.key)
            if place.field.protection not in ("Guarded", "Rcu") or self._is_own(place):
                return bits
            return bits | self.effects.bit("@unlock")
        bits = self.effects.bit(place.key)
        return bits | self.effects.bit("@unlock") if ir.is_rcu(place) else bits

    def _is_own(self, place: ir.FieldPlace) -> bool:
        """Is it the running thread's own, which nobody else changes, lock or not?"""
        return "current()" in place.field.lock and place.base in self.current

    def _add_value(self, source: Source, value: Value) -> None:
        for base in self.bases(value):
            if base in self.owned:
                source.roots.add(base)
            elif base in self.sources:
                other = self.sources[base]
                source.places |= other.places
                source.roots |= other.roots

    # ---- liveness ----------------------------------------------------------------------------------------------------

    def use_mask(self, values: list[Value]) -> int:
        """The counted locals that these values need alive."""
        mask = 0
        for value in values:
            if not isinstance(value, Var):
                continue
            for base in (value,) if value in self.index else self.derived.get(value, ()):
                mask |= 1 << self.index[base]
                if base in self.sources:
                    for root in self.sources[base].roots:
                        mask |= 1 << self.index[root]
        return mask

    def _liveness(self) -> None:
        self.gen: dict[Block, int] = {}
        self.kill: dict[Block, int] = {}
        self.masks: dict[Instr, int] = {}  # what an instruction needs alive, if anything
        self.leaves: dict[Block, list[tuple[Block, int]]] = {}  # per block: its handlers, and what was set before each
        for block in self.fn.blocks:
            gen, kill = 0, 0
            leaves: list[tuple[Block, int]] = []
            for instr in block.instrs:
                mask = self.use_mask(instr.uses())
                if mask:
                    self.masks[instr] = mask
                    gen |= mask & ~kill
                if instr.handler is not None:
                    leaves.append((instr.handler.block, kill))
                kill |= self.made.get(instr, 0)
            if block.end is not None:
                gen |= self.use_mask(block.end.uses()) & ~kill
            self.gen[block], self.kill[block], self.leaves[block] = gen, kill, leaves
        self.live_in = {b: self.gen[b] for b in self.fn.blocks}
        changed = True
        while changed:
            changed = False
            for block in reversed(self.fn.blocks):
                new = self._block_live(block)
                if new != self.live_in[block]:
                    self.live_in[block] = new
                    changed = True

    def _block_live(self, block: Block) -> int:
        after = 0
        for target in block.end.targets() if block.end else []:
            after |= self.live_in[target]
        live = self.gen[block] | (after & ~self.kill[block])
        for handler, killed in self.leaves[block]:
            live |= self.live_in[handler] & ~killed
        return live

    def live_out(self, block: Block) -> int:
        """Live just before the block's end instruction."""
        live = self.use_mask(block.end.uses()) if block.end else 0
        for target in block.end.targets() if block.end else []:
            live |= self.live_in[target]
        return live

    def before(self, instr: Instr, live: int) -> int:
        """Live before an instruction, given what is live after it."""
        live &= ~self.made.get(instr, 0)
        if instr.handler is not None:
            live |= self.live_in[instr.handler.block]
        return live | self.masks.get(instr, 0)

    # ---- hazards -----------------------------------------------------------------------------------------------------

    def _hazards(self) -> set[Var]:
        """Borrowed locals that something may invalidate while they are live."""
        found: set[Var] = set()
        candidates = {v: s for v, s in self.sources.items() if s.places or s.roots}
        if not candidates:
            return found
        mask = 0
        for v in candidates:
            mask |= 1 << self.index[v]
        self._find_lethal()
        for block in self.fn.blocks:
            live = self.live_out(block)
            for target in block.end.targets() if block.end else []:
                self._check_ends(live, self.live_in[target], candidates, found)
            for instr in reversed(block.instrs):
                during = live
                mask_of = self.masks.get(instr, 0)
                if isinstance(instr, ir.RaisingInstr):
                    during |= mask_of
                    if instr.handler is not None:
                        during |= self.live_in[instr.handler.block]
                        self._check_ends(live | mask_of, self.live_in[instr.handler.block], candidates, found)
                elif any(v.keep for v in instr.defs()):
                    during |= mask_of  # what the local held before is released before the instruction
                if during & mask:
                    self._check(instr, during & mask, candidates, found)
                before = self.before(instr, live)
                if self.lethal:
                    self._check_ends(before | self.made.get(instr, 0), live, candidates, found)
                live = before
        return found

    def _find_lethal(self) -> None:
        """The owned temporaries whose release may overwrite something."""
        self.lethal = 0
        for v in self.owned:
            if v.temp and not v.keep and v in self.index and self.effects.of_release(v.type):
                self.lethal |= 1 << self.index[v]

    def _check_ends(self, before: int, after: int, candidates: dict[Var, Source], found: set[Var]) -> None:
        """Temporaries that end here, at their last use, are released: that may overwrite what others borrow."""
        ending = before & ~after & self.lethal
        if not ending:
            return
        writes = 0
        while ending:
            low = ending & -ending
            ending ^= low
            writes |= self.effects.of_release(self.vars[low.bit_length() - 1].type)
        for v, s in candidates.items():
            if after >> self.index[v] & 1 and s.places & writes:
                found.add(v)

    def _check(self, instr: Instr, live: int, candidates: dict[Var, Source], found: set[Var]) -> None:
        writes = self.effects.of_instr(instr)
        ended: set[Var] = set()
        if isinstance(instr, ir.Drop) and instr.var in self.owned:
            ended.add(instr.var)
        for v in instr.defs():
            if v in self.owned:
                ended.add(v)
        for v in ended:
            writes |= self.effects.of_release(v.type)
        if not writes and not ended:
            return
        defs = instr.defs()
        while live:
            low = live & -live
            live ^= low
            v = self.vars[low.bit_length() - 1]
            if v in found or v in defs:
                continue
            s = candidates[v]
            if s.places & writes or s.roots & ended:
                found.add(v)


def has_views(t: Type) -> bool:
    """True if a value of the type is or holds a view."""
    t = strip(t)
    if isinstance(t, StructType):
        return any(has_views(f.type) for f in t.info.fields.values())
    return isinstance(t, SliceType) or (isinstance(t, ArrayType) and has_views(t.element))


def kept_views(instr: Instr) -> list[tuple[Var, Sequence[Value]]]:
    """Struct places that may keep a view after this instruction, and what the view may look into."""
    if isinstance(instr, ir.Store):
        base = instr.place.base
        return (
            [(base, [instr.src])]
            if isinstance(base, Var) and isinstance(strip(base.type), StructType) and has_views(instr.src.type)
            else []
        )
    if isinstance(instr, ir.CopyPlace):
        return [(instr.dst, [instr.src])] if isinstance(instr.dst, Var) and has_views(instr.src.type) else []
    if isinstance(instr, (ir.Assign, ir.AddressOf)):
        # another name for the same place: what is stored through it is kept by both
        source = instr.src if isinstance(instr, ir.Assign) else instr.place.base
        both = (
            isinstance(source, Var)
            and isinstance(strip(source.type), StructType)
            and isinstance(strip(instr.dst.type), StructType)
        )
        return [(source, [instr.dst])] if both and isinstance(source, Var) and has_views(instr.dst.type) else []
    if isinstance(instr, (ir.Call, ir.CallVirtual, ir.CallPointer)):
        return [
            (a, instr.args)
            for a in instr.args
            if isinstance(a, Var) and isinstance(strip(a.type), StructType) and has_views(a.type)
        ]
    return []
