# SPDX-License-Identifier: Apache-2.0
"""Statements: assignment, branches, return, raise, with, try, match, assert."""

from __future__ import annotations

import ast
import dataclasses
import types
from typing import Any

from kaa.compiler import ir
from kaa.compiler.ir import Const, ElementPlace, FieldPlace, Handler, Value, Var
from kaa.compiler.lower.core import PLACES, Cleanup, Restart
from kaa.compiler.lower.loops import Loops
from kaa.compiler.lower.values import CompileTime, ErrorValue, GeneratorValue, Live, TupleValue
from kaa.compiler.types import (
    BOOL,
    U32,
    U64,
    ArrayType,
    BitsType,
    ClassType,
    IntType,
    IntVar,
    LitType,
    NeverType,
    NoneType,
    OptionalType,
    PtrType,
    SliceType,
    StructType,
    TupleType,
    Type,
    VoidType,
    is_counted,
    is_int,
    join,
    strip,
)


class Statements(Loops):
    """One method per kind of statement."""

    def statements(self, body: list[ast.stmt]) -> None:
        for stmt in body:
            self.statement(stmt)

    def statement(self, node: ast.stmt) -> None:
        self.at(node)
        method = getattr(self, "stmt_" + type(node).__name__, None)
        if method is None:
            self.error(f"{_plain(node)} cannot be compiled", node)
        method(node)
        self.end_statement()

    def stmt_Pass(self, node: ast.Pass) -> None:
        pass

    def stmt_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Constant):
            return
        if isinstance(node.value, ast.Yield):
            self._yield(node.value)
        elif isinstance(node.value, ast.YieldFrom):
            self._yield_from(node.value)
        else:
            v = self.expr(node.value)
            if isinstance(v, GeneratorValue):
                self.error("a generator that nobody consumes does nothing", node)

    def stmt_Import(self, node: ast.Import) -> None:
        from kaa.compiler.source import import_object

        for alias in node.names:
            self.frame.names[alias.asname or alias.name.split(".")[0]] = Live(
                import_object(alias.name, None)
                if not alias.asname
                else __import__("importlib").import_module(alias.name)
            )

    def stmt_ImportFrom(self, node: ast.ImportFrom) -> None:
        from kaa.compiler.source import import_object

        assert node.module is not None
        module = __import__("importlib").import_module(node.module)
        for alias in node.names:
            obj = import_object(node.module, alias.name)
            self.frame.names[alias.asname or alias.name] = self.from_live(obj, alias.name, module)

    def stmt_Delete(self, node: ast.Delete) -> None:
        for target in node.targets:
            if isinstance(target, ast.Name):
                v = self.frame.names.pop(target.id, None)
                if isinstance(v, Var):
                    self.emit(ir.Drop(v))
            elif isinstance(target, ast.Subscript):
                base = self.value(target.value)
                if isinstance(target.slice, ast.Slice):
                    self.error("a slice cannot be deleted", node)
                self.call_dunder(base, "__delitem__", [target.slice], node)
            else:
                self.error("this cannot be deleted", node)

    # ---- assignment --------------------------------------------------------------------------------------------------

    def stmt_Assign(self, node: ast.Assign) -> None:
        expected = self._target_type(node.targets[0])
        value = self.expr(node.value, expected)
        if not isinstance(value, Live):
            value = self.materialise(value, node.value, expected)
        for target in node.targets:
            self.assign(target, value, node)

    def stmt_AnnAssign(self, node: ast.AnnAssign) -> None:
        if not isinstance(node.target, ast.Name):
            if node.value is not None:
                self.assign(node.target, self.expr(node.value, self._target_type(node.target)), node)
            return
        declared = self.program.annotations.field(node.annotation, self.frame.module, self.frame.typevars).type
        name = node.target.id
        self.declared.setdefault((self.frame.path, name), declared)
        if node.value is not None:
            self.assign_name(name, self.coerced(node.value, declared, name), node)

    def _target_type(self, target: ast.expr) -> Type | None:
        """The type a target wants, where that is known before the value."""
        if isinstance(target, ast.Name):
            v = self.frame.names.get(target.id)
            known = self.declared.get((self.frame.path, target.id))
            return known if known is not None else v.type if isinstance(v, Var) else None
        if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
            base = self.frame.find(target.value.id)
            v = base.names.get(target.value.id) if base is not None else None
            t = strip(v.type) if isinstance(v, Var) else None
            if isinstance(t, (ClassType, StructType)) and target.attr in t.info.fields:
                return t.info.fields[target.attr].type
        return None

    def assign(self, target: ast.expr, value: Value, node: ast.AST) -> None:
        """target = value."""
        if isinstance(target, ast.Name):
            self.assign_name(target.id, value, node)
        elif isinstance(target, (ast.Tuple, ast.List)):
            self._unpack(target, value, node)
        elif isinstance(target, ast.Attribute):
            self._assign_attribute(target, value)
        elif isinstance(target, ast.Subscript):
            self._assign_item(target, value)
        else:
            self.error("this cannot be assigned to", target)

    def _unpack(self, target: ast.Tuple | ast.List, value: Value, node: ast.AST) -> None:
        if not isinstance(value, TupleValue):
            value = self.materialise(value, node)
        if isinstance(value, Live) and isinstance(value.obj, tuple):
            value = TupleValue([self.from_live(o, "", None) for o in value.obj])
        if not isinstance(value, TupleValue):
            self.error(f"{value.type} cannot be unpacked", node)
        if len(value.values) != len(target.elts):
            self.error(f"{len(value.values)} values for {len(target.elts)} targets", node)
        # a, b = b, a: the values were settled by expr_Tuple
        for t, v in zip(target.elts, value.values, strict=True):
            self.assign(t, v, node)

    def assign_name(self, name: str, value: Value, node: ast.AST) -> None:
        frame = self.frame
        key = (frame.path, name)
        if isinstance(value, CompileTime) and not isinstance(value, TupleValue):
            if isinstance(value, Live):
                value = self.materialise(value, node, self.declared.get(key))
            else:
                if name in frame.names:
                    self.error(f"'{name}' is bound twice to something known only while compiling", node)
                frame.names[name] = value
                return
        if isinstance(value, TupleValue):
            self._assign_tuple(name, value, node)
            return
        var = frame.names.get(name)
        if not isinstance(var, Var):
            t = strip(value.type)
            if isinstance(t, ArrayType) and is_counted(t.element) and isinstance(value, Var) and value.fresh:
                self.error("an array of references belongs in a field of a class; a local can be a list", node)
            var = self.local(name, self._first_type(key, name, value, node))
            frame.names[name] = var
        self._assign_var(var, key, value, node)

    def _first_type(self, key: tuple[Any, ...], name: str, value: Value, node: ast.AST) -> Type:
        declared = self.declared.get(key)
        if declared is not None:
            return declared
        t = strip(value.type)
        if isinstance(t, LitType):
            return IntVar()
        if isinstance(t, NoneType):
            self.error(f"the type of '{name}' is not known from None: annotate it, {name}: X | None = None", node)
        if isinstance(t, (VoidType, NeverType)):
            self.error("this has no value", node)
        return value.type

    def _assign_var(self, var: Var, key: tuple[Any, ...], value: Value, node: ast.AST) -> None:
        have, want = strip(value.type), strip(var.type)
        if (
            have != want
            and not isinstance(value, Const)
            and not (is_int(have) and is_int(want) and not self._widens(have, want))
        ):
            wider = join(want, have)
            if wider is not None and strip(wider) != want and not self._declared_here(key):
                self.declared[key] = wider
                raise Restart
        elif isinstance(have, NoneType) and not isinstance(want, OptionalType):
            wider = join(want, have)
            if wider is not None and not self._declared_here(key):
                self.declared[key] = wider
                raise Restart
        if isinstance(value, Const) and isinstance(have, IntType) and isinstance(want, IntVar):
            want.bound = have
        v = self.coerce(value, var.type, node)
        self.forget((var.name,))
        if isinstance(strip(var.type), (SliceType, PtrType, *PLACES)):
            self.keep_temps()
        self.emit(ir.Assign(var, v))
        if isinstance(strip(var.type), OptionalType) and not isinstance(have, (OptionalType, NoneType)):
            self.facts[var.name,] = have if isinstance(have, ClassType) else strip(var.type).inner  # type: ignore[union-attr]
        elif isinstance(have, ClassType) and isinstance(want, ClassType) and have != want:
            self.facts[var.name,] = have

    @staticmethod
    def _widens(have: Type, want: Type) -> bool:
        return isinstance(have, IntType) and isinstance(want, IntType) and have.holds(want) and have != want

    def _declared_here(self, key: tuple[Any, ...]) -> bool:
        """True if the program itself said the local's type."""
        frame = self.frame
        if isinstance(frame.node, ast.FunctionDef) and any(
            a.arg == key[1] for a in frame.node.args.args + frame.node.args.kwonlyargs
        ):
            return True
        return any(
            isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name) and n.target.id == key[1]
            for n in ast.walk(frame.node)
        )

    def _assign_tuple(self, name: str, value: TupleValue, node: ast.AST) -> None:
        known = self.frame.names.get(name)
        if isinstance(known, TupleValue):
            for var, v in zip(known.values, value.values, strict=True):
                assert isinstance(var, Var)
                self.emit(ir.Assign(var, self.coerce(v, var.type, node)))
            return
        parts: list[Value] = []
        for i, v in enumerate(value.values):
            v = self.decide(v, node)
            var = self.local(f"{name}_{i}", v.type)
            self.emit(ir.Assign(var, v))
            parts.append(var)
        self.frame.names[name] = TupleValue(parts)

    def _assign_attribute(self, target: ast.Attribute, value: Value) -> None:
        base = self.expr(target.value)
        if isinstance(base, Live):
            base = self.materialise(base, target.value)
        t = strip(base.type)
        if isinstance(t, OptionalType):
            self.error(f"this may be None ({t}); test it before .{target.attr}", target)
        if not isinstance(t, (ClassType, StructType)):
            self.error(f"{t} has no field '{target.attr}'", target)
        self.set_field(base, t, target.attr, value, target)
        key = self.path_key(target)
        self.forget_attribute(target.attr)
        if key is not None:
            self.forget(key)
            have = strip(value.type)
            f = t.info.fields.get(target.attr)
            if f is not None and isinstance(f.type, OptionalType) and isinstance(have, (ClassType,)):
                self.facts[key] = f.type.inner

    def set_field(self, base: Value, t: ClassType | StructType, name: str, value: Value, node: ast.AST) -> None:
        """base.name = value."""
        f = t.info.fields.get(name)
        if f is None:
            found = t.info.find(name)
            if found is not None and isinstance(found[0], property):
                if found[0].fset is None:
                    self.error(f"property '{name}' cannot be assigned", node)
                self.call_function(found[0].fset, found[1], base, [(None, value)], node)
                return
            self.error(f"{t.info.name} has no field '{name}': declare it in the class body", node)
        place = FieldPlace(base, t.info, f)
        if isinstance(f.type, PLACES):
            self._set_place(place, f.type, value, node)
            return
        v = self.coerce(value, self._plain_type(f.type), node, f"field '{name}'")
        if isinstance(f.type, BitsType) and not isinstance(v, Const):
            self.check(f"((u64){{0}} >> {f.type.width}) == 0", [v], "narrow")
        self.emit(ir.Store(place, v, init=self._first_store(base, name, node)))

    def _set_place(self, place: ir.Place, t: Type, value: Value, node: ast.AST) -> None:
        from kaa.compiler.types import AtomicType

        if isinstance(t, AtomicType) and (is_int(value.type) or self.is_bool(value.type)):
            self.store_place(place, self.coerce(value, t.element, node))
            return
        v = self.coerce(value, t, node)
        if isinstance(place, FieldPlace) and not place.owner.is_struct and isinstance(v, Var) and not v.fresh:
            self.error("this stores a copy, where CPython would share the place: say copy(…)", node)
        if isinstance(t, ArrayType) and is_counted(t.element):
            self._set_references(place, t, v, node)
            return
        self.copy_into(self.load(place), v)

    def _set_references(self, place: ir.Place, t: ArrayType, value: Value, node: ast.AST) -> None:
        """An array of references takes the place of another: what that held is released; the new one's counts move."""
        if not isinstance(value, Var) or not value.fresh or not value.temp:
            self.error("an array of references is not copied: assign its elements", node)
        there = self.load(place)
        if not (isinstance(place, FieldPlace) and self._first_store(place.base, place.field.name, node)):
            for i in range(t.length):
                self.emit(ir.Store(ElementPlace(there, Const(U64, i), t.element), Const(t.element, None)))
        self.copy_into(there, value)

    def _first_store(self, base: Value, name: str, node: ast.AST) -> bool:
        """True for the first assignment of a field in __init__, outside of branches and loops: there is nothing to release."""
        frame = self.frame
        if not isinstance(frame.node, ast.FunctionDef) or frame.node.name != "__init__" or base is not frame.self_value:
            return False
        for stmt in frame.node.body:
            stores = [
                n
                for n in ast.walk(stmt)
                if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store) and n.attr == name
            ]
            seen = any(isinstance(n, ast.Call) and _mentions_self(n, frame.node) for n in ast.walk(stmt))
            if node in stores:
                return (
                    isinstance(stmt, (ast.Assign, ast.AnnAssign))
                    and not seen
                    and len(stores) == 1
                    and not self._set_by_subclass(name)
                )
            if stores or seen:
                return False
        return False

    def _set_by_subclass(self, name: str) -> bool:
        """True if a subclass's __init__ sets the field too: perhaps before it calls this one."""
        owner = self.frame.owner
        if owner is None:
            return False
        subclasses = list(owner.py.__subclasses__())
        while subclasses:
            cls = subclasses.pop()
            subclasses += cls.__subclasses__()
            init = cls.__dict__.get("__init__")
            if isinstance(init, types.FunctionType) and name in init.__code__.co_names:
                return True
        return False

    def _assign_item(self, target: ast.Subscript, value: Value) -> None:
        base = self.value(target.value)
        t = strip(base.type)
        if isinstance(target.slice, ast.Slice):
            view = self.subview(base, target.slice, target)
            if not isinstance(strip(view.type), SliceType):
                self.error("only views can be assigned by slice", target)
            source = self.coerce(value, strip(view.type) if not _is_u8(view.type) else _view(), target)
            from kaa.compiler.types import stored_c

            self.refuse_references(strip(view.type).element, target)  # type: ignore[union-attr]
            size = f"sizeof({stored_c(strip(view.type).element)})"  # type: ignore[union-attr]
            self.check("{0}.n == {1}.n", [view, source], "index")
            self.emit(ir.Raw(None, f"kaa_slice_copy({{0}}, {{1}}, {size})", [view, source]))
            return
        if isinstance(t, (ClassType, StructType)):
            found = t.info.find("__setitem__")
            if found is None:
                self.error(f"{t} does not take items", target)
            index = self.item_index(base, target.slice, target)
            self.call_dunder_value(base, "__setitem__", [index, value], target)
            return
        if isinstance(t, SliceType) and t.readonly:
            self.error("Bytes is read-only", target)
        place = self.element(base, target.slice, target)
        if isinstance(place.type, PLACES):
            self._set_place(place, place.type, value, target)
            return
        self.emit(ir.Store(place, self.coerce(value, place.type, target)))

    def stmt_AugAssign(self, node: ast.AugAssign) -> None:
        op = type(node.op)
        target = node.target
        if isinstance(target, ast.Name):
            left = self.expr_Name(ast.copy_location(ast.Name(target.id, ast.Load()), target), None)
            hint = left.type if is_int(left.type) and not isinstance(node.op, (ast.LShift, ast.RShift)) else None
            self.assign_name(target.id, self.binary(left, op, self.expr(node.value, hint), node, left.type), node)
        elif isinstance(target, ast.Attribute):
            base = self.value(target.value)
            t = strip(base.type)
            if not isinstance(t, (ClassType, StructType)):
                self.error(f"{t} has no field '{target.attr}'", target)
            left = self.attribute(base, target.attr, target)
            result = self.binary(
                left, op, self.expr(node.value, left.type if is_int(left.type) else None), node, left.type
            )
            self.set_field(base, t, target.attr, result, target)
            self.forget_attribute(target.attr)
        else:
            assert isinstance(target, ast.Subscript)
            self._aug_item(target, op, node)

    def _aug_item(self, target: ast.Subscript, op: type, node: ast.AugAssign) -> None:
        base = self.value(target.value)
        t = strip(base.type)
        if isinstance(t, (ClassType, StructType)):
            index = self.decide(self.item_index(base, target.slice, target), target)
            left = self.call_dunder_value(base, "__getitem__", [index], target)
            result = self.binary(left, op, self.expr(node.value), node, left.type)
            self.call_dunder_value(base, "__setitem__", [index, self.coerce(result, left.type, node)], target)
            return
        place = self.element(base, target.slice, target)
        left = self.load(place)
        result = self.binary(left, op, self.expr(node.value, place.type), node, place.type)
        self.emit(ir.Store(place, self.coerce(result, place.type, node)))

    # ---- branches ----------------------------------------------------------------------------------------------------

    def stmt_If(self, node: ast.If) -> None:
        yes, no, end = self.new_block("then"), self.new_block("else"), self.new_block("end")
        t_facts, f_facts = self.cond(node.test, yes, no)
        temps = self.take_temps()
        before = dict(self.facts)
        after: list[dict[tuple[str, ...], Type]] = []
        ends = 0
        for block, facts, body in ((yes, t_facts, node.body), (no, f_facts, node.orelse)):
            if block not in self.targeted:
                continue  # the test is a constant: this side is not compiled
            self.blocks.append(block)
            self.block, self.reachable = block, True
            self.drop(temps)
            self.facts = {**before, **facts}
            self.statements(body)
            if self.reachable:
                after.append(self.facts)
                self.goto(end)
                ends += 1
        if ends:
            self.place_block(end)
            self.facts = after[0] if len(after) == 1 else self.common(after[0], after[1])

    def stmt_Assert(self, node: ast.Assert) -> None:
        yes, no = self.new_block("held"), self.new_block("failed")
        no.cold = True
        t_facts, _ = self.cond(node.test, yes, no)
        text, kind = None, "assert"
        if no in self.targeted:
            self.place_block(no)
            if node.msg is not None:
                if isinstance(node.msg, ast.Constant) and (
                    str(node.msg.value).endswith("out of range") or str(node.msg.value).startswith("pop from")
                ):
                    kind = "index"
                else:
                    text = self.coerced(node.msg, self._str(), "the message")
            self.end(ir.Trap(kind, text))
        if yes in self.targeted:
            self.place_block(yes)
            self.facts.update(t_facts)

    @staticmethod
    def _str() -> Type:
        from kaa.compiler.types import STR

        return STR

    def stmt_Match(self, node: ast.Match) -> None:
        subject = self.value(node.subject)
        if isinstance(subject, TupleValue):
            self.error("a tuple cannot be matched", node.subject)
        subject = self.decide(subject)
        if isinstance(strip(subject.type), IntType) or not isinstance(subject, Const):
            subject = self._settled(subject, node.subject, None)
        key = self.path_key(node.subject)
        end = self.new_block("end")
        before = dict(self.facts)
        after: list[dict[tuple[str, ...], Type]] = []
        for case in node.cases:
            body, following = self.new_block("case"), self.new_block("next")
            self.facts = dict(before)
            self._pattern(case.pattern, subject, body, following, node)
            self.blocks.append(body)
            self.block, self.reachable = body, True
            if isinstance(case.pattern, ast.MatchClass) and key is not None:
                self.facts[key] = ClassType(self.class_of_node(case.pattern.cls))
            if isinstance(case.pattern, ast.MatchAs) and case.pattern.name:
                self.assign_name(case.pattern.name, subject, node)
            if case.guard is not None:
                guarded = self.new_block("guarded")
                facts, _ = self.cond(case.guard, guarded, following)
                self.place_block(guarded)
                self.facts.update(facts)
            self.statements(case.body)
            if self.reachable:
                after.append(self.facts)
                self.goto(end)
            if following not in self.targeted:
                self.reachable = False
                break
            self.blocks.append(following)
            self.block, self.reachable = following, True
        if self.reachable:
            after.append(before)
            self.goto(end)
        if after:
            self.place_block(end)
            self.facts = after[0]
            for f in after[1:]:
                self.facts = self.common(self.facts, f)

    def _pattern(self, p: ast.pattern, subject: Value, yes: ir.Block, no: ir.Block, node: ast.AST) -> None:
        if isinstance(p, ast.MatchAs) and p.pattern is None:
            self.goto(yes)
        elif isinstance(p, ast.MatchOr):
            for part in p.patterns[:-1]:
                following = self.new_block("or")
                self._pattern(part, subject, yes, following, node)
                self.place_block(following)
            self._pattern(p.patterns[-1], subject, yes, no, node)
        elif isinstance(p, (ast.MatchValue, ast.MatchSingleton)):
            value = self.expr(p.value) if isinstance(p, ast.MatchValue) else self.constant(p.value, p)
            if isinstance(value, Const) and isinstance(value.type, NoneType):
                out: Value = self.temp(BOOL)
                self.emit(ir.Raw(out, "{0} == 0", [subject]))  # type: ignore[arg-type]
            else:
                out = self.compare_values(subject, ast.Eq(), value, p)
            self.end(ir.Branch(out, yes, no))
        elif isinstance(p, ast.MatchClass):
            if p.patterns or p.kwd_patterns:
                self.error("a class pattern has no parts: case Name():", p)
            info = self.class_of_node(p.cls)
            out = self.temp(BOOL)
            guard = "{0} != 0 && " if isinstance(strip(subject.type), OptionalType) else ""
            self.emit(
                ir.Raw(out, f"{guard}kaa_is_instance({{0}}, {self.program.freezer.class_range(info)})", [subject])
            )
            self.end(ir.Branch(out, yes, no))
        else:
            self.error("this pattern cannot be compiled", p)

    # ---- ways out ----------------------------------------------------------------------------------------------------

    def stmt_Return(self, node: ast.Return) -> None:
        frame = self.frame
        result = (
            frame.result_type
            if frame.result_block is not None or frame.result_type is not None
            else self.function.result
        )
        result = strip(result) if result is not None else self.function.result
        if isinstance(result, (VoidType, NeverType)):
            if node.value is not None and not (isinstance(node.value, ast.Constant) and node.value.value is None):
                v = self.expr(node.value)
                if not isinstance(strip(v.type), (VoidType, NeverType, NoneType)):
                    self.error("a value is returned from a function that says -> None", node)
            self._leave(frame, [])
            return
        if node.value is None:
            self.error(f"return needs a value of type {result}", node)
        v = self.coerced(node.value, result, "the result")
        if isinstance(v, TupleValue):
            assert isinstance(result, TupleType)
        self._leave(frame, list(v.values) if isinstance(v, TupleValue) else [v])

    def _leave(self, frame: Any, values: list[Value]) -> None:
        if frame.result_block is not None:
            for var, v in zip(frame.result_vars or [], values, strict=True):
                self.emit(ir.Assign(var, v))
            self._drop_statement_temps()
            self.unwind(frame.result_depth)
            frame.result_used = frame.result_used or self.reachable
            self.goto(frame.result_block)
            return
        kept = values
        if len(self.cleanups) > 0 and any(c.run is not None for c in self.cleanups):
            kept = [self._hold(v) for v in values]
        self.unwind(0)
        self.end(ir.Return(kept))

    def _drop_statement_temps(self) -> None:
        """The temporaries of a statement that jumps away are dropped on the way."""
        for t in reversed(self.temps):
            if not t.keep:
                self.emit(ir.Drop(t))

    def _hold(self, v: Value) -> Value:
        """A result computed before the clean-ups run."""
        if isinstance(v, Var) and not v.temp and not isinstance(strip(v.type), PLACES):
            out = self.temp(v.type, "r")
            self.emit(ir.Assign(out, v))
            return out
        return v

    def stmt_Raise(self, node: ast.Raise) -> None:
        if node.exc is None:
            if not self.frame.errors:
                self.error("there is no exception to raise again", node)
            self.raise_code(self.frame.errors[-1])
            return
        self.raise_code(self._raised(node.exc))

    def _raised(self, exc: ast.expr) -> Value:
        call_args: list[ast.expr] = []
        target = exc
        if isinstance(exc, ast.Call):
            target, call_args = exc.func, exc.args
        v = self.expr(target)
        if isinstance(v, ErrorValue):
            return v.code
        if not isinstance(v, Live) or not isinstance(v.obj, type) or not issubclass(v.obj, BaseException):
            self.error("only exceptions can be raised", exc)
        if issubclass(v.obj, OSError) and call_args and "code" not in v.obj.__dict__:
            first = self.expr(call_args[0])
            if isinstance(first, Const):
                return Const(U32, first.value)
            return self._cast_op(first, U32)
        if call_args:
            self.error(f"an exception carries only its class: {v.obj.__name__} takes no arguments", exc)
        return Const(U32, self.program.error_code(v.obj))

    def stmt_Break(self, node: ast.Break) -> None:
        loop = self._loop(node)
        self._drop_statement_temps()
        self.unwind(loop.break_depth)
        self.goto(loop.on_break)

    def stmt_Continue(self, node: ast.Continue) -> None:
        loop = self._loop(node)
        self._drop_statement_temps()
        self.unwind(loop.continue_depth)
        self.goto(loop.on_continue)

    def _loop(self, node: ast.stmt) -> Any:
        if not self.frame.loops:
            self.error(f"'{type(node).__name__.lower()}' outside a loop", node)
        return self.frame.loops[-1]

    # ---- with and try ------------------------------------------------------------------------------------------------

    def stmt_With(self, node: ast.With) -> None:
        self._with_items(node.items, node)

    def _with_items(self, items: list[ast.withitem], node: ast.With) -> None:
        if not items:
            self.statements(node.body)
            return
        item = items[0]
        manager = self.expr(item.context_expr)
        if isinstance(manager, GeneratorValue):
            self._with_generator(manager, item, items, node)
            return
        manager = self.materialise(manager, item.context_expr)
        self.keep_temps()
        entered = self.call_dunder_value(manager, "__enter__", [], node)
        if item.optional_vars is not None:
            self.assign(item.optional_vars, entered, node)
        self.end_statement()

        def leave() -> None:
            self.line = node.lineno
            self.call_dunder_value(manager, "__exit__", [], node)
            self.emit(ir.Effect("@unlock"))
            self.end_statement()

        self.protected(lambda: self._with_items(items[1:], node), leave)

    def _with_generator(
        self, manager: GeneratorValue, item: ast.withitem, items: list[ast.withitem], node: ast.With
    ) -> None:
        """A @contextmanager generator: its body here, the with's body at its yield."""
        outer = self.frame
        seen = 0

        def on_yield(value: Value, where: ast.AST) -> None:
            nonlocal seen
            seen += 1
            if seen > 1:
                self.error("a context manager yields once", where)
            inner, self.frame = self.frame, outer
            stack = self.inline_stack
            self.inline_stack = stack[:-1]
            if item.optional_vars is not None:
                self.assign(item.optional_vars, value, node)
            self._with_items(items[1:], node)
            self.inline_stack = stack
            self.frame = inner

        def unlocked() -> None:
            self.emit(ir.Effect("@unlock"))  # what the manager held is free again: so is what it guarded

        self.protected(lambda: self.run_generator(manager, on_yield), unlocked)

    def protected(self, body: Any, leave: Any) -> None:
        """`body`, then `leave` on every way out of it."""
        h = self.new_handler("cleanup")
        cleanup = Cleanup(leave, h, self.frame)
        self.cleanups = [*self.cleanups, cleanup]
        before = dict(self.facts)
        assigned: set[tuple[str, ...]] = set()
        self.watchers.append(assigned)
        body()
        self.watchers.pop()
        self.cleanups = self.cleanups[:-1]
        facts = self.facts
        if self.reachable:
            leave()
        if not cleanup.used:
            return
        resume = self.new_block("after") if self.reachable else None
        if resume is not None:
            self.goto(resume)
        self.blocks.append(h.block)
        self.block, self.reachable = h.block, True
        self.facts = {
            k: v for k, v in before.items() if facts.get(k) == v and not any(k[: len(a)] == a for a in assigned)
        }
        saved = self.take_temps()
        leave()
        self.temps = saved
        self.raise_code(h.var)
        if resume is not None:
            self.place_block(resume)
        self.facts = facts

    def stmt_Try(self, node: ast.Try) -> None:
        if not node.finalbody:
            self._try_except(node)
            return

        def leave() -> None:
            facts = dict(self.facts)
            self.statements(node.finalbody)
            self.facts = facts

        self.protected(lambda: self._try_except(node) if node.handlers else self.statements(node.body), leave)

    def _try_except(self, node: ast.Try) -> None:
        h = self.new_handler("except")
        cleanup = Cleanup(None, h, self.frame)
        end = self.new_block("end")
        before = dict(self.facts)
        self.cleanups = [*self.cleanups, cleanup]
        self.statements(node.body)
        self.cleanups = self.cleanups[:-1]
        self.statements(node.orelse)
        outs: list[dict[tuple[str, ...], Type]] = []
        if self.reachable:
            outs.append(self.facts)
            self.goto(end)
        if cleanup.used:
            from kaa.compiler.lower.frame import assigned_attributes, assigned_names

            assigned = set[str]().union(*(assigned_names(s) for s in node.body)) if node.body else set[str]()
            attributes = assigned_attributes(node.body)
            held = {
                k: v for k, v in before.items()
                if not (attributes & set(k[1:])) and not any(self._is_var(name, k[0]) for name in assigned)
            }  # fmt: skip
            self.blocks.append(h.block)
            self.block, self.reachable = h.block, True
            self._handlers(node, h, end, held, outs)
        if outs:
            self.place_block(end)
            self.facts = outs[0]
            for f in outs[1:]:
                self.facts = self.common(self.facts, f)

    def _is_var(self, name: str, var: str) -> bool:
        v = self.frame.names.get(name)
        return isinstance(v, Var) and v.name == var

    def _handlers(self, node: ast.Try, h: Handler, end: ir.Block, held: Any, outs: list[Any]) -> None:
        for clause in node.handlers:
            body, following = self.new_block("handler"), self.new_block("next")
            self.at(clause)
            everything = self._test_error(clause.type, h.var, body, following)
            self.blocks.append(body)
            self.block, self.reachable = body, True
            self.facts = dict(held)
            self.frame.errors.append(h.var)
            if clause.name:
                self.frame.names[clause.name] = ErrorValue(h.var)
            self.statements(clause.body)
            self.frame.errors.pop()
            if clause.name:
                self.frame.names.pop(clause.name, None)
            if self.reachable:
                outs.append(self.facts)
                self.goto(end)
            if everything:
                return
            self.blocks.append(following)
            self.block, self.reachable = following, True
        self.facts = dict(held)
        self.raise_code(h.var)

    def _test_error(self, what: ast.expr | None, code: Var, yes: ir.Block, no: ir.Block) -> bool:
        """Branches on whether `except what` catches the error; True if it catches all."""
        classes: list[type] = []
        if what is not None:
            nodes = what.elts if isinstance(what, ast.Tuple) else [what]
            for n in nodes:
                v = self.expr(n)
                if isinstance(v, Live) and isinstance(v.obj, tuple):
                    classes += v.obj
                elif isinstance(v, Live) and isinstance(v.obj, type) and issubclass(v.obj, BaseException):
                    classes.append(v.obj)
                else:
                    self.error("except takes exception classes", n)
        if what is None or Exception in classes or BaseException in classes:
            self.goto(yes)
            return True
        tests: list[str] = []
        for cls in classes:
            if cls is OSError:
                tests.append("{0} < 4096")
            elif issubclass(cls, OSError):
                tests += [f"{{0}} == {n}" for n in self.program.error_set(cls)]
            else:
                tests += [f"{{0}} == {self.program.error_code(c)}" for c in _family(cls)]
        out = self.temp(BOOL)
        self.emit(ir.Raw(out, " || ".join(tests), [code]))
        self.end(ir.Branch(out, yes, no))
        return False

    # ---- generators --------------------------------------------------------------------------------------------------

    def _yield(self, node: ast.Yield) -> None:
        if self.frame.on_yield is None:
            self.error("yield outside a generator", node)
        value = self.expr(node.value) if node.value is not None else Const(_none(), None)
        if not isinstance(value, CompileTime) or isinstance(value, (TupleValue, Live)):
            value = self.materialise(value, node)
        if isinstance(value, Const) and isinstance(value.type, LitType):
            value = Const(IntVar(), value.value)
        self.frame.on_yield(value, node)

    def _yield_from(self, node: ast.YieldFrom) -> None:
        on_yield = self.frame.on_yield
        if on_yield is None:
            self.error("yield outside a generator", node)
        self.iterate(self.expr(node.value), lambda v: on_yield(v, node), node)


