# SPDX-License-Identifier: Apache-2.0
"""The vDSO's image: the listing is what the bytes are, and a dynamic linker finds the functions."""

from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from kaa.kernel.arch.x86_64 import vdso, vdso_code


@pytest.mark.skipif(shutil.which("as") is None, reason="binutils are a convenience of this test only")
def test_the_machine_code_is_the_listing_assembled(tmp_path: Path) -> None:
    (tmp_path / "v.s").write_text(".text\n" + vdso_code.ASSEMBLY)
    for command in (
        "as v.s -o v.o",
        f"ld -Ttext={vdso_code.CODE_OFFSET:#x} --defsym data=-0x1000 -e 0x800 v.o -o v.elf",
        "objcopy -O binary -j .text v.elf v.bin",
    ):
        subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "v.bin").read_bytes() == vdso_code.CODE


def test_a_dynamic_linker_finds_every_function_and_its_version() -> None:
    elf = ELFFile(io.BytesIO(vdso.IMAGE))
    assert elf["e_type"] == "ET_DYN"
    dynamic = next(segment for segment in elf.iter_segments() if segment["p_type"] == "PT_DYNAMIC")
    symbols = {symbol.name: symbol for symbol in dynamic.iter_symbols()}
    for name in vdso.EXPORTED:
        symbol = symbols[f"__vdso_{name}"]
        assert symbol["st_value"] == vdso_code.CODE_OFFSET + vdso_code.FUNCTIONS[name]
        assert symbol["st_size"] > 0
    tags = {tag.entry.d_tag: tag.entry.d_val for tag in dynamic.iter_tags()}
    assert tags["DT_VERDEFNUM"] == 2


def test_the_hash_is_system_v_s() -> None:
    assert vdso.elf_hash("LINUX_2.6") == 0x3AE75F6
