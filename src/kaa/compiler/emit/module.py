# SPDX-License-Identifier: Apache-2.0
"""C files: for each module its functions with just the declarations they need (so that a change elsewhere does not
rebuild it), and one file for class descriptors, destructors, dispatch tables and frozen objects."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Callable

from kaa.compiler.classes import ClassInfo
from kaa.compiler.emit import values
from kaa.compiler.emit.function import FunctionEmitter
from kaa.compiler.emit.values import c_result, ctype, extra_params, prototype, resolved, result_kind
from kaa.compiler.ir import Call, FieldPlace, Instr
from kaa.compiler.parallel import ALONE, Pair
from kaa.compiler.program import Function, Program
from kaa.compiler.types import (
    ArrayType,
    BitsType,
    ClassType,
    IntType,
    OptionalType,
    PtrType,
    StructType,
    TupleType,
    Type,
    VoidType,
    generic,
    is_counted,
    mangle,
    nonnull,
    stored_c,
    strip,
)

STATIC = "kaa_static"
SMALL_INSTRUCTIONS, SMALL_BLOCKS = 14, 5
SYMBOL = re.compile(r"k([zcdts])_(\w+)")  # no \b before it: ten times as fast if it begins with a letter


def _finished(fn: Function) -> None:
    """Its counts are inserted already."""


def static_symbols(text: str) -> set[tuple[str, str]]:
    """The static symbols that a C text mentions: kind and name."""
    found: set[tuple[str, str]] = set()
    for match in SYMBOL.finditer(text):
        before = text[match.start() - 1]  # a C text never begins with a symbol
        if not before.isalnum() and before != "_":
            found.add((match[1], match[2]))
    return found


class Emitter:
    """All C files of a program."""

    def __init__(self, program: Program, root: str, finish: Callable[[Function], None] | None = None) -> None:
        """`finish` inserts a function's counts when it is first looked at, if that is not done yet."""
        self.program = program
        self.finish: Callable[[Function], None] = finish or _finished
        self.root = root
        self.by_cname: dict[str, ClassInfo] = {c.cname: c for c in program.classes.values()}
        self.frozen = {f.name: f for f in program.freezer.objects.values()}
        self.cache: dict[str, str] = {}
        self.small: dict[Function, bool] = {}
        self.bodies: dict[tuple[str, Function, tuple[str, ...]], str] = {}
        self.calls: dict[Function, list[Function]] = {}
        self.prototypes: dict[Function, str] = {}

    def file_name(self, path: str) -> str:
        """A source path as it appears in debug information and tracebacks."""
        if path not in self.cache:
            relative = os.path.relpath(path, self.root)
            self.cache[path] = path if relative.startswith("..") else relative
        return self.cache[path]

    def files(self, pair: Pair = ALONE) -> dict[str, str]:
        """File name (without .c) → C text: this process's half."""
        self._number_classes()
        self._find_local()
        groups = self.program.by_module()
        made = {
            name: self._module(name, sorted(groups[name], key=lambda f: (f.node.lineno, f.cname)))
            for name in pair.mine(list(groups))
        }
        return {**made, STATIC: self._static()} if pair.has_least else made

    # ---- one module --------------------------------------------------------------------------------------------------

    def _module(self, name: str, fns: list[Function]) -> str:
        copies = self._copies(fns)
        names = {fn: f"{fn.cname}__inline" for fn in copies}
        bodies = [self._body(fn, names) for fn in [*copies, *fns]]
        callees = {callee for fn in [*fns, *copies] for callee in self._callees(fn)}
        needs = Needs(self)
        for fn in [*fns, *callees]:
            needs.signature(fn)
        for fn in [*fns, *copies]:
            for b in fn.blocks:
                for i in b.instrs:
                    needs.instr(i)
        text = "\n".join(bodies)
        inline = [self._inline_asm(fn) for fn in sorted(callees, key=lambda f: f.cname) if "asm" in fn.marks]
        prototypes = sorted({self._prototype(fn) for fn in {*fns, *callees} if "asm" not in fn.marks})
        prototypes += sorted(f"KAA_COPY {prototype(fn, names[fn])};" for fn in copies)
        head = [f"/* {name}: made by kaa.compiler, not to be edited */", '#include "kaa.h"']
        return "\n".join([*head, *needs.declarations(text), *prototypes, *inline, text, ""])

    def _body(self, fn: Function, names: dict[Function, str]) -> str:
        """A function's C text; copies of the same function are made once."""
        key = (names.get(fn, ""), fn, tuple(names.get(c, "") for c in self._callees(fn)))
        if key not in self.bodies:
            self.finish(fn)
            self.bodies[key] = FunctionEmitter(fn, self.file_name, names).text()
        return self.bodies[key]

    def _prototype(self, fn: Function) -> str:
        """The declaration of a function."""
        if fn not in self.prototypes:
            self.prototypes[fn] = prototype(fn) + ";"
        return self.prototypes[fn]

    def _callees(self, fn: Function) -> list[Function]:
        """The functions that a function calls by name."""
        if fn not in self.calls:
            self.calls[fn] = list({i.callee: None for b in fn.blocks for i in b.instrs if isinstance(i, Call)})
        return self.calls[fn]

    def _copies(self, fns: list[Function]) -> list[Function]:
        """Small functions of other modules that these call: copied here, so that the C compiler can inline them."""
        own = set(fns)
        found: list[Function] = []
        work = list(fns)
        while work:
            for callee in self._callees(work.pop()):
                if callee not in own and callee not in found and self._is_small(callee):
                    found.append(callee)
                    work.append(callee)
        return sorted(found, key=lambda f: f.cname)

    def _is_small(self, fn: Function) -> bool:
        """A few instructions, without loops, that mention nothing private to their module."""
        if fn not in self.small:
            self.small[fn] = self._measure(fn)
        return self.small[fn]

    def _measure(self, fn: Function) -> bool:
        if not fn.blocks or len(fn.blocks) > SMALL_BLOCKS or {"noinline", "cold", "export"} & fn.marks.keys():
            return False
        if sum(len(b.instrs) for b in fn.blocks) > 2 * SMALL_INSTRUCTIONS:
            return False
        self.finish(fn)  # which also takes instructions away
        if sum(len(b.instrs) for b in fn.blocks) > SMALL_INSTRUCTIONS:
            return False
        position = {b: n for n, b in enumerate(fn.blocks)}
        if any(position[t] <= position[b] for b in fn.blocks for t in b.successors()):
            return False
        return not any(isinstance(i, Call) and i.callee.local for b in fn.blocks for i in b.instrs)

    def _inline_asm(self, fn: Function) -> str:
        template, out, ins, clobber = fn.marks["asm"]
        params, result = fn.signature()
        names = [f"p_{p.name}" for p in params]
        takes = ", ".join(f"{ctype(p.type)} {n}" for p, n in zip(params, names, strict=True)) or "void"
        lines = [f"KAA_INLINE {c_result(result, False)} {fn.cname}({takes})"]
        outs = f'"{out}"(out_)' if out else ""
        inputs = ", ".join(f'"{c}"({n})' for c, n in zip(ins, names, strict=True))
        clobbers = ", ".join(f'"{c}"' for c in clobber.split(",") if c)
        statement = f"__asm__ volatile({_quoted(template)} : {outs} : {inputs} : {clobbers});"
        if out:
            lines.append(f"{{ {ctype(result)} out_; {statement} return out_; }}")
        else:
            lines.append(f"{{ {statement} }}")
        return " ".join(lines)

    # ---- static data -------------------------------------------------------------------------------------------------

    def _static(self) -> str:
        needs = Needs(self)
        body: list[str] = []
        prototypes: set[str] = set()
        classes = [c for c in self.program.classes.values() if not c.is_struct and self._is_real(c)]
        for info in classes:
            needs.define(ClassType(info))
            body.append(self._class(info, prototypes, needs))
        body.append(self._thunks(prototypes, needs))
        for name in sorted(self.frozen):
            f = self.frozen[name]
            needs.stored(f.type if not f.declaration.endswith("]") else f.type)
            if f.declaration.endswith("]") and isinstance(f.type, PtrType):
                needs.stored(f.type.element)
            body.append(f"{f.declaration} = {f.initialiser};")
        for fn in self.program.functions.values():
            if "naked" in fn.marks and fn.queued:
                body.append(self._naked(fn))
        forward = [f"{f.shape}extern {f.declaration};" for f in self.frozen.values()]
        descriptors = [f"extern struct kaa_class_{len(self.vtables[c])} kc_{c.cname};" for c in classes]
        sizes = sorted({len(v) for v in self.vtables.values()})
        shapes = [
            f"struct kaa_class_{n} {{ const char *name; u32 size, id; u64 live, slab; void (*drop)(void *); "
            f"u32 span, weak; void *vtable[{max(1, n)}]; }};"
            for n in sizes
        ]
        drops = [f"KAA_DROP void kd_{c.cname}(void *);" for c in classes]
        text = "\n".join(body)
        head = [
            "/* classes and frozen objects: made by kaa.compiler, not to be edited */",
            "#define kc_bytes kaa_hidden_kc_bytes",
            '#include "kaa.h"',
            "#undef kc_bytes",
        ]
        head += ["extern struct kaa_class kc_bytes;"]
        tail = [
            'struct kaa_class kc_bytes = {"bytes", sizeof(struct kaa_bytes), 0, 0, 0, '
            "(void (*)(void *))kaa_drop_bytes, 0, 0};",
            "KAA_DROP void kaa_drop_virtual(void *o) { ((struct kaa_object *)o)->cls->drop(o); }",
            "KAA_DROP void kaa_drop_bytes(void *o) "
            "{ kaa_buffer_free((u64)o, sizeof(struct kaa_bytes) + ((struct kaa_bytes *)o)->n + 1); }",
        ]
        return "\n".join(
            [*head, *needs.definitions(), *shapes, *drops, *descriptors, *sorted(prototypes), *forward, text, *tail, ""]
        )

    def _find_local(self) -> None:
        """Functions that only their own C file mentions are static: the C compiler then sees all their callers."""
        named: set[Function] = {*self.program.thunks.values(), *self.program.trampolines.values()}
        for slot in self.program.slots.values():
            named.update(slot.impls.values())
        for fn in self.program.functions.values():
            if fn.py.__name__ == "__del__" or fn.address_taken or "export" in fn.marks or fn.is_external:
                named.add(fn)
            for block in fn.blocks:
                named.update(
                    i.callee for i in block.instrs if isinstance(i, Call) and i.callee.py.__module__ != fn.py.__module__
                )
        for fn in self.program.functions.values():
            fn.local = fn not in named

    def _is_real(self, info: ClassInfo) -> bool:
        return not any(generic(a) for a in info.args)

    def _number_classes(self) -> None:
        """Preorder numbers: an instance test is one comparison."""
        children: dict[ClassInfo | None, list[ClassInfo]] = defaultdict(list)
        for c in self.program.classes.values():
            if not c.is_struct and self._is_real(c):
                children[c.base].append(c)
        counter = 1

        def number(c: ClassInfo) -> None:
            nonlocal counter
            c.number = counter
            counter += 1
            for child in children[c]:
                number(child)
            c.last_number = counter - 1

        for c in children[None]:
            number(c)
        tables: dict[ClassInfo, list[Function | None]] = {}
        per_root: dict[ClassInfo, int] = defaultdict(int)
        for slot in self.program.slots.values():
            root = slot.root.root()
            slot.index = per_root[root]
            per_root[root] += 1
        for c in self.program.classes.values():
            if not c.is_struct and self._is_real(c):
                tables[c] = [None] * per_root[c.root()]
        for slot in self.program.slots.values():
            for info, fn in slot.impls.items():
                tables[info][slot.index] = fn
        self.vtables = tables

    def _class(self, info: ClassInfo, prototypes: set[str], needs: Needs) -> str:
        table: list[str] = []
        for fn in self.vtables[info]:
            if fn is None:
                table.append("0")
            else:
                prototypes.add(self._prototype(fn))
                needs.signature(fn)
                table.append(f"(void *){fn.cname}")
        n = len(self.vtables[info])
        descriptor = (
            f'struct kaa_class_{n} kc_{info.cname} = {{"{info.name}", '
            f"sizeof(struct {info.cname}), {info.number}, 0, 0, "
            f"(void (*)(void *))kd_{info.cname}, {info.last_number - info.number}, 0, {{{', '.join(table) or '0'}}}}};"
        )
        return descriptor + "\n" + self._destructor(info, prototypes, needs)

    def _destructor(self, info: ClassInfo, prototypes: set[str], needs: Needs) -> str:
        """Runs __del__, releases the fields, frees. A chain through a field of the class's own type is a loop."""
        lines = [f"KAA_DROP void kd_{info.cname}(void *p_)", "{", f"    struct {info.cname} *o = p_;"]
        if info.ends_late:
            lines.append("    if (kaa_end_later((u64)o)) return;")
        chain = next(
            (f for f in info.fields.values() if not f.unowned and nonnull(strip(f.type)) == ClassType(info)), None
        )
        if chain is not None:
            lines.append("again:;")
        found = info.find("__del__")
        if found is not None:
            fn = self.program.function(*found)
            prototypes.add(self._prototype(fn))
            needs.signature(fn)
            # stored by its own __del__
            kept = f"if (KAA_UNLIKELY(o->h.count != 0x80000000u)) kaa_trap({fn.node.lineno} << 4 | KAA_assert);"
            lines.append(
                f"    if (KAA_IS_FINISHED(o)) {{ o->h.count = 0x80000000u; {fn.cname}((void *)o); {kept} }} "
                "else KAA_FINISHED(o);"
            )
        for f in info.fields.values():
            if f is not chain and not f.unowned:
                lines += self._release_field(f"o->{f.cname}", f.type)
        if chain is None:
            lines.append("    kaa_end(o);")
        else:
            lines.append(f"    struct kaa_object *next = (struct kaa_object *)o->{chain.cname}; kaa_end(o);")
            lines.append("    if (next && KAA_DEC(&next->count) == 0) {")
            lines.append(
                f"        if (next->cls == (struct kaa_class *)&kc_{info.cname}) {{ o = (void *)next; goto again; }}"
            )
            lines.append("        next->cls->drop(next);\n    }")
        return "\n".join([*lines, "}"])

    def _release_field(self, target: str, t: Type) -> list[str]:
        t = strip(t)
        if isinstance(t, ArrayType) and is_counted(t.element):
            from kaa.compiler.ir import Symbol

            release = values.release(Symbol(t.element, f"{target}.a[i]"), sure=False)
            return [f"    for (u64 i = 0; i < {t.length}; i++) {release}"]
        if not is_counted(t):
            return []
        from kaa.compiler.ir import Symbol

        return ["    " + values.release(Symbol(t, target), sure=False)]

    def _thunks(self, prototypes: set[str], needs: Needs) -> str:
        out: list[str] = []
        for name, fn in sorted(self.program.thunks.items()):
            prototypes.add(self._prototype(fn))
            needs.signature(fn)
            out.append(self._thunk(name, fn))
        for name, fn in sorted(self.program.trampolines.items()):
            prototypes.add(self._prototype(fn))
            needs.signature(fn)
            for p in fn.signature()[0]:
                needs.define(p.type)
            out.append(self._trampoline(name, fn))
        return "\n".join(out)

    def _thunk(self, name: str, fn: Function) -> str:
        """A function behind the calling convention of Callable: as if it could raise."""
        params, result = fn.signature()
        decl = [f"{ctype(p.type)} p_{p.name}" for p in params] + extra_params(result, True)
        names = [d.rsplit(" ", 1)[1].lstrip("*") for d in decl]
        head = f"{c_result(result, True)} {name}({', '.join(decl) or 'void'})"
        kind, own = result_kind(result, True), result_kind(result, fn.raises)
        if fn.raises or kind == own:
            return f"{head} {{ return {fn.cname}({', '.join(names)}); }}"
        if kind == "out":
            return f"{head} {{ *r_0 = {fn.cname}({', '.join(n for n in names if n != 'r_0')}); return 0; }}"
        call = f"{fn.cname}({', '.join(names)})"
        if kind in ("status", "place_status"):
            return f"{head} {{ {call}; return 0; }}"
        return f"{head} {{ return (kaa_result){{(u64){call}, 0}}; }}"

    def _trampoline(self, name: str, fn: Function) -> str:
        params, result = fn.signature()
        lines: list[str] = []
        args: list[str] = []
        for i, p in enumerate(params):
            t = resolved(p.type)
            if isinstance(t, StructType):
                lines.append(f"struct {t.info.cname} s{i} = {{0}}; *(u64 *)&s{i} = a{i};")
                args.append(f"&s{i}")
            else:
                args.append(f"({t.c})a{i}")
        call = f"{fn.cname}({', '.join(args)})"
        kind = result_kind(result, fn.raises)
        if kind == "status":
            lines.append(f"u32 e = {call}; return e ? -(i64)(e & 0xfff) : 0;")
        elif kind == "result":
            lines.append(f"kaa_result r = {call}; return r.e ? -(i64)(r.e & 0xfff) : (i64)({ctype(result)})r.v;")
        elif kind == "void":
            lines.append(f"{call}; return 0;")
        else:
            lines.append(f"return (i64){call};")
        return f"i64 {name}(u64 a0, u64 a1, u64 a2, u64 a3, u64 a4, u64 a5) {{ {' '.join(lines)} }}"

    def _naked(self, fn: Function) -> str:
        text = str(fn.marks["naked"])
        name = fn.cname
        whole = (
            f"\n.text\n.balign 16\n.globl {name}\n.type {name}, @function\n{name}:\n{text}\n"
            f".text\n.size {name}, . - {name}\n"
        )
        return f"__asm__({_quoted(whole)});"


