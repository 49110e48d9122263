# SPDX-License-Identifier: Apache-2.0
"""Objects that nobody else knows yet: made here (or by a callee that gave them away), and not stored anywhere so far.

Per function, variables that may name the same new object are one group. A group escapes where one of them is stored
into something that is not new itself, given to a callee that keeps it, or made a number. Before that, its fields may be
read and written as one likes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from kaa.compiler import ir
from kaa.compiler.ir import Block, Instr, Value, Var
from kaa.compiler.program import Function
from kaa.compiler.proofs.graph import Graph
from kaa.compiler.types import IntType, PtrType, is_counted, strip

ESCAPES = -1
"""Where a parameter may be kept: ESCAPES, or the index of the parameter that it is stored into."""


@dataclass
class Group:
    """Variables that may name one new object."""

    fresh: bool = True
    made: list[Instr] = field(default_factory=list[Instr])
    leaks: list[tuple[Block, int]] = field(default_factory=list[tuple[Block, int]])
    keepers: list[Group] = field(default_factory=list["Group"])
    escaped: dict[Block, int] | None = None
    """Once asked: the first instruction of each block at which it may have escaped."""


class Local:
    """The groups of one function."""

    def __init__(self) -> None:
        self.parent: dict[Var, Var] = {}
        self.groups: dict[Var, Group] = {}

    def find(self, var: Var) -> Var:
        root = var
        while self.parent.get(root, root) is not root:
            root = self.parent[root]
        self.parent[var] = root
        return root

    def union(self, a: Var, b: Var) -> None:
        self.parent[self.find(a)] = self.find(b)

    def group(self, var: Var) -> Group:
        return self.groups.setdefault(self.find(var), Group())


class Fresh:
    """Answers for a whole program, found when asked for."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._local: dict[Function, Local] = {}
        self._keeps: dict[tuple[Function, int], frozenset[int]] = {}
        self._gives: dict[Function, bool] = {}

    def is_new(self, fn: Function, var: Var, block: Block, index: int) -> bool:
        """Is `var` something that nobody else knows, just before an instruction?"""
        local = self._of(fn)
        group = local.groups.get(local.find(var))
        if group is None or not group.fresh or not group.made:
            return False
        first = self._escaped(group).get(block)
        return first is None or index <= first

    # ---- one function ------------------------------------------------------------------------------------------------

    def _of(self, fn: Function) -> Local:
        known = self._local.get(fn)
        if known is None:
            known = self._local[fn] = Local()
            self._collect(fn, known)
        return known

    def _collect(self, fn: Function, local: Local) -> None:
        for block in fn.blocks:
            for instr in block.instrs:
                if isinstance(instr, ir.Assign) and isinstance(instr.src, Var) and is_counted(instr.dst.type):
                    local.union(instr.dst, instr.src)
        for param in fn.params:
            local.group(param).fresh = False
        for block in fn.blocks:
            for instr in block.instrs:
                for var in instr.defs():
                    if is_counted(var.type) and not isinstance(instr, ir.Assign):
                        group = local.group(var)
                        if self._makes(instr):
                            group.made.append(instr)
                        else:
                            group.fresh = False
        for block in fn.blocks:
            for index, instr in enumerate(block.instrs):
                self._leaks(fn, local, block, index, instr)

    def _makes(self, instr: Instr) -> bool:
        if isinstance(instr, ir.Call):
            return self.gives_new(instr.callee)
        return isinstance(instr, ir.New)

    def _leaks(self, fn: Function, local: Local, block: Block, index: int, instr: Instr) -> None:
        if isinstance(instr, ir.Store):
            if isinstance(instr.src, Var) and is_counted(instr.src.type):
                base = instr.place.base
                self._into(local, local.group(instr.src), base if isinstance(base, Var) else None, block, index)
        elif isinstance(instr, (ir.Call, ir.CallVirtual, ir.CallPointer)):
            for number, arg in enumerate(instr.args):
                if isinstance(arg, Var) and is_counted(arg.type) and (group := local.group(arg)).fresh:
                    for kept in self._kept_by(instr, number):
                        keeper = instr.args[kept] if kept != ESCAPES else None
                        self._into(local, group, keeper if isinstance(keeper, Var) else None, block, index)
        elif isinstance(instr, (ir.Raw, ir.Op)):
            dst = instr.dst
            if dst is not None and isinstance(strip(dst.type), (IntType, PtrType)):
                for arg in instr.args:
                    if isinstance(arg, Var) and is_counted(arg.type) and not _compares(instr):
                        local.group(arg).leaks.append((block, index))

    @staticmethod
    def _into(local: Local, group: Group, keeper: Var | None, block: Block, index: int) -> None:
        """The object of `group` is stored into `keeper` (None: somewhere)."""
        into = local.group(keeper) if keeper is not None else None
        if into is group:
            return
        if into is not None and into.fresh and into.made:
            group.keepers.append(into)
        else:
            group.leaks.append((block, index))

    def _kept_by(self, instr: Instr, number: int) -> frozenset[int]:
        if isinstance(instr, ir.Call):
            return self.keeps(instr.callee, number)
        if isinstance(instr, ir.CallVirtual):
            out: frozenset[int] = frozenset()
            for impl in instr.slot.impls.values():
                out |= self.keeps(impl, number)
            return out
        return frozenset({ESCAPES})

    def _escaped(self, group: Group) -> dict[Block, int]:
        """From which instruction of which block on the object may be known to others."""
        if group.escaped is not None:
            return group.escaped
        out = group.escaped = {}
        leaks = list(group.leaks)
        for keeper in group.keepers:
            leaks += list(self._escaped(keeper).items())
        made = set(map(id, group.made))
        work: list[Block] = []
        for block, index in leaks:
            if index < out.get(block, len(block.instrs) + 1):
                out[block] = index
                if not any(id(i) in made for i in block.instrs[index + 1 :]):
                    work += block.successors()
        seen: set[Block] = set()
        while work:
            block = work.pop()
            if block in seen:
                continue
            seen.add(block)
            if any(id(i) in made for i in block.instrs):
                continue
            out[block] = -1
            work += block.successors()
        return out

    # ---- across functions --------------------------------------------------------------------------------------------

    def gives_new(self, fn: Function) -> bool:
        """Is the result of `fn` always an object that only its caller knows?"""
        known = self._gives.get(fn)
        if known is None:
            self._gives[fn] = False  # while it is asked for (recursion)
            known = self._gives[fn] = self._returns_new(fn)
        return known

    def _returns_new(self, fn: Function) -> bool:
        if not fn.blocks or not is_counted(fn.result) or "borrowed" in fn.marks:
            return False
        ends = [(b, b.end) for b in fn.blocks if isinstance(b.end, ir.Return)]
        for block, end in ends:
            value = end.values[0]
            if isinstance(value, Var) and not self.is_new(fn, value, block, len(block.instrs)):
                return False
            if isinstance(value, ir.Symbol):
                return False
        return bool(ends)

    def keeps(self, fn: Function, number: int) -> frozenset[int]:
        """Where parameter `number` may be kept when `fn` is over."""
        key = (fn, number)
        known = self._keeps.get(key)
        if known is None:
            if number >= len(fn.params):
                return frozenset({ESCAPES})
            self._keeps[key] = frozenset()
            known = self._keeps[key] = self._find_keeps(fn, fn.params[number])
        return known

    def _find_keeps(self, fn: Function, param: Var) -> frozenset[int]:
        names = {param}
        grown = True
        while grown:
            grown = False
            for block in fn.blocks:
                for instr in block.instrs:
                    if isinstance(instr, ir.Assign) and _among(instr.src, names) and instr.dst not in names:
                        names.add(instr.dst)
                        grown = True
        out: set[int] = set()
        for block in fn.blocks:
            for instr in block.instrs:
                if isinstance(instr, ir.Store) and _among(instr.src, names):
                    out.add(self._keeper(fn, instr.place.base))
                elif isinstance(instr, (ir.Call, ir.CallVirtual, ir.CallPointer)):
                    for number, arg in enumerate(instr.args):
                        if _among(arg, names):
                            for kept in self._kept_by(instr, number):
                                out.add(self._keeper(fn, instr.args[kept]) if kept != ESCAPES else ESCAPES)
                elif isinstance(instr, (ir.Raw, ir.Op)) and any(_among(a, names) for a in instr.args):
                    dst = instr.dst
                    if dst is not None and isinstance(strip(dst.type), (IntType, PtrType)) and not _compares(instr):
                        out.add(ESCAPES)
            if isinstance(block.end, ir.Return) and any(_among(v, names) for v in block.end.values):
                out.add(ESCAPES)
        return frozenset(out)

    @staticmethod
    def _keeper(fn: Function, base: Value) -> int:
        """The parameter that something is stored into."""
        return fn.params.index(base) if isinstance(base, Var) and base in fn.params else ESCAPES


def _among(value: Value, names: set[Var]) -> bool:
    return isinstance(value, Var) and value in names


def _compares(instr: ir.Raw | ir.Op) -> bool:
    if isinstance(instr, ir.Op):
        return instr.op in ("==", "!=")
    return "==" in instr.template or "!=" in instr.template


__all__ = ["ESCAPES", "Fresh"]
