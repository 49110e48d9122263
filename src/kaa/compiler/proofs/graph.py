# SPDX-License-Identifier: Apache-2.0
"""The call graph: who may call whom, by instruction.

A Node is a function, or what runs when an object of a class goes (its `__del__` and the releases of its fields). Its
Sites are the instructions that matter to the proofs: events and calls. Also calls, though nobody wrote them: releases
of references, allocations, and what the C header's helpers call. Traps are none: the machine stops there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from kaa.compiler import ir
from kaa.compiler.classes import ClassInfo
from kaa.compiler.program import Function, Program
from kaa.compiler.proofs.targets import Targets
from kaa.compiler.toolchain import HEADER
from kaa.compiler.types import (
    ArrayType,
    BytesType,
    ClassType,
    TrampolineType,
    Type,
    WeakType,
    is_counted,
    nonnull,
    strip,
)

FATAL = "fatal"


class Site:
    """An instruction that matters: an event, or a call with everything that may be called."""

    __slots__ = ("instr", "event", "callees", "node", "summaries")

    def __init__(self, node: Node, instr: ir.Instr, callees: tuple[Node, ...] = ()) -> None:
        self.node = node
        self.instr = instr
        self.event = instr if isinstance(instr, ir.Event) else None
        self.callees = callees

    def place(self) -> tuple[str, int]:
        """File and line; of an expanded body, its own."""
        fn = self.node.fn
        return self.instr.file or (fn.filename if fn is not None else ""), self.instr.line


class Node:
    """A function, or the drop of a class (`fn` is None)."""

    __slots__ = ("fn", "info", "name", "blocks", "callees", "summary", "index", "low", "order", "has_events")

    def __init__(self, name: str, fn: Function | None = None, info: ClassInfo | None = None) -> None:
        self.name = name
        self.fn = fn
        self.info = info
        self.blocks: list[tuple[ir.Block | None, list[Site]]] = []
        self.callees: dict[Node, Site] = {}
        self.has_events = False

    def __repr__(self) -> str:
        return f"<{self.name}>"

    def mark(self, key: str) -> object:
        """A decorator's note on the function, None without."""
        return self.fn.marks.get(key) if self.fn is not None else None

    def plain_callees(self) -> dict[Node, Site]:
        """What it calls, apart from the ends of objects."""
        return {c: s for c, s in self.callees.items() if c.fn is not None}

    def sites(self) -> Iterable[Site]:
        """All sites, in the order of the blocks."""
        for _, sites in self.blocks:
            yield from sites


