# SPDX-License-Identifier: Apache-2.0
"""Borrowed or owned: where reference counts are touched.

Every local that holds a counted reference is either *owned* (it has a count of its own, released when the local ends)
or *borrowed*: it was read from a parameter, from a place (a field, an element), from another local, and stays valid
because nothing that may run while it is live overwrites that place. A local starts as borrowed if all its assignments
are of that kind, and becomes owned when a hazard is found. So a walk along a list touches no counts.

Rules: parameters are borrowed from the caller; results are owned by the caller (unless the function is @borrowed); a
Final field keeps what it refers to as long as its object lives; what was read from a Guarded field is borrowed until
the lock is released; an owned local that is stored or returned at its last use is moved, without a count."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from kaa.compiler import ir
from kaa.compiler.effects import Effects, unowned
from kaa.compiler.errors import CompileError
from kaa.compiler.ir import Block, Instr, Value, Var
from kaa.compiler.program import Function, Program
from kaa.compiler.types import (
    ArrayType,
    AtomicType,
    OptionalType,
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
    roots: set[Var] = field(default_factory=set)


class Ownership:
    """Classification and rewriting of one function."""

    def __init__(self, fn: Function, effects: Effects) -> None:
        self.fn = fn
        self.effects = effects
        self.vars: list[Var] = []
        self.index: dict[Var, int] = {}
        self.derived: dict[Var, set[Var]] = {}
        self.owned: set[Var] = set(effects.owned.get(fn, ()))
        self.sources: dict[Var, Source] = {}
        self.live_in: dict[Block, int] = {}
        self._collect()

    # ---- facts -------------------------------------------------------------------------------------------------------

    def _collect(self) -> None:
        derived_defs: list[tuple[Var, Sequence[Value]]] = []
        for block in self.fn.blocks:
            for instr in block.instrs:
                for v in instr.defs():
                    if is_counted(v.type):
                        self._number(v)
                    elif isinstance(strip(v.type), DERIVED):
                        derived_defs.append((v, instr.uses()))
                derived_defs += kept_views(instr)
                if isinstance(instr, ir.Drop) and is_counted(instr.var.type):
                    self._number(instr.var)
        changed = bool(derived_defs)
        while changed:
            changed = False
            for v, uses in derived_defs:
                bases = self.derived.setdefault(v, set())
                before = len(bases)
                for u in uses:
                    bases |= self.bases(u)
                changed |= len(bases) != before

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
        for block in self.fn.blocks:
            for instr in block.instrs:
                for v in instr.defs():
                    if is_counted(v.type) and self._gives_count(instr):
                        self.owned.add(v)
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
    def _gives_count(instr: Instr) -> bool:
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
            for block in self.fn.blocks:
                for instr in block.instrs:
                    for v in instr.defs():
                        if v in self.sources and self._add_source(self.sources[v], instr):
                            changed = True

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
            if place.field.protection == "Final":
                return 0
            bits = self.effects.bit(place.key)
            return bits | self.effects.bit("@unlock") if place.field.protection == "Guarded" else bits
        return self.effects.bit(place.key)

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
            for base in self.bases(value):
                mask |= 1 << self.index[base]
                if base in self.sources:
                    for root in self.sources[base].roots:
                        mask |= 1 << self.index[root]
        return mask

    def _liveness(self) -> None:
        self.gen: dict[Block, int] = {}
        self.kill: dict[Block, int] = {}
        self.masks: dict[Instr, int] = {}
        self.leaves: dict[Block, list[tuple[Block, int]]] = {}  # per block: its handlers, and what was set before each
        for block in self.fn.blocks:
            gen, kill = 0, 0
            leaves: list[tuple[Block, int]] = []
            for instr in block.instrs:
                mask = self.masks[instr] = self.use_mask(instr.uses())
                gen |= mask & ~kill
                if isinstance(instr, ir.RaisingInstr) and instr.handler is not None:
                    leaves.append((instr.handler.block, kill))
                for v in instr.defs():
                    if v in self.index:
                        kill |= 1 << self.index[v]
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
        for v in instr.defs():
            if v in self.index:
                live &= ~(1 << self.index[v])
        if isinstance(instr, ir.RaisingInstr) and instr.handler is not None:
            live |= self.live_in[instr.handler.block]
        return live | self.masks[instr]

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
                if isinstance(instr, ir.RaisingInstr):
                    during |= self.masks[instr]
                    if instr.handler is not None:
                        during |= self.live_in[instr.handler.block]
                        self._check_ends(live | self.masks[instr], self.live_in[instr.handler.block], candidates, found)
                elif any(v.keep for v in instr.defs()):
                    during |= self.masks[instr]  # what the local held before is released before the instruction
                if during & mask:
                    self._check(instr, during & mask, candidates, found)
                before = self.before(instr, live)
                if self.lethal:
                    made = 0
                    for v in instr.defs():
                        made |= 1 << self.index[v] if v in self.index else 0
                    self._check_ends(before | made, live, candidates, found)
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

    # ---- rewriting ---------------------------------------------------------------------------------------------------

    def rewrite(self) -> None:
        """Inserts retains and releases."""
        if not self.vars:
            self._plain_returns()
            return
        self.temporaries = [v for v in self.vars if v in self.owned and v.temp and not v.keep]
        states = self._flow()
        for block in self.fn.blocks:
            if block in states:
                self._rewrite_block(block, dict(states[block]))
        self.fn.owned_vars = [v for v in self.vars if v in self.owned]  # type: ignore[attr-defined]

    def _plain_returns(self) -> None:
        """A function without counted locals may still return or store counted parameters and constants."""
        self.masks = {}
        for block in self.fn.blocks:
            out: list[Instr] = []
            for instr in block.instrs:
                if (
                    isinstance(instr, ir.Store)
                    and is_counted(instr.place.type)
                    and not unowned(instr.place)
                    and _needs_count(instr.src)
                ):
                    out.append(_at(ir.Retain(instr.src), instr))
                out.append(instr)
            if isinstance(block.end, ir.Return) and "borrowed" not in self.fn.marks:
                out += [
                    _at(ir.Retain(v), block.end) for v in block.end.values if is_counted(v.type) and _needs_count(v)
                ]
            block.instrs = out

    def _flow(self) -> dict[Block, dict[Var, str]]:
        """For each block, what each owned local holds at its start: N nothing, O a count, M maybe."""
        start = {v: "N" for v in self.owned}
        states: dict[Block, dict[Var, str]] = {self.fn.blocks[0]: start}
        work = [self.fn.blocks[0]]
        while work:
            block = work.pop()
            state = dict(states[block])
            live = self.live_out(block)
            lives: list[int] = []
            for instr in reversed(block.instrs):
                lives.append(live)
                live = self.before(instr, live)
            lives.reverse()
            for v in self.temporaries:
                if not self.live_in[block] >> self.index[v] & 1:
                    state[v] = "N"
            for instr, after in zip(block.instrs, lives, strict=True):
                if isinstance(instr, ir.RaisingInstr) and instr.handler is not None:
                    again = {v: "N" for v in instr.defs() if v in self.owned and state[v] != "N"}  # released before it
                    self._merge(states, work, instr.handler.block, {**state, **again} if again else state)
                self._step(instr, after, state)
                for v in self._ended_temporaries(instr, after, state):
                    state[v] = "N"
            for target in block.end.targets() if block.end else []:
                self._merge(states, work, target, state)
        return states

    @staticmethod
    def _merge(states: dict[Block, dict[Var, str]], work: list[Block], target: Block, state: dict[Var, str]) -> None:
        if target not in states:
            states[target] = dict(state)
            work.append(target)
            return
        known = states[target]
        changed = False
        for v, s in state.items():
            if known[v] != s and known[v] != "M":
                known[v] = "M"
                changed = True
        if changed:
            work.append(target)

    def _moves(self, value: Value, after: int, state: dict[Var, str]) -> bool:
        """True if a consuming use of `value` may take its count: it owns one and is not needed afterwards."""
        return (
            isinstance(value, Var)
            and value in self.owned
            and state[value] != "N"
            and not after >> self.index[value] & 1
        )

    def _step(self, instr: Instr, after: int, state: dict[Var, str]) -> None:
        """The effect of one instruction on what owned locals hold."""
        if isinstance(instr, ir.Assign) and instr.dst in self.owned:
            src = instr.src
            if isinstance(src, ir.Const):
                state[instr.dst] = "N"
                return
            if isinstance(src, Var) and src is not instr.dst and self._moves(src, after, state):
                state[instr.dst] = state[src]
                state[src] = "N"
            else:
                state[instr.dst] = "O"
            return
        if (
            isinstance(instr, ir.Store)
            and is_counted(instr.place.type)
            and not unowned(instr.place)
            and self._moves(instr.src, after, state)
        ):
            assert isinstance(instr.src, Var)
            state[instr.src] = "N"
            return
        if isinstance(instr, ir.Drop):
            if instr.var in self.owned and not after >> self.index[instr.var] & 1:
                state[instr.var] = "N"
            return
        for v in instr.defs():
            if v in self.owned:
                state[v] = "O"

    def _rewrite_block(self, block: Block, state: dict[Var, str]) -> None:
        live = self.live_out(block)
        lives: list[int] = []
        for instr in reversed(block.instrs):
            lives.append(live)
            live = self.before(instr, live)
        lives.reverse()
        out: list[Instr] = []
        for v in self.temporaries:
            if state[v] != "N" and not self.live_in[block] >> self.index[v] & 1:
                self._end_temporary(v, state, block.instrs[0] if block.instrs else block.end, out)
        for instr, after in zip(block.instrs, lives, strict=True):
            self._rewrite_instr(instr, after, state, out)
            self._step(instr, after, state)
            if self.temporaries and not isinstance(instr, ir.Drop):
                for v in self._ended_temporaries(instr, after, state):
                    self._end_temporary(v, state, instr, out)
        self._rewrite_end(block, state, out)
        block.instrs = out

    def _ended_temporaries(self, instr: Instr, after: int, state: dict[Var, str]) -> list[Var]:
        """Temporaries whose last use (of themselves or of a view into them) this instruction is."""
        mask = self.masks.get(instr, 0)
        for d in instr.defs():
            if d in self.index:
                mask |= 1 << self.index[d]
        return [
            v
            for v in self.temporaries
            if state[v] != "N" and mask >> self.index[v] & 1 and not after >> self.index[v] & 1
        ]

    @staticmethod
    def _end_temporary(v: Var, state: dict[Var, str], where: Instr | None, out: list[Instr]) -> None:
        assert where is not None
        out.append(_release(v, state, where))
        out.append(_at(ir.Assign(v, ir.Const(v.type, None)), where))
        state[v] = "N"

    def _rewrite_instr(self, instr: Instr, after: int, state: dict[Var, str], out: list[Instr]) -> None:
        if isinstance(instr, ir.Drop):
            still = after >> self.index[instr.var] & 1 if instr.var in self.index else 0  # a view into it is used later
            if instr.var in self.owned and state[instr.var] != "N" and not still:
                out.append(_release(instr.var, state, instr))
                out.append(_at(ir.Assign(instr.var, ir.Const(instr.var.type, None)), instr))
            return
        if isinstance(instr, ir.Assign) and instr.dst in self.owned:
            self._rewrite_assign(instr, after, state, out)
            return
        if isinstance(instr, ir.Store) and is_counted(instr.place.type) and not unowned(instr.place):
            if self._moves(instr.src, after, state):
                out.append(instr)
                assert isinstance(instr.src, Var)
                out.append(_at(ir.Assign(instr.src, ir.Const(instr.src.type, None)), instr))
                return
            if _needs_count(instr.src):
                out.append(_at(ir.Retain(instr.src), instr))
            out.append(instr)
            return
        counted = [v for v in instr.defs() if v in self.owned]
        for v in counted:
            if state[v] != "N":
                out.append(_release(v, state, instr))
                if isinstance(instr, ir.RaisingInstr):
                    out.append(_at(ir.Assign(v, ir.Const(v.type, None)), instr))
        out.append(instr)
        if counted and not self._gives_count(instr):
            out += [_at(ir.Retain(v), instr) for v in counted]

    def _rewrite_assign(self, instr: ir.Assign, after: int, state: dict[Var, str], out: list[Instr]) -> None:
        src, dst = instr.src, instr.dst
        if src is dst:
            return
        moved = self._moves(src, after, state)
        if not moved and _needs_count(src):
            out.append(_at(ir.Retain(src), instr))
        if state[dst] != "N":
            out.append(_release(dst, state, instr))
        out.append(instr)
        if moved:
            assert isinstance(src, Var)
            out.append(_at(ir.Assign(src, ir.Const(src.type, None)), instr))

    def _rewrite_end(self, block: Block, state: dict[Var, str], out: list[Instr]) -> None:
        end = block.end
        if not isinstance(end, (ir.Return, ir.RaiseOut)):
            return
        moved: set[Var] = set()
        if isinstance(end, ir.Return) and end.values and self.fn.result_place is not None:
            first = end.values[0]
            if self.bases(first) & self.owned:
                out.append(_at(ir.CopyPlace(self.fn.result_place, first), end))  # before its owner is released
                end.values[0] = self.fn.result_place
        if isinstance(end, ir.Return) and "borrowed" not in self.fn.marks:
            for v in end.values:
                if not is_counted(v.type):
                    continue
                if isinstance(v, Var) and v in self.owned and state[v] != "N" and v not in moved:
                    moved.add(v)
                elif _needs_count(v):
                    out.append(_at(ir.Retain(v), end))
        for v in self.vars:
            if v in self.owned and state[v] != "N" and v not in moved:
                out.append(_release(v, state, end))


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


def _needs_count(value: Value) -> bool:
    """True if another holder of the value needs a count of its own (None has none)."""
    return not isinstance(value, ir.Const)


def _release(v: Var, state: dict[Var, str], where: Instr) -> Instr:
    return _at(ir.Release(v, sure=state[v] == "O" and (v.known or not isinstance(strip(v.type), OptionalType))), where)


def _at(instr: Instr, where: Instr) -> Instr:
    instr.line, instr.file = where.line, where.file
    return instr


def insert_counts(program: Program, check: Callable[[Program, Effects], None] | None = None) -> Effects:
    """Runs the analysis over the whole program and rewrites every function. `check` may refuse what the analysis
    found."""
    effects = Effects(program)
    functions = [f for f in program.functions.values() if f.blocks]
    seen: dict[Function, tuple[int, ...]] = {}
    while True:
        effects.solve()
        grown = False
        for fn in functions:
            state = effects.seen_by(fn)
            if seen.get(fn) == state:
                continue
            seen[fn] = state
            owned = Ownership(fn, effects).classify()
            if len(owned) != len(effects.owned.get(fn, ())):
                effects.owned[fn] = set(owned)
                grown = True
        if not grown:
            break
    if check is not None:
        check(program, effects)
    for fn in functions:
        ownership = Ownership(fn, effects)
        ownership.classify()
        ownership.rewrite()
    return effects
