# SPDX-License-Identifier: Apache-2.0
"""Text: str constants and f-strings as descriptors of their pieces, in the caller's frame; nothing is allocated."""

from __future__ import annotations

import ast
import re

from kaa.compiler import ir
from kaa.compiler.ir import Const, Value
from kaa.compiler.lower.statements import Statements
from kaa.compiler.types import (
    STR,
    U8,
    U64,
    VIEW,
    ArrayType,
    BoolType,
    BytesType,
    IntType,
    LitType,
    PtrType,
    SliceType,
    StrType,
    Type,
    is_int,
    strip,
)

SPEC = re.compile(r"(?P<align>[<>])?(?P<alternate>#)?(?P<zero>0)?(?P<width>\d+)?(?P<type>[dxc])?$")
KIND = {"literal": 0, "signed": 1, "unsigned": 2, "hex": 3, "bytes": 4, "char": 5, "text": 6, "bool": 7}


class MakeText(ir.Instr):
    """dst = a descriptor of pieces (kind, flags, width, length, value), in this frame."""

    def __init__(self, dst: ir.Var, pieces: list[tuple[int, int, int, Value, Value]]) -> None:
        self.dst = dst
        self.pieces = pieces

    def uses(self) -> list[Value]:
        return [v for p in self.pieces for v in p[3:]]

    def defs(self) -> list[ir.Var]:
        return [self.dst]

    def __str__(self) -> str:
        return f"{self.dst} = text {', '.join(str(p[4]) for p in self.pieces)}"


class Text(Statements):
    """f-strings."""

    def text(self, node: ast.JoinedStr) -> Value:
        pieces: list[tuple[int, int, int, Value, Value]] = []
        for part in node.values:
            if isinstance(part, ast.Constant):
                pieces.append(self._literal(str(part.value)))
            else:
                assert isinstance(part, ast.FormattedValue)
                pieces.append(self._formatted(part))
        out = self.temp(STR)
        self.emit(MakeText(out, pieces))
        return out

    def _literal(self, text: str) -> tuple[int, int, int, Value, Value]:
        raw = text.encode()
        return (KIND["literal"], 0, 0, Const(U64, len(raw)), ir.Symbol(U64, f"(u64){_c_string(raw)}"))

    def _formatted(self, node: ast.FormattedValue) -> tuple[int, int, int, Value, Value]:
        flags, width, kind = 0, 0, ""
        if node.conversion != -1:
            self.error("!r, !s and !a cannot be compiled", node)
        if node.format_spec is not None:
            assert isinstance(node.format_spec, ast.JoinedStr)
            spec = "".join(str(p.value) if isinstance(p, ast.Constant) else "?" for p in node.format_spec.values)
            m = SPEC.match(spec)
            if m is None:
                self.error(f"the format '{spec}' cannot be compiled", node)
            flags = (1 if m["zero"] else 0) | (2 if m["alternate"] else 0) | {"<": 4, ">": 8, None: 0}[m["align"]]
            width, kind = int(m["width"] or 0), m["type"] or ""
        v = self.expr(node.value)
        v = self.decide(v, node.value)
        if m_align(flags) == 0 and width and (isinstance(strip(v.type), (StrType, BytesType, SliceType))):
            flags |= 4  # as Python: text to the left, numbers to the right
        return self._piece(v, kind, flags, width, node)

    def _piece(self, v: Value, kind: str, flags: int, width: int, node: ast.AST) -> tuple[int, int, int, Value, Value]:
        t: Type = strip(v.type)
        zero = Const(U64, 0)
        if isinstance(t, BoolType):
            return (KIND["bool"], flags, width, zero, self._cast_op(v, U64))
        if is_int(t):
            signed = not isinstance(t, IntType) or t.signed
            name = {"x": "hex", "c": "char"}.get(kind, "signed" if signed else "unsigned")
            size = Const(U64, t.bits // 8 if isinstance(t, IntType) and not isinstance(t, LitType) else 8)
            return (KIND[name], flags, width, size, self._cast_op(v, U64))
        if isinstance(t, StrType):
            return (KIND["text"], flags, width, zero, self._cast_op(v, U64))
        if isinstance(t, BytesType) or (isinstance(t, (SliceType, ArrayType)) and t.element == U8):
            if isinstance(t, ArrayType):
                view = self.temp(VIEW)
                self.emit(ir.Raw(view, f"kaa_until_nul((kaa_slice){{{{(u8 *){{0}}, {t.length}}}}})", [v]))
                v = view
            view_ = self.coerce(v, VIEW, node)
            address = self.temp(U64)
            self.emit(ir.Raw(address, "(u64){0}.p", [view_]))
            return (KIND["bytes"], flags, width, self.view_length(view_), address)
        if isinstance(t, PtrType):
            return (KIND["hex"], flags | 2, width, Const(U64, 8), self._cast_op(v, U64))
        self.error(f"{t} cannot be shown in an f-string", node)


def m_align(flags: int) -> int:
    return flags & 12


def _c_string(raw: bytes) -> str:
    return '"' + "".join(chr(b) if 32 <= b < 127 and b not in b'"\\?' else f"\\{b:03o}" for b in raw) + '"'
