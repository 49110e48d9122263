# SPDX-License-Identifier: Apache-2.0
"""Which functions can raise. A function raises if one of its errors reaches its edge; calls of functions that cannot
raise lose their handler edges, so that a function that cannot raise pays nothing."""

from __future__ import annotations

from kaa.compiler import ir
from kaa.compiler.program import Function, Program, Slot


def infer_raises(program: Program) -> None:
    """Sets `raises` of every function and slot, prunes handlers and the blocks only they reached."""
    functions = [f for f in program.functions.values() if f.blocks]
    candidates = [f for f in functions if any(isinstance(b.end, ir.RaiseOut) for b in f.blocks)]
    callers = _callers(candidates)
    slots = [slot for slot in program.slots.values() if slot.raises]
    while candidates or slots:
        raising = [f for slot in slots for f in slot.impls.values() if not f.raises and not f.is_external]
        raising += [f for f in candidates if not f.raises and not must_not_raise(f) and _lets_out(f)]
        for fn in raising:
            fn.raises = True
        slots = [
            slot for slot in program.slots.values() if not slot.raises and any(f.raises for f in slot.impls.values())
        ]
        for slot in slots:
            slot.raises = True
        news: list[Function | Slot] = [*raising, *slots]
        candidates = list(dict.fromkeys(f for one in news for f in callers.get(one, [])))
    for fn in functions:
        prune(fn)


def _callers(functions: list[Function]) -> dict[Function | Slot, list[Function]]:
    """Who calls each function and slot so that its errors may get out."""
    found: dict[Function | Slot, list[Function]] = {}
    for fn in functions:
        for block in fn.blocks:
            for instr in block.raising:
                if isinstance(instr, ir.Call):
                    found.setdefault(instr.callee, []).append(fn)
                elif isinstance(instr, ir.CallVirtual):
                    found.setdefault(instr.slot, []).append(fn)
    return found


def must_not_raise(fn: Function) -> bool:
    """True where an error that gets out is a bug: entry points and destructors."""
    return "export" in fn.marks or fn.py.__name__ == "__del__"


def can_raise(instr: ir.Instr) -> bool:
    """True if this instruction, which has a handler, may take that edge."""
    if isinstance(instr, ir.Call):
        return instr.callee.raises
    if isinstance(instr, ir.CallVirtual):
        return bool(instr.slot.raises)
    return True


def _lets_out(fn: Function) -> bool:
    """True if a RaiseOut is reachable over edges that can be taken."""
    seen: set[int] = set()
    stack = [fn.blocks[0]]
    while stack:
        b = stack.pop()
        if id(b) in seen:
            continue
        seen.add(id(b))
        if isinstance(b.end, ir.RaiseOut):
            return True
        stack += [i.handler.block for i in b.raising if i.handler is not None and can_raise(i)]
        assert b.end is not None
        stack += b.end.targets()
    return False


def prune(fn: Function) -> None:
    """Removes handler edges that are never taken, and unreachable blocks."""
    seen: set[int] = set()
    stack = [fn.blocks[0]]
    while stack:
        b = stack.pop()
        if id(b) in seen:
            continue
        seen.add(id(b))
        for i in b.raising:
            if i.handler is None:
                continue
            if can_raise(i):
                stack.append(i.handler.block)
            else:
                i.handler = None
        if isinstance(b.end, ir.RaiseOut) and must_not_raise(fn):
            b.end = ir.Trap("unhandled")
        assert b.end is not None
        stack += b.end.targets()
    fn.blocks = [b for b in fn.blocks if id(b) in seen]
