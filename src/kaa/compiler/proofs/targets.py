# SPDX-License-Identifier: Apache-2.0
"""What a Callable value may be: which functions flow into which fields, parameters and variables.

One pass collects who is assigned to what (fields by class and name, not by instance); a value whose sources are all
known is one of what they hold, any other may be every function of its signature whose address is taken."""

from __future__ import annotations

from collections.abc import Iterator

from kaa.compiler import ir
from kaa.compiler.ir import Value, Var
from kaa.compiler.program import Function, Program
from kaa.compiler.types import BoolType, ClassType, FunctionType, Type, nonnull, strip

Place = tuple[str, object]


def _is_callable(t: Type) -> bool:
    return isinstance(nonnull(strip(t)), FunctionType)


class Targets:
    """Functions by the places that may hold them."""

    def __init__(self, program: Program, functions: list[Function]) -> None:
        self.program = program
        self.by_signature: dict[FunctionType, list[Function]] = {}
        for fn in program.thunks.values():
            params, result = fn.signature()
            key = FunctionType(tuple(p.type for p in params), result)
            self.by_signature.setdefault(key, []).append(fn)
        self.escaped: set[Function] = set()
        """Functions whose address became a number: threads' first functions."""
        self._known: dict[Place, set[Function]] = {}
        self._flows: dict[Place, set[Place]] = {}
        self._unknown: set[Place] = set()
        self._virtual: list[tuple[ir.CallVirtual, Function]] = []
        for fn in functions:
            if any(_is_callable(v.type) for v in fn.params) or any(True for _ in _callable_instrs(fn)):
                self._collect(fn)
        self._frozen()
        self._solve()

    # ---- collecting --------------------------------------------------------------------------------------------------

    def _place(self, value: Value) -> Place | None:
        return ("var", value) if isinstance(value, Var) else None

    def _flow(self, value: Value, into: Place) -> None:
        if isinstance(value, Var):
            self._flows.setdefault(("var", value), set()).add(into)
        elif isinstance(value, ir.Symbol):
            fn = self._of_symbol(value)
            if fn is None:
                self._unknown.add(into)
            else:
                self._known.setdefault(into, set()).add(fn)

    def _of_symbol(self, value: ir.Symbol) -> Function | None:
        return self.program.thunks.get(value.expr.rpartition(")")[2])

    def _collect(self, fn: Function) -> None:
        for instr in _callable_instrs(fn):
            if isinstance(instr, ir.Assign):
                self._flow(instr.src, ("var", instr.dst))
            elif isinstance(instr, ir.Load):
                self._flows.setdefault(("place", instr.place.key), set()).add(("var", instr.dst))
                if isinstance(instr.place, ir.ElementPlace):
                    self._unknown.add(("var", instr.dst))
            elif isinstance(instr, ir.Store):
                self._flow(instr.src, ("place", instr.place.key))
            elif isinstance(instr, ir.Call):
                self._into(instr.args, instr.callee)
            elif isinstance(instr, ir.CallVirtual):
                for impl in instr.slot.impls.values():
                    self._into(instr.args, impl)
            if isinstance(instr, ir.Op) and instr.op == "cast" and _is_callable(instr.dst.type):
                self._flow(instr.args[0], ("var", instr.dst))
                continue
            if isinstance(instr, (ir.Call, ir.CallVirtual, ir.CallPointer, ir.Raw, ir.Op)):
                self._unknown.update(("var", d) for d in instr.defs() if _is_callable(d.type))
            if isinstance(instr, (ir.Op, ir.Raw)) or (isinstance(instr, ir.Call) and instr.callee.is_external):
                for value in instr.uses():
                    if _is_callable(value.type) and not _test(instr):
                        self._flow(value, ("escape", nonnull(strip(value.type))))
            elif isinstance(instr, ir.CallPointer):
                for value in instr.args:
                    if _is_callable(value.type):
                        self._flow(value, ("escape", nonnull(strip(value.type))))

    def _into(self, args: list[Value], callee: Function) -> None:
        for param, value in zip(callee.params, args, strict=False):
            if _is_callable(param.type):
                self._flow(value, ("var", param))

    def _frozen(self) -> None:
        """What the image's objects hold."""
        for one in self.program.freezer.objects.values():
            info = one.type.info if isinstance(one.type, ClassType) else None
            if info is None or isinstance(one.obj, (list, dict, tuple)):
                continue
            for field in info.fields.values():
                if not _is_callable(field.type):
                    continue
                live = getattr(one.obj, field.name, None)
                if live is not None:
                    fn = self.program.function(live)
                    self._known.setdefault(("place", f"{field.declared_in}.{field.name}"), set()).add(fn)

    def _solve(self) -> None:
        work = [*self._known, *self._unknown]
        while work:
            place = work.pop()
            have = self._known.get(place, set())
            for target in self._flows.get(place, ()):
                known = self._known.setdefault(target, set())
                grown = bool(have - known) or (place in self._unknown and target not in self._unknown)
                if grown:
                    known |= have
                    if place in self._unknown:
                        self._unknown.add(target)
                    work.append(target)
        for place, found in self._known.items():
            if place[0] == "escape":
                self.escaped |= found
        for place in self._unknown:
            if place[0] == "escape" and isinstance(place[1], FunctionType):
                self.escaped |= set(self.by_signature.get(place[1], ()))

    # ---- asking ------------------------------------------------------------------------------------------------------

    def of(self, value: Value) -> list[Function]:
        """What a Callable value may be."""
        if isinstance(value, ir.Symbol):
            fn = self._of_symbol(value)
            if fn is not None:
                return [fn]
        place: Place = ("var", value)
        found = self._known.get(place, set())
        if found and place not in self._unknown:
            return sorted(found, key=lambda f: f.cname)
        t = nonnull(strip(value.type))
        return self.by_signature.get(t, []) if isinstance(t, FunctionType) else []


def _test(instr: ir.Instr) -> bool:
    """Is the value only compared?"""
    if isinstance(instr, ir.Raw):
        return isinstance(instr.dst.type, BoolType) if instr.dst is not None else False
    return isinstance(instr, ir.Op) and instr.op in ("==", "!=")


def _callable_instrs(fn: Function) -> Iterator[ir.Instr]:
    for block in fn.blocks:
        for instr in block.instrs:
            kind = type(instr)
            if kind is ir.Assign:
                if _is_callable(instr.dst.type):  # type: ignore[attr-defined]
                    yield instr
            elif kind is ir.Load:
                if _is_callable(instr.dst.type):  # type: ignore[attr-defined]
                    yield instr
            elif kind is ir.Store:
                if _is_callable(instr.src.type):  # type: ignore[attr-defined]
                    yield instr
            elif kind in (ir.Call, ir.CallVirtual, ir.CallPointer, ir.Raw, ir.Op) and (
                any(_is_callable(v.type) for v in instr.uses()) or any(_is_callable(v.type) for v in instr.defs())
            ):
                yield instr
