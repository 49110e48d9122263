# SPDX-License-Identifier: Apache-2.0
"""Assignment: to names, tuples of them, fields, places and items; and the augmented ones."""

from __future__ import annotations

import ast
import types
from typing import Any

from kaa.compiler import ir
from kaa.compiler.ir import Const, ElementPlace, FieldPlace, Value, Var
from kaa.compiler.lower.core import PLACES, Restart
from kaa.compiler.lower.loops import Loops
from kaa.compiler.lower.values import CompileTime, Live, TupleValue, live_items
from kaa.compiler.types import (
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
    Type,
    VoidType,
    is_counted,
    is_int,
    join,
    strip,
)


class Assignment(Loops):
    """What `=` and its relatives do."""

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
        items = live_items(value)
        if items is not None:
            value = TupleValue([self.from_live(o, "", None) for o in items])
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
        """True for the first assignment of a field in __init__, outside branches and loops: nothing is released."""
        frame = self.frame
        if not isinstance(frame.node, ast.FunctionDef) or frame.node.name != "__init__" or base is not frame.self_value:
            return False
        for stmt, attributes, seen in _first_look(frame.node):
            stores = [n for n in attributes if n.attr == name]
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


_looks: dict[ast.FunctionDef, list[tuple[ast.stmt, list[ast.Attribute], bool]]] = {}


def _first_look(init: ast.FunctionDef) -> list[tuple[ast.stmt, list[ast.Attribute], bool]]:
    """Each statement of an __init__: what attributes it sets, and whether a call in it could see the new object."""
    if init not in _looks:
        _looks[init] = []
        for stmt in init.body:
            nodes = list(ast.walk(stmt))
            stores = [n for n in nodes if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store)]
            _looks[init].append((stmt, stores, any(isinstance(n, ast.Call) and _mentions_self(n, init) for n in nodes)))
    return _looks[init]


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
