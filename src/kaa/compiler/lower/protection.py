# SPDX-License-Identifier: Apache-2.0
"""Ways out of a body (return, raise, break, continue) and what runs on the way: with, try, finally."""

from __future__ import annotations

import ast
from typing import Any

from kaa.compiler import ir
from kaa.compiler.ir import Const, Handler, Value, Var
from kaa.compiler.lower.core import PLACES, Cleanup
from kaa.compiler.lower.matching import Matching
from kaa.compiler.lower.values import ErrorValue, GeneratorValue, Live, TupleValue, live_items
from kaa.compiler.types import (
    BOOL,
    U32,
    NeverType,
    NoneType,
    TupleType,
    Type,
    VoidType,
    strip,
)


class Protection(Matching):
    """Jumps out, and the clean-ups and handlers they meet."""

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
            stack, line, file = self.inline_stack, self.line, self.file
            self.inline_stack = stack[:-1]
            self.file = outer.filename
            if item.optional_vars is not None:
                self.assign(item.optional_vars, value, node)
            self._with_items(items[1:], node)
            self.inline_stack, self.line, self.file = stack, line, file
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
            from kaa.compiler.lower.bindings import assigned_attributes, assigned_names

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
        classes: list[type[Any]] = []
        if what is not None:
            nodes = what.elts if isinstance(what, ast.Tuple) else [what]
            for n in nodes:
                v = self.expr(n)
                several = live_items(v)
                if several is not None:
                    classes += several
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


def _family(cls: type[Any]) -> list[type[Any]]:
    """An exception class and the program's own subclasses of it."""
    out = [cls]
    for sub in cls.__subclasses__():
        if sub.__module__.startswith("kaa") and not issubclass(sub, OSError):
            out += _family(sub)
    return out
