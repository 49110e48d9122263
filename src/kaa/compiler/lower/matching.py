# SPDX-License-Identifier: Apache-2.0
"""Branches: if, assert, match; what a test teaches holds in its branch."""

from __future__ import annotations

import ast

from kaa.compiler import ir
from kaa.compiler.ir import Const, Value
from kaa.compiler.lower.assignment import Assignment
from kaa.compiler.lower.values import TupleValue
from kaa.compiler.types import (
    BOOL,
    ClassType,
    IntType,
    NoneType,
    OptionalType,
    Type,
    strip,
)


class Matching(Assignment):
    """Statements that choose which block runs."""

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
