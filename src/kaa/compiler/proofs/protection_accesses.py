# SPDX-License-Identifier: Apache-2.0
"""The accesses of a function to fields of objects: which field, read or written, at which instruction.

A field that holds its value within itself (an array, a struct, a list, an instance of a `@part` class) is accessed
where that value is used: the way from the field to the use, over places and views, is followed within the function.
What a callee does with such a value that it is given is read off its code (`changes`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kaa.compiler import ir
from kaa.compiler.ir import Block, FieldPlace, Instr, Value, Var
from kaa.compiler.program import Function
from kaa.compiler.proofs.sharing import carries, is_part, is_part_class
from kaa.compiler.types import AtomicType, strip


@dataclass(slots=True)
class Access:
    """One access. `content`: of what is in the field's value, not of which value it is."""

    instr: Instr
    block: Block
    index: int
    place: FieldPlace
    writes: bool
    content: bool = False

    @property
    def verb(self) -> str:
        return ("changes" if self.writes else "looks into") if self.content else "writes" if self.writes else "reads"


class Accesses:
    """The accesses of functions; what they change of what they are given is remembered."""

    def __init__(self) -> None:
        self._changes: dict[tuple[Function, int], bool] = {}

    def of(self, fn: Function) -> list[Access]:
        """All accesses of a function, those that no statement can be about left out."""
        return list(self._all(fn, self._tags(fn)))

    @staticmethod
    def _tags(fn: Function) -> dict[Var, FieldPlace]:
        """The variables that lead into a field's value, and which field."""
        tags: dict[Var, FieldPlace] = {}
        for block in fn.blocks:
            for instr in block.instrs:
                if isinstance(instr, (ir.Load, ir.AddressOf)):
                    place = instr.place
                    if isinstance(place, FieldPlace) and _of_object(place) and _has_content(place):
                        tags[instr.dst] = place
        grown = bool(tags)
        while grown:
            before = len(tags)
            for block in fn.blocks:
                for instr in block.instrs:
                    _spread(instr, tags)
            grown = len(tags) != before
        return tags

    def _all(self, fn: Function, tags: dict[Var, FieldPlace]) -> Iterator[Access]:
        for block in fn.blocks:
            for index, instr in enumerate(block.instrs):
                if isinstance(instr, (ir.Load, ir.Store)):
                    found = _direct(instr, block, index)
                    if found is not None:
                        yield found
                for place, writes in self._uses(instr, tags) if tags else ():
                    yield Access(instr, block, index, place, writes, content=True)
            if isinstance(block.end, ir.Return):
                for value in block.end.values:
                    if isinstance(value, Var) and value in tags:
                        yield Access(block.end, block, len(block.instrs), tags[value], False, content=True)

    def _uses(self, instr: Instr, tags: dict[Var, FieldPlace]) -> Iterator[tuple[FieldPlace, bool]]:
        """The fields whose value an instruction uses, and whether it changes that."""
        if isinstance(instr, ir.Load):
            if (found := _tag(instr.place.base, tags)) is not None and not (
                carries(instr.dst.type) or _is_free(instr.place)
            ):
                yield found, False
        elif isinstance(instr, ir.Store):
            if (found := _tag(instr.place.base, tags)) is not None and not _is_free(instr.place):
                yield found, True
        elif isinstance(instr, ir.CopyPlace):
            if (found := _tag(instr.dst, tags)) is not None:
                yield found, True
            if (found := _tag(instr.src, tags)) is not None:
                yield found, False
        elif isinstance(instr, (ir.Raw, ir.RawRaising)):
            if instr.dst is None or not carries(instr.dst.type):
                for number, arg in enumerate(instr.args):
                    if (found := _tag(arg, tags)) is None:
                        continue
                    if not isinstance(strip(arg.type), AtomicType):
                        yield found, instr.dst is None and number == 0
                    elif "__atomic_load_n" not in instr.template:
                        yield found, True
        elif isinstance(instr, (ir.Call, ir.CallVirtual, ir.CallPointer)):
            for number, arg in enumerate(instr.args):
                if (found := _tag(arg, tags)) is not None:
                    yield found, self._changed_by(instr, number)

    # ---- what callees do ---------------------------------------------------------------------------------------------

    def _changed_by(self, instr: Instr, number: int) -> bool:
        if isinstance(instr, ir.Call):
            return self.changes(instr.callee, number)
        if isinstance(instr, ir.CallVirtual):
            return any(self.changes(impl, number) for impl in instr.slot.impls.values())
        return True

    def changes(self, fn: Function, number: int) -> bool:
        """May `fn` change the value that its parameter `number` leads into?"""
        key = (fn, number)
        known = self._changes.get(key)
        if known is None:
            if number >= len(fn.params):
                return not fn.is_external
            self._changes[key] = False  # while it is asked for (recursion)
            known = self._changes[key] = self._find_changes(fn, fn.params[number])
        return known

    def _find_changes(self, fn: Function, param: Var) -> bool:
        place = FieldPlace(param, None, None)  # type: ignore[arg-type] - only its identity counts
        tags: dict[Var, FieldPlace] = {param: place}
        grown = True
        while grown:
            before = len(tags)
            for block in fn.blocks:
                for instr in block.instrs:
                    _spread(instr, tags)
            grown = len(tags) != before
        return any(writes for block in fn.blocks for instr in block.instrs for _, writes in self._uses(instr, tags))


