# SPDX-License-Identifier: Apache-2.0
"""The program being compiled: the functions and classes that its entry points reach, found as they are lowered."""

from __future__ import annotations

import abc
import ast
import collections
import errno
import functools
import inspect
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from kaa.compiler import ir
from kaa.compiler.annotations import Annotations
from kaa.compiler.classes import ClassInfo
from kaa.compiler.errors import CompileError
from kaa.compiler.source import Module, Sources, markers, unwrap
from kaa.compiler.types import VOID, ClassType, StructType, Type, TypeVarType, generic, mangle

REQUIRED = inspect.Parameter.empty


@dataclass
class Param:
    """A parameter: its name, type and default (a live object, or REQUIRED)."""

    name: str
    type: Type
    default: Any = REQUIRED


class Function:
    """One function to compile: a live function, the class it belongs to, and its type arguments."""

    def __init__(
        self, program: Program, py: Callable[..., Any], owner: ClassInfo | None, typevars: dict[object, Type]
    ) -> None:
        self.program = program
        self.py = py
        self.owner = owner
        self.typevars = typevars
        self.module: Module = program.sources.module(py.__module__)
        self.node = program.sources.tree(py)
        self.filename = py.__code__.co_filename
        self.marks = markers(py)
        self.name = py.__qualname__
        self.cname = self._cname()
        self.is_generator = bool(py.__code__.co_flags & inspect.CO_GENERATOR)
        self.kind = self._kind()
        self._signature: tuple[list[Param], Type] | None = None
        self.params: list[ir.Var] = []
        self.blocks: list[ir.Block] = []
        self.result_place: ir.Var | None = None  # where a result that is a place goes; the caller gives it
        self.owned_vars: list[ir.Var] = []  # the locals that own what they hold, once counts are inserted
        self.raises = False
        self.lowered = False
        self.queued = False
        self.slots: list[Slot] = []
        self.address_taken = False
        self.local = False  # only its own module mentions it

    def _cname(self) -> str:
        for mark in ("export", "extern"):
            if mark in self.marks:
                return str(self.marks[mark])
        module = self.py.__module__.replace(".", "_")
        if self.owner is not None:
            base = f"{self.owner.cname}__{self.py.__name__}"
            found = self.owner.py.__dict__.get(self.py.__name__)
            if isinstance(found, property) and found.fset is self.py:
                base += "__set"
        else:
            base = f"{module}__{self.py.__qualname__.replace('.', '_')}"
        return base + "".join("__" + mangle(t) for v, t in self.typevars.items() if not self._of_class(v))

    def _of_class(self, variable: object) -> bool:
        return self.owner is not None and variable in self.owner.typevars

    def _kind(self) -> str:
        if self.owner is None:
            return "function"
        found = self.owner.py.__dict__.get(self.py.__name__)
        if isinstance(found, staticmethod):
            return "static"
        return "classmethod" if isinstance(found, classmethod) else "method"

    @property
    def is_external(self) -> bool:
        """True if it has no body here: assembly or C."""
        return any(m in self.marks for m in ("extern", "asm", "naked"))

    def signature(self) -> tuple[list[Param], Type]:
        """Parameters (with self) and result type."""
        if self._signature is None:
            self._signature = self._resolve_signature()
        return self._signature

    def _resolve_signature(self) -> tuple[list[Param], Type]:
        args = self.node.args
        if args.kwarg or args.posonlyargs or (args.vararg and self.py.__name__ != "__exit__"):
            raise CompileError("*args and **kwargs cannot be compiled", self.filename, self.node)
        nodes = args.args + args.kwonlyargs
        defaults: dict[str, Any] = dict(self.py.__kwdefaults__ or {})
        positional = self.py.__defaults__ or ()
        for arg, value in zip(args.args[len(args.args) - len(positional) :], positional, strict=True):
            defaults[arg.arg] = value
        out: list[Param] = []
        resolve = self.program.annotations.resolve
        for i, arg in enumerate(nodes):
            if i == 0 and self.kind == "classmethod":
                continue
            if i == 0 and self.kind == "method":
                assert self.owner is not None
                out.append(Param(arg.arg, self.owner.type))
                continue
            if arg.annotation is None:
                raise CompileError(f"parameter '{arg.arg}' needs a type", self.filename, arg)
            out.append(
                Param(arg.arg, resolve(arg.annotation, self.module, self.typevars), defaults.get(arg.arg, REQUIRED))
            )
        if self.node.returns is None and self.node.name != "__init__":
            raise CompileError(
                f"'{self.node.name}' needs a result type: -> None if it returns nothing", self.filename, self.node
            )
        if self.node.returns is None or self.is_generator:
            return out, VOID
        return out, resolve(self.node.returns, self.module, self.typevars)

    @functools.cached_property
    def body(self) -> list[ast.stmt]:
        """Its statements, without the docstring."""
        return self.node.body[1:] if ast.get_docstring(self.node, clean=False) is not None else self.node.body

    @functools.cached_property
    def generic(self) -> bool:
        """True if its parameters (but self) or its result mention a type variable that is not bound."""
        params, result = self.signature()
        return any(generic(p.type) for p in params[self.kind == "method" :]) or generic(result)

    @property
    def result(self) -> Type:
        return self.signature()[1]

    @property
    def pretty(self) -> str:
        return self.py.__qualname__


