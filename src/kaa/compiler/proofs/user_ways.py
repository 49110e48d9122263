# SPDX-License-Identifier: Apache-2.0
"""The ways into places: which struct or array a variable leads to, and by which fields; and which variables are
constants."""

from __future__ import annotations

from collections.abc import Callable

from kaa.compiler import ir
from kaa.compiler.ir import Instr, Value, Var
from kaa.compiler.program import Function
from kaa.compiler.types import ArrayType, IntType, PtrType, SliceType, StructType, Type, strip

PLACES = (StructType, ArrayType, SliceType, PtrType)
Ways = tuple[dict[Var, Var], dict[Var, "str | None"], dict[Var, int]]
"""For each variable that leads into a place (or is a place's address): the variable that is the place; the fields on
the way ("inner.", None: an element that is not known); and the variables that are constants."""
LONGEST = 12


def is_place(t: Type) -> bool:
    """Is a value of this type a way into memory?"""
    return isinstance(strip(t), PLACES)


def ways_of(fn: Function) -> Ways:
    """All of a function's."""
    sources: dict[Var, tuple[Var, str | None] | None] = {}
    for block in fn.blocks:
        for instr in block.instrs:
            source = _leads_from(instr)
            for var in instr.defs() if source is not None else ():
                sources[var] = source if sources.get(var, source) == source else None
    roots: dict[Var, Var] = {}
    prefixes: dict[Var, str | None] = {}
    for var in sources:
        root: Var = var
        prefix: str | None = ""
        for _ in range(LONGEST):
            found = sources.get(root)
            if found is None:
                break
            root = found[0]
            prefix = None if prefix is None or found[1] is None else found[1] + prefix
        roots[var], prefixes[var] = root, prefix
    return roots, prefixes, _constants(fn)


def _leads_from(instr: Instr) -> tuple[Var, str | None] | None:
    """The variable that what an instruction gives leads back to: a part, a view, a copy of the way, an address."""
    if isinstance(instr, ir.Assign):
        return (instr.src, "") if isinstance(instr.src, Var) and is_place(instr.dst.type) else None
    if isinstance(instr, ir.AddressOf):
        base = instr.place.base
        if not isinstance(base, Var):
            return None
        if isinstance(instr.place, ir.FieldPlace):
            return (base, instr.place.field.name + ".") if is_place(base.type) else None
        index = instr.place.index
        return (base, f"[{index.value}]." if isinstance(index, ir.Const) else None)
    if isinstance(instr, (ir.Raw, ir.Op)) and instr.dst is not None and instr.args:
        arg = instr.args[0]
        into = is_place(instr.dst.type) or (isinstance(strip(instr.dst.type), IntType) and _is_address(instr))
        if isinstance(arg, Var) and is_place(arg.type) and into:
            return (arg, None if isinstance(strip(instr.dst.type), (SliceType, PtrType)) else "")
    return None


def _is_address(instr: ir.Raw | ir.Op) -> bool:
    return isinstance(instr, ir.Raw) and instr.template in ("(u64){0}", "(u64){0}.p", "{0}")


def _constants(fn: Function) -> dict[Var, int]:
    """Variables that are set once, to a number that is known."""
    count: dict[Var, int] = {}
    out: dict[Var, int] = {}
    for block in fn.blocks:
        for instr in block.instrs:
            dst = getattr(instr, "dst", None)
            if isinstance(dst, Var) and isinstance(strip(dst.type), IntType):
                count[dst] = count.get(dst, 0) + 1
                value = _folded(instr, out) if isinstance(instr, (ir.Op, ir.Assign)) else None
                if value is not None and count[dst] == 1:
                    out[dst] = value
    return {var: value for var, value in out.items() if count[var] == 1}


def _folded(instr: ir.Op | ir.Assign, known: dict[Var, int]) -> int | None:
    t = strip(instr.dst.type)
    values = [_value(v, known) for v in ([instr.src] if isinstance(instr, ir.Assign) else instr.args)]
    if not isinstance(t, IntType) or None in values:
        return None
    numbers = [v for v in values if v is not None]
    if isinstance(instr, ir.Assign):
        return numbers[0]
    if instr.op == "not" and not t.signed:
        return t.high ^ numbers[0]
    if instr.op == "cast":
        return numbers[0] if t.low <= numbers[0] <= t.high else None
    if instr.op in _FOLDED and len(numbers) == 2 and (numbers[1] > 0 or instr.op in ("add", "sub", "mul", "or", "and")):
        made = _FOLDED[instr.op](numbers[0], min(numbers[1], 64) if instr.op in ("shl", "shr") else numbers[1])
        return made if t.low <= made <= t.high else None
    return None


def _value(value: Value, known: dict[Var, int]) -> int | None:
    if isinstance(value, ir.Const):
        return value.value if isinstance(value.value, int) else None
    return known.get(value) if isinstance(value, Var) else None


_FOLDED: dict[str, Callable[[int, int], int]] = {
    "add": lambda a, b: a + b, "sub": lambda a, b: a - b, "mul": lambda a, b: a * b, "floordiv": lambda a, b: a // b,
    "or": lambda a, b: a | b, "and": lambda a, b: a & b, "shl": lambda a, b: a << b, "shr": lambda a, b: a >> b,
}  # fmt: skip


__all__ = ["PLACES", "Ways", "is_place", "ways_of"]
