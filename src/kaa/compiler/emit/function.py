# SPDX-License-Identifier: Apache-2.0
"""One function's IR as a C function."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from kaa.compiler import ir
from kaa.compiler.emit import values
from kaa.compiler.emit.values import ctype, place, resolved, result_kind, value
from kaa.compiler.ir import Block, Instr, Var
from kaa.compiler.lower.text import MakeText
from kaa.compiler.program import MEMORY_ERROR, Function
from kaa.compiler.types import (
    ArrayType,
    FunctionType,
    IntType,
    SliceType,
    TupleType,
    Type,
    is_counted,
    stored_c,
)

BINARY = {"and": "&", "or": "|", "xor": "^", "shr": ">>"}
METHODS = {kind: f"_{kind.__name__}" for kind in (*ir.Instr.__subclasses__(), *ir.RaisingInstr.__subclasses__())}
COMPARISONS = ("<", "<=", ">", ">=", "==", "!=")


class FunctionEmitter:
    """Writes one function; `lines` collects its text."""

    def __init__(
        self, fn: Function, file_name: Callable[[str], str], copies: dict[Function, str] | None = None
    ) -> None:
        self.fn = fn
        self.copies = copies or {}
        self.file_name = file_name
        self.lines: list[str] = []
        self.declared: dict[str, str] = {}
        self.storage: list[str] = []
        self.file: str = ""  # where the text is
        self.line: int = 0
        self.counter = 0
        owned = fn.owned_vars
        self.owned = set(owned)

    def text(self) -> str:
        """The C text of the function."""
        self._declare_all()
        blocks = self.fn.blocks
        targets = {t for b in blocks for t in b.successors()}
        for i, block in enumerate(blocks):
            if block in targets:
                self.out(f"{block.name}:;")
            for instr in block.instrs:
                if not isinstance(instr, ir.Event):
                    self._mark(instr)
                    self._instr(instr)
            assert block.end is not None
            self._mark(block.end)
            self._end(block.end, blocks[i + 1] if i + 1 < len(blocks) else None)
        name = self.copies.get(self.fn, "")
        head = [
            f'# {self.fn.node.lineno} "{self.file_name(self.fn.filename)}"',
            ("KAA_COPY " if name else "") + values.prototype(self.fn, name),
            "{",
        ]
        body = [f"    {d};" for d in [*self.declared.values(), *self.storage]]
        return "\n".join([*head, *body, *self.lines, "}"])

    def _declare_all(self) -> None:
        for v in self._locals():
            if v.name not in self.declared and not v.param:
                self._declare(v)

    def _locals(self) -> Iterator[Var]:
        for block in self.fn.blocks:
            for instr in block.instrs:
                yield from instr.defs()
                if instr.handler is not None:
                    yield instr.handler.var
                for u in instr.uses():
                    if isinstance(u, Var):
                        yield u
            for u in block.end.uses() if block.end else []:
                if isinstance(u, Var):
                    yield u

    def _declare(self, v: Var) -> None:
        zero = ""
        if not v.temp or v in self.owned:
            zero = " = {0}" if isinstance(resolved(v.type), SliceType) else " = 0"
        self.declared[v.name] = f"{ctype(v.type)} {v.name}{zero}"

    def _mark(self, instr: Instr) -> None:
        line, file = instr.line, instr.file or self.fn.filename
        if line and (line != self.line or file != self.file):
            self.lines.append(f'# {line} "{self.file_name(file)}"')
            self.file, self.line = file, line

    def out(self, text: str) -> None:
        """Adds a statement. All statements of a Python line stand on one C line: a line marker counts the lines after
        it."""
        if self.lines and not self.lines[-1].startswith("#"):
            self.lines[-1] += " " + text
        else:
            self.lines.append("    " + text)

    # ---- instructions ------------------------------------------------------------------------------------------------

    def _instr(self, instr: Instr) -> None:
        getattr(self, METHODS[type(instr)])(instr)

    def _Assign(self, i: ir.Assign) -> None:
        self.out(f"{i.dst.name} = {self._converted(i.src, i.dst.type)};")

    def _converted(self, v: ir.Value, to: Type) -> str:
        text = value(v)
        if v.type is to:
            return text
        if ctype(v.type) != ctype(to) and not isinstance(resolved(to), SliceType):
            return f"({ctype(to)}){text}"
        return text

    def _Op(self, i: ir.Op) -> None:
        t = resolved(i.dst.type)
        dst = i.dst.name
        if i.op == "cast":
            source = value(i.args[0])
            if i.checked and not _lossless(resolved(i.args[0].type), t):
                self.out(f"KAA_NARROW({dst}, {source}, {i.line});")
            else:
                self.out(f"{dst} = ({t.c}){source};")
            return
        a = [self._converted(v, t) if i.op not in COMPARISONS else value(v) for v in i.args]
        if i.op in ("add", "sub", "mul"):
            if i.checked:
                self.out(f"KAA_ARITH({i.op}, {dst}, {a[0]}, {a[1]}, {i.line});")
            else:
                symbol = {"add": "+", "sub": "-", "mul": "*"}[i.op]
                self.out(f"{dst} = ({t.c})({a[0]} {symbol} {a[1]});")
        elif i.op in COMPARISONS:
            self.out(f"{dst} = {a[0]} {i.op} {a[1]};")
        elif (
            i.op == "shl"
            and isinstance(i.args[0], ir.Const)
            and i.args[0].value in (0, 1)
            and isinstance(t, IntType)
            and not t.signed
        ):
            self.out(f"{dst} = ({t.c})({a[0]} << {value(i.args[1])});")  # the count was checked: no bit is lost
        elif i.op == "shl":
            self.out(f"KAA_SHL({dst}, {a[0]}, {value(i.args[1])}, {i.line});")
        elif i.op == "shr":
            self.out(f"{dst} = ({t.c})({a[0]} >> {value(i.args[1])});")
        elif i.op in BINARY:
            self.out(f"{dst} = ({t.c})({a[0]} {BINARY[i.op]} {a[1]});")
        elif i.op in ("floordiv", "mod"):
            self._division(i, t, dst, a)
        elif i.op == "not":
            self.out(f"{dst} = ({t.c})~{a[0]};")
        else:
            assert i.op == "neg_abs"
            self.out(f"if ({a[0]} < 0) KAA_ARITH(sub, {dst}, ({t.c})0, {a[0]}, {i.line}); else {dst} = {a[0]};")

    def _division(self, i: ir.Op, t: Type, dst: str, a: list[str]) -> None:
        if isinstance(t, IntType) and not t.signed:
            self.out(f"{dst} = {a[0]} {'/' if i.op == 'floordiv' else '%'} {a[1]};")
            return
        assert isinstance(t, IntType)
        if i.op == "floordiv":
            self.out(f"KAA_CHECK(!({a[1]} == -1 && {a[0]} == {value(ir.Const(t, t.low))}), overflow, {i.line});")
        self.out(f"{dst} = kaa_{i.op}({t.c}, {a[0]}, {a[1]});")

    def _Load(self, i: ir.Load) -> None:
        if ir.is_rcu(i.place) or is_once(i.place):
            self.out(f"{i.dst.name} = __atomic_load_n(&{place(i.place)}, __ATOMIC_ACQUIRE);")
            return
        if is_relaxed(i.place):
            self.out(f"{i.dst.name} = __atomic_load_n(&{place(i.place)}, __ATOMIC_RELAXED);")
            return
        self.out(f"{i.dst.name} = {place(i.place)};")

    def _Store(self, i: ir.Store) -> None:
        t = resolved(i.place.type)
        target, source = place(i.place), self._converted(i.src, i.place.type)
        unowned = isinstance(i.place, ir.FieldPlace) and i.place.field.unowned
        if ir.is_rcu(i.place) and not i.init:
            # Readers may use the old object for a while: its count is given up later (lang/rcu.py).
            self.out(f"{{ {t.c} old_ = __atomic_exchange_n(&{target}, {source}, __ATOMIC_ACQ_REL); ")
            self.out("if (old_) kaa_retire((u64)old_); }")
            return
        if is_once(i.place) and not i.init:
            # Who read it before holds it without a count: there is no second one.
            swap = f"__atomic_compare_exchange_n(&{target}, &old_, {source}, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)"
            self.out(f"{{ {t.c} old_ = 0; if (KAA_UNLIKELY(!{swap})) kaa_trap({i.line} << 4 | KAA_assert); }}")
            return
        if is_counted(t) and not unowned and not i.init:
            release = values.release(ir.Symbol(t, "old_"), sure=False)
            self.out(f"{{ {t.c} *at_ = &{target}; {t.c} old_ = *at_; *at_ = {source}; {release} }}")
            return
        if is_relaxed(i.place):
            self.out(f"__atomic_store_n(&{target}, {source}, __ATOMIC_RELAXED);")
            return
        self.out(f"{target} = {source};")

    def _AddressOf(self, i: ir.AddressOf) -> None:
        self.out(f"{i.dst.name} = ({ctype(i.dst.type)})&{place(i.place)};")

    def _Fresh(self, i: ir.Fresh) -> None:
        t = resolved(i.dst.type)
        name = f"{i.dst.name}_s"
        if isinstance(t, ArrayType):
            self.storage.append(f"{stored_c(t.element)} {name}[{t.length}]")
            self.out(f"{i.dst.name} = {name};")
        else:
            self.storage.append(f"{stored_c(t)} {name}")
            self.out(f"{i.dst.name} = &{name};")
        if i.zero:
            self.out(f"__builtin_memset(&{name}, 0, sizeof {name});")

    def _CopyPlace(self, i: ir.CopyPlace) -> None:
        t = resolved(i.src.type)
        if isinstance(t, ArrayType):
            self.out(f"__builtin_memmove({value(i.dst)}, {value(i.src)}, sizeof({stored_c(t.element)}) * {t.length});")
        else:
            self.out(f"*{value(i.dst)} = *{value(i.src)};")

    def _Raw(self, i: ir.Raw) -> None:
        text = i.template.format(*map(value, i.args))
        self.out(f"{i.dst.name} = {text};" if i.dst is not None else f"{text};")

    def _Check(self, i: ir.Check) -> None:
        self.out(f"KAA_CHECK({i.template.format(*map(value, i.args))}, {i.kind}, {i.line});")

    def _Effect(self, i: ir.Effect) -> None:
        pass

    def _Drop(self, i: ir.Drop) -> None:
        pass

    def _Retain(self, i: ir.Retain) -> None:
        self.out(values.retain(i.value))

    def _Release(self, i: ir.Release) -> None:
        self.out(values.release(i.value, i.sure))

    def _MakeText(self, i: MakeText) -> None:
        name = f"{i.dst.name}_p"
        self.storage.append(f"struct kaa_piece {name}[{max(1, len(i.pieces))}]")
        self.storage.append(f"struct kaa_text {i.dst.name}_t")
        for k, (kind, flags, width, length, v) in enumerate(i.pieces):
            self.out(
                f"{name}[{k}] = (struct kaa_piece){{{kind}, {flags}, {width}, (u32){value(length)}, (u64){value(v)}}};"
            )
        self.out(f"{i.dst.name}_t = (struct kaa_text){{{name}, {len(i.pieces)}}};")
        self.out(f"{i.dst.name} = &{i.dst.name}_t;")

    # ---- calls -------------------------------------------------------------------------------------------------------

    def _Call(self, i: ir.Call) -> None:
        params, result = i.callee.signature()
        args = [self._argument(a, p.type) for a, p in zip(i.args, params, strict=False)]
        rest = [value(a) for a in i.args[len(params) :]]
        self._call(i, self.copies.get(i.callee, i.callee.cname), args + rest, result, i.callee.raises, i.dsts)

    def _argument(self, v: ir.Value, to: Type) -> str:
        return self._converted(v, to)

    def _CallVirtual(self, i: ir.CallVirtual) -> None:
        declared = i.slot.declared
        params, result = declared.signature()
        raises = i.slot.raises
        types = [ctype(p.type) for p in params] + [
            e.rsplit("r_", 1)[0].rsplit("p_result", 1)[0] for e in values.extra_params(result, raises)
        ]
        cast = f"({values.c_result(result, raises)} (*)({', '.join(types)}))"
        callee = f"({cast}((struct kaa_object *){value(i.args[0])})->cls->vtable[{i.slot.index}])"
        args = [self._argument(a, p.type) for a, p in zip(i.args, params, strict=False)]
        rest = [value(a) for a in i.args[len(params) :]]
        self._call(i, callee, args + rest, result, raises, i.dsts)

    def _CallPointer(self, i: ir.CallPointer) -> None:
        t = resolved(i.pointer.type)
        assert isinstance(t, FunctionType)
        types = [ctype(p) for p in t.params] + [
            e.rsplit("r_", 1)[0].rsplit("p_result", 1)[0] for e in values.extra_params(t.result, True)
        ]
        callee = f"(({values.c_result(t.result, True)} (*)({', '.join(types) or 'void'})){value(i.pointer)})"
        args = [self._argument(a, p) for a, p in zip(i.args, t.params, strict=False)]
        rest = [value(a) for a in i.args[len(t.params) :]]
        self._call(i, callee, args + rest, t.result, True, i.dsts)

    def _call(
        self, i: ir.RaisingInstr, callee: str, args: list[str], result: Type, raises: bool, dsts: list[Var]
    ) -> None:
        kind = result_kind(result, raises)
        first, others = (dsts[0] if dsts else None), dsts[1:]
        if kind == "out" and first is not None:
            args.append(f"&{first.name}")
        args += [f"&{d.name}" for d in others]
        call = f"{callee}({', '.join(args)})"
        if kind == "void" or kind == "place":
            self.out(f"{call};")
        elif kind == "plain":
            assert first is not None
            self.out(
                f"{first.name} = ({ctype(first.type)}){call};"
                if not isinstance(resolved(first.type), SliceType)
                else f"{first.name} = {call};"
            )
        elif kind in ("status", "out", "place_status"):
            self.out(f"{{ u32 e_ = {call}; {self._leave(i, 'e_')} }}")
        else:
            assert first is not None
            self.out(
                f"{{ kaa_result r_ = {call}; {self._leave(i, '(u32)r_.e')} {first.name} = ({ctype(first.type)})r_.v; }}"
            )

    def _leave(self, i: ir.RaisingInstr, error: str) -> str:
        if i.handler is None:
            return f"KAA_CHECK(!{error}, unhandled, {i.line});"
        return f"if (KAA_UNLIKELY({error} != 0)) {{ {i.handler.var.name} = {error}; goto {i.handler.block.name}; }}"

    def _New(self, i: ir.New) -> None:
        name = i.dst.name
        self.out(f"{name} = kaa_new((struct kaa_class *)&kc_{i.info.cname});")
        self.out(f"if (KAA_UNLIKELY({name} == 0)) {self._memory_error(i)}")
        if i.info.has_hand_written_init() and i.info.find("__del__") is not None:
            self.out(f"KAA_UNFINISHED({name});")

    def _memory_error(self, i: ir.RaisingInstr) -> str:
        assert i.handler is not None
        return f"{{ {i.handler.var.name} = {MEMORY_ERROR}; goto {i.handler.block.name}; }}"

    def _RawRaising(self, i: ir.RawRaising) -> None:
        self.out(f"{i.dst.name} = {i.template.format(*map(value, i.args))};")
        self.out(f"if (KAA_UNLIKELY({i.dst.name} == 0)) {self._memory_error(i)}")

    # ---- ends --------------------------------------------------------------------------------------------------------

    def _end(self, end: ir.Terminator, following: Block | None) -> None:
        if isinstance(end, ir.Goto):
            if end.block is not following:
                self.out(f"goto {end.block.name};")
        elif isinstance(end, ir.Branch):
            cond = value(end.cond)
            if end.yes.cold or end.no.cold:
                cond = f"KAA_UNLIKELY({cond})" if end.yes.cold else f"KAA_LIKELY({cond})"
            if end.yes is following:
                self.out(f"if (!{cond}) goto {end.no.name};")
            else:
                self.out(
                    f"if ({cond}) goto {end.yes.name};" + ("" if end.no is following else f" else goto {end.no.name};")
                )
        elif isinstance(end, ir.Return):
            self._return(end)
        elif isinstance(end, ir.RaiseOut):
            kind = result_kind(self.fn.result, True)
            error = value(end.error)
            self.out(f"return (kaa_result){{0, {error}}};" if kind == "result" else f"return {error};")
        elif isinstance(end, ir.Trap):
            code = f"{end.line} << 4 | KAA_{end.kind}"
            self.out(f"kaa_trap_text({code}, {value(end.text)});" if end.text is not None else f"kaa_trap({code});")
        else:
            self.out("__builtin_unreachable();")

    def _return(self, end: ir.Return) -> None:
        t = resolved(self.fn.result)
        kind = result_kind(t, self.fn.raises)
        parts = list(t.parts) if isinstance(t, TupleType) else [t]
        vals = [self._converted(v, p) for v, p in zip(end.values, parts, strict=False)]
        for k, v in enumerate(vals):
            if k > 0:
                self.out(f"*r_{k} = {v};")
        if kind in ("void",):
            self.out("return;")
        elif kind == "status":
            self.out("return 0;")
        elif kind in ("place", "place_status"):
            self._return_place(resolved(parts[0]), end.values[0])
            self.out("return;" if kind == "place" else "return 0;")
        elif kind == "out":
            self.out(f"*r_0 = {vals[0]}; return 0;")
        elif kind == "plain":
            self.out(f"return {vals[0]};")
        else:
            self.out(f"return (kaa_result){{(u64){vals[0]}, 0}};")

    def _return_place(self, t: Type, v: ir.Value) -> None:
        if v is self.fn.result_place:
            return
        if isinstance(t, ArrayType):
            self.out(f"__builtin_memmove(p_result, {value(v)}, sizeof({stored_c(t.element)}) * {t.length});")
        else:
            self.out(f"*p_result = *{value(v)};")


def is_once(p: ir.Place) -> bool:
    """A reference that is set once, while others may look."""
    return isinstance(p, ir.FieldPlace) and p.field.once


def is_relaxed(p: ir.Place) -> bool:
    """One word that is read while it may be written."""
    return isinstance(p, ir.FieldPlace) and p.field.relaxed


def _lossless(a: Type, b: Type) -> bool:
    return isinstance(a, IntType) and isinstance(b, IntType) and b.holds(a)


__all__ = ["FunctionEmitter"]