class Graph:
    """All nodes of a program."""

    def __init__(self, program: Program) -> None:
        self.program = program
        functions = [f for f in program.functions.values() if f.blocks or (f.queued and f.is_external)]
        self._nodes: dict[Function, Node] = {f: Node(f.pretty, f) for f in functions}
        self._drops: dict[ClassInfo, Node] = {}
        self.by_symbol: dict[str, Node] = {f.cname: n for f, n in self._nodes.items()}
        self.targets = Targets(program, [f for f in functions if f.blocks])
        self._helpers = _header_calls(self.by_symbol)
        self._templates: dict[str, tuple[Node, ...]] = {}
        self._released: dict[Type, tuple[Node, ...]] = {}
        self.faults = tuple(n for n in self._nodes.values() if n.mark("fault_handler"))
        self._trampolines = tuple(self.of(f) for f in program.trampolines.values())
        for node in list(self._nodes.values()):
            self._fill(node)
        self.nodes: list[Node] = [*self._nodes.values(), *self._drops.values()]

    def of(self, fn: Function) -> Node:
        """The node of a function."""
        if fn not in self._nodes:
            self._nodes[fn] = node = Node(fn.pretty, fn)
            self.by_symbol[fn.cname] = node
        return self._nodes[fn]

    # ---- filling -----------------------------------------------------------------------------------------------------

    def _fill(self, node: Node) -> None:
        fn = node.fn
        assert fn is not None
        if fn.is_external:
            event = fn.marks.get("event")
            if event is not None and event[0] == "fault" and self.faults:
                node.blocks.append((None, [self._call(node, ir.Instr(), self.faults)]))
            elif fn.marks.get("calls_escaped"):
                callees = tuple(self.of(f) for f in sorted(self.targets.escaped, key=lambda f: f.cname))
                node.blocks.append((None, [self._call(node, ir.Instr(), callees)]))
            return
        given = _given(fn)
        for block in fn.blocks:
            sites: list[Site] = []
            for instr in block.instrs:
                kind = type(instr)
                if kind in _SIMPLE or (kind is ir.Release and instr.value not in given):  # type: ignore[attr-defined]
                    continue
                if kind is ir.Event:
                    sites.append(Site(node, instr))
                    node.has_events = True
                    continue
                callees = self._callees(fn, instr)
                if callees:
                    sites.append(self._call(node, instr, callees))
            node.blocks.append((block, sites))

    @staticmethod
    def _call(node: Node, instr: ir.Instr, callees: tuple[Node, ...]) -> Site:
        site = Site(node, instr, callees)
        for callee in callees:
            node.callees.setdefault(callee, site)
        return site

    def _callees(self, fn: Function, instr: ir.Instr) -> tuple[Node, ...]:
        if isinstance(instr, ir.Call):
            return () if FATAL in instr.callee.marks else (self.of(instr.callee),)
        if isinstance(instr, ir.Release):
            return self.released(instr.value.type)
        if isinstance(instr, ir.Store):
            if ir.is_rcu(instr.place) and not instr.init:
                return self._named("kaa_retire")
            field = instr.place.field if isinstance(instr.place, ir.FieldPlace) else None
            keeps = instr.init or (field is not None and (field.unowned or field.once))
            return () if keeps else self.released(instr.place.type)
        if isinstance(instr, ir.CallVirtual):
            return self._virtual(fn, instr)
        if isinstance(instr, ir.CallPointer):
            return tuple(self.of(f) for f in self.targets.of(instr.pointer) if FATAL not in f.marks)
        if isinstance(instr, ir.New):
            return self._named("kaa_object_alloc")
        if isinstance(instr, (ir.Raw, ir.RawRaising)):
            if instr.args and isinstance(strip(instr.args[0].type), TrampolineType) and instr.template[:4] == "{0}(":
                return self._trampolines
            return self._template(instr.template)
        return ()

    def _virtual(self, fn: Function, call: ir.CallVirtual) -> tuple[Node, ...]:
        """The overriders that the receiver's type allows."""
        receiver = call.args[0]
        t = nonnull(strip(receiver.type))
        if isinstance(receiver, ir.Var) and receiver.temp:
            for block in fn.blocks:
                if call in block.instrs:
                    cast = next((i for i in block.instrs if isinstance(i, ir.Assign) and i.dst is receiver), None)
                    source = nonnull(strip(cast.src.type)) if cast is not None else t
                    if isinstance(source, ClassType) and isinstance(t, ClassType) and source.info.is_subclass(t.info):
                        t = source
        impls = {
            impl: None
            for info, impl in call.slot.impls.items()
            if not isinstance(t, ClassType) or info.is_subclass(t.info)
        }
        return tuple(self.of(i) for i in impls)

    def _named(self, *symbols: str) -> tuple[Node, ...]:
        return tuple(self.by_symbol[s] for s in symbols if s in self.by_symbol)

    def _template(self, template: str) -> tuple[Node, ...]:
        """What a piece of C calls."""
        if template not in self._templates:
            found = {n: None for name in re.findall(r"kaa_\w+", template) for n in self._helpers.get(name, ())}
            self._templates[template] = tuple(found)
        return self._templates[template]

    # ---- the ends of objects -----------------------------------------------------------------------------------------

    def released(self, t: Type) -> tuple[Node, ...]:
        """What may run when a reference of type `t` is released."""
        t = nonnull(strip(t))
        known = self._released.get(t)
        if known is None:
            known = ()
            if isinstance(t, BytesType):
                known = self._named("kaa_buffer_free")
            elif isinstance(t, WeakType):
                known = self._named("kaa_object_free")
            elif isinstance(t, ClassType):
                exact = "__kaa_lock__" in t.info.py.__dict__  # a lock is what it is declared as
                known = tuple(
                    self.drop_of(c)
                    for c in self.program.classes.values()
                    if not c.is_struct and c.instantiated and (c is t.info or (not exact and c.is_subclass(t.info)))
                )
            self._released[t] = known
        return known

    def drop_of(self, info: ClassInfo) -> Node:
        """The node of a class's drop."""
        if info in self._drops:
            return self._drops[info]
        self._drops[info] = node = Node(f"the end of a {info.name}", info=info)
        sites: list[Site] = []
        later = self._named("kaa_end_later") if info.ends_late else ()
        if later:
            sites.append(self._call(node, ir.Instr(), later))
        found = info.find("__del__")
        if found is not None:
            sites.append(self._call(node, ir.Instr(), (self.of(self.program.function(*found)),)))
        for field in info.fields.values():
            t = strip(field.type)
            t = t.element if isinstance(t, ArrayType) else t
            if is_counted(t) and not field.unowned:
                callees = self.released(t)
                if nonnull(t) == ClassType(info):  # a chain is a loop
                    callees = tuple(c for c in callees if c is not node)
                if callees:
                    sites.append(self._call(node, ir.Instr(), callees))
        end = self._named("kaa_object_free")
        if end:
            sites.append(self._call(node, ir.Instr(), end))
        node.blocks = [(None, sites)]
        return node

    # ---- order -------------------------------------------------------------------------------------------------------

    def components(self, ends: bool = True) -> list[list[Node]]:
        """Strongly connected components, callees before callers (R. Tarjan, 1972; without recursion). `ends`: whether
        what the releases of references lead to counts."""
        index: dict[Node, int] = {}
        low: dict[Node, int] = {}
        stack: list[Node] = []
        on_stack: set[Node] = set()
        out: list[list[Node]] = []
        for root in self.nodes:
            if root in index:
                continue
            index[root] = low[root] = len(index)
            stack.append(root)
            on_stack.add(root)
            work = [(root, iter(root.callees if ends else root.plain_callees()))]
            while work:
                node, rest = work[-1]
                for callee in rest:
                    if callee not in index:
                        index[callee] = low[callee] = len(index)
                        stack.append(callee)
                        on_stack.add(callee)
                        work.append((callee, iter(callee.callees if ends else callee.plain_callees())))
                        break
                    if callee in on_stack:
                        low[node] = min(low[node], index[callee])
                else:
                    work.pop()
                    if work:
                        low[work[-1][0]] = min(low[work[-1][0]], low[node])
                    if low[node] == index[node]:
                        part: list[Node] = []
                        while not part or part[-1] is not node:
                            part.append(stack.pop())
                            on_stack.discard(part[-1])
                        out.append(part)
        return out


