# SPDX-License-Identifier: Apache-2.0
"""Calls: of functions, methods, constructors and function pointers."""

from __future__ import annotations

import ast
import dataclasses
import enum
import types as pytypes
from collections.abc import Callable
from typing import Any

from kaa.compiler import ir
from kaa.compiler.classes import MISSING, ClassInfo
from kaa.compiler.ir import Const, FieldPlace, Value, Var
from kaa.compiler.lower.arguments import Arguments
from kaa.compiler.lower.core import PLACES
from kaa.compiler.lower.expansion import Expansion
from kaa.compiler.lower.values import (
    BoundMethod,
    BuiltinMethod,
    GeneratorValue,
    LambdaValue,
    Live,
    SuperValue,
    TupleValue,
)
from kaa.compiler.program import REQUIRED, Function, Param
from kaa.compiler.source import unwrap
from kaa.compiler.types import (
    I64,
    NONE,
    U64,
    ArrayType,
    AtomicType,
    ClassType,
    FunctionType,
    NeverType,
    OptionalType,
    PtrType,
    SliceType,
    StructType,
    TrampolineType,
    TupleType,
    Type,
    TypeVarType,
    VoidType,
    WeakType,
    strip,
)
from kaa.lang.proofs import EVENT, PRIMITIVE

AFTERWARDS = ("acquire", "ask", "interrupts")
"""Events that have happened when the function returns; the others are told before it is called."""
WITH_MORE = {("pop", 1): "pop_at", ("pop", 2): "pop_default", ("get", 2): "get_default"}
MakeCall = Callable[[list[Var]], ir.Call | ir.CallVirtual | ir.CallPointer]


