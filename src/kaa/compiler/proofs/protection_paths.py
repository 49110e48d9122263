# SPDX-License-Identifier: Apache-2.0
"""Which object a value of a function is, as a path from where the function got it: `p_self.ring`, `@current.files`.

Two values with equal paths are the same object, as far as this function can tell: aliases are followed through
assignments, fields through loads. A variable that is set at several places is a root of its own. `current()` gives the
same task whenever one asks, so it is one root, `@current`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from kaa.compiler import ir
from kaa.compiler.ir import Value, Var
from kaa.compiler.program import Function
from kaa.compiler.proofs.locks import CURRENT, LockTable

PARAM, GLOBAL, LOCAL, TASK = "param", "global", "local", "task"
LONGEST = 6


@dataclass(frozen=True, eq=False)
class Path:
    """A root and the fields from there on: names for comparing, `fields` for what they say about sharing."""

    root: str
    kind: str
    steps: tuple[str, ...] = ()
    fields: tuple[ir.FieldPlace, ...] = ()
    index: int = -1
    """Of a parameter: which."""
    var: Var | None = None

    @cached_property
    def text(self) -> str:
        """As the proofs compare paths."""
        return ".".join((self.root, *self.steps))

    def shown(self) -> str:
        """As messages call it."""
        root = self.root.removeprefix("p_").removeprefix("v_")
        root = "current()" if root == CURRENT else "it" if root.startswith("t__") else root
        return ".".join((root, *self.steps))

    def plus(self, name: str, place: ir.FieldPlace) -> Path:
        """The path of one of its fields."""
        return Path(self.root, self.kind, (*self.steps, name), (*self.fields, place), self.index, self.var)

    def joined(self, other: Path) -> Path:
        """`other` (a path from a parameter of a callee) where that parameter is this one."""
        return Path(
            self.root, self.kind, self.steps + other.steps, self.fields + other.fields, self.index, self.var
        )  # fmt: skip


class Paths:
    """The paths of values, remembered."""

    def __init__(self, table: LockTable) -> None:
        self.table = table
        self._known: dict[Var, Path] = {}

    def of(self, fn: Function, value: Value | None) -> Path:
        """The path of a value of `fn`."""
        if not isinstance(value, Var):
            name = str(value).rstrip(")").rpartition("&")[2] if isinstance(value, ir.Symbol) else str(value)
            return Path(name, GLOBAL)
        found = self._known.get(value)
        if found is None:
            self._known[value] = Path(value.name, LOCAL, var=value)  # of a variable that is defined by itself
            found = self._known[value] = self._path(fn, value)
        return found

    def _path(self, fn: Function, value: Var) -> Path:
        sources = self.table.definitions(fn).get(value, ())
        if value.param and value in fn.params and not sources:
            return Path(value.name, PARAM, index=fn.params.index(value), var=value)
        if len(sources) == 1:
            instr = sources[0]
            if isinstance(instr, ir.Assign):
                return self.of(fn, instr.src)
            if isinstance(instr, (ir.Load, ir.AddressOf)) and isinstance(instr.place, ir.FieldPlace):
                base = self.of(fn, instr.place.base)
                if len(base.steps) < LONGEST:
                    return base.plus(instr.place.field.name, instr.place)
            if ir.gives_current(instr):
                return Path(CURRENT, TASK)
        return Path(value.name, LOCAL, var=value)


__all__ = ["CURRENT", "GLOBAL", "LOCAL", "PARAM", "TASK", "Path", "Paths"]