def _none() -> Type:
    from kaa.compiler.types import NONE

    return NONE


def _family(cls: type) -> list[type]:
    """An exception class and the program's own subclasses of it."""
    out = [cls]
    for sub in cls.__subclasses__():
        if sub.__module__.startswith("kaa") and not issubclass(sub, OSError):
            out += _family(sub)
    return out


def _mentions_self(call: ast.Call, fn: ast.FunctionDef) -> bool:
    """True if a call could see the object being made."""
    name = fn.args.args[0].arg
    func = call.func
    if isinstance(func, ast.Attribute) and isinstance(func.value, ast.Name) and func.value.id == name:
        return True
    if isinstance(func, ast.Attribute) and isinstance(func.value, ast.Call):
        return True  # super().__init__()
    return any(isinstance(a, ast.Name) and a.id == name for a in call.args)


def _is_u8(t: Type) -> bool:
    from kaa.compiler.types import U8

    t = strip(t)
    return isinstance(t, SliceType) and t.element == U8


def _view() -> Type:
    from kaa.compiler.types import VIEW

    return VIEW


def _plain(node: ast.AST) -> str:
    return {"FunctionDef": "a nested function", "ClassDef": "a nested class", "Global": "global", "Nonlocal": "nonlocal",
            "AsyncFunctionDef": "async"}.get(type(node).__name__, type(node).__name__)  # fmt: skip


__all__ = ["Statements", "dataclasses"]
