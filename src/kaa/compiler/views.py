# SPDX-License-Identifier: Apache-2.0
"""Views that functions return: `name.view()` may look into the bytes that a field of `name` holds. The caller cannot
keep these bytes alive (it does not know them), so it must not use the view any more once the field is overwritten: that
is refused where it can be seen (a call through a pointer may do anything; of it this is not assumed).

A function's `view_places` are the fields (as bits of `effects`) that its result may look into."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kaa.compiler import ir
from kaa.compiler.effects import EVERYTHING, Effects
from kaa.compiler.errors import CompileError, refusals
from kaa.compiler.ir import Block, Instr, Value, Var
from kaa.compiler.ownership import Ownership, has_views
from kaa.compiler.program import Function
from kaa.compiler.types import PtrType, StructType, TupleType, strip

CALLS = (ir.Call, ir.CallVirtual)


def check_views(functions: Sequence[Function], mine: Iterable[Function], effects: Effects) -> list[CompileError]:
    """An error for each of `mine` (some of the program's functions) that uses a returned view when what it looks into
    may be gone; before counts are inserted."""
    givers = [Ownership(f, effects) for f in functions if _gives_views(f)]
    for ownership in givers:
        ownership.classify()
    places: dict[Function, int] = {}
    changed = bool(givers)
    while changed:
        changed = False
        for ownership in givers:
            found = _result_places(ownership, places)
            if found != places.get(ownership.fn, 0):
                places[ownership.fn] = found
                changed = True
    return refusals(mine, lambda fn: _check(fn, effects, places)) if places else []


def _gives_views(fn: Function) -> bool:
    t = strip(fn.result)
    return any(map(has_views, t.parts if isinstance(t, TupleType) else (t,)))


def _callees(instr: Instr) -> list[Function]:
    if isinstance(instr, ir.Call):
        return [instr.callee]
    return list(instr.slot.impls.values()) if isinstance(instr, ir.CallVirtual) else []


def _looking(fn: Function, places: dict[Function, int]) -> dict[Var, int]:
    """The function's views that come from calls, and what they may look into."""
    out: dict[Var, int] = {}
    changed = True
    while changed:
        changed = False
        for block in fn.blocks:
            for instr in block.instrs:
                bits = 0
                for callee in _callees(instr):
                    bits |= places.get(callee, 0)
                targets = list(instr.defs())
                if isinstance(instr, CALLS) and bits:
                    targets += [a for a in instr.args if isinstance(a, Var) and isinstance(strip(a.type), StructType)]
                if isinstance(instr, ir.Store) and isinstance(instr.place.base, Var):
                    targets = [instr.place.base]
                for u in instr.uses() if not isinstance(instr, CALLS) else []:
                    bits |= out.get(u, 0) if isinstance(u, Var) else 0
                for v in targets if bits else []:
                    looks = has_views(v.type) or isinstance(strip(v.type), PtrType)
                    if looks and out.get(v, 0) | bits != out.get(v, 0):
                        out[v] = out.get(v, 0) | bits
                        changed = True
    return out


def _result_places(ownership: Ownership, places: dict[Function, int]) -> int:
    from_calls = _looking(ownership.fn, places)
    total = 0
    for block in ownership.fn.blocks:
        for value in block.end.values if isinstance(block.end, ir.Return) else []:
            if isinstance(value, Var) and has_views(value.type):
                total |= from_calls.get(value, 0)
                for base in ownership.bases(value):
                    total |= ownership.sources[base].places if base in ownership.sources else 0
    return total


def _check(fn: Function, effects: Effects, places: dict[Function, int]) -> None:
    if not any(places.get(c, 0) for c in effects.parts[fn][1]):
        return
    looking = _looking(fn, places)
    live = _live_in(fn, looking)
    for block in fn.blocks:
        after = set[Var]().union(*(live[t] for t in block.successors()), _used(block.end, looking))
        for instr in reversed(block.instrs):
            held = after - set(instr.defs())
            writes = effects.of_instr(instr) if held else 0
            if writes == EVERYTHING:
                writes = 0  # it calls through a pointer: nothing says that it writes this field
            for v in held:
                if looking[v] & writes:
                    raise CompileError(
                        "this may overwrite what a view looks into that a function gave; keep bytes(...) of the view",
                        instr.file or fn.filename, line=instr.line,
                    )  # fmt: skip
            after = held | _used(instr, looking)


def _used(instr: Instr | None, watched: dict[Var, int]) -> set[Var]:
    values: list[Value] = instr.uses() if instr is not None else []
    return {u for u in values if isinstance(u, Var) and u in watched}


def _live_in(fn: Function, watched: dict[Var, int]) -> dict[Block, set[Var]]:
    live: dict[Block, set[Var]] = {b: set() for b in fn.blocks}
    changed = True
    while changed:
        changed = False
        for block in reversed(fn.blocks):
            now = set[Var]().union(*(live[t] for t in block.successors()), _used(block.end, watched))
            for instr in reversed(block.instrs):
                now = (now - set(instr.defs())) | _used(instr, watched)
            if now != live[block]:
                live[block] = now
                changed = True
    return live