class Slot:
    """A method that subclasses override: one place in the dispatch tables of a hierarchy."""

    def __init__(self, root: ClassInfo, name: str, declared: Function) -> None:
        self.root = root
        self.name = name
        self.declared = declared
        self.index = -1
        self.raises = False
        self.impls: dict[ClassInfo, Function] = {}


class Program:
    """Everything one compilation knows."""

    def __init__(self) -> None:
        self.sources = Sources()
        self.annotations = Annotations(self)
        self.classes: dict[tuple[type, tuple[Type, ...]], ClassInfo] = {}
        self.functions: dict[tuple[Any, ...], Function] = {}
        self.worklist: list[Function] = []
        self.roots: tuple[str, ...] = ()  # the packages whose classes are compiled, besides kaa
        self.slots: dict[tuple[ClassInfo, str], Slot] = {}
        self.exceptions: dict[type, int] = {}
        self.errors: list[CompileError] = []
        self.trampolines: dict[str, Function] = {}
        self.thunks: dict[str, Function] = {}
        self.weak_targets: set[ClassInfo] = set()
        from kaa.compiler.freeze import Freezer

        self.freezer = Freezer(self)

    # ---- classes ---------------------------------------------------------------------------------------------------

    def class_info(self, py: type, args: tuple[Type, ...] = ()) -> ClassInfo:
        """The compiled class of a Python class with type arguments."""
        key = (py, args)
        if key not in self.classes:
            self.classes[key] = info = ClassInfo(self, py, args)
            if not any(isinstance(a, TypeVarType) for a in args):
                info.prepare()
        return self.classes[key]

    def base_class(self, base: Any, typevars: dict[object, Type]) -> ClassInfo | None:
        """The compiled base for an entry of __orig_bases__; None for object, ABC, Generic."""
        origin = typing.get_origin(base)
        if (
            origin is typing.Generic
            or base in (object, abc.ABC, typing.Generic, typing.Protocol)
            or origin is typing.Protocol
        ):
            return None
        if origin is not None:
            args = tuple(self.annotations.of_live(a, typevars) or VOID for a in typing.get_args(base))
            return self.class_info(origin, args)
        return self.class_info(base)

    def container(self, base: Any) -> type | None:
        """The language's own class behind list, dict and deque."""
        return _containers().get(base) if isinstance(base, type) else None

    def instantiate(self, info: ClassInfo) -> None:
        """Notes that instances of the class exist: its overriding methods and __del__ are needed."""
        if info.instantiated:
            return
        for one in info.mro():
            one.instantiated = one.instantiated or one is info
        for slot in list(self.slots.values()):
            self._fill(slot, info)
        self.drop_parts(info)

    def drop_parts(self, info: ClassInfo) -> None:
        """The functions that run when an instance goes: __del__ of it and its bases."""
        found = info.find("__del__")
        if found is not None:
            self.function(found[0], found[1])

    # ---- functions -------------------------------------------------------------------------------------------------

    def function(self, py: Any, owner: ClassInfo | None = None, typevars: dict[object, Type] | None = None) -> Function:
        """The compiled function of a live one; queued for lowering when it is new."""
        made = self.prototype(py, owner, typevars)
        if not made.queued and not made.is_generator and "inline" not in made.marks:
            made.queued = True
            self.worklist.append(made)
        return made

    def prototype(
        self, py: Any, owner: ClassInfo | None = None, typevars: dict[object, Type] | None = None
    ) -> Function:
        """The same, for its signature only: it is not compiled for this."""
        fn = unwrap(py)
        everything = {**(owner.typevars if owner is not None else {}), **(typevars or {})}
        key = (fn, owner, tuple(everything.items()) if everything else ())
        if key not in self.functions:
            self.functions[key] = Function(self, fn, owner, everything)  # type: ignore[arg-type]
        return self.functions[key]

    def slot(self, info: ClassInfo, name: str) -> Slot:
        """The dispatch slot for method `name` of class `info`."""
        root = info
        for one in info.mro():
            if one.find(name) is not None:
                root = one
        key = (root, name)
        if key not in self.slots:
            found = root.find(name)
            assert found is not None
            self.slots[key] = slot = Slot(root, name, self.function(*found))
            for one in list(self.classes.values()):
                if one.instantiated:
                    self._fill(slot, one)
        return self.slots[key]

    def _fill(self, slot: Slot, info: ClassInfo) -> None:
        if info.is_struct or not info.is_subclass(slot.root):
            return
        found = info.find(slot.name)
        assert found is not None
        fn = self.function(*found)
        self._check_override(slot, fn)
        slot.impls[info] = fn
        if slot not in fn.slots:
            fn.slots.append(slot)

    def _check_override(self, slot: Slot, fn: Function) -> None:
        """An override is called through the declaration's types."""
        if fn is slot.declared:
            return
        (have, _), (want, _) = fn.signature(), slot.declared.signature()
        if [p.type for p in have[1:]] != [p.type for p in want[1:]]:
            shown = ", ".join(p.type.name for p in want[1:])
            raise CompileError(
                f"{fn.name} overrides {slot.declared.name}({shown}) with other parameters", fn.filename, fn.node
            )

    def by_module(self) -> dict[str, list[Function]]:
        """The functions that have a body by module, the largest module first."""
        found: dict[str, list[Function]] = {}
        for fn in self.functions.values():
            if fn.blocks:
                found.setdefault(fn.py.__module__, []).append(fn)
        return dict(sorted(found.items(), key=lambda item: (-sum(len(fn.blocks) for fn in item[1]), item[0])))

    # ---- errors ----------------------------------------------------------------------------------------------------

    def error_code(self, cls: type) -> int:
        """The number that stands for `raise cls`."""
        if issubclass(cls, OSError):
            return self.error_set(cls)[0]
        if cls not in self.exceptions:
            plain = cast("type[Any]", cls)
            fixed: dict[type, int] = {MemoryError: errno.ENOMEM, KeyError: errno.ENOENT, OverflowError: errno.EOVERFLOW}
            low = getattr(plain, "code", None) or fixed.get(plain, errno.EINVAL)
            self.exceptions[cls] = (len(self.exceptions) + 2) << 12 | low
            if cls is MemoryError:
                self.exceptions[cls] = MEMORY_ERROR
        return self.exceptions[cls]

    def error_set(self, cls: type) -> list[int]:
        """The errnos that `except cls` catches, for a proper subclass of OSError (the first is what `raise cls`
        means)."""
        own = cls.__dict__.get("code")
        if own is not None:
            return [int(own)] + [c for s in cls.__subclasses__() for c in self.error_set(s)]
        if cls in ERRNOS:
            return ERRNOS[cls]
        codes = [c for sub in cls.__subclasses__() for c in self.error_set(sub)]
        if not codes:
            raise CompileError(f"{cls.__name__} has no errno: give it a class attribute `code`")
        return codes

    # ---- the loop --------------------------------------------------------------------------------------------------

    def lower_all(self) -> None:
        """Lowers whatever is reachable. Errors are collected in `errors`."""
        from kaa.compiler.lower import lower_function

        while self.worklist or self.freezer.flush():
            if not self.worklist:
                continue
            fn = self.worklist.pop()
            if fn.lowered:
                continue
            fn.lowered = True
            try:
                if fn.is_external:
                    fn.signature()
                else:
                    lower_function(fn)
            except CompileError as error:
                if not error.filename:
                    error.filename, error.line = fn.filename, fn.node.lineno
                self.errors.append(error)


