# SPDX-License-Identifier: Apache-2.0
"""Entry: lowers one function, again and wider as long as its locals turn out to need it."""

from __future__ import annotations

import ast

from kaa.compiler import ir
from kaa.compiler.constants import check_constants
from kaa.compiler.errors import CompileError
from kaa.compiler.ir import Value, Var
from kaa.compiler.lower.bindings import assigned_names
from kaa.compiler.lower.core import PLACES, Restart
from kaa.compiler.lower.text import Text
from kaa.compiler.lower.values import Live
from kaa.compiler.program import Function
from kaa.compiler.types import IntVar, NeverType, Type, VoidType, strip

LIMIT = 50


class Lowerer(Text):
    """All parts together."""

    def run(self) -> None:
        fn = self.function
        params, result = fn.signature()
        assigned = assigned_names(fn.node)
        self.frame.assigned = assigned - {p.name for p in params}
        fn.params = []
        for p in params:
            v = Var("p_" + p.name, p.type, param=True)
            fn.params.append(v)
            value: Value = v
            if p.name in assigned:
                local = self.local(p.name, self.declared.get((self.frame.path, p.name), p.type))
                self.emit(ir.Assign(local, v))
                value = local
            self.frame.names[p.name] = value
            if fn.kind == "method" and self.frame.self_value is None:
                self.frame.self_value = value
        if fn.kind == "classmethod" and fn.owner is not None:
            self.frame.names[fn.node.args.args[0].arg] = Live(fn.owner.py, typed=fn.owner.type)
        fn.result_place = Var("p_result", result, param=True) if isinstance(result, PLACES) else None  # type: ignore[attr-defined]
        self.statements(fn.body)
        if self.reachable:
            self._fall_off(result)
        if self.fail is not None:
            self.blocks.append(self.fail.block)
            self.block, self.reachable = self.fail.block, True
            self.end(ir.RaiseOut(self.fail.var))
        fn.blocks = self._live_blocks()

    def _fall_off(self, result: Type) -> None:
        """The end of the body is reached."""
        if isinstance(result, VoidType):
            self.end(ir.Return([]))
        elif isinstance(result, NeverType):
            self.end(ir.Trap("unreachable"))
        elif isinstance(self.function.node.body[-1], ast.Expr) and "abstract" in str(
            getattr(self.function.py, "__isabstractmethod__", "")
        ):
            self.end(ir.Trap("unreachable"))
        elif getattr(self.function.py, "__isabstractmethod__", False):
            self.end(ir.Trap("unreachable"))
        else:
            self.error(
                f"the end of '{self.function.node.name}' can be reached without a return of {result}",
                self.function.node,
            )

    def _live_blocks(self) -> list[ir.Block]:
        """Reachable blocks, in the order they were placed."""
        seen: set[int] = set()
        stack = [self.blocks[0]]
        while stack:
            b = stack.pop()
            if id(b) in seen:
                continue
            seen.add(id(b))
            if b.end is None:
                b.end = ir.Unreachable()
            stack += b.successors()
        return [b for b in dict.fromkeys(self.blocks) if id(b) in seen]


def lower_function(fn: Function) -> None:
    """Lowers `fn` into fn.params and fn.blocks. Raises CompileError."""
    declared: dict[tuple[object, ...], Type] = {}
    for _ in range(LIMIT):
        lowerer = Lowerer(fn, declared)
        widths = IntVar.made
        try:
            lowerer.run()
        except Restart:
            continue
        except CompileError as error:
            if not error.filename:
                error.filename = lowerer.frame.filename
                error.line = error.line or lowerer.line
            raise
        if IntVar.made > widths:
            check_constants(fn)
        return
    raise CompileError(f"the types of {fn.name}'s locals do not settle", fn.filename, fn.node)


__all__ = ["lower_function", "strip"]
