# SPDX-License-Identifier: Apache-2.0
"""From a line of C or of Python to what a reader of Python expects: which def, called from where.

The C texts have `# line "file"` markers, so the debug information speaks of Python lines; it does not know of functions
that Kaa itself expanded in place (@inline, generators, context managers). The markers' order within a C function tells
them: a marker of another def is a call from the last line of the function that could have called it. Headers (`def`,
`class`) are found by indentation rather than by the ast module: 30 ms for the whole kernel instead of 2 s.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

HEADER = re.compile(r"^( *)(?:async )?(def|class) (\w+)", re.MULTILINE)
EXPORT = re.compile(r"""@export\(["'](\w+)["']\)""")
MARKER = re.compile(r'^# (\d+) "([^"]+)"\n(?:(\w[^\n;={]*?\b(\w+)\([^\n]*\))\n\{$)?', re.MULTILINE)
NAKED = re.compile(r"\.globl (\w+)\\n")
BLOCK = re.compile(r"\s*(?:with|for)\b")
IMPLICIT = {"__enter__": "with", "__exit__": "with", "__iter__": "for", "__next__": "for"}


@dataclass(eq=False)
class Head:
    """A def or a class: its lines, from the header to the next header."""

    name: str
    qualname: str
    line: int
    end: int
    is_class: bool
    text: str
    exported: str = ""

    def mentions(self, other: Head) -> bool:
        """Could code of this def call the other?"""
        if other.name in IMPLICIT:
            return re.search(rf"\b{IMPLICIT[other.name]}\b", self.text) is not None
        return (
            other.name.startswith("__") or re.search(rf"\b{other.name}\b", self.text[self.text.find(":") :]) is not None
        )

    @property
    def resumed(self) -> bool:
        """Is it expanded around the caller's lines?"""
        return self.name in IMPLICIT or re.search(r"\byield\b", self.text) is not None


class Source:
    """A Python file."""

    def __init__(self, whole: str) -> None:
        self.whole = whole
        self.lines = whole.split("\n")

    @cached_property
    def heads(self) -> list[Head]:
        """The file's defs and classes, in order."""
        whole = self.whole
        heads: list[Head] = []
        found = list(HEADER.finditer(whole))
        stack: list[tuple[int, str]] = []
        line, before = 1, 0
        for match, after in zip(found, [*(m.start() for m in found[1:]), len(whole)], strict=False):
            line += whole.count("\n", before, match.start())
            indent = len(match[1])
            while stack and stack[-1][0] >= indent:
                stack.pop()
            stack.append((indent, match[3]))
            export = EXPORT.findall(whole, before, match.start())
            before = match.start()
            text = whole[before:after]
            qualname = ".".join(name for _, name in stack)
            heads.append(
                Head(
                    match[3],
                    qualname,
                    line,
                    line + text.count("\n") - 1,
                    match[2] == "class",
                    text,
                    export[-1] if export else "",
                )
            )
        return heads

    @cached_property
    def _starts(self) -> list[int]:
        return [h.line for h in self.heads]

    def at(self, line: int) -> Head | None:
        """The def or class that a line belongs to."""
        index = bisect_right(self._starts, line) - 1
        return self.heads[index] if index >= 0 else None

    def line(self, number: int) -> str:
        """The text of a line, stripped."""
        return self.lines[number - 1].strip() if 0 < number <= len(self.lines) else ""

    def named(self, mangled: str) -> Head | None:
        """The def or class with a C name (without its module; type arguments may follow)."""
        fits = [h for h in self.heads if f"{mangled}__".startswith(h.qualname.replace(".", "__") + "__")]
        return max(fits, key=lambda h: len(h.qualname), default=None)

    def calling_line(self, caller: Head, line: int, callee: Head) -> int:
        """The line of `caller` from which `callee` was expanded, if `line` is the last one seen of it."""
        word = re.compile(rf"\b{callee.name}\b")
        numbers = range(caller.line + 1, min(caller.end, len(self.lines)) + 1)
        mentioned = [n for n in numbers if word.search(self.lines[n - 1])]
        if line in mentioned or not caller.line <= line <= caller.end:
            return line
        if callee.resumed or not mentioned:
            indent = _indent(self.lines[line - 1]) if line <= len(self.lines) else 0
            for n in range(line, caller.line, -1):
                above = self.lines[n - 1]
                if (n == line or _indent(above) < indent) and BLOCK.match(above) and (not mentioned or n in mentioned):
                    return n
        return min(mentioned, key=lambda n: abs(n - line), default=line)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip()) if line.strip() else 1 << 20


Place = tuple[str, int]


@dataclass
class CFunction:
    """A function of a C text: where its def stands; the places in it, in order."""

    file: str
    line: int
    marks: list[Place] = field(default_factory=list[Place])


def c_functions(text: str) -> dict[str, CFunction]:
    """The functions of a C text made by kaa.compiler, by C name."""
    out: dict[str, CFunction] = {}
    current = CFunction("", 0)
    for line, file, definition, name in MARKER.findall(text):
        if definition:
            current = out[name] = CFunction(file, int(line))
        else:
            current.marks.append((file, int(line)))
    return out


class Sources:
    """The files of a source tree."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._known: dict[str, Source] = {}
        self._folders: dict[Path, list[str]] = {}

    def source(self, file: str) -> Source:
        """A Python file; empty if there is no such file."""
        if file not in self._known:
            path = self.root / file
            self._known[file] = Source(path.read_text() if file.endswith(".py") and path.is_file() else "")
        return self._known[file]

    def head(self, file: str, line: int) -> Head | None:
        return self.source(file).at(line)

    def module_file(self, mangled: str) -> str:
        """The file of a module from its name with _ for dots; empty if there is none."""
        return self._walk(self.root / "src", "src", mangled)

    def _walk(self, folder: Path, at: str, rest: str) -> str:
        if folder not in self._folders:
            self._folders[folder] = sorted((p.name for p in folder.iterdir()), reverse=True) if folder.is_dir() else []
        for name in self._folders[folder]:
            if name == f"{rest}.py":
                return f"{at}/{name}"
            if name == rest and (folder / name / "__init__.py").is_file():
                return f"{at}/{name}/__init__.py"
            if "." not in name and rest.startswith(name + "_"):
                found = self._walk(folder / name, f"{at}/{name}", rest[len(name) + 1 :])
                if found:
                    return found
        return ""

    def definition(self, cname: str) -> tuple[str, Head] | None:
        """The def or class of a C name that was made from module and qualified name."""
        module, _, rest = cname.partition("__")
        file = self.module_file(module)
        head = self.source(file).named(rest) if file and rest else None
        return (file, head) if head else None

    @cached_property
    def assembly(self) -> dict[str, tuple[str, Head]]:
        """The defs of the files that have @naked functions, by symbol."""
        out: dict[str, tuple[str, Head]] = {}
        for path in sorted((self.root / "src").rglob("*.py")):
            if b"@naked(" in path.read_bytes():
                file = path.relative_to(self.root).as_posix()
                module = file.removeprefix("src/").removesuffix(".py").removesuffix("/__init__").replace("/", "_")
                for head in self.source(file).heads:
                    out[head.exported or f"{module}__{head.qualname.replace('.', '__')}"] = file, head
        return out

    def contexts(self, function: CFunction) -> dict[Place, list[tuple[str, Place]]]:
        """For each place of another def that was expanded into a function: its callers, innermost first."""
        own = self.head(function.file, function.line)
        out: dict[Place, list[tuple[str, Place]]] = {}
        if own is None:
            return out
        stack: list[tuple[Head, Place]] = [(own, (function.file, function.line))]
        for place in function.marks:
            head = self.head(*place)
            if head is None or head.is_class:
                continue
            if not any(h is head for h, _ in stack):
                while len(stack) > 1 and not stack[-1][0].mentions(head):
                    stack.pop()
                caller, (file, line) = stack[-1]
                stack[-1] = caller, (file, self.source(file).calling_line(caller, line, head))
                stack.append((head, place))
            while stack[-1][0] is not head:
                stack.pop()
            stack[-1] = head, place
            if len(stack) > 1:
                out.setdefault(place, [(h.qualname, p) for h, p in reversed(stack[:-1])])
        return out