MEMORY_ERROR = 1 << 12 | errno.ENOMEM

ERRNOS: dict[type, list[int]] = {
    BlockingIOError: [errno.EAGAIN, errno.EALREADY, errno.EINPROGRESS],
    ChildProcessError: [errno.ECHILD],
    BrokenPipeError: [errno.EPIPE, errno.ESHUTDOWN],
    ConnectionAbortedError: [errno.ECONNABORTED],
    ConnectionRefusedError: [errno.ECONNREFUSED],
    ConnectionResetError: [errno.ECONNRESET],
    FileExistsError: [errno.EEXIST],
    FileNotFoundError: [errno.ENOENT],
    InterruptedError: [errno.EINTR],
    IsADirectoryError: [errno.EISDIR],
    NotADirectoryError: [errno.ENOTDIR],
    PermissionError: [errno.EACCES, errno.EPERM],
    ProcessLookupError: [errno.ESRCH],
    TimeoutError: [errno.ETIMEDOUT],
}


def self_type(info: ClassInfo) -> Type:
    return StructType(info) if info.is_struct else ClassType(info)


@functools.cache
def _containers() -> dict[Any, type]:
    from kaa.lang.builtins.deque import Deque
    from kaa.lang.builtins.dict import Dict
    from kaa.lang.builtins.list import List

    return {list: List, dict: Dict, collections.deque: Deque}
