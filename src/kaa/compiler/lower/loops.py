# SPDX-License-Identifier: Apache-2.0
"""Loops: while, for over ranges, views, containers and generators (expanded in place), comprehensions."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from kaa.compiler import ir
from kaa.compiler.ir import Const, ElementPlace, Value, Var
from kaa.compiler.lower.bindings import assigned_attributes, assigned_names, has_break, has_call
from kaa.compiler.lower.core import Cleanup, Restart
from kaa.compiler.lower.frame import Frame, Loop
from kaa.compiler.lower.methods import Methods
from kaa.compiler.lower.values import (
    BoundMethod,
    CompileTime,
    ComprehensionValue,
    GeneratorValue,
    IterValue,
    Live,
    TupleValue,
    live_items,
)
from kaa.compiler.source import unwrap
from kaa.compiler.types import (
    BOOL,
    I64,
    U8,
    U64,
    ArrayType,
    BytesType,
    ClassType,
    IntType,
    IntVar,
    LitType,
    OptionalType,
    SliceType,
    Type,
    join,
    strip,
)

UNROLLED = 4  # a constant tuple of at most this many is iterated without a loop
OnItem = Callable[[Value], None]


class Loops(Methods):
    """`iterate` expands any iterable around a callback that lowers the body."""

    def stmt_While(self, node: ast.While) -> None:
        head, body, out, end = (self.new_block(n) for n in ("while", "do", "else", "end"))
        self._forget_assigned(node.body)
        self.place_block(head)
        before = dict(self.facts)
        t_facts, f_facts = self.cond(node.test, body, out)
        temps = self.take_temps()
        endless = isinstance(node.test, ast.Constant) and bool(node.test.value)
        self.blocks.append(body)
        self.block, self.reachable = body, True
        self.drop(temps)
        self.facts = {**before, **t_facts}
        depth = len(self.cleanups)
        loop = Loop(end, head, depth, depth)
        self.frame.loops.append(loop)
        self.statements(node.body)
        self.frame.loops.pop()
        self.goto(head)
        self.facts = {**before, **f_facts}
        if not endless:
            self.blocks.append(out)
            self.block, self.reachable = out, True
            self.drop(temps)
            self.statements(node.orelse)
        self._loop_end(end, node)

    def _loop_end(self, end: ir.Block, node: ast.While | ast.For) -> None:
        if self.reachable or end in self.targeted:
            if any(map(has_break, node.body)):
                # a break may come from anywhere in the body: only what the body leaves alone still holds
                self._forget_assigned(node.body)
                tests = {k for k in self.facts if not self._known_before(k, node)}
                for k in tests:
                    del self.facts[k]
            self.place_block(end)

    def _known_before(self, key: tuple[str, ...], node: ast.AST) -> bool:
        return key in getattr(self, "_before_loop", {}) or not isinstance(node, ast.While)

    def _forget_assigned(self, body: list[ast.stmt]) -> None:
        """Facts that a loop's body may change do not hold at its head."""
        names = set[str]().union(*(assigned_names(s) for s in body))
        for name in names:
            frame = self.frame.find(name)
            v = frame.names.get(name) if frame is not None else None
            if isinstance(v, Var):
                self.forget((v.name,))
        for attr in assigned_attributes(body):
            self.forget_attribute(attr)
        if any(has_call(stmt) for stmt in body):
            for key in [k for k in self.facts if len(k) > 1]:
                del self.facts[key]  # what is called may change the attribute: it is tested anew in each round

    def stmt_For(self, node: ast.For) -> None:
        iterable = self.iterable(node.iter)
        end = self.new_block("end")
        self._forget_assigned([node])
        before = dict(self.facts)
        outer = self.frame
        break_depth = len(self.cleanups)

        def on_item(value: Value) -> None:
            inner, self.frame = self.frame, outer
            stack = self.inline_stack
            self.inline_stack = [f for f in stack if f not in getattr(iterable, "expanding", [])]
            file = self.file
            self.file = outer.filename
            self.at(node)
            go_on = self.new_block("continue")
            suspended = self.facts
            self.facts = (
                {k: v for k, v in before.items() if self.facts.get(k) == v} if inner is not outer else self.facts
            )
            self.assign(node.target, value, node)
            self.end_statement()
            outer.loops.append(Loop(end, go_on, break_depth, len(self.cleanups)))
            self.statements(node.body)
            outer.loops.pop()
            if self.reachable or go_on in self.targeted:
                self.place_block(go_on)
            self._forget_assigned(node.body)
            if inner is not outer:
                self._resume_facts(suspended, [node])
            self.inline_stack = stack
            self.frame, self.file = inner, file

        self.iterate(iterable, on_item, node.iter)
        self.statements(node.orelse)
        self._forget_assigned([node])
        if self.reachable or end in self.targeted:
            self.place_block(end)
        self.facts = {k: v for k, v in self.facts.items() if before.get(k) == v}

    def _resume_facts(self, suspended: dict[tuple[str, ...], Type], consumer: list[ast.stmt]) -> None:
        """What a generator knows of its own locals still holds when it is resumed: the consumer cannot assign them."""
        changed: set[str] = set()
        for name in set[str]().union(*(assigned_names(s) for s in consumer)):
            v = self.frame.names.get(name)
            if isinstance(v, Var):
                changed.add(v.name)
        self.facts.update({k: v for k, v in suspended.items() if len(k) == 1 and k[0] not in changed})

    # ---- what can be iterated ----------------------------------------------------------------------------------------

    def iterate(self, iterable: Value, on_item: OnItem, node: ast.AST) -> None:
        """Expands the loop over `iterable` around `on_item`."""
        if isinstance(iterable, GeneratorValue):
            self.run_generator(iterable, lambda v, _: on_item(v))
            return
        if isinstance(iterable, IterValue):
            getattr(self, "_iterate_" + iterable.kind)(iterable.arguments, on_item, node)
            return
        items = live_items(iterable)
        if items is not None and len(items) > UNROLLED and self.program.freezer.type_of(items, None) is not None:
            iterable, items = self.materialise(iterable, node), None
        if isinstance(iterable, TupleValue):
            self._iterate_tuple(iterable.values, on_item)
            return
        if items is not None:
            self._iterate_tuple([self.from_live(o, "", None) for o in items], on_item)
            return
        iterable = self.materialise(iterable, node)
        self.keep_temps()
        t = strip(iterable.type)
        if isinstance(t, (SliceType, BytesType, ArrayType)):
            self._iterate_row(iterable, t, on_item, node)
            return
        if isinstance(t, ClassType):
            found = t.info.find("__iter__")
            if found is not None:
                generator = self.call_bound(BoundMethod(iterable, unwrap(found[0]), found[1]), [], node)
                if isinstance(generator, GeneratorValue):
                    self.run_generator(generator, lambda v, _: on_item(v))
                    return
                if not isinstance(generator, CompileTime):
                    self.error("__iter__ must be a generator", node)
        if isinstance(t, OptionalType):
            self.error(f"this may be None ({t}); test it first", node)
        self.error(f"{t} cannot be iterated", node)

    def _iterate_tuple(self, values: list[Value], on_item: OnItem) -> None:
        for v in values:
            on_item(self.decide(v) if not isinstance(v, Live) else self.materialise(v))

    def _iterate_range(self, args: list[Value], on_item: OnItem, node: ast.AST) -> None:
        start, stop = (Const(LitType(0), 0), args[0]) if len(args) == 1 else (args[0], args[1])
        step = args[2] if len(args) > 2 else Const(LitType(1), 1)
        start, stop = self.materialise(start, node), self.materialise(stop, node)
        if not isinstance(step, Const) or step.value == 0:
            self.error("range needs a constant step other than 0", node)
        self._count(start, stop, step.value, on_item, node)

    def _count(self, start: Value, stop: Value, step: int, on_item: OnItem, node: ast.AST) -> None:
        t: Type = self.arithmetic_type(start, stop, "range", node)
        if isinstance(t, LitType):
            t = IntVar()
        counter = self.local("i", t)
        start, stop = self.coerce(start, t, node), self.coerce(stop, t, node)
        self.emit(ir.Assign(counter, start))
        self._counted(counter, stop, step, lambda: on_item(self._copy_of(counter)), node)

    def _copy_of(self, counter: Var) -> Value:
        out = self.temp(counter.type)
        self.emit(ir.Assign(out, counter))
        return out

    def _counted(self, counter: Var, stop: Value, step: int, body: Callable[[], None], node: ast.AST) -> None:
        """while counter is before stop: body; counter += step."""
        head, do, end = self.new_block("for"), self.new_block("do"), self.new_block("end")
        self.place_block(head)
        test = self.temp(BOOL)
        self.emit(ir.Op(test, "<" if step > 0 else ">", [counter, stop]))
        self.end(ir.Branch(test, do, end))
        self.place_block(do)
        body()
        if self.reachable:
            t = strip(counter.type)
            unsigned_down = step < 0 and isinstance(t, IntType) and not t.signed
            overflow = abs(step) > 1 or unsigned_down
            if overflow:
                # the last step may leave the type's range, where Python's would just end
                last = self.temp(BOOL)
                template = (
                    f"(u64){{0}} - (u64){{1}} <= {-step}ULL" if step < 0 else f"(u64){{1}} - (u64){{0}} <= {step}ULL"
                )
                self.emit(ir.Raw(last, template, [counter, stop]))
                go_on = self.new_block("step")
                self.end(ir.Branch(last, end, go_on))
                self.place_block(go_on)
            self.emit(ir.Op(counter, "add" if step > 0 else "sub", [counter, Const(counter.type, abs(step))]))
            self.goto(head)
        self.place_block(end)

    def _iterate_row(self, row: Value, t: SliceType | BytesType | ArrayType, on_item: OnItem, node: ast.AST) -> None:
        element: Type
        if isinstance(t, ArrayType):
            pointer, length, element = row, Const(U64, t.length), t.element
        else:
            view = self.bytes_view(row) if isinstance(t, BytesType) else row
            if isinstance(view, Var) and not view.temp:
                copy = self.temp(view.type)
                self.emit(ir.Assign(copy, view))
                view = copy
            element = U8 if isinstance(t, BytesType) else t.element
            length, pointer = self.view_length(view), self.view_pointer(view, element)
        counter = self.local("i", U64)
        self.emit(ir.Assign(counter, Const(U64, 0)))
        self._counted(counter, length, 1, lambda: on_item(self.load(ElementPlace(pointer, counter, element))), node)

    def _iterate_enumerate(self, args: list[Value], on_item: OnItem, node: ast.AST) -> None:
        start = args[1] if len(args) > 1 else Const(U64, 0)
        t: Type = IntVar() if isinstance(start.type, LitType) or len(args) == 1 else start.type
        counter = self.local("n", t)
        self.emit(ir.Assign(counter, self.coerce(start, t, node)))

        def item(v: Value) -> None:
            index = self._copy_of(counter)
            self.emit(ir.Op(counter, "add", [counter, Const(counter.type, 1)]))
            on_item(TupleValue([index, v]))

        self.iterate(args[0], item, node)

    def _iterate_reversed(self, args: list[Value], on_item: OnItem, node: ast.AST) -> None:
        inner = args[0]
        if isinstance(inner, IterValue) and inner.kind == "range":
            self._reversed_range(inner.arguments, on_item, node)
            return
        inner = self.materialise(inner, node)
        t = strip(inner.type)
        if isinstance(t, ClassType) and t.info.find("__reversed__") is not None:
            found = t.info.find("__reversed__")
            assert found is not None
            generator = self.call_bound(BoundMethod(inner, unwrap(found[0]), found[1]), [], node)
            self.iterate(generator, on_item, node)
            return
        self.error(f"{t} cannot be reversed", node)

    def _reversed_range(self, args: list[Value], on_item: OnItem, node: ast.AST) -> None:
        start, stop = (Const(LitType(0), 0), args[0]) if len(args) == 1 else (args[0], args[1])
        if len(args) > 2:
            self.error("reversed(range()) with a step", node)
        start, stop = self.materialise(start, node), self.materialise(stop, node)
        t: Type = self.arithmetic_type(start, stop, "range", node)
        t = IntVar() if isinstance(t, LitType) else t
        start, counter = self.coerce(start, t, node), self.local("i", t)
        head, do, end = self.new_block("for"), self.new_block("do"), self.new_block("end")
        self.emit(ir.Assign(counter, self.coerce(stop, t, node)))
        self.place_block(head)
        test = self.temp(BOOL)
        self.emit(ir.Op(test, ">", [counter, start]))
        self.end(ir.Branch(test, do, end))
        self.place_block(do)
        self.emit(ir.Op(counter, "sub", [counter, Const(counter.type, 1)]))
        on_item(self._copy_of(counter))
        self.goto(head)
        self.place_block(end)

    def _iterate_zip(self, args: list[Value], on_item: OnItem, node: ast.AST) -> None:
        if len(args) != 2:
            self.error("zip takes two", node)
        rows = [self.materialise(a, node) for a in args]
        self.keep_temps()
        lengths = [self.length_of(r, node) for r in rows]
        shortest = self.temp(U64)
        self.emit(ir.Raw(shortest, "({0} < {1} ? {0} : {1})", lengths))
        counter = self.local("i", U64)
        self.emit(ir.Assign(counter, Const(U64, 0)))

        def body() -> None:
            on_item(TupleValue([self.item_of(r, counter, node) for r in rows]))

        self._counted(counter, shortest, 1, body, node)

    def length_of(self, row: Value, node: ast.AST) -> Value:
        t = strip(row.type)
        if isinstance(t, ArrayType):
            return Const(U64, t.length)
        if isinstance(t, SliceType):
            return self.view_length(row)
        if isinstance(t, BytesType):
            return self.view_length(self.bytes_view(row))
        return self.call_dunder_value(row, "__len__", [], node)

    def item_of(self, row: Value, index: Value, node: ast.AST) -> Value:
        t = strip(row.type)
        if isinstance(t, ArrayType):
            return self.load(ElementPlace(row, index, t.element))
        if isinstance(t, (SliceType, BytesType)):
            view = self.bytes_view(row) if isinstance(t, BytesType) else row
            element = U8 if isinstance(t, BytesType) else t.element
            return self.load(ElementPlace(self.view_pointer(view, element), index, element))
        return self.call_dunder_value(row, "__getitem__", [index], node)

    # ---- generators --------------------------------------------------------------------------------------------------

    def run_generator(self, g: GeneratorValue, on_yield: Callable[[Value, ast.AST], None]) -> None:
        """A generator's body, here; at each yield the consumer's."""
        fn = self.program.prototype(g.py, g.owner, g.typevars)
        self.keep_temps()
        self.end_statement()
        frame = self.enter_frame(fn, g.arguments, g.node)
        outer, self.frame = self.frame, frame
        line, file = self.line, self.file
        self.file = fn.filename
        self.inline_stack.append(fn.py)
        site, self.site = self.site, self.site or line
        frame.result_block = self.new_block("exhausted")
        frame.result_depth = len(self.cleanups)
        from kaa.compiler.types import VOID

        frame.result_type = VOID

        def resumed(value: Value, node: ast.AST) -> None:
            inner_line, inner_file, stack = self.line, self.file, self.inline_stack
            self.inline_stack = stack[:-1]  # the consumer's body may use the same generator
            inner_site, self.site = self.site, site
            on_yield(value, node)
            self.inline_stack, self.site = stack, inner_site
            self.line, self.file = inner_line, inner_file

        frame.on_yield = resumed
        end = Cleanup(lambda: self.end_locals(frame, g.arguments), None, frame)
        self.cleanups = [*self.cleanups, end]
        frame.result_depth = len(self.cleanups)
        self.statements(fn.body)
        self.cleanups = self.cleanups[:-1]
        if self.reachable or frame.result_used:
            self.place_block(frame.result_block)
        self.end_locals(frame, g.arguments)
        self.inline_stack.pop()
        self.frame, self.line, self.file, self.site = outer, line, file, site

    # ---- comprehensions ----------------------------------------------------------------------------------------------

    def comprehension(
        self, node: ast.ListComp | ast.GeneratorExp, frame: Frame, each: Callable[[ast.expr], None]
    ) -> None:
        """The loops and conditions of a comprehension around `each`, in a scope of its own."""
        path = (*self.frame.path, node.lineno, node.col_offset, id(node))
        inner = Frame(frame.module, frame.filename, frame.typevars, frame.owner, frame.node, path, parent=frame)
        inner.self_value = frame.self_value
        inner.assigned = set[str]().union(
            *({n.id for n in ast.walk(g.target) if isinstance(n, ast.Name)} for g in node.generators)
        )
        outer, self.frame = self.frame, inner

        def level(i: int) -> None:
            if i == len(node.generators):
                each(node.elt)
                return
            g = node.generators[i]

            def on_item(value: Value) -> None:
                generator_frame, self.frame = self.frame, inner
                self.assign(g.target, value, node)
                skip = self.new_block("skip")
                facts = dict(self.facts)
                for test in g.ifs:
                    go_on = self.new_block("if")
                    t_facts, _ = self.cond(test, go_on, skip)
                    self.place_block(go_on)
                    self.facts.update(t_facts)
                level(i + 1)
                self.place_block(skip)
                self.facts = facts
                self.frame = generator_frame

            self.iterate(self.iterable(g.iter), on_item, node)

        self.cleanups = [*self.cleanups, Cleanup(lambda: self.end_locals(inner, {}), None, inner)]
        level(0)
        self.cleanups = self.cleanups[:-1]
        self.end_locals(inner, {})
        self.frame = outer

    def expr_ListComp(self, node: ast.ListComp, expected: Type | None) -> Value:
        t = strip(expected) if expected is not None else None
        t = t.inner if isinstance(t, OptionalType) else t
        key = (*self.frame.path, node.lineno, node.col_offset, id(node))
        if not isinstance(t, ClassType):
            t = self.declared.get(key)
        if not isinstance(t, ClassType):
            self.comprehension(node, self.frame, lambda e: self._learn(key, self.value(e)))
            self.error("the type of this list is not known: annotate the variable, xs: list[X] = […]", node)
        out = self.construct(t.info, [], node)
        self._own(out)

        def each(e: ast.expr) -> None:
            self.call_dunder_value(out, "append", [self.expr(e, t.info.args[0])], node)

        self.comprehension(node, self.frame, each)
        return out

    def _learn(self, key: tuple[object, ...], element: Value) -> None:
        """A comprehension's element says what its list holds."""
        self.declared[key] = self.list_of(element.type)
        raise Restart

    def list_of(self, element: Type) -> Type:
        """list[element]."""
        element = strip(element)
        if isinstance(element, (LitType, IntVar)):
            element = I64
        return self.program.class_info(self.program.container(list) or list, (element,)).type

    def _own(self, v: Value) -> None:
        """Keeps a temporary through the statements expanded after it."""
        if isinstance(v, Var):
            v.keep = True

    def expr_List(self, node: ast.List, expected: Type | None) -> Value:
        t = strip(expected) if expected is not None else None
        t = t.inner if isinstance(t, OptionalType) else t
        if isinstance(t, ArrayType):
            call = ast.copy_location(ast.Call(node, [node], []), node)
            return self.construct_builtin(t, call)
        if not isinstance(t, ClassType):
            return self._list_of_its_elements(node)
        out = self.construct(t.info, [], node)
        for e in node.elts:
            self.call_dunder_value(out, "append", [self.expr(e, t.info.args[0])], node)
        return out

    def _list_of_its_elements(self, node: ast.List) -> Value:
        """[a, b] where nothing says of what: of what its elements have in common."""
        if not node.elts:
            self.error("the type of this list is not known: annotate the variable, xs: list[X] = []", node)
        values = [self._settled(self.expr(e), e, None) for e in node.elts]
        t: Type | None = values[0].type
        for v in values[1:]:
            t = join(t, v.type) if t is not None else None
        if t is None:
            self.error("the elements of this list have no common type", node)
        made = self.list_of(t)
        assert isinstance(made, ClassType)
        out = self.construct(made.info, [], node)
        for v in values:
            self.call_dunder_value(out, "append", [v], node)
        return out

    def expr_Dict(self, node: ast.Dict, expected: Type | None) -> Value:
        t = strip(expected) if expected is not None else None
        t = t.inner if isinstance(t, OptionalType) else t
        if not isinstance(t, ClassType):
            self.error("the type of this dict is not known: annotate the variable, d: dict[K, V] = {…}", node)
        out = self.construct(t.info, [], node)
        for k, v in zip(node.keys, node.values, strict=True):
            assert k is not None
            key = self.expr(k, t.info.args[0])
            self.call_dunder_value(out, "__setitem__", [key, self.expr(v, t.info.args[1])], node)
        return out

    def extend_container(self, out: Value, source: ast.expr, node: ast.AST) -> None:
        self._own(out)
        self.iterate(self.expr(source), lambda v: (self.call_dunder_value(out, "append", [v], node), None)[1], node)

    def reduce(self, node: ast.Call, kind: str, expected: Type | None) -> Value:
        """any, all, sum, min, max over a generator expression or an iterable."""
        source = self.expr(node.args[0])
        if kind in ("any", "all"):
            return self._any_all(node, source, kind)
        key = (self.frame.path, f"{kind} at {node.lineno}:{node.col_offset}")
        t = self.declared.get(key) or IntVar()
        out = self.local(kind.replace("<", "min").replace(">", "max"), t)
        first = self.local("first", BOOL)
        self.emit(ir.Assign(out, Const(out.type, 0)))
        self.emit(ir.Assign(first, Const(BOOL, True)))

        def item(v: Value) -> None:
            if kind == "sum":
                self.emit(ir.Assign(out, self.coerce(self.binary(out, ast.Add, v, node), out.type, node)))
                return
            v = self.coerce(v, out.type, node)
            better = self.temp(BOOL)
            self.emit(ir.Raw(better, f"({{0}} || {{1}} {kind} {{2}})", [first, v, out]))
            self.emit(ir.Raw(out, "({0} ? {1} : {2})", [better, v, out]))
            self.emit(ir.Assign(first, Const(BOOL, False)))

        if isinstance(source, ComprehensionValue):
            self.comprehension(source.node, source.frame, lambda e: item(self.value(e, expected)))
        else:
            self.iterate(source, item, node)
        if kind != "sum":
            self.check("!{0}", [first], "empty")
        return out

    def _any_all(self, node: ast.Call, source: Value, kind: str) -> Value:
        out = self.local(kind, BOOL)
        found = kind == "any"
        done = self.new_block("done")
        self.emit(ir.Assign(out, Const(BOOL, not found)))
        depth = len(self.cleanups)
        outer = self.frame

        def test(branch: Callable[[ir.Block, ir.Block], Any]) -> None:
            hit, miss = self.new_block("hit"), self.new_block("miss")
            branch(hit if found else miss, miss if found else hit)
            self.place_block(hit)
            self.emit(ir.Assign(out, Const(BOOL, found)))
            self.unwind(depth)
            self.goto(done)
            self.place_block(miss)

        if isinstance(source, ComprehensionValue):
            self.comprehension(source.node, source.frame, lambda e: test(lambda yes, no: self.cond(e, yes, no)))
        else:
            self.iterate(
                source, lambda v: test(lambda yes, no: self.end(ir.Branch(self.truth(v, node), yes, no))), node
            )
        self.place_block(done)
        self.frame = outer
        return out