class Calls(Expansion):
    """Everything with parentheses."""

    def expr_Call(self, node: ast.Call, expected: Type | None) -> Value:
        func = self._callee(node.func)
        if isinstance(func, Live):
            return self._call_live(func, node, expected)
        if isinstance(func, BoundMethod):
            return self.call_method(func, node.args, node.keywords, node)
        if isinstance(func, BuiltinMethod):
            return self.call_builtin_method(func, node, expected)
        if isinstance(func, LambdaValue):
            return self.call_lambda(func, [self.expr(a) for a in node.args], node)
        func = self.materialise(func, node.func)
        t = strip(func.type)
        if isinstance(t, FunctionType):
            return self._call_pointer(func, t, node)
        if isinstance(t, TrampolineType):
            args = [self.coerced(a, U64) for a in node.args]
            args += [Const(U64, 0)] * (6 - len(args))
            out = self.temp(I64)
            self.emit(ir.Raw(out, "{0}({1}, {2}, {3}, {4}, {5}, {6})", [func, *args], writes="*"))
            return out
        if isinstance(t, WeakType):
            out = self.temp(OptionalType(t.inner))
            self.emit(ir.Raw(out, f"({t.inner.c})kaa_weak_get({{0}})", [func], takes=True))
            return out
        self.error(f"{t} cannot be called", node)

    def _callee(self, node: ast.expr) -> Value:
        return self.expr(node)

    def _call_live(self, func: Live, node: ast.Call, expected: Type | None) -> Value:
        obj = func.obj
        if obj is super:
            return self._super(node)
        builtin = self.builtin(obj, node, expected)
        if builtin is not None:
            return builtin
        if isinstance(func.typed, PtrType | SliceType | ArrayType | AtomicType):
            return self.construct_builtin(func.typed, node)
        if isinstance(obj, type):
            return self._call_class(func, obj, node, expected)
        if isinstance(obj, (staticmethod, classmethod)) or (
            isinstance(obj, pytypes.FunctionType) and isinstance(func.typed, (ClassType, StructType))
        ):
            info = self.class_of(Live(object, typed=func.typed))
            return self._call_through_class(obj, info, node)
        fn = unwrap(obj)
        if isinstance(fn, pytypes.FunctionType):
            return self.call_function(fn, None, None, _arguments(node.args, node.keywords), node)
        if isinstance(obj, pytypes.MethodType):
            receiver = Live(obj.__self__)
            method = self.attribute(self.materialise(receiver, node), obj.__name__, node)
            assert isinstance(method, BoundMethod)
            return self.call_method(method, node.args, node.keywords, node)
        frozen = self.materialise(func, node)
        if isinstance(strip(frozen.type), TrampolineType):
            args = [self.coerced(a, U64) for a in node.args] + [Const(U64, 0)] * (6 - len(node.args))
            out = self.temp(I64)
            self.emit(ir.Raw(out, "{0}({1}, {2}, {3}, {4}, {5}, {6})", [frozen, *args], writes="*"))
            return out
        self.error(f"{func.what} cannot be called in compiled code", node)

    def _super(self, node: ast.Call) -> Value:
        owner, receiver = self.frame.owner, self.frame.self_value
        if owner is None or receiver is None or owner.base is None:
            self.error("super() needs a method of a class with a base", node)
        return SuperValue(receiver, owner.base)

    def _call_through_class(self, obj: Any, info: ClassInfo | None, node: ast.Call) -> Value:
        assert info is not None
        fn = unwrap(obj)
        found = info.find(fn.__name__)  # type: ignore[attr-defined]
        owner = found[1] if found is not None else info
        if isinstance(obj, (staticmethod, classmethod)):
            return self.call_function(fn, owner, None, _arguments(node.args, node.keywords), node)
        receiver = self.value(node.args[0])
        return self.call_function(fn, owner, receiver, _arguments(node.args[1:], node.keywords), node)

    # ---- classes -----------------------------------------------------------------------------------------------------

    def _call_class(self, func: Live, obj: type, node: ast.Call, expected: Type | None) -> Value:
        t = func.typed or self.program.annotations.of_live(obj, self.frame.typevars)
        if t is None:
            container = self.program.container(obj)
            if container is not None:
                return self.construct_container(obj, node, expected)
            self.error(f"{func.what} cannot be called in compiled code", node)
        t = strip(t)
        if isinstance(t, (ClassType, StructType)) and not issubclass(obj, enum.Enum):
            info = t.info
            if any(isinstance(a, TypeVarType) for a in info.args):
                info = self._infer_class(info, node, expected)
            return self.construct(info, _arguments(node.args, node.keywords), node)
        return self.convert(t, node)

    def _infer_class(self, info: ClassInfo, node: ast.Call, expected: Type | None) -> ClassInfo:
        """`Stack()` where the context says Stack[int], or where the arguments tell."""
        wanted = strip(expected) if expected is not None else None
        wanted = wanted.inner if isinstance(wanted, OptionalType) else wanted
        if isinstance(wanted, (ClassType, StructType)) and wanted.info.py is info.py:
            return wanted.info
        found = info.find("__init__")
        bound: dict[object, Type] = {}
        if found is not None:
            generic = self.program.prototype(found[0], info)
            values = self._match(generic.signature()[0][1:], _arguments(node.args, node.keywords), node)
            bound = self._bind_types(generic.signature()[0][1:], values, node)
        variables: tuple[object, ...] = getattr(info.py, "__parameters__", ())
        if any(v not in bound for v in variables):
            self.error(f"type arguments needed: {info.py.__name__}[...](…)", node)
        return self.program.class_info(info.py, tuple(bound[v] for v in variables))

    def construct(self, info: ClassInfo, args: Arguments, node: ast.AST) -> Value:
        """info(...): a fresh struct, or a new object."""
        info.prepare()
        if info.is_struct:
            return self._construct_struct(info, args, node)
        found = info.find("__init__")
        if getattr(info.py, "__abstractmethods__", None):
            self.error(f"{info.name} is abstract", node)
        out = self.new_object(info)
        if found is not None and not _generated(found[0]):
            self.call_function(unwrap(found[0]), found[1], out, args, node)
            if info.find("__del__") is not None:
                self.emit(ir.Raw(None, "KAA_FINISHED({0})", [out]))
            return out
        if not dataclasses.is_dataclass(info.py):
            if args:
                self.error(f"{info.name}() takes no arguments", node)
            return out
        in_init = {f.name for f in dataclasses.fields(info.py) if f.init}
        params = [
            Param(f.name, f.type, f.default if f.default is not MISSING else REQUIRED)
            for f in info.fields.values()
            if f.name in in_init
        ]
        values = self.bind(params, args, node)
        for p in params:
            self.emit(ir.Store(FieldPlace(out, info, info.fields[p.name]), values[p.name], init=True))
        return out

    def new_object(self, info: ClassInfo) -> Var:
        """A new instance with its fields' defaults."""
        self.program.instantiate(info)
        out = self.temp(ClassType(info), "new")
        self.emit(ir.New(out, info, self.handler()))
        init = info.find("__init__")
        for f in info.fields.values():
            if f.default is not MISSING and not (
                f.default in (None, 0, False) if isinstance(f.default, (int, type(None))) else False
            ):
                if isinstance(f.type, PLACES):
                    self.copy_into(
                        self.load(FieldPlace(out, info, f)), self.coerce(self.from_live(f.default, "", None), f.type)
                    )
                elif init is None or not _generated(init[0]):
                    self.emit(
                        ir.Store(
                            FieldPlace(out, info, f),
                            self.coerce(self.from_live(f.default, "", None), f.type),
                            init=True,
                        )
                    )
        return out

    def _construct_struct(self, info: ClassInfo, args: Arguments, node: ast.AST) -> Value:
        out = self.temp(StructType(info), "s")
        given: dict[str, Value] = {}
        if args:
            params = [Param(f.name, f.type, f.default if f.default is not MISSING else 0) for f in info.fields.values()]
            names = {p.name for p in params}
            bound = self._match(params, args, node)
            for p in params:
                if p.name in bound and p.name in names:
                    v = bound[p.name]
                    v = self.coerce(
                        v if isinstance(v, Value) else self.expr(v, p.type), self._plain_type(p.type), node, p.name
                    )
                    given[p.name] = v
        self.emit(ir.Fresh(out))
        for f in info.fields.values():
            if f.name in given:
                self.store_place(FieldPlace(out, info, f), given[f.name])
            elif f.default is not MISSING and f.default not in (0, False, None):
                self.store_place(
                    FieldPlace(out, info, f), self.coerce(self.from_live(f.default, "", None), self._plain_type(f.type))
                )
        return out

    @staticmethod
    def _plain_type(t: Type) -> Type:
        from kaa.compiler.types import BitsType

        if isinstance(t, BitsType):
            return t.element
        return t.element if isinstance(t, AtomicType) else t

    def store_place(self, place: ir.Place, value: Value) -> None:
        """place = value, whatever its kind."""
        if isinstance(place.type, AtomicType):
            pointer = self.load(place)
            self.emit(
                ir.Raw(
                    None, f"__atomic_store_n({{0}}, ({place.type.element.c}){{1}}, __ATOMIC_RELAXED)", [pointer, value]
                )
            )
        elif isinstance(place.type, PLACES):
            self.copy_into(self.load(place), value)
        else:
            self.emit(ir.Store(place, value))

    def copy_into(self, place: Value, value: Value) -> None:
        if isinstance(strip(value.type), AtomicType):
            t = strip(value.type)
            assert isinstance(t, AtomicType)
            self.emit(ir.Raw(None, "*{0} = *{1}", [place, value]))
            return
        self.emit(ir.CopyPlace(place, value))

    # ---- functions ---------------------------------------------------------------------------------------------------

    def call_method(
        self, method: BoundMethod, args: list[ast.expr], keywords: list[ast.keyword], node: ast.AST
    ) -> Value:
        return self.call_bound(method, _arguments(args, keywords), node)

    def call_bound(self, method: BoundMethod, arguments: Arguments, node: ast.AST) -> Value:
        method = self._by_arguments(method, arguments)
        t = strip(method.receiver.type)
        owner = method.owner
        if (
            method.virtual
            and isinstance(t, ClassType)
            and not t.info.is_struct
            and t.info.overridden_below(method.py.__name__)
        ):
            return self._call_virtual(method, t.info, arguments, node)
        found = owner.py.__dict__.get(method.py.__name__)
        receiver: Value | None = method.receiver
        if isinstance(found, (staticmethod, classmethod)):
            receiver = None
        return self.call_function(method.py, owner, receiver, arguments, node)

    def _by_arguments(self, method: BoundMethod, arguments: Arguments) -> BoundMethod:
        """A method of Python's containers may do another thing with more arguments; the language's own do one each."""
        other = WITH_MORE.get((method.py.__name__, len(arguments)))
        if other is None or not method.owner.py.__module__.startswith("kaa.lang.builtins."):
            return method
        found = method.owner.find(other)
        return BoundMethod(method.receiver, unwrap(found[0]), found[1]) if found is not None else method

    def _call_virtual(self, method: BoundMethod, info: ClassInfo, arguments: Arguments, node: ast.AST) -> Value:
        slot = self.program.slot(info, method.py.__name__)
        declared = slot.declared
        if EVENT in declared.marks:
            self.error(f"{declared.name} is overridden: the proofs could not tell what happens to a lock here", node)
        found = info.find(method.py.__name__)
        assert found is not None
        nearest = self.program.function(*found)
        params, _ = nearest.signature()
        values = self.bind(params[1:], arguments, node)
        root_params, result = declared.signature()
        if nearest.result != result and not isinstance(nearest.result, NeverType):
            result = nearest.result
        receiver = self._cast(method.receiver, ClassType(slot.root)) if slot.root is not info else method.receiver
        args = [receiver] + [
            self.coerce(values[p.name], q.type, node) for p, q in zip(params[1:], root_params[1:], strict=True)
        ]
        return self._results(
            result,
            lambda dsts: ir.CallVirtual(dsts, slot, args + self._out_places(dsts, result), self.handler()),
            declared,
        )

    def call_function(
        self, py: Any, owner: ClassInfo | None, receiver: Value | None, arguments: Arguments, node: ast.AST
    ) -> Value:
        """A call of a known function, expanded in place if it is @inline or a generator."""
        fn = self.program.prototype(py, owner)
        params, _ = fn.signature()
        rest = params[1:] if receiver is not None else params
        if receiver is None and fn.kind == "method":
            self.error(f"{fn.name} needs an object", node)
        typevars: dict[object, Type] = dict(fn.typevars)
        if fn.generic:
            matched = self._match(rest, arguments, node)
            typevars.update(self._bind_types(rest, matched, node))
            arguments = [(name, v) for name, v in matched.items()]
            fn = self.program.prototype(py, owner, typevars)
            rest = fn.signature()[0][1:] if receiver is not None else fn.signature()[0]
        values = self.bind(rest, arguments, node)
        if receiver is not None:
            assert owner is not None
            t = strip(receiver.type)
            if isinstance(t, ClassType) and t.info is not owner:
                receiver = self._cast(receiver, ClassType(owner))
            values = {params[0].name: receiver, **values}
        extra = {v: t for v, t in typevars.items() if owner is None or v not in owner.typevars}
        if fn.is_generator:
            return GeneratorValue(py, owner, extra, values, node)
        what = fn.marks.get(EVENT)
        if what is None or self.primitive:
            return self._enter(fn, values, extra, node)
        subject = next(iter(values.values()), None)
        if what[0] not in AFTERWARDS:
            self.emit(ir.Event(what, subject))
        self.primitive = what[0] in PRIMITIVE
        out = self._enter(fn, values, extra, node)
        self.primitive = False
        if what[0] in AFTERWARDS:
            self.emit(ir.Event(what, subject, out))
        if what[0] == "release":
            self.emit(ir.Effect("@unlock"))  # as a `with` does: what the lock guarded may change from here on
        return out

    def _enter(self, fn: Function, values: dict[str, Value], extra: dict[object, Type], node: ast.AST) -> Value:
        """The call itself, or the body in its place."""
        if "inline" in fn.marks:
            return self.expand(fn, values, node)
        real = self.program.function(fn.py, fn.owner, extra)
        args = [values[p.name] for p in real.signature()[0]]
        bad = next((a for a in args if isinstance(a, (LambdaValue, GeneratorValue))), None)
        if bad is not None:
            self.error(f"{bad.what}: {fn.name} is not", node)
        result = real.result
        return self._results(
            result, lambda dsts: ir.Call(dsts, real, args + self._out_places(dsts, result), self.handler()), real
        )

    @staticmethod
    def _out_places(dsts: list[Var], result: Type) -> list[Value]:
        """A struct result is written to the caller's storage: its address is the last argument."""
        return [dsts[0]] if isinstance(result, PLACES) and dsts else []

    def _results(self, result: Type, call: MakeCall, fn: Function | None) -> Value:
        """Emits a call with fresh destinations for its results."""
        result = strip(result)
        if isinstance(result, (VoidType, NeverType)):
            self.emit(call([]))
            if isinstance(result, NeverType):
                self.end(ir.Unreachable())
                self.place_unreachable()
            return Const(NONE, None)
        if isinstance(result, TupleType):
            parts = [self.temp(p) for p in result.parts]
            self.emit(call(parts))
            return TupleValue(list(parts))
        out = self.temp(result)
        if isinstance(result, PLACES):
            self.emit(ir.Fresh(out, zero=False))
            instr = call([out])
            instr.dsts = []
            self.emit(instr)
            return out
        self.emit(call([out]))
        return out

    def place_unreachable(self) -> None:
        """Code after a call that does not return: lowered (its types are checked) but not reached."""

    def _call_pointer(self, func: Value, t: FunctionType, node: ast.Call) -> Value:
        if node.keywords or len(node.args) != len(t.params):
            self.error(f"this takes {len(t.params)} arguments", node)
        args = [self.coerced(a, p) for a, p in zip(node.args, t.params, strict=True)]
        result = t.result
        return self._results(
            result, lambda dsts: ir.CallPointer(dsts, func, args + self._out_places(dsts, result), self.handler()), None
        )

    def call_dunder(self, base: Value, name: str, args: list[ast.expr], node: ast.AST) -> Value:
        t = strip(base.type)
        assert isinstance(t, (ClassType, StructType))
        found = t.info.find(name)
        if found is None:
            self.error(f"{t} has no {name}", node)
        return self.call_bound(BoundMethod(base, unwrap(found[0]), found[1]), [(None, a) for a in args], node)

    def call_dunder_value(self, base: Value, name: str, args: list[Value], node: ast.AST) -> Value:
        t = strip(base.type)
        found = t.info.find(name) if isinstance(t, (ClassType, StructType)) else None
        if found is None:
            self.error(f"{t} has no {name}", node)
        return self.call_bound(BoundMethod(base, unwrap(found[0]), found[1]), [(None, a) for a in args], node)

    # ---- provided by the other parts ---------------------------------------------------------------------------------

    def builtin(self, obj: Any, node: ast.Call, expected: Type | None) -> Value | None:
        raise NotImplementedError

    def call_builtin_method(self, method: BuiltinMethod, node: ast.Call, expected: Type | None) -> Value:
        raise NotImplementedError

    def construct_builtin(self, t: Type, node: ast.Call) -> Value:
        raise NotImplementedError

    def construct_container(self, py: type, node: ast.Call, expected: Type | None) -> Value:
        raise NotImplementedError

    def convert(self, t: Type, node: ast.Call) -> Value:
        raise NotImplementedError


def _arguments(args: list[ast.expr], keywords: list[ast.keyword]) -> Arguments:
    out: Arguments = [(None, a) for a in args]
    return out + [(k.arg, k.value) for k in keywords]


def _generated(init: object) -> bool:
    """True for the __init__ that @dataclass wrote."""
    code = getattr(init, "__code__", None)
    return code is None or code.co_filename.startswith("<")
