# SPDX-License-Identifier: Apache-2.0
"""Expansion in place: the bodies of @inline functions and of lambdas."""

from __future__ import annotations

import ast

from kaa.compiler import ir
from kaa.compiler.ir import Const, Value, Var
from kaa.compiler.lower.arguments import ArgumentBinding
from kaa.compiler.lower.bindings import assigned_names
from kaa.compiler.lower.core import PLACES
from kaa.compiler.lower.frame import Frame
from kaa.compiler.lower.values import (
    CompileTime,
    LambdaValue,
    Live,
    TupleValue,
)
from kaa.compiler.program import Function
from kaa.compiler.types import (
    NONE,
    IntVar,
    LitType,
    NeverType,
    TupleType,
    Type,
    VoidType,
    is_counted,
    strip,
)


class Expansion(ArgumentBinding):
    """A function's body, lowered where it is called."""

    def enter_frame(self, fn: Function, values: dict[str, Value], node: ast.AST) -> Frame:
        """A frame for expanding a function's body here, with its parameters bound to the arguments."""
        if fn.py in self.inline_stack:
            self.error(f"{fn.name} is expanded inside itself: @inline functions and generators cannot recurse", node)
        path = (*self.frame.path, getattr(node, "lineno", 0), getattr(node, "col_offset", 0), id(fn.node))
        frame = Frame(fn.module, fn.filename, fn.typevars, fn.owner, fn.node, path)
        assigned = assigned_names(fn.node)
        frame.assigned = assigned - values.keys()
        rebound = assigned & values.keys()
        for name, value in values.items():
            if name in rebound and not isinstance(value, CompileTime):
                v = self.local(name, self._own_type(frame, name, value))
                self.emit(ir.Assign(v, self.coerce(value, v.type)))
                frame.names[name] = v
            elif (
                isinstance(value, Var)
                and not value.temp
                and not value.param
                and not isinstance(strip(value.type), PLACES)
            ):
                # the caller's variable may change while the expanded body (a generator) is suspended
                if fn.is_generator:
                    copy = self.local(name, value.type)
                    self.emit(ir.Assign(copy, value))
                    frame.names[name] = copy
                else:
                    frame.names[name] = value
            else:
                if isinstance(value, Var) and fn.is_generator:
                    value.keep = True
                frame.names[name] = value
        if fn.kind == "classmethod" and fn.owner is not None:
            frame.names[fn.node.args.args[0].arg] = Live(fn.owner.py, typed=fn.owner.type)
        if fn.kind == "method" and fn.signature()[0]:
            frame.self_value = values.get(fn.signature()[0][0].name)
        return frame

    def _own_type(self, frame: Frame, name: str, value: Value) -> Type:
        known = self.declared.get((frame.path, name))
        return known or (IntVar() if isinstance(value.type, LitType) else value.type)

    def expand(self, fn: Function, values: dict[str, Value], node: ast.AST) -> Value:
        """The body of an @inline function, here."""
        frame = self.enter_frame(fn, values, node)
        body = fn.body
        outer, self.frame = self.frame, frame
        line, file = self.line, self.file
        self.file = fn.filename
        self.inline_stack.append(fn.py)
        site, self.site = self.site, self.site or line
        result = strip(fn.result)
        frame.result_type = result
        frame.result_depth = len(self.cleanups)
        temps, self.temps = self.temps, []
        facts = dict(self.facts)
        if len(body) == 1 and isinstance(body[0], ast.Return) and body[0].value is not None:
            out = self._keep_place(self.coerced(body[0].value, result, "the result"), result)
        else:
            out = self._expand_body(frame, body, result)
        self.end_locals(frame, values)
        self.temps = temps + self.temps
        self.facts = {k: v for k, v in facts.items() if (now := self.facts.get(k)) is v or now == v}
        self.inline_stack.pop()
        self.frame, self.line, self.file, self.site = outer, line, file, site
        return out

    def _keep_place(self, value: Value, result: Type) -> Value:
        return value

    def _expand_body(self, frame: Frame, body: list[ast.stmt], result: Type) -> Value:
        end = self.new_block("inlined")
        frame.result_block = end
        if isinstance(result, TupleType):
            frame.result_vars = [self.temp(p, "r") for p in result.parts]
        elif not isinstance(result, (VoidType, NeverType)):
            frame.result_vars = [self.temp(result, "r")]
        results = self.take_temps()
        self.statements(body)
        if self.reachable:
            self.goto(end)
        if frame.result_used or isinstance(result, VoidType):
            self.place_block(end)
        self.temps = results + self.temps
        if frame.result_vars is None:
            return Const(NONE, None)
        return TupleValue(list(frame.result_vars)) if isinstance(result, TupleType) else frame.result_vars[0]

    def end_locals(self, frame: Frame, arguments: dict[str, Value]) -> None:
        """The life of an expanded body's locals ends with it."""
        for name, v in frame.names.items():
            if (
                isinstance(v, Var)
                and not v.temp
                and not v.param
                and is_counted(v.type)
                and v is not arguments.get(name)
            ):
                self.emit(ir.Drop(v))

    def call_lambda(self, fn: LambdaValue, args: list[Value], node: ast.AST) -> Value:
        """A lambda's body, here, with the names of the place where it was written."""
        names = [a.arg for a in fn.node.args.args]
        if len(names) != len(args):
            self.error(f"the lambda takes {len(names)} arguments, {len(args)} given", node)
        parent = fn.frame
        path = (*self.frame.path, getattr(node, "lineno", 0), getattr(node, "col_offset", 0), id(fn.node))
        frame = Frame(parent.module, parent.filename, parent.typevars, parent.owner, fn.node, path, parent=parent)
        frame.self_value = parent.self_value
        frame.names = {
            n: (self.materialise(a) if not isinstance(a, CompileTime) else a) for n, a in zip(names, args, strict=True)
        }
        outer, self.frame = self.frame, frame
        line, file = self.line, self.file
        self.file = parent.filename
        stack, self.inline_stack = self.inline_stack, fn.expanding
        out = self.expr(fn.node.body)
        self.inline_stack = stack
        if not isinstance(out, CompileTime):
            out = self.materialise(out, fn.node)
        self.frame, self.line, self.file = outer, line, file
        return out

    # ---- provided by the other parts ---------------------------------------------------------------------------------

    def statements(self, body: list[ast.stmt]) -> None:
        raise NotImplementedError