class Needs:
    """The declarations that a C file needs, in order."""

    def __init__(self, emitter: Emitter) -> None:
        self.emitter = emitter
        self.done: set[str] = set()
        self.seen: set[int] = set()  # the ids of types whose contents are declared
        self.mentioned: set[int] = set()  # of types that are declared
        self.lines: list[str] = []
        self.forward: set[str] = set()

    def signature(self, fn: Function) -> None:
        params, result = fn.signature()
        for t in [p.type for p in params] + [result]:
            self.mention(t)

    def mention(self, t: Type) -> None:
        """The type's name is used, not its contents."""
        if id(t) in self.mentioned:
            return
        self.mentioned.add(id(t))
        t = strip(t)
        if isinstance(t, OptionalType):
            t = t.inner
        if isinstance(t, (ClassType, StructType)):
            self.forward.add(t.info.cname)
        elif isinstance(t, TupleType):
            for p in t.parts:
                self.mention(p)
        elif isinstance(t, (PtrType, ArrayType)):
            self.stored(t.element)

    def instr(self, i: Instr) -> None:
        """Whatever an instruction touches must be complete."""
        for v in [*i.uses(), *i.defs()]:
            if id(v.type) not in self.seen:
                self.seen.add(id(v.type))
                self._complete(strip(v.type))
        place = getattr(i, "place", None)
        if isinstance(place, FieldPlace) and place.owner.cname not in self.done:
            self.define(place.owner.type)

    def _complete(self, t: Type) -> None:
        if isinstance(t, (StructType, ClassType, OptionalType)):
            self.define(nonnull(t))
        elif isinstance(t, (PtrType, ArrayType)):
            self.stored(t.element)
        else:
            self.mention(t)

    def define(self, t: Type) -> None:
        """The struct behind a class or struct type."""
        t = strip(t)
        if not isinstance(t, (ClassType, StructType)) or t.info.cname in self.done:
            return
        info = t.info
        info.prepare()
        self.done.add(info.cname)
        fields: list[str] = []
        for f in info.fields.values():
            self.stored(f.type)
            ft = strip(f.type)
            if isinstance(ft, BitsType):
                fields.append(f"{ft.element.c} {f.cname} : {ft.width};")
            else:
                fields.append(f"{stored_c(ft)} {f.cname};")
        header = "" if info.is_struct else "struct kaa_object h; "
        packed = " __attribute__((packed))" if info.packed else ""
        self.forward.add(info.cname)
        self.lines.append(f"struct {info.cname} {{ {header}{' '.join(fields)} }}{packed};")

    def stored(self, t: Type) -> None:
        """A value of the type is part of something."""
        t = strip(t)
        if isinstance(t, StructType):
            self.define(t)
        elif isinstance(t, ArrayType):
            self.stored(t.element)
            name = mangle(t)
            if name not in self.done:
                self.done.add(name)
                self.lines.append(f"struct {name} {{ {stored_c(t.element)} a[{t.length}]; }};")
        elif isinstance(t, PtrType):
            self.stored(t.element) if not isinstance(strip(t.element), StructType) else self.mention(t.element)
        else:
            self.mention(t)

    def definitions(self) -> list[str]:
        return [f"struct {c};" for c in sorted(self.forward)] + self.lines

    def declarations(self, text: str) -> list[str]:
        """Definitions, and declarations of the static symbols that `text` uses."""
        symbols: list[str] = []
        for kind, name in sorted(static_symbols(text)):
            whole = f"k{kind}_{name}"
            if kind == "z":
                symbols.append(self._frozen(whole))
            elif kind == "c" and name != "bytes":
                symbols.append(f"extern struct kaa_class kc_{name};")
            elif kind == "d":
                symbols.append(f"KAA_DROP void kd_{name}(void *);")
            elif kind == "s":
                symbols.append(f"i64 {whole}(u64, u64, u64, u64, u64, u64);")
            elif kind == "t":
                symbols.append(f"extern char {whole}[];")
        return [*self.definitions(), *symbols]

    def _frozen(self, name: str) -> str:
        f = self.emitter.frozen[name]
        if f.shape:
            return f"extern struct kaa_bytes {name};"
        self.stored(f.type)
        if isinstance(f.type, ClassType):
            self.define(f.type)
        return f"extern {f.declaration};"


def _quoted(text: str) -> str:
    return "\n".join('"' + line.replace("\\", "\\\\").replace('"', '\\"') + '\\n"' for line in text.split("\n"))


__all__ = ["Emitter", "IntType", "VoidType"]
