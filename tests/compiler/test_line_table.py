# SPDX-License-Identifier: Apache-2.0
"""The table of source lines, of a small program made as the kernel is."""

from __future__ import annotations

from pathlib import Path

import capstone
import pytest

from kaa.compiler import line_table, toolchain
from kaa.compiler.elf import Elf
from kaa.compiler.line_format import Frame
from kaa.compiler.line_table import CALL, START, TRAP

PYTHON = '''\
from __future__ import annotations


class Lock:
    def __enter__(self) -> None:
        self.acquire()

    def acquire(self) -> None:
        spin(self)

    def __exit__(self, *exc: object) -> None:
        spin(self)


class Pipe:
    def read(self, n: int) -> int:
        n += 1
        with self.lock:
            n = more(n)
        return n + twice(n)


def twice(n: int) -> int:
    return outside(n) * 2


@export("kaa_switch")
@naked("call outside; ret")
def switch() -> None:
    """Assembly."""
'''
FILE = "src/prog/pipe.py"
C = f'''\
void kaa_trap(unsigned code) __attribute__((noreturn, cold));
int outside(int); void spin(void *);
struct lock {{ int state; }};
# 23 "{FILE}"
static inline __attribute__((always_inline)) int prog_pipe__twice(int p_n)
{{
# 24 "{FILE}"
    return outside(p_n) * 2;
}}
# 16 "{FILE}"
int prog_pipe__Pipe__read(struct lock * p_self, int p_n)
{{
    int t__;
# 17 "{FILE}"
    if (__builtin_add_overflow(p_n, 1, &t__)) kaa_trap(17 << 4);
# 9 "{FILE}"
    spin(p_self);
# 19 "{FILE}"
    t__ = outside(t__ + 7);
# 12 "{FILE}"
    spin(p_self);
# 20 "{FILE}"
    return t__ + prog_pipe__twice(t__);
}}
__asm__("\\n"
".text\\n"
".globl kaa_switch\\n"
".type kaa_switch, @function\\n"
"kaa_switch:\\n"
"call outside; ret\\n"
".size kaa_switch, . - kaa_switch\\n");
'''
OUTSIDE = """\
int state;
void kaa_trap(unsigned code) { for (;;) state = (int)code; }
int outside(int n) { state = n; return n; }
void spin(void *p) { state++; }
"""
FLAGS = ["-O2", "-ffreestanding", "-fno-pic", "-ffunction-sections", "-fno-asynchronous-unwind-tables"]
BASE = 0x200000


def made(folder: Path, debug: str) -> tuple[Path, Path]:
    """The linked program and the root of its sources."""
    source = folder / FILE
    source.parent.mkdir(parents=True, exist_ok=True)
    source.write_text(PYTHON)
    build = folder / "build"
    units = [toolchain.Unit("prog.pipe", C), toolchain.Unit("outside", OUTSIDE)]
    target = ["--target=x86_64-unknown-none-elf", "-mcmodel=kernel"]
    objects = toolchain.compile_units(units, build, "zig", [*FLAGS, debug, *target], jobs=1)
    elf = build / "linked.elf"
    toolchain.run([*toolchain.linker(), "-Ttext", hex(BASE + 0x1000), "--defsym", f"kaa_image_base={BASE:#x}",
                   "-e", "kaa_switch", "-o", str(elf), *map(str, objects)])  # fmt: skip
    return elf, folder


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return made(tmp_path_factory.mktemp("lines"), "-g")


def chains(elf: Path, root: Path) -> list[list[str]]:
    """The frames of the calls and traps in Pipe.read, outermost first, in short."""
    finder = line_table.Finder(elf, root)
    start, size = next((s.address, s.size) for s in finder.symbols if s.name == "prog_pipe__Pipe__read")
    found = [site for site in finder.sites() if start < site[0] <= start + size and site[1] != START]
    return sorted([f"{name}:{line}" for name, _, line in reversed(frames)] for _, _, frames in found)


def test_frames(program: tuple[Path, Path]) -> None:
    """Lines, functions that the C compiler inlined, and those that Kaa expanded (`with`)."""
    got = chains(*program)
    assert ["Pipe.read:17"] in got and ["Pipe.read:19"] in got and ["Pipe.read:20", "twice:24"] in got
    expanded = [c for c in got if len(c) == 2 and c[1].startswith("Lock")]
    assert sorted(c[1] for c in expanded) == ["Lock.__exit__:12", "Lock.acquire:9"]
    assert {c[0] for c in expanded} <= {"Pipe.read:17", "Pipe.read:18"}


@pytest.mark.parametrize("debug", ["-g1", "-gdwarf-4", "-gline-tables-only"])
def test_other_debug_information(program: tuple[Path, Path], tmp_path: Path, debug: str) -> None:
    assert chains(*made(tmp_path, debug)) == chains(*program)