_SIMPLE = frozenset(
    {ir.Assign, ir.Op, ir.Load, ir.AddressOf, ir.Retain, ir.Check, ir.Effect, ir.Fresh, ir.CopyPlace, ir.Drop}
)


def _given(fn: Function) -> set[ir.Value]:
    """Locals whose count was given to the function: by a call, a construction, a place that was emptied.

    Other locals' counts are copies of references that stand in places. A place has its own count: if a copy is the last
    to go, then because somebody emptied the place meanwhile, and who does that holds the place's lock, or is the one to
    wait for copies. So the release of a copy is not looked at."""
    given: set[ir.Value] = set()
    moves: list[ir.Assign] = []
    for block in fn.blocks:
        for instr in block.instrs:
            kind = type(instr)
            if kind is ir.Assign:
                if isinstance(instr.src, ir.Var) and is_counted(strip(instr.dst.type)):  # type: ignore[attr-defined]
                    moves.append(instr)  # type: ignore[arg-type]
            elif kind in _GIVING or (kind is ir.Raw and instr.takes):  # type: ignore[attr-defined]
                given.update(instr.defs())
    grown = True
    while grown:
        grown = False
        for move in moves:
            if move.src in given and move.dst not in given:
                given.add(move.dst)
                grown = True
    return given


_GIVING = frozenset({ir.Call, ir.CallVirtual, ir.CallPointer, ir.New, ir.RawRaising})


def _header_calls(by_symbol: dict[str, Node]) -> dict[str, tuple[Node, ...]]:
    """What each helper of the C header calls among the program's functions, directly or by other helpers."""
    text = HEADER.read_text()
    mentions: dict[str, set[str]] = {}
    for found in re.finditer(r"^(?:KAA_INLINE|KAA_COPY)[^\n;]*?\b(kaa_\w+)\([^\n]*\)\s*\{(.*?)^\}", text, re.M | re.S):
        mentions[found[1]] = set(re.findall(r"kaa_\w+", found[2]))
    for found in re.finditer(r"^(?:KAA_INLINE)[^\n]*?\b(kaa_\w+)\([^\n]*?\) \{(.*)\}$", text, re.M):
        mentions.setdefault(found[1], set(re.findall(r"kaa_\w+", found[2])))
    for found in re.finditer(r"^#define (kaa_\w+)\([^)]*\) ((?:.*\\\n)*.*)$", text, re.M):
        mentions.setdefault(found[1], set()).update(re.findall(r"kaa_\w+", found[2]))
    out: dict[str, tuple[Node, ...]] = {}
    for name in {*mentions, *by_symbol}:
        reached: set[str] = set()
        work = [name]
        while work:
            one = work.pop()
            if one not in reached:
                reached.add(one)
                if one not in by_symbol:
                    work += mentions.get(one, ())
        nodes = tuple(by_symbol[r] for r in sorted(reached) if r in by_symbol and r.startswith("kaa_trap") is False)
        if nodes:
            out[name] = nodes
    return out
