# SPDX-License-Identifier: Apache-2.0
"""Struct places made anew in a loop while an older one is still in use.

A constructor's place lies in the frame, one for each constructor call in the source. In a loop it is the same memory
in every round, where CPython makes a new object: `previous = current` names the place that the next round overwrites.
Such a program is refused: `previous = copy(current)` says what is meant."""

from __future__ import annotations

from kaa.compiler import ir
from kaa.compiler.errors import CompileError
from kaa.compiler.ir import Block, Instr, Var
from kaa.compiler.program import Function
from kaa.compiler.types import ArrayType, SliceType, StructType, strip

NAMES = (StructType, ArrayType, SliceType)


def check_remade(fn: Function) -> None:
    """Raises CompileError where a place is made again while another local still names the one before."""
    made = [i for b in fn.blocks for i in b.instrs if isinstance(i, ir.Fresh)]
    if not made or not _loops(fn):
        return
    names = _other_names(fn)
    watched = {v for i in made for v in names.get(i.dst, ())}
    if not watched:
        return
    live = _live_in(fn, watched)
    for block in fn.blocks:
        after = set[Var]().union(*(live[t] for t in block.successors())) if block.successors() else set[Var]()
        for at in range(len(block.instrs) - 1, -1, -1):
            instr = block.instrs[at]
            place = _written(block, at)
            if place is not None:
                _refuse(fn, instr, (names.get(place, set()) & after) - set(instr.defs()))
            after = _before(instr, after, watched)


def _refuse(fn: Function, instr: Instr, others: set[Var]) -> None:
    named = sorted(v.name.removeprefix("v_") for v in others if not v.temp)
    if others:
        who = f"'{named[0]}'" if named else "a part of it"
        raise CompileError(
            f"this place is made anew in each round, while {who} may still name the one before: keep a copy(…) of that",
            instr.file or fn.filename, line=instr.line,
        )  # fmt: skip


def _written(block: Block, at: int) -> Var | None:
    """The fresh place that an instruction fills: a constructor at once, a call or copy when it is done."""
    instr = block.instrs[at]
    if isinstance(instr, ir.Fresh):
        return instr.dst if instr.zero else None
    if isinstance(instr, ir.CopyPlace):
        return instr.dst if isinstance(instr.dst, Var) and instr.dst.fresh else None
    if isinstance(instr, (ir.Call, ir.CallVirtual, ir.CallPointer)) and not instr.dsts and instr.args:
        last = instr.args[-1]
        return last if isinstance(last, Var) and last.fresh else None
    return None


def _loops(fn: Function) -> bool:
    position = {b: n for n, b in enumerate(fn.blocks)}
    return any(position[t] <= position[b] for b in fn.blocks for t in b.successors())


def _other_names(fn: Function) -> dict[Var, set[Var]]:
    """For each fresh place, the other locals that may name it or a part of it."""
    made_of: dict[Var, set[Var]] = {}
    for block in fn.blocks:
        for instr in block.instrs:
            if isinstance(instr, (ir.Assign, ir.AddressOf, ir.Op, ir.Raw)):
                for v in instr.defs():
                    if isinstance(strip(v.type), NAMES):
                        sources = made_of.setdefault(v, set())
                        sources |= {u for u in instr.uses() if isinstance(u, Var) and isinstance(strip(u.type), NAMES)}
    changed = True
    while changed:
        changed = False
        for sources in made_of.values():
            more = set[Var]().union(*(made_of.get(s, set()) for s in sources)) - sources
            if more:
                sources |= more
                changed = True
    out: dict[Var, set[Var]] = {}
    for v, sources in made_of.items():
        for s in sources:
            if s.fresh and s is not v:
                out.setdefault(s, set()).add(v)
    return out


def _before(instr: Instr, after: set[Var], watched: set[Var]) -> set[Var]:
    live = after - set(instr.defs())
    return live | {u for u in instr.uses() if isinstance(u, Var) and u in watched}


def _live_in(fn: Function, watched: set[Var]) -> dict[Block, set[Var]]:
    live: dict[Block, set[Var]] = {b: set() for b in fn.blocks}
    changed = True
    while changed:
        changed = False
        for block in reversed(fn.blocks):
            now = {u for u in (block.end.uses() if block.end else []) if isinstance(u, Var) and u in watched}
            for target in block.successors():
                now |= live[target]
            for instr in reversed(block.instrs):
                now = _before(instr, now, watched)
            if now != live[block]:
                live[block] = now
                changed = True
    return live