def test_every_call_is_a_site(program: tuple[Path, Path]) -> None:
    elf, root = program
    finder = line_table.Finder(elf, root)
    file = finder.elf
    decoder = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
    listing = decoder.disasm_lite(file.section(".text"), file.address(".text"))
    want = {address + size for address, size, mnemonic, _ in listing if mnemonic == "call"}
    assert len(want) >= 6
    assert want == {address for address, kind, _ in finder.sites() if kind != START}


def test_assembly_is_named(program: tuple[Path, Path]) -> None:
    finder = line_table.Finder(*program)
    start = next(s.address for s in finder.symbols if s.name == "kaa_switch")
    site = next(s for s in finder.sites() if s[0] == start + 5)
    assert site[1] == CALL
    assert line_table.shown(site[2][0], finder.sources) == Frame("switch", FILE, 29, "def switch() -> None:")


def test_the_table_says_what_the_debug_information_does(program: tuple[Path, Path]) -> None:
    elf, root = program
    data = line_table.table(elf, root)
    sites = line_table.Finder(elf, root).sites()
    for address, kind, _ in sites:
        frames = line_table.read(data, address - BASE)
        assert frames and frames == (line_table.lookup(elf, address, root) or frames), hex(address)
        assert kind != TRAP or frames[-1].text == "n += 1"
    assert line_table.read(data, sites[0][0] - BASE - 1) == []


def test_what_is_known_is_used_again(program: tuple[Path, Path]) -> None:
    elf, root = program
    first = line_table.table(elf, root)
    known = elf.parent / "line_table.cache"
    before = known.stat().st_mtime_ns
    assert line_table.table(elf, root) == first
    assert known.stat().st_mtime_ns == before
    known.write_bytes(b"broken")
    assert line_table.table(elf, root) == first


def test_a_moved_function_is_found(program: tuple[Path, Path], tmp_path: Path) -> None:
    """Another object before it: addresses change, what is known of the unit does not."""
    _, root = program
    elf, _ = made(tmp_path, "-g")
    before = chains(elf, root)
    objects = sorted((elf.parent / "obj").glob("*.o"), reverse=True)
    toolchain.run([*toolchain.linker(), "-Ttext", hex(BASE + 0x2010), "--defsym", f"kaa_image_base={BASE:#x}",
                   "-e", "kaa_switch", "-o", str(elf), *map(str, objects)])  # fmt: skip
    assert chains(elf, root) == before


def test_size_is_limited() -> None:
    """Texts that are not of traps go first; the rest of the table stays whole."""
    sources = line_table.Sources(Path(__file__).parent)
    name = Path(__file__).name
    found = [(BASE + 100 * i, TRAP if i % 10 == 0 else CALL, ((f"f{i}", name, 20 + i),)) for i in range(60)]
    whole = line_table.encode(found, sources, BASE)
    small = line_table.encode(found, sources, BASE, largest=len(whole) - 400)
    assert len(small) <= len(whole) - 400
    texts = 0
    for (address, kind, frames), line in zip(found, range(20, 80), strict=True):
        cut, full = (line_table.read(d, address - BASE)[0] for d in (small, whole))
        assert (cut.name, cut.line) == (full.name, full.line) == (frames[0][0], line)
        assert full.text == sources.source(name).line(line)
        assert kind != TRAP or cut.text == full.text
        texts += full.text != cut.text
    assert texts > 0


def test_c_source_names_the_data(program: tuple[Path, Path]) -> None:
    """The text changes with the table, so that the object is made again; the compiler takes it."""
    elf, root = program
    text = line_table.c_source(elf, root)
    unit = toolchain.Unit("kaa_lines", text)
    (made_object,) = toolchain.compile_units([unit], elf.parent, "zig", ["--target=x86_64-unknown-none-elf"], jobs=1)
    assert Elf(made_object).section(".kaa_lines") == line_table.table(elf, root)
    made_object.unlink()


def test_a_file_without_sections(program: tuple[Path, Path], tmp_path: Path) -> None:
    """The booted image has lost them."""
    elf, root = program
    table = line_table.table(elf, root)
    stripped = tmp_path / "stripped.elf"
    head = bytearray(elf.read_bytes()[:64])
    head[0x28:0x30], head[0x3C:0x40] = bytes(8), bytes(4)
    stripped.write_bytes(bytes(head) + b"KAL3" * 4 + bytes(16) + table + b"more")
    for address, _, _ in line_table.Finder(elf, root).sites():
        high = address - BASE + line_table.IMAGE_BASE
        assert line_table.lookup(stripped, high, root) == line_table.read(table, address - BASE) != []


def test_command(program: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    finder = line_table.Finder(*program)
    address = next(a for a, kind, _ in finder.sites() if kind == TRAP)
    assert line_table.main([str(program[0]), hex(address)], program[1]) == 0
    out = capsys.readouterr().out
    assert f'File "{FILE}", line 17, in Pipe.read' in out


def test_headers_of_a_source() -> None:
    source = line_table.python_lines.Source(PYTHON)
    assert [(h.qualname, h.line) for h in source.heads][:4] == [
        ("Lock", 4), ("Lock.__enter__", 5), ("Lock.acquire", 8), ("Lock.__exit__", 11),
    ]  # fmt: skip
