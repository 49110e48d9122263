# SPDX-License-Identifier: Apache-2.0
"""What /proc/cpuinfo says of a processor of this kind: names and numbers as CPUID gives them (Intel SDM 2, CPUID; AMD
APM 3, appendix E), words as Linux has them, by which programs look for what they may use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kaa.kernel.arch.x86_64 import clock, instructions, processors
from kaa.kernel.arch.x86_64.instructions import CpuidResult
from kaa.kernel.lib.c_string import until_nul
from kaa.lang import ZERO, Array, Bytes, as_bytes, struct, u8, u32, u64

if TYPE_CHECKING:
    from kaa.kernel.fs.text import TextBuffer

EXTENDED: Final = 0x8000_0000
NAME_LEAF: Final = 0x8000_0002
SIZES_LEAF: Final = 0x8000_0008
SPACE: Final = 0x20

# One word for each bit from 0 on; "-": none, or of no use to programs. fsgsbase and ospke: not switched on here.
LEAF_1_EDX = (
    b"fpu vme de pse tsc msr pae mce cx8 apic - sep mtrr pge mca cmov pat pse36 pn clflush - dts acpi mmx fxsr sse "
    b"sse2 ss ht tm ia64 pbe"
)
LEAF_1_ECX = (
    b"pni pclmulqdq dtes64 monitor ds_cpl vmx smx est tm2 ssse3 cid sdbg fma cx16 xtpr pdcm - pcid dca sse4_1 sse4_2 "
    b"x2apic movbe popcnt tsc_deadline_timer aes xsave - avx f16c rdrand hypervisor"
)
EXTENDED_1_EDX = (
    b"- - - - - - - - - - - syscall - - - - - - - mp nx - mmxext - - fxsr_opt pdpe1gb rdtscp - lm 3dnowext 3dnow"
)
EXTENDED_1_ECX = (
    b"lahf_lm cmp_legacy svm extapic cr8_legacy abm sse4a misalignsse 3dnowprefetch osvw ibs xop skinit wdt - lwp fma4 "
    b"tce - nodeid_msr - tbm topoext perfctr_core perfctr_nb - bpext ptsc perfctr_llc mwaitx - -"
)
LEAF_7_EBX = (
    b"- tsc_adjust sgx bmi1 hle avx2 - smep bmi2 erms invpcid rtm cqm - mpx rdt_a avx512f avx512dq rdseed adx smap "
    b"avx512ifma - clflushopt clwb intel_pt avx512pf avx512er avx512cd sha_ni avx512bw avx512vl"
)
LEAF_7_ECX = (
    b"- avx512vbmi umip - - waitpkg avx512_vbmi2 - gfni vaes vpclmulqdq avx512_vnni avx512_bitalg tme avx512_vpopcntdq "
    b"- la57 - - - - - rdpid - bus_lock_detect cldemote - movdiri movdir64b enqcmd - -"
)


@struct
class Text:
    """Letters as registers hold them: a vendor's three, a model name's twelve."""

    words: Array[u32, 12] = ZERO


def _features(out: TextBuffer, names: Bytes, bits: u32) -> None:
    """A space and a word for each bit that is set."""
    start: u64 = u64(0)
    bit: u32 = u32(0)
    while start < len(names):
        end = start
        while end < len(names) and names[end] != SPACE:
            end += 1
        if bits >> bit & 1 != 0 and names[start] != 0x2D:
            out.byte(u8(SPACE))
            out.add(names[start:end])
        bit += 1
        start = end + 1


def _show_vendor(out: TextBuffer, leaf: CpuidResult) -> None:
    text = Text()
    text.words[0] = leaf.ebx
    text.words[1] = leaf.edx
    text.words[2] = leaf.ecx
    out.add(until_nul(as_bytes(text)[0:12]))


def _show_model_name(out: TextBuffer) -> None:
    text = Text()
    for part in range(3):
        leaf = instructions.cpuid(u32(NAME_LEAF + part))
        text.words[4 * part] = leaf.eax
        text.words[4 * part + 1] = leaf.ebx
        text.words[4 * part + 2] = leaf.ecx
        text.words[4 * part + 3] = leaf.edx
    out.add(until_nul(as_bytes(text)))


def _number(out: TextBuffer, name: Bytes, value: u32) -> None:
    out.add(name)
    out.decimal(u64(value))


def _show_signature(out: TextBuffer, signature: u32) -> None:
    """Family, model and stepping; the upper parts count in the families that have them (SDM 2, figure 3-6)."""
    family = signature >> 8 & 15
    model = signature >> 4 & 15
    if family in (6, 15):
        model |= signature >> 12 & 0xF0
    if family == 15:
        family += signature >> 20 & 0xFF
    _number(out, b"\ncpu family\t: ", family)
    _number(out, b"\nmodel\t\t: ", model)
    out.add(b"\nmodel name\t: ")
    _show_model_name(out)
    _number(out, b"\nstepping\t: ", signature & 15)


def _show_features(out: TextBuffer, leaf: CpuidResult, highest: u32) -> None:
    extended = instructions.cpuid(u32(EXTENDED | 1))
    out.add(b"\nflags\t\t:")
    _features(out, LEAF_1_EDX, leaf.edx)
    _features(out, EXTENDED_1_EDX, extended.edx)
    out.add(b" constant_tsc nonstop_tsc")
    _features(out, LEAF_1_ECX, leaf.ecx)
    _features(out, EXTENDED_1_ECX, extended.ecx)
    if highest >= 7:
        seventh = instructions.cpuid(u32(7))
        _features(out, LEAF_7_EBX, seventh.ebx)
        _features(out, LEAF_7_ECX, seventh.ecx)


def show(out: TextBuffer, number: u32, cores: u32) -> None:
    """The paragraph of processor `number`, one of `cores` cores of one package; all are alike but for their numbers."""
    first = instructions.cpuid(u32(0))
    leaf = instructions.cpuid(u32(1))
    megahertz = u32(clock.state.tsc_hz.load_relaxed() // 1_000_000)
    _number(out, b"processor\t: ", number)
    out.add(b"\nvendor_id\t: ")
    _show_vendor(out, first)
    _show_signature(out, leaf.eax)
    _number(out, b"\ncpu MHz\t\t: ", megahertz)
    out.add(b".000\nphysical id\t: 0")
    _number(out, b"\nsiblings\t: ", cores)
    _number(out, b"\ncore id\t\t: ", number)
    _number(out, b"\ncpu cores\t: ", cores)
    _number(out, b"\napicid\t\t: ", processors.processors.apic_ids[number])
    _number(out, b"\ninitial apicid\t: ", processors.processors.apic_ids[number])
    out.add(b"\nfpu\t\t: yes\nfpu_exception\t: yes")
    _number(out, b"\ncpuid level\t: ", first.eax)
    out.add(b"\nwp\t\t: yes")
    _show_features(out, leaf, first.eax)
    _number(out, b"\nbogomips\t: ", 2 * megahertz)
    _number(out, b".00\nclflush size\t: ", (leaf.ebx >> 8 & 0xFF) * 8)
    sizes = instructions.cpuid(u32(SIZES_LEAF)).eax
    _number(out, b"\naddress sizes\t: ", sizes & 0xFF)
    _number(out, b" bits physical, ", sizes >> 8 & 0xFF)
    out.add(b" bits virtual\npower management:\n\n")