def _of_object(place: FieldPlace) -> bool:
    """Is this a field of an object that has statements of its own (not of a struct or a part)?"""
    return not place.owner.is_struct and not is_part_class(place.owner)


def _is_free(place: ir.Place) -> bool:
    """May a word within a part be read and written by anybody?"""
    if isinstance(place, FieldPlace) and (place.field.relaxed or place.field.once):
        return place.field.protection in ("", "Unowned", "Part")
    return isinstance(place.type, AtomicType)


def _has_content(place: FieldPlace) -> bool:
    """Is the field's value used where it lies? An Atomic's is, and it matters where changing it takes a lock."""
    guarded = place.field.protection in ("Guarded", "Owned", "PerCpu")
    return is_part(place.type) or (guarded and isinstance(strip(place.type), AtomicType))


def _direct(instr: ir.Load | ir.Store, block: Block, index: int) -> Access | None:
    """A load or store of a field itself."""
    place = instr.place
    if not isinstance(place, FieldPlace) or not _of_object(place):
        return None
    writes = isinstance(instr, ir.Store)
    field = place.field
    read_freely = field.protection in ("", "Final", "Unowned") or field.relaxed or field.once
    if not writes and (read_freely or is_part(place.type)):
        return None
    if writes and isinstance(strip(place.type), AtomicType):
        return None
    return Access(instr, block, index, place, writes)


def is_update(access: Access) -> bool:
    """Does a store put back something made of what was loaded from the same field just before (`x.n += 1`)?"""
    values: set[Var] = set()
    if isinstance(access.instr, ir.Store) and isinstance(access.instr.src, Var):
        values.add(access.instr.src)
    for instr in reversed(access.block.instrs[: access.index]):
        if not any(v in values for v in instr.defs()):
            continue
        if isinstance(instr, ir.Load):
            if isinstance(instr.place, FieldPlace) and instr.place.key == access.place.key:
                return True
        elif not isinstance(instr, (ir.Call, ir.CallVirtual, ir.CallPointer)):
            values.update(v for v in instr.uses() if isinstance(v, Var))
    return False


def _spread(instr: Instr, tags: dict[Var, FieldPlace]) -> None:
    """What an instruction makes of a tagged value leads into the same field."""
    if isinstance(instr, ir.Assign):
        source = _tag(instr.src, tags)
    elif isinstance(instr, (ir.Load, ir.AddressOf)):
        source = _tag(instr.place.base, tags) if carries(instr.dst.type) else None
    elif isinstance(instr, (ir.Raw, ir.Op)) and instr.dst is not None and carries(instr.dst.type):
        source = next((f for a in instr.args if (f := _tag(a, tags)) is not None), None)
    else:
        return
    for var in instr.defs():
        if source is not None and var not in tags:
            tags[var] = source


def _tag(value: Value, tags: dict[Var, FieldPlace]) -> FieldPlace | None:
    return tags.get(value) if isinstance(value, Var) else None


__all__ = ["Access", "Accesses", "is_update"]
